//! What a push would do to runs that are live, told before anybody signs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use service::api;
use service::{Credential, ForgeAccess, SecretSource, SourceSettings};

use crate::fake::{self, Forge, REPO, TOKEN, ok};
use crate::support::{Bench, SCOPE};

const WORKFLOW: &str = "name: GPU\non:\n  push:\n    branches: [main]\nconcurrency:\n  group: card\n  \
    cancel-in-progress: true\njobs:\n  build:\n    runs-on: [self-hosted, cpu]\n  lint:\n    runs-on: ubuntu-latest\n  \
    paths:\n    runs-on: [self-hosted, gpu]\n";
/// Of the same group; only a person starts it.
const BENCHES: &str = "on: workflow_dispatch\nconcurrency: Card\njobs: {}\n";
const DOCS: &str = "on: push\nconcurrency: docs\njobs: {}\n";

fn workflows(tree: &Path, source: &str) {
    let folder = tree.join(".github/workflows");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("gpu-tests.yml", WORKFLOW),
        ("benches.yml", BENCHES),
        ("docs.yaml", DOCS),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let path = tree.join("greenloop.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let policy = policy.replace("kind = \"local\"", source).replace(
        "[scope.path_equivalence]",
        "[scope.path_equivalence]\nworkflow = \"gpu-tests.yml\"",
    );
    fs::write(&path, policy).unwrap();
}

/// What a claim on the fix is told, whatever else is missing of it.
fn told(bench: &Bench, loop_id: &str, commit: &str, cancels: &[&str]) -> api::CheckClaimAnswer {
    let draft = api::ClaimDraft {
        change: api::ChangeView::Commit {
            repo_path: bench.clone_path().to_str().unwrap().into(),
            commit: commit.into(),
        },
        kind: "fix".into(),
        proof_scope: SCOPE.into(),
        failing_invariant: Some("§1".into()),
        evidence: vec![],
        baseline_run: None,
        sites: vec![],
        reasoning: String::new(),
        hypothesis_id: None,
        prediction: vec![],
        outcomes: vec![],
        guards: vec![],
        gates: vec![],
        pinned_test: None,
        rollback_if: vec![],
        budget: api::BudgetView {
            runner_minutes: 5,
            runs: 1,
            cancels: cancels.iter().map(|run| (*run).to_owned()).collect(),
        },
        message: "x".into(),
    };
    let request = api::CheckClaimRequest {
        loop_id: loop_id.into(),
        draft,
    };
    bench.agent(request).unwrap()
}

fn forge_run(id: u64, status: &str, workflow: &str, head: &str) -> Value {
    let mut run = fake::run(id);
    run["status"] = json!(status);
    run["conclusion"] = Value::Null;
    run["path"] = json!(format!(".github/workflows/{workflow}"));
    run["head_sha"] = json!(head);
    run["head_branch"] = json!("main");
    run
}

#[test]
fn live_runs_of_the_forge_and_its_runner_are_forecast_by_name() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    let sources = SourceSettings {
        recorded: None,
        github: Some(ForgeAccess {
            api_url: format!("http://127.0.0.1:{}", forge.api.port),
            credential: Credential::Token(SecretSource::File(token)),
            allow_insecure_loopback: true,
            poll: Some(std::time::Duration::from_millis(50)),
        }),
    };
    let source = "kind = \"github\"\nrepository = \"octo/gpu\"";
    let bench = Bench::with_sources(sources, |tree| workflows(tree, source));
    let loop_id = bench.open_loop();
    let commit = bench.fix();
    let unanswered = told(&bench, &loop_id, &commit, &[]);
    assert!(
        unanswered
            .forecast
            .iter()
            .any(|line| line.starts_with("not known: the forge could not")),
        "{:?}",
        unanswered.forecast
    );

    let head = "1".repeat(40);
    let runs = [
        forge_run(11, "in_progress", "gpu-tests.yml", &head),
        forge_run(12, "queued", "benches.yml", &head),
        forge_run(13, "in_progress", "docs.yaml", &head),
        fake::run(14),
    ];
    forge.api.on(
        &format!("{REPO}/actions/runs"),
        ok(&json!({"total_count": 4, "workflow_runs": runs})),
    );
    let runner = |id: u64, name: &str, status: &str, label: &str| {
        let labels = json!([{"name": "self-hosted"}, {"name": label}]);
        json!({"id": id, "name": name, "status": status, "busy": false, "labels": labels})
    };
    let runners = |of: &[Value]| {
        let path = format!("{REPO}/actions/runners");
        forge.api.forget(&path);
        let answer = json!({"total_count": of.len(), "runners": of});
        forge.api.on(&path, ok(&answer));
    };
    let (builder, rig) = (
        runner(3, "builder", "online", "cpu"),
        runner(4, "rig", "offline", "GPU"),
    );
    // Every job needs its runner: the one that is missing or offline decides, not the first.
    runners(std::slice::from_ref(&builder));
    let none = told(&bench, &loop_id, &commit, &[]).forecast;
    assert_eq!(
        none.last().unwrap(),
        "no runner has the labels self-hosted, gpu"
    );
    runners(&[builder, rig]);
    let found = told(&bench, &loop_id, &commit, &[]);
    assert_eq!(
        found.forecast,
        [
            "the push cancels 11 (.github/workflows/gpu-tests.yml, group `card`)",
            "the push takes the place of 12 (.github/workflows/benches.yml, group `card`)",
            "the push waits for 13 (.github/workflows/docs.yaml, group `docs`)",
            "the runner is offline: rig",
        ]
    );
    // Two machines on Windows: one may take a job and is there, one has another job's labels.
    let windows = |id: u64, name: &str, label: &str| {
        let mut runner = runner(id, name, "online", label);
        runner["os"] = json!("Windows");
        runner
    };
    runners(&[windows(5, "desk", "gpu"), windows(6, "door", "bell")]);
    let cautioned = told(&bench, &loop_id, &commit, &[]).forecast;
    let caution = cautioned.last().unwrap();
    assert!(
        caution.contains("interactive session") && caution.ends_with("which it is: desk"),
        "{cautioned:?}"
    );
    let about = |cancels: &[&str]| -> Vec<String> {
        let refused = told(&bench, &loop_id, &commit, cancels).refused;
        let about = refused
            .into_iter()
            .filter(|found| found.field.starts_with("budget.cancels"));
        about.map(|found| found.code).collect()
    };
    assert_eq!(about(&[]), Vec::<String>::new());
    assert_eq!(about(&["11"]), ["budget_cancels_incomplete"]);
    assert_eq!(about(&["11", "12"]), Vec::<String>::new());
    assert_eq!(about(&["11", "12", "14"]), ["budget_cancels_no_live_run"]);
}

/// A tree with more workflows than anybody reads is not forecast in silence.
#[test]
fn workflows_beyond_those_that_are_read_are_a_hole_in_the_forecast() {
    let bench = Bench::with(|tree| {
        workflows(tree, "kind = \"local\"");
        for number in 0..200 {
            let path = tree.join(format!(".github/workflows/one-{number}.yml"));
            fs::write(path, "on: workflow_dispatch\njobs: {}\n").unwrap();
        }
    });
    let loop_id = bench.open_loop();
    let commit = bench.fix();
    assert_eq!(
        told(&bench, &loop_id, &commit, &[]).forecast,
        ["not known: 3 more workflows than the 200 that are read"]
    );
}

/// A local run of the same group is met too; a workflow that cannot be read is said.
#[test]
fn a_broken_workflow_makes_a_hole_in_the_forecast() {
    let bench = Bench::with(|tree| {
        workflows(tree, "kind = \"local\"");
        fs::write(tree.join(".github/workflows/odd.yml"), "on: [push\n").unwrap();
    });
    let loop_id = bench.open_loop();
    let commit = bench.fix();
    let found = told(&bench, &loop_id, &commit, &[]);
    assert_eq!(found.forecast.len(), 1, "{:?}", found.forecast);
    assert!(
        found.forecast[0]
            .starts_with("not known: .github/workflows/odd.yml: the workflow file cannot be read"),
        "{:?}",
        found.forecast
    );
}

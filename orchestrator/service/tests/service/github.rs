//! A run of GitHub Actions through the whole loop, from a forge of ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use service::api;
use service::{Credential, ForgeAccess, SecretSource, ServiceError, SourceSettings};

use crate::fake::{self, Forge, REPO, TOKEN, ok};
use crate::support::{Bench, RED_TEST, SCOPE, run};

const LOG: &[u8] = b"2026-01-02T03:04:06.0000000Z running 1 test\n\
2026-01-02T03:04:06.2000000Z test path_equivalence_partial_block ... FAILED\n\
2026-01-02T03:04:06.4000000Z test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
2026-01-02T03:04:06.5000000Z ##[error]Process completed with exit code 101.\n";

/// A project on a forge, and the commit at its tip.
pub(crate) fn bench(forge: &Forge, token: &Path, api_url: &str) -> (Bench, String) {
    bench_with(forge, token, api_url, "")
}

/// The same, with more at the end of the project's policy.
fn bench_with(forge: &Forge, token: &Path, api_url: &str, more: &str) -> (Bench, String) {
    fs::write(token, TOKEN).unwrap();
    let sources = SourceSettings {
        recorded: None,
        github: Some(ForgeAccess {
            api_url: format!("http://127.0.0.1:{}", forge.api.port),
            credential: Credential::Token(SecretSource::File(token.to_owned())),
            allow_insecure_loopback: true,
            poll: Some(Duration::from_millis(50)),
        }),
    };
    let source = format!("kind = \"github\"\nrepository = \"octo/gpu\"\n{api_url}");
    let bench = Bench::with_sources(sources, |tree| {
        let path = tree.join("greenloop.toml");
        let policy = fs::read_to_string(&path).unwrap();
        let policy = policy.replace("kind = \"local\"", &source).replace(
            "[scope.path_equivalence]",
            "[scope.path_equivalence]\nworkflow = \"gpu-tests.yml\"",
        );
        fs::write(&path, policy + more).unwrap();
    });
    let head = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    (bench, head)
}

#[test]
fn a_run_of_the_forge_feeds_the_loop() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let (bench, head) = bench(&forge, &folder.path().join("token"), "");
    let mut described = fake::run(7);
    described["head_sha"] = json!(head);
    forge.run(&described);
    forge.jobs(&[fake::job(1, "paths (debug)"), fake::job(2, "paths (again)")]);
    forge.log(1, LOG);
    let zip = zip_of_one("note.txt", b"kept\n");
    forge.artifacts(&[json!({"id": 5, "name": "notes"})]);
    forge.artifact(5, &zip);
    // A storm lies before it.
    let mut storm = fake::run(8);
    storm["conclusion"] = json!("cancelled");
    storm["created_at"] = json!("2026-01-03T00:00:00Z");
    forge.run(&storm);
    forge.api.on(
        &format!("{REPO}/actions/runs/8/attempts/1/jobs"),
        ok(&json!({"total_count": 0, "jobs": []})),
    );
    forge.api.on(
        &format!("{REPO}/actions/workflows/gpu-tests.yml/runs"),
        ok(&json!({"total_count": 2, "workflow_runs": [storm, described]})),
    );
    let pull = |refresh: bool| {
        bench
            .agent(api::PullFullLogRequest {
                run_id: "latest".into(),
                scope: Some(SCOPE.into()),
                artifacts: true,
                refresh,
                ..Default::default()
            })
            .unwrap()
    };
    let first = pull(false);
    assert!(!first.complete);
    assert_eq!(first.source_run_id.as_deref(), Some("7"));
    assert!(
        first.notes.iter().any(|note| note.contains("1 newer runs")),
        "{:?}",
        first.notes
    );
    assert_eq!(first.logs[1].why_empty.as_deref(), Some("missing"));
    // The log comes late: only it is fetched then.
    forge.log(2, LOG);
    forge.api.forget(&Forge::log_path(2));
    forge.log(2, LOG);
    let second = pull(true);
    assert!(second.complete, "{second:?}");
    assert_eq!(second.run_id, first.run_id);
    assert_eq!(forge.blob.count("/log/1"), 1);
    let class = bench
        .agent(api::ClassifyRunRequest {
            run_id: second.run_id.clone(),
        })
        .unwrap();
    assert_eq!(class.class, "test");
    let artifact = bench
        .agent(api::PullArtifactRequest {
            run_id: second.run_id.clone(),
            name: "notes".into(),
            attempt: None,
        })
        .unwrap();
    let log = artifact.entries[0].log.clone().unwrap();
    let page = bench
        .agent(api::ReadLogRequest {
            log_id: log.log_id,
            offset: None,
            line: None,
            max_bytes: None,
            view: api::LogViewKind::Raw,
        })
        .unwrap();
    assert_eq!(page.data, "kept\n");
    assert_eq!(forge.blob.count("/artifact/5"), 1);
    let state = bench.root().join("state");
    for folder in ["journal", "evidence", "index", "spool"] {
        let folder = state.join(folder);
        assert!(!holds(&folder, TOKEN.as_bytes()) && !holds(&folder, b"SIGNATURE"));
    }
}

/// What a job of the forge says that runs the suite of a checkout, and whether it passed.
fn suite(checkout: &Path, target: &Path, cell: &str) -> (Vec<u8>, bool) {
    let path = std::env::var_os("PATH").unwrap();
    let argv = "test --offline -p tally --features path-tests --test paths -- --test-threads=1 --nocapture";
    let command = exec::Command::new(exec::find_program("cargo", &path).unwrap(), checkout)
        .args(argv.split(' '))
        .envs(std::env::vars_os())
        .envs([
            ("TALLY_CELL", cell),
            ("CARGO_TARGET_DIR", target.to_str().unwrap()),
        ]);
    let captured = exec::capture(&command, &service::Cancel::new().unwrap()).unwrap();
    let passed = captured.outcome.exit.success();
    let mut log = Vec::new();
    for line in captured.stdout.split_inclusive(|byte| *byte == b'\n') {
        log.extend_from_slice(b"2026-01-02T03:04:06.0000000Z ");
        log.extend_from_slice(line);
    }
    if !passed {
        log.extend_from_slice(
            b"2026-01-02T03:04:07.0000000Z ##[error]Process completed with exit code 101.\n",
        );
    }
    (log, passed)
}

/// A run of the forge with both cells' jobs, their logs and an artifact.
fn execute(forge: &Forge, described: &serde_json::Value, logs: [&[u8]; 2]) {
    let id = described["id"].as_u64().unwrap();
    let conclusion = described["conclusion"].as_str().unwrap();
    let jobs: Vec<_> = ["paths (debug)", "paths (again)"]
        .iter()
        .zip(logs)
        .zip([10 * id, 10 * id + 1])
        .map(|((name, log), job_id)| {
            forge.log(job_id, log);
            let mut job = fake::job(job_id, name);
            job["conclusion"] = json!(conclusion);
            job["steps"][1]["conclusion"] = json!(conclusion);
            job
        })
        .collect();
    let listed = |path: &str, key: &str, rows: &[serde_json::Value]| {
        let path = format!("{REPO}/actions/runs/{id}/{path}");
        let answer = ok(&json!({"total_count": rows.len(), key: rows}));
        forge.api.on(&path, answer);
    };
    listed("attempts/1/jobs", "jobs", &jobs);
    listed(
        "artifacts",
        "artifacts",
        &[json!({"id": id, "name": "notes"})],
    );
    forge.artifact(id, &zip_of_one("note.txt", b"kept\n"));
    forge.run(described);
}

/// A claim that was pushed to the forge, which has started no run yet.
struct Pushed {
    bench: Bench,
    claim: String,
    commit: String,
    /// What both cells print with the fix.
    green: [Vec<u8>; 2],
}

const WORKFLOW: &str = "gpu-tests.yml";

/// Runs that a workflow of the forge lists from now on.
fn lists(forge: &Forge, workflow: &str, runs: &[serde_json::Value]) {
    let path = format!("{REPO}/actions/workflows/{workflow}/runs");
    forge.api.forget(&path);
    let answer = ok(&json!({"total_count": runs.len(), "workflow_runs": runs}));
    forge.api.on(&path, answer);
}

/// Pushes the good claim as a person changed it. `more`: the end of the project's policy.
fn pushed(
    forge: &Forge,
    folder: &Path,
    more: &str,
    edit: impl FnOnce(&mut api::ClaimDraft),
) -> Pushed {
    let (bench, head) = bench_with(forge, &folder.join("token"), "", more);
    let (clone, target) = (bench.clone_path(), folder.join("target"));
    let logs = |wanted: bool| {
        ["debug", "again"].map(|cell| {
            let (log, passed) = suite(&clone, &target, cell);
            assert_eq!(passed, wanted, "{}", String::from_utf8_lossy(&log));
            log
        })
    };
    let red = logs(false);
    let mut described = fake::run(7);
    described["head_sha"] = json!(head);
    execute(forge, &described, [&red[0], &red[1]]);
    let pulled = bench
        .agent(api::PullFullLogRequest {
            run_id: "7".into(),
            ..Default::default()
        })
        .unwrap();
    assert!(pulled.complete, "{pulled:#?}");
    let listed = bench.agent(api::ListRunsRequest::default()).unwrap();
    let baseline = &listed.runs[0];
    assert_eq!(baseline.run_id, pulled.run_id);

    let (loop_id, hypothesis) = bench.suspect();
    let commit = bench.fix();
    let green = logs(true);
    let mut draft = bench.good_draft(baseline, &hypothesis, &commit);
    edit(&mut draft);
    let (claim, digest) = bench.accepted(&loop_id, "c1", draft);
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.refused, [], "{:#?}", gates.results);
    bench.approve(&claim);
    lists(forge, WORKFLOW, &[]);
    // No run is live that the push would meet, and the runners are not for this token to see.
    forge.api.on(
        &format!("{REPO}/actions/runs"),
        ok(&json!({"total_count": 0, "workflow_runs": []})),
    );
    let pushed = bench.push(&loop_id, &claim, &digest);
    assert_eq!(pushed.refused, []);
    let commit = pushed.pushed_commit.unwrap();
    assert_eq!(bench.remote_refs()["refs/heads/main"], commit);
    Pushed {
        bench,
        claim,
        commit,
        green,
    }
}

#[test]
fn a_push_is_followed_to_its_verdict_at_the_forge() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let Pushed {
        mut bench,
        claim,
        commit,
        green,
    } = pushed(&forge, folder.path(), "", |_| ());

    // The next daemon goes on where this one stood.
    bench.reopen();

    // A stranger of the same commit is newer, and is no witness of the push.
    let mut stranger = fake::run(9);
    stranger["event"] = json!("pull_request");
    stranger["head_sha"] = json!(commit);
    stranger["created_at"] = json!("2026-01-04T00:00:00Z");
    let mut done = fake::run(8);
    done["head_sha"] = json!(commit);
    done["conclusion"] = json!("success");
    done["created_at"] = json!("2026-01-03T00:00:00Z");
    let mut going = done.clone();
    going["status"] = json!("in_progress");
    going["conclusion"] = json!(null);
    forge.run(&going);
    execute(&forge, &done, [&green[0], &green[1]]);
    lists(&forge, WORKFLOW, &[stranger, going]);

    let verified = bench.verified(&claim);
    assert_eq!(verified.state, "confirmed", "{verified:#?}");
    assert!(
        bench
            .remote_refs()
            .contains_key(&format!("refs/greenloop/verdict/{commit}"))
    );
    let answer = bench
        .agent(api::PullFullLogRequest {
            run_id: "8".into(),
            ..Default::default()
        })
        .unwrap();
    assert!(answer.complete, "{answer:#?}");
    assert_eq!(
        (answer.head_sha.as_str(), answer.artifacts.len()),
        (commit.as_str(), 1)
    );
    for (job, log) in answer.logs.iter().zip(&green) {
        let stored = job.log.as_ref().unwrap();
        assert_eq!(stored.log_id, attest::digest::Digest::of(log).to_string());
        assert!(String::from_utf8_lossy(log).contains(RED_TEST));
    }
    assert_eq!(forge.blob.count("/log/80"), 1, "fetched once");
    assert_eq!(
        forge
            .api
            .count(&format!("{REPO}/actions/runs/9/attempts/1/jobs")),
        0
    );
}

/// The forge's run of the pushed commit in a workflow, ended and green at a time.
fn ended(id: u64, workflow: &str, commit: &str, at: &str) -> serde_json::Value {
    let mut run = fake::run(id);
    run["path"] = json!(format!(".github/workflows/{workflow}"));
    run["head_sha"] = json!(commit);
    run["conclusion"] = json!("success");
    for time in ["created_at", "updated_at", "run_started_at"] {
        run[time] = json!(at);
    }
    run
}

const BESIDE: &str = "beside.yml";

const SLOW: &str = "slow.yml";

/// A pushed claim that guards three more scopes: two with workflows of their own, one with none.
fn guarding(forge: &Forge, folder: &Path) -> Pushed {
    let scope = |name: &str, workflow: &str| {
        format!(
            "\n[scope.{name}]\npackage = \"tally\"\n{workflow}\
             argv = [\"cargo\", \"test\", \"-p\", \"tally\", \"--test\", \"paths\"]\n\
             cells = [{{ name = \"debug\" }}, {{ name = \"again\" }}]\nwhen = [\"src/**\"]\n\
             engage = [\"all cargo_summary.passed >= 1\"]\nguards = [\"absent envelope\"]\n"
        )
    };
    let more = scope("beside", &format!("workflow = \"{BESIDE}\"\n"))
        + &scope("slow", &format!("workflow = \"{SLOW}\"\n"))
        + &scope("unrun", "");
    for workflow in [BESIDE, SLOW] {
        lists(forge, workflow, &[]);
    }
    pushed(forge, folder, &more, |draft| {
        draft
            .guards
            .extend(["beside", "slow", "unrun"].map(|scope| api::GuardView {
                scope: scope.into(),
                predicate: "absent envelope".into(),
            }));
    })
}

fn outcomes(verdict: &api::VerdictView) -> Vec<(&str, &str)> {
    let scopes = verdict.other_scopes.iter();
    scopes
        .map(|scope| (scope.scope.as_str(), scope.outcome.as_str()))
        .collect()
}

#[test]
fn the_run_of_a_guarded_scope_is_found_and_a_break_there_is_due_under_confirmed() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let Pushed {
        bench,
        claim,
        commit,
        green,
    } = guarding(&forge, folder.path());
    let now = run(folder.path(), "date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
    let own = ended(8, WORKFLOW, &commit, &now);
    execute(&forge, &own, [&green[0], &green[1]]);
    lists(&forge, WORKFLOW, &[own]);
    let published = format!("refs/greenloop/verdict/{commit}");
    let graded = bench.reaches(&claim, "confirmed").verdict.unwrap();
    assert!(!bench.remote_refs().contains_key(&published));
    assert!(
        outcomes(&graded).contains(&("beside", "waiting")),
        "{graded:#?}"
    );

    let mut red = green[0].clone();
    red.extend_from_slice(
        b"2026-01-02T03:04:08.0000000Z canonical envelope needs 3948937216 B but only 100741120 B remain\n",
    );
    for (id, workflow, log) in [(12, BESIDE, &red), (13, SLOW, &green[0])] {
        let run = ended(id, workflow, &commit, &now);
        execute(&forge, &run, [log, &green[1]]);
        lists(&forge, workflow, &[run]);
    }
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert_eq!(
        (verdict.kind.as_str(), verdict.rollback_due),
        ("confirmed", true),
        "{verdict:#?}"
    );
    assert_eq!(
        outcomes(&verdict),
        [("beside", "broke"), ("slow", "held"), ("unrun", "not_seen")]
    );
    let unrun = &verdict.other_scopes[2];
    assert!(unrun.reasons[0].contains("names no workflow"), "{unrun:#?}");
    assert!(bench.remote_refs().contains_key(&published));
    assert!(!bench.prepared_rollback().is_empty());
}

#[test]
fn a_guarded_scope_that_does_not_run_keeps_no_verdict_back_for_ever() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let Pushed {
        bench,
        claim,
        commit,
        green,
    } = guarding(&forge, folder.path());
    // More than a day ago, as far as this machine's clock knows.
    let own = ended(8, WORKFLOW, &commit, "2026-01-03T00:00:00Z");
    execute(&forge, &own, [&green[0], &green[1]]);
    lists(&forge, WORKFLOW, &[own]);
    let mut waits = ended(13, SLOW, &commit, "2026-01-03T00:00:00Z");
    waits["status"] = json!("queued");
    waits["conclusion"] = json!(null);
    forge.run(&waits);
    lists(&forge, SLOW, &[waits]);
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert_eq!(
        (verdict.kind.as_str(), verdict.rollback_due),
        ("confirmed", false)
    );
    let unseen = ["beside", "slow", "unrun"].map(|scope| (scope, "not_seen"));
    assert_eq!(outcomes(&verdict), unseen);
    let [beside, slow, _] = verdict.other_scopes.as_slice() else {
        panic!("{verdict:#?}");
    };
    assert!(beside.reasons[0].contains("started no run"), "{beside:#?}");
    assert!(slow.reasons[0].contains("within 24 h"), "{slow:#?}");
    assert!(
        bench
            .remote_refs()
            .contains_key(&format!("refs/greenloop/verdict/{commit}"))
    );
}

/// Whether any file below a folder holds the bytes.
fn holds(folder: &std::path::Path, wanted: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, wanted),
            false => {
                let bytes = fs::read(&path).unwrap_or_default();
                bytes.windows(wanted.len()).any(|window| window == wanted)
            }
        }
    })
}

fn zip_of_one(name: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_policy_cannot_send_the_token_elsewhere() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = format!("api_url = \"http://127.0.0.1:{}\"", forge.blob.port);
    let (bench, _) = bench(&forge, &folder.path().join("token"), &elsewhere);
    let error = bench
        .agent(api::PullFullLogRequest {
            run_id: "7".into(),
            ..Default::default()
        })
        .unwrap_err();
    assert!(matches!(error, ServiceError::Ci(_)));
    assert!(error.to_string().contains("machine settings"), "{error}");
    assert_eq!(forge.blob.asked().len() + forge.api.asked().len(), 0);
}

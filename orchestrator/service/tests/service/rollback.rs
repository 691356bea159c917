//! The way back from a pushed claim.

use service::api;

use crate::support::{Bench, RED_TEST, SCOPE, codes, run};

/// A suite in which the fix disturbs one cell, so that no gate sees it and the run does.
pub fn disturbed(root: &std::path::Path) {
    let path = root.join("tests/paths.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let guarded = text.replace(
        "fn path_equivalence_whole_blocks() {\n",
        "fn path_equivalence_whole_blocks() {\n    let fixed = blocks::totals(&values(10))[9] != 0;\n    assert!(!fixed || std::env::var_os(\"TALLY_CELL\").is_none_or(|cell| cell != \"again\"), \"disturbed\");\n",
    );
    assert_ne!(guarded, text);
    std::fs::write(path, guarded).unwrap();
}

fn back(bench: &Bench, claim: &str) -> api::PrepareRollbackAnswer {
    let request = api::PrepareRollbackRequest {
        claim_id: claim.into(),
    };
    bench.person(request).unwrap()
}

/// A pushed claim whose run broke a guard: its loop and its id.
pub fn regressed(bench: &Bench) -> (String, String) {
    let (red, loop_id, cause) = bench.suspected();
    let commit = bench.fix();
    let mut draft = bench.good_draft(&red, &cause, &commit);
    draft.rollback_if = vec!["present first_divergence{kind=drift}".into()];
    let (claim, digest) = bench.accepted(&loop_id, "c1", draft);
    assert_eq!(codes(&back(bench, &claim).refused), ["claim_not_graded"]);
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.refused, [], "{:#?}", gates.results);
    bench.approve(&claim);
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert!(verdict.rollback_due, "{verdict:#?}");
    (loop_id, claim)
}

#[test]
fn a_broken_guard_gets_a_rollback_that_passes_at_once() {
    let bench = Bench::with(disturbed);
    let (loop_id, claim) = regressed(&bench);
    // The target turned green and a guard broke: the way back stands before anybody asks.
    let grades = bench.claim(&claim).verdict.unwrap().grades;
    let held = |role: &str, truth: &str| {
        let mut of_role = grades.iter().filter(|grade| grade.role == role);
        of_role.all(|grade| grade.truth == truth)
    };
    assert!(
        held("prediction", "holds") && held("guard", "fails"),
        "{grades:#?}"
    );
    let at_once = bench.prepared_rollback();
    let prepared = back(&bench, &claim);
    assert_eq!(prepared.claim_id, Some(at_once));
    assert_eq!(prepared.refused, [], "{prepared:#?}");
    assert_eq!(prepared.state.as_deref(), Some("checked"));
    let guard = "cargo_test{name=path_equivalence_whole_blocks}.outcome == ok";
    assert!(
        prepared.predictions.contains(&guard.to_owned()),
        "{prepared:#?}"
    );
    let returns = format!("any cargo_test{{name={RED_TEST}}}.outcome != ok");
    assert!(prepared.predictions.contains(&returns), "{prepared:#?}");
    let id = prepared.claim_id.clone().unwrap();
    let body = bench.claim(&id).body;
    assert_eq!(body["kind"], "rollback");
    assert_eq!(body["proof_scope"], SCOPE);
    let base_tree = run(&bench.clone_path(), "git", &["rev-parse", "HEAD~1^{tree}"]);
    assert_eq!(body["tree"], serde_json::Value::String(base_tree));
    // Asked again, it is the same claim.
    assert_eq!(back(&bench, &claim).claim_id, Some(id.clone()));

    // The restored tree has the old failure, which was there before the regression: no reason to wait.
    let gates = bench.gates(&loop_id, &id, 300);
    assert_eq!(
        (gates.state.as_str(), gates.refused.len()),
        ("staged", 0),
        "{gates:#?}"
    );
    let red = gates
        .results
        .iter()
        .find(|gate| gate.gate == "paths" && gate.role == "gate");
    assert!(red.unwrap().failed_tests.contains(&RED_TEST.to_owned()));
    bench.approve(&id);
    let digest = bench.claim(&id).summary.claim_digest;
    assert_eq!(bench.push(&loop_id, &id, &digest).refused, []);
    let verdict = bench.verified(&id).verdict.unwrap();
    let missed: Vec<_> = verdict
        .grades
        .iter()
        .filter(|grade| grade.role == "prediction" && grade.truth != "holds")
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
    // Whoever replays it finds the same, although a gate was red: it was so before the regression.
    let why = api::ExplainPushRequest {
        commit: Some(verdict.commit),
        claim_id: None,
    };
    let why = bench.agent(why).unwrap();
    assert!(why.identical && why.allowed, "{why:#?}");
    let status = bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert_eq!(status.scopes[0].closed, None);
}

#[test]
fn redness_that_came_after_the_regression_keeps_a_rollback_back() {
    let bench = Bench::with(disturbed);
    let (loop_id, claim) = regressed(&bench);
    // Somebody breaks another test on the branch meanwhile.
    let clone = bench.clone_path();
    run(&clone, "git", &["fetch", "-q", "origin"]);
    run(
        &clone,
        "git",
        &["checkout", "-q", "-B", "other", "origin/main"],
    );
    run(
        &clone,
        "sed",
        &[
            "-i",
            "s/block_count(9), 3/block_count(9), 4/",
            "tests/unit.rs",
        ],
    );
    run(&clone, "git", &["commit", "-q", "-am", "elsewhere"]);
    run(&clone, "git", &["push", "-q", "origin", "HEAD:main"]);

    let prepared = back(&bench, &claim);
    assert_eq!(prepared.refused, [], "{prepared:#?}");
    let id = prepared.claim_id.unwrap();
    let gates = bench.gates(&loop_id, &id, 300);
    assert_eq!(codes(&gates.refused), ["gate_failed"], "{gates:#?}");
    assert!(gates.refused[0].reason.contains("partial_blocks_count"));
    let before = gates
        .results
        .iter()
        .filter(|gate| gate.role == "gate_on_parent");
    let asked: Vec<_> = before.map(|gate| gate.gate.as_str()).collect();
    assert_eq!(asked, ["paths", "unit"]);

    let reopen = |scope: &str, reason: &str, hours: u32| {
        let request = api::ReopenScopeRequest {
            scope: scope.into(),
            reason: reason.into(),
            hours,
        };
        bench.person(request).unwrap()
    };
    assert_eq!(codes(&reopen(SCOPE, " ", 1).refused), ["reason_missing"]);
    assert_eq!(
        codes(&reopen(SCOPE, "for good then", 1000).refused),
        ["expiry_out_of_range"]
    );
    assert_eq!(
        codes(&reopen("dream", "why not", 1).refused),
        ["scope_not_closed"]
    );
    let opened = reopen(
        SCOPE,
        "the cell is known to be broken, and nobody builds it",
        1,
    );
    assert!(opened.closed_because.is_some(), "{opened:?}");
    let granted = opened.granted.unwrap();
    assert_eq!(
        (granted.code.as_str(), granted.in_force),
        ("scope_closed", true)
    );
    // The word is for pushes: what waits for its way back still waits for it.
    let status = bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert!(status.scopes[0].closed.is_some());
    assert_eq!(status.overrides.len(), 1);
}

#[test]
fn what_is_confirmed_is_not_rolled_back() {
    let bench = Bench::new();
    let (red, loop_id, cause) = bench.suspected();
    let draft = bench.good_draft(&red, &cause, &bench.fix());
    let (claim, digest) = bench.accepted(&loop_id, "c1", draft);
    bench.gates(&loop_id, &claim, 300);
    bench.approve(&claim);
    bench.push(&loop_id, &claim, &digest);
    assert_eq!(bench.verified(&claim).state, "confirmed");
    let refused = back(&bench, &claim).refused;
    assert!(
        codes(&refused).contains(&"rollback_not_due"),
        "{refused:#?}"
    );
}

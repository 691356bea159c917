//! Guards of scopes other than the proof scope: their runs of the pushed commit, and what a break means.

use std::path::Path;

use service::api;

use crate::support::{Bench, SCOPE, codes};

pub(crate) const NEIGHBOUR: &str = "neighbour";
const GUARD: &str = "cargo_test{name=path_equivalence_whole_blocks}.outcome == ok";

/// A second scope that the change reaches: the same suite in a cell of its own.
pub(crate) fn with_neighbour(root: &Path) {
    let path = root.join("greenloop.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let scope = format!(
        "[scope.{NEIGHBOUR}]\npackage = \"tally\"\nfeatures = [\"path-tests\"]\n\
         argv = [\"cargo\", \"test\", \"-p\", \"tally\", \"--features\", \"path-tests\", \"--test\", \"paths\", \"--\", \"--test-threads=1\", \"--nocapture\"]\n\
         cells = [{{ name = \"beside\", env = {{ TALLY_CELL = \"beside\" }} }}]\n\
         engage = [\"all cargo_summary.passed >= 3\", \"all backend.cpu_fallback == false\"]\n\
         guards = [\"{GUARD}\"]\nwhen = [\"src/**\"]\ntimeout_s = 120\n\n[gate.unit]"
    );
    let whole = text.replacen("[gate.unit]", &scope, 1);
    assert_ne!(whole, text);
    std::fs::write(path, whole).unwrap();
}

/// The fix breaks a test of the neighbour's cell and no other, so that neither a gate nor the proof scope sees it.
fn disturbed(root: &Path) {
    with_neighbour(root);
    let path = root.join("tests/paths.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let test = "fn path_equivalence_whole_blocks() {\n";
    let disturbed = text.replace(
        test,
        &format!(
            "{test}    let fixed = blocks::totals(&values(10))[9] != 0;\n    \
             assert!(!fixed || std::env::var_os(\"TALLY_CELL\").is_none_or(|cell| cell != \"beside\"), \"disturbed\");\n"
        ),
    );
    assert_ne!(disturbed, text);
    std::fs::write(path, disturbed).unwrap();
}

fn draft(bench: &Bench) -> (String, api::ClaimDraft) {
    let (red, loop_id, cause) = bench.suspected();
    let commit = bench.fix();
    let mut draft = bench.good_draft(&red, &cause, &commit);
    draft.guards.push(api::GuardView {
        scope: NEIGHBOUR.into(),
        predicate: GUARD.into(),
    });
    draft.budget.runs = 2;
    draft.rollback_if = vec!["present first_divergence{kind=drift}".into()];
    (loop_id, draft)
}

/// Pushes the good claim with its guard for the neighbour: its loop and its id.
pub(crate) fn pushed(bench: &Bench) -> (String, String) {
    let (loop_id, draft) = draft(bench);
    let (claim, digest) = bench.accepted(&loop_id, "c1", draft);
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.refused, [], "{:#?}", gates.results);
    let card = serde_json::to_value(bench.claim(&claim).card).unwrap();
    assert_eq!(
        card["guards_elsewhere"],
        serde_json::json!([{ "scope": NEIGHBOUR, "predicate": GUARD }])
    );
    bench.approve(&claim);
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
    (loop_id, claim)
}

fn neighbour(verdict: &api::VerdictView) -> &api::ScopeGuardsView {
    let [only] = verdict.other_scopes.as_slice() else {
        panic!("{verdict:#?}");
    };
    assert_eq!(only.scope, NEIGHBOUR);
    only
}

fn closed(bench: &Bench) -> Vec<String> {
    let status = bench.agent(api::LoopStatusRequest::default()).unwrap();
    let scopes = status.scopes.into_iter();
    let closed = scopes.filter(|scope| scope.closed.is_some());
    closed.map(|scope| scope.scope).collect()
}

#[test]
fn the_push_pays_for_the_run_of_a_guarded_scope() {
    let bench = Bench::with(with_neighbour);
    let (loop_id, mut draft) = draft(&bench);
    draft.budget.runs = 1;
    let refused = bench.propose(&loop_id, "c1", draft.clone()).refused;
    assert_eq!(codes(&refused), ["budget_runs_too_few"]);
    assert_eq!(refused[0].field, "budget.runs");
    draft.guards.pop();
    // Everything at once, also where the guard itself is missing.
    let refused = bench.propose(&loop_id, "c2", draft).refused;
    assert_eq!(codes(&refused), ["budget_runs_too_few", "guard_missing"]);
}

#[test]
fn a_guarded_scope_runs_after_the_push_and_its_guards_stand_in_the_verdict() {
    let mut bench = Bench::with(with_neighbour);
    let (_, claim) = pushed(&bench);
    // Whatever the daemon was at: the next one starts the runs again that were lost.
    bench.reopen();
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert_eq!(verdict.kind, "confirmed", "{verdict:#?}");
    assert!(!verdict.rollback_due);
    let guards = neighbour(&verdict);
    assert_eq!(guards.outcome, "held", "{guards:#?}");
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    let run = runs
        .iter()
        .find(|run| Some(&run.run_id) == guards.run_id.as_ref())
        .unwrap();
    assert_eq!(run.scope, NEIGHBOUR);
    assert_eq!(run.head_sha, verdict.commit);
    assert_eq!(closed(&bench), Vec::<String>::new());
}

#[test]
fn a_guard_that_broke_elsewhere_closes_both_scopes_and_its_rollback_opens_them() {
    let bench = Bench::with(disturbed);
    // What the neighbour showed before the push is what the rollback returns to.
    let before = bench.person(api::StartRunRequest {
        scope: NEIGHBOUR.into(),
        cell: None,
        commit: None,
        wait: true,
    });
    assert_eq!(before.unwrap().refused, []);
    let (loop_id, claim) = pushed(&bench);
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert_eq!(
        (verdict.kind.as_str(), verdict.rollback_due),
        ("confirmed", true),
        "{verdict:#?}"
    );
    let guards = neighbour(&verdict);
    assert_eq!(guards.outcome, "broke");
    assert!(guards.reasons[0].contains(GUARD), "{guards:#?}");
    assert_eq!(closed(&bench), [SCOPE, NEIGHBOUR]);
    assert!(bench.claim(&claim).summary.regressed);

    let rollback = bench.prepared_rollback();
    let prepared = bench.claim(&rollback);
    assert_eq!(prepared.refused, [], "{prepared:#?}");
    assert_eq!(prepared.body["proof_scope"], NEIGHBOUR);
    assert_eq!(prepared.body["predictions"][0], GUARD);
    assert_eq!(prepared.body["budget"]["runs"], 2);
    let gates = bench.gates(&loop_id, &rollback, 300);
    assert_eq!(
        (gates.state.as_str(), gates.refused.len()),
        ("staged", 0),
        "{gates:#?}"
    );
    bench.approve(&rollback);
    let digest = bench.claim(&rollback).summary.claim_digest;
    assert_eq!(bench.push(&loop_id, &rollback, &digest).refused, []);
    assert_eq!(closed(&bench), Vec::<String>::new());
    let back = bench.verified(&rollback).verdict.unwrap();
    let guard = back.grades.iter().find(|grade| grade.predicate == GUARD);
    assert_eq!(guard.unwrap().truth, "holds", "{back:#?}");
}

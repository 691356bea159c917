//! A person ends runs of this machine: one that executes, one that waits, one that grades a claim.

use std::path::Path;

use discipline::event::Event;
use discipline::model::OrderId;
use discipline::orders::{Order, OrderKind};
use service::api;
use state::{Anchor, Entry, OpenOptions, Record, StateDir};

use crate::guarded::{NEIGHBOUR, pushed, with_neighbour};
use crate::support::{Bench, SCOPE, codes};

const WHY: &str = "it can buy nothing any more";

/// Every run waits for ever once the condition holds, as one on a card that hangs.
fn hanging(root: &Path, when: &str) {
    with_neighbour(root);
    let path = root.join("tests/paths.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let test = "fn path_equivalence_whole_blocks() {\n";
    let hang = format!(
        "{test}    let fixed = blocks::totals(&values(10))[9] != 0;\n    \
         while std::env::var_os(\"TALLY_CELL\").is_some() && {when} {{\n        std::thread::park();\n    }}\n    \
         assert!(fixed || !fixed);\n"
    );
    let hangs = text.replace(test, &hang);
    assert_ne!(hangs, text);
    std::fs::write(path, hangs).unwrap();
}

fn start(bench: &Bench, scope: &str) -> String {
    let started = bench.person(api::StartRunRequest {
        scope: scope.into(),
        cell: None,
        commit: None,
        wait: false,
    });
    let started = started.unwrap();
    assert_eq!(started.refused, []);
    started.run.unwrap().run_id
}

fn cancel(bench: &Bench, run_id: &str, claim: Option<&str>) -> api::OrderAnswer {
    let order = api::CancelRunRequest {
        run_id: run_id.into(),
        reason: WHY.into(),
        claim_id: claim.map(str::to_owned),
    };
    bench.person(order).unwrap()
}

fn state_of(bench: &Bench, run_id: &str) -> (String, Option<String>) {
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    let found = runs.into_iter().find(|run| run.run_id == run_id).unwrap();
    (found.status, found.conclusion)
}

fn until(bench: &Bench, run_id: &str, status: &str) {
    bench.until(&format!("{run_id} is not {status}"), || {
        (state_of(bench, run_id).0 == status).then_some(())
    });
}

fn ended() -> (String, Option<String>) {
    ("completed".into(), Some("cancelled".into()))
}

#[test]
fn runs_that_execute_or_wait_are_ended_and_stay_so() {
    let mut bench = Bench::with(|root| hanging(root, "(fixed || !fixed)"));
    let first = start(&bench, SCOPE);
    until(&bench, &first, "in_progress");
    let waiting = start(&bench, NEIGHBOUR);

    let answer = cancel(&bench, &waiting, None);
    assert_eq!(answer.refused, []);
    assert_eq!(answer.order_id.as_deref(), Some("T1"));
    assert_eq!(state_of(&bench, &waiting), ended());
    let answer = cancel(&bench, &first, None);
    assert_eq!(answer.refused, []);
    until(&bench, &first, "completed");
    assert_eq!(state_of(&bench, &first), ended());
    let again = cancel(&bench, &first, None);
    assert!(again.had_ended && again.order_id.is_none());
    let rerun = bench.person(api::RerunRequest {
        run_id: first.clone(),
        reason: WHY.into(),
        failed_only: false,
    });
    let rerun = rerun.unwrap().refused;
    assert_eq!(codes(&rerun), ["source_takes_no_orders"]);
    assert!(rerun[0].remedy.contains(SCOPE));
    let unsaid = start(&bench, SCOPE);
    let order = api::CancelRunRequest {
        run_id: unsaid.clone(),
        ..Default::default()
    };
    let refused = bench.person(order).unwrap().refused;
    assert_eq!(codes(&refused), ["reason_missing"]);

    // A daemon that dies between the order and the deed leaves the deed to the next one.
    until(&bench, &unsaid, "in_progress");
    bench.close();
    record_order(&bench, &unsaid);
    bench.reopen();
    for run_id in [&first, &waiting, &unsaid] {
        assert_eq!(state_of(&bench, run_id), ended(), "{run_id}");
    }
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    assert_eq!(runs.len(), 3, "nothing was begun again: {runs:#?}");
}

/// As a daemon would that died before it carried the order out.
fn record_order(bench: &Bench, run_id: &str) {
    let root = bench.root().join("state");
    let mut state = StateDir::open(&root, &OpenOptions::new(1)).unwrap();
    let order = Order {
        id: OrderId::nth(3),
        kind: OrderKind::Cancel,
        run_id: run_id.into(),
        reason: WHY.into(),
        claim_id: None,
        given_ms: 1,
        author: discipline::event::Author {
            uid: 0,
            name: "person".into(),
        },
    };
    let record = Record {
        at_ms: 1,
        uid: 0,
        by: "person".into(),
        entry: Entry::Event(Box::new(Event::RunOrdered { order })),
    };
    state.journal.append(&record, Anchor::Now).unwrap();
}

#[test]
fn a_run_that_grades_a_claim_is_ended_when_the_claim_is_named() {
    let bench = Bench::with(|root| hanging(root, "fixed"));
    let (_, claim) = pushed(&bench);
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    let of = |scope: &str| {
        let mut of_push = runs.iter().filter(|run| run.claim_id.is_some());
        of_push
            .find(|run| run.scope == scope)
            .unwrap()
            .run_id
            .clone()
    };
    let (own, beside) = (of(SCOPE), of(NEIGHBOUR));
    for run_id in [&own, &beside] {
        let refused = cancel(&bench, run_id, None).refused;
        assert_eq!(codes(&refused), ["run_grades_claim"], "{run_id}");
        assert!(refused[0].remedy.contains(&format!("--claim {claim}")));
    }
    assert_eq!(cancel(&bench, &beside, Some(&claim)).refused, []);
    assert_eq!(cancel(&bench, &own, Some(&claim)).refused, []);
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert_eq!(
        (verdict.kind.as_str(), verdict.rollback_due),
        ("inconclusive", false),
        "{verdict:#?}"
    );
    assert!(verdict.reasons[0].contains("was cancelled") || verdict.reasons[0].contains("no step"));
    assert_eq!(verdict.other_scopes[0].outcome, "not_seen");
}

use crate::event::Event;
use crate::fixtures::{self, NOW_MS, author, story};
use crate::model::{ForgeRun, Run, RunStatus, Trigger};
use crate::orders::{Order, OrderKind, OrderOutcome, Wanted, unmet};
use crate::state::{ClaimPhase, LoopState};
use crate::step::{fold, step};

/// A run of the forge that a push or a pull request started.
fn forge_run(id: &str, attempt: u32, event: &str) -> Run {
    let mut run = fixtures::run(id, &"9".repeat(40), Trigger::Manual, false);
    run.source = "github".into();
    run.attempt = attempt;
    run.forge = Some(ForgeRun {
        id: "77".into(),
        workflow: Some("gpu-tests.yml".into()),
        event: Some(event.into()),
        branch: Some("main".into()),
        provisional: None,
        report: None,
    });
    run
}

fn with_runs(runs: &[Run]) -> LoopState {
    let mut state = fold(&story()).unwrap();
    for run in runs {
        step(&mut state, &Event::RunChanged { run: run.clone() }).unwrap();
    }
    state
}

fn order(state: &LoopState, kind: OrderKind, run: &Run) -> Event {
    Event::RunOrdered {
        order: Order {
            id: state.next_order_id(),
            kind,
            run_id: run.run_id.clone(),
            reason: "the runner was restarted".into(),
            claim_id: None,
            given_ms: NOW_MS,
            author: author(),
        },
    }
}

fn codes(
    state: &LoopState,
    kind: OrderKind,
    run: &Run,
    claim: Option<&str>,
    reason: &str,
) -> Vec<String> {
    let wanted = Wanted {
        kind,
        run,
        claim,
        reason,
    };
    let refused = unmet(state, &wanted).into_iter();
    refused.map(|refusal| refusal.code).collect()
}

#[test]
fn each_reason_against_an_order_is_named() {
    let (of_push, of_request) = (
        forge_run("R80", 1, "push"),
        forge_run("R81", 1, "pull_request"),
    );
    let state = with_runs(&[of_push.clone(), of_request.clone()]);
    let why = "the runner was restarted";
    let none: [&str; 0] = [];
    assert_eq!(codes(&state, OrderKind::Rerun, &of_push, None, why), none);
    assert_eq!(
        codes(&state, OrderKind::Cancel, &of_request, None, why),
        none
    );
    assert_eq!(
        codes(&state, OrderKind::RerunFailed, &of_request, None, "again"),
        ["reason_missing", "run_not_of_a_push"]
    );
    let mut state = state;
    let given = order(&state, OrderKind::Rerun, &of_push);
    step(&mut state, &given).unwrap();
    assert_eq!(
        codes(&state, OrderKind::Cancel, &of_push, None, why),
        ["order_open"]
    );
}

#[test]
fn the_run_of_a_claim_is_cancelled_only_by_who_names_the_claim() {
    let events = story();
    let verifying = |state: &LoopState| {
        state
            .claims
            .values()
            .any(|claim| claim.phase == ClaimPhase::Verifying)
    };
    let states = (0..=events.len()).map(|count| fold(&events[..count]).unwrap());
    let state = states.into_iter().find(verifying).unwrap();
    let claim = state.claims.values().next().unwrap();
    let run = state.runs[claim.verifying_run.as_ref().unwrap()].clone();
    let why = "the card hangs since noon";
    let asked = |claim| codes(&state, OrderKind::Cancel, &run, claim, why);
    assert_eq!(asked(None), ["run_grades_claim"]);
    assert_eq!(asked(Some("C99")), ["run_grades_claim"]);
    assert_eq!(asked(Some(claim.id.as_str())), Vec::<String>::new());
}

#[test]
fn an_order_is_open_until_it_is_settled_and_followed_until_its_run_has_ended() {
    let first = forge_run("R80", 1, "push");
    let mut state = with_runs(std::slice::from_ref(&first));
    let given = order(&state, OrderKind::Rerun, &first);
    step(&mut state, &given).unwrap();
    let second = order(&state, OrderKind::Rerun, &first);
    assert!(step(&mut state, &second).is_err(), "one order at a time");
    let settled = |outcome| Event::RunOrderSettled {
        order_id: "T1".into(),
        outcome,
    };
    let lost = OrderOutcome::Unknown {
        message: "reset".into(),
    };
    step(&mut state, &settled(lost)).unwrap();
    assert!(state.open_order(&first).is_some());
    step(&mut state, &settled(OrderOutcome::Taken)).unwrap();
    assert!(state.open_order(&first).is_none());
    assert!(step(&mut state, &settled(OrderOutcome::Taken)).is_err());
    let followed = |state: &LoopState| state.followed_orders(NOW_MS).len();
    assert_eq!(followed(&state), 1);
    let mut again = forge_run("R81", 2, "push");
    again.status = RunStatus::InProgress;
    again.conclusion = None;
    again.finished_ms = None;
    step(&mut state, &Event::RunChanged { run: again.clone() }).unwrap();
    assert_eq!(followed(&state), 1, "it goes on");
    let ended = forge_run("R81", 2, "push");
    step(&mut state, &Event::RunChanged { run: ended }).unwrap();
    assert_eq!(followed(&state), 0);
    let next = order(&state, OrderKind::Rerun, &again);
    step(&mut state, &next).unwrap();
    assert_eq!(followed(&state), 1);
    assert!(
        state
            .followed_orders(NOW_MS + 4 * 24 * 3_600_000)
            .is_empty()
    );
}

//! Guards: what a claim broke, in its own scope and in others, and what was broken before.

use std::collections::BTreeSet;

use attest::claim::Guard;
use markers::{CellObservations, Truth};

use crate::decision::Stage;
use crate::event::Event;
use crate::fixtures::{
    self, COMMIT, PARENT, SCOPE, cell, cells, good_body, good_input, policy, rulebook, run, story,
};
use crate::model::{
    Conclusion, GuardOutcome, Run, RunStatus, ScopeGuards, Trigger, Verdict, VerdictKind,
};
use crate::rules::decide;
use crate::state::LoopState;
use crate::step::{IllegalEvent, fold, step};
use crate::verification::guards::{grade, not_seen, witness_of};
use crate::verification::{self, Pushed};

const DREAM: &str = "dream";
const ENVELOPE: &str = "canonical envelope needs 3948937216 B but only 100741120 B remain";
const CRASH: &str = "[WORKER EXIT] v=1 run=0b0b0b0b seq=0 pid=7 code=none signal=11 class=driver_crash step=predict";

/// The log of a green cell with one line more.
fn log_with(line: &str) -> String {
    fixtures::log_with("noop-0-summary", true, line)
}

fn body() -> attest::claim::ClaimBody {
    let mut body = good_body();
    body.guards.push(Guard {
        scope: DREAM.into(),
        predicate: "absent envelope".into(),
    });
    body
}

fn dream_run() -> Run {
    Run {
        scope: DREAM.into(),
        ..run("R3", COMMIT, Trigger::Push { claim: "C1".into() }, true)
    }
}

fn dream(log: &str, before: Option<&str>, edit: impl FnOnce(&mut Run)) -> ScopeGuards {
    let mut policy = policy();
    let scope = policy.scope.get_mut(DREAM).unwrap();
    scope.engage = vec!["all backend.cpu_fallback == false".into()];
    let before = before.map(|log| vec![cell("default", log)]);
    let mut run = dream_run();
    edit(&mut run);
    grade(
        &Pushed {
            body: &body(),
            commit: COMMIT,
            policy: &policy,
            run: &run,
            classification: None,
            cells: &[cell("default", log)],
            before: before.as_deref(),
        },
        &rulebook(),
    )
}

#[test]
fn a_guard_of_another_scope_holds_breaks_or_stays_unseen() {
    let green = log_with("");
    let held = dream(&green, None, |_| ());
    assert_eq!(held.outcome, GuardOutcome::Held, "{held:?}");
    assert_eq!(
        (held.scope.as_str(), held.run_id.clone()),
        (DREAM, Some("R3".into()))
    );
    let broke = dream(&log_with(ENVELOPE), Some(&green), |_| ());
    assert_eq!(broke.outcome, GuardOutcome::Broke);
    assert!(
        broke.reasons[0].starts_with("rollback due: guard `absent envelope` broke"),
        "{:?}",
        broke.reasons
    );
    // With nothing to compare with, what fails counts as broken.
    assert_eq!(
        dream(&log_with(ENVELOPE), None, |_| ()).outcome,
        GuardOutcome::Broke
    );
    // A cancelled run that shows the break shows it all the same.
    let cancelled = |run: &mut Run| run.conclusion = Some(Conclusion::Cancelled);
    assert_eq!(
        dream(&log_with(ENVELOPE), None, cancelled).outcome,
        GuardOutcome::Broke
    );
    let unseen = dream(&green, None, cancelled);
    assert_eq!(
        (unseen.outcome, unseen.reasons.as_slice()),
        (GuardOutcome::NotSeen, &["R3 was cancelled".to_owned()][..])
    );
    let elsewhere = green.replace("cpu_fallback=false", "cpu_fallback=true");
    assert_ne!(elsewhere, green);
    let unseen = dream(&elsewhere, None, |_| ());
    assert_eq!(unseen.outcome, GuardOutcome::NotSeen);
    assert!(
        unseen.reasons[0].starts_with("engage `all backend.cpu_fallback == false` fails"),
        "{:?}",
        unseen.reasons
    );
}

#[test]
fn without_an_engagement_proof_nothing_is_seen_to_hold() {
    let witness = Pushed {
        body: &body(),
        commit: COMMIT,
        policy: &policy(),
        run: &dream_run(),
        classification: None,
        cells: &[cell("default", &log_with(""))],
        before: None,
    };
    let graded = grade(&witness, &rulebook());
    assert_eq!(graded.outcome, GuardOutcome::NotSeen);
    assert_eq!(
        graded.reasons,
        ["scope `dream` declares no engagement proof"]
    );
}

#[test]
fn what_was_broken_before_the_push_is_not_broken_by_it() {
    let red = log_with(ENVELOPE);
    let graded = dream(&red, Some(&red), |_| ());
    assert_eq!(graded.outcome, GuardOutcome::Held, "{graded:?}");
    assert!(graded.grades[0].failed_before);
    assert!(graded.grades[0].observed.ends_with("as before the push"));
}

fn own(before: Option<&[CellObservations]>, now: &[CellObservations]) -> Verdict {
    let mut body = good_body();
    body.rollback_if = vec!["present envelope".into()];
    verification::grade(
        &Pushed {
            body: &body,
            commit: COMMIT,
            policy: &policy(),
            run: &run("R2", COMMIT, Trigger::Push { claim: "C1".into() }, true),
            classification: None,
            cells: now,
            before,
        },
        &rulebook(),
    )
}

#[test]
fn a_demanded_guard_that_fails_as_before_closes_nothing_and_one_more_cell_does() {
    let crashed = |cells_with: &[&str]| -> Vec<CellObservations> {
        let of = |name: &str| match cells_with.contains(&name) {
            true => cell(name, &fixtures::log_with(name, true, CRASH)),
            false => cell(name, &fixtures::log(name, true)),
        };
        ["noop-0-summary", "noop-0-full"].map(of).to_vec()
    };
    let one = crashed(&["noop-0-full"]);
    let same = own(Some(&one), &one);
    assert_eq!(
        (same.kind, same.rollback_due),
        (VerdictKind::Confirmed, false),
        "{:?}",
        same.reasons
    );
    let both = crashed(&["noop-0-summary", "noop-0-full"]);
    for (before, now) in [
        (Some(&one), &both),
        (Some(&cells(true)), &one),
        (None, &one),
    ] {
        let verdict = own(before.map(Vec::as_slice), now);
        assert_eq!(
            (verdict.kind, verdict.rollback_due),
            (VerdictKind::Refuted, true),
            "{:?}",
            verdict.reasons
        );
    }
}

#[test]
fn the_run_that_shows_the_guards_is_of_the_commit_and_has_executed() {
    let dream = |id: &str, edit: fn(&mut Run)| {
        let mut run = Run {
            run_id: id.into(),
            ..dream_run()
        };
        edit(&mut run);
        run
    };
    let other_commit = dream("R4", |run| run.head_sha = PARENT.into());
    let other_scope = dream("R5", |run| run.scope = SCOPE.into());
    let live = dream("R6", |run| run.status = RunStatus::InProgress);
    let cancelled = dream("R7", |run| {
        run.conclusion = Some(Conclusion::Cancelled);
        run.created_ms += 9;
    });
    let whole = dream("R8", |_| ());
    let found = |runs: &[&Run]| {
        let found = witness_of(runs.iter().copied(), DREAM, COMMIT);
        found.map(|run| run.run_id.to_string())
    };
    assert_eq!(found(&[&other_commit, &other_scope]), None);
    assert_eq!(found(&[&cancelled, &other_scope]).unwrap(), "R7");
    assert_eq!(found(&[&cancelled, &live]).unwrap(), "R6");
    assert_eq!(found(&[&whole, &live, &cancelled]).unwrap(), "R8");
}

/// The story of a claim with a guard for another scope, up to the push and the start of its grading.
fn pushed() -> LoopState {
    let input = good_input();
    let mut state = fold(&story()).unwrap();
    assert_eq!(state.claims[&"C1".into()].body, input.body);
    let mut claim = state.claims[&"C1".into()].clone();
    claim.body = body();
    state.claims.insert("C1".into(), claim);
    step(&mut state, &Event::RunChanged { run: dream_run() }).unwrap();
    state
}

fn graded(outcome: GuardOutcome) -> Event {
    Event::GuardsGraded {
        claim_id: "C1".into(),
        guards: Box::new(ScopeGuards {
            scope: DREAM.into(),
            run_id: Some("R3".into()),
            outcome,
            grades: vec![crate::model::Grade {
                role: "guard".into(),
                predicate: "absent envelope".into(),
                truth: Truth::Fails,
                observed: String::new(),
                failed_before: outcome != GuardOutcome::Broke,
            }],
            reasons: vec!["the envelope is there".into()],
        }),
    }
}

#[test]
fn a_broken_guard_closes_both_scopes_and_the_landed_rollback_opens_both() {
    let mut state = pushed();
    assert_eq!(state.claims[&"C1".into()].ungraded_scopes(), [DREAM]);
    step(&mut state, &graded(GuardOutcome::Held)).unwrap();
    assert!(state.closed_scopes.is_empty());
    assert!(!state.claims[&"C1".into()].rollback_due());
    assert!(matches!(
        step(&mut state, &graded(GuardOutcome::Broke)),
        Err(IllegalEvent::Unknown { .. })
    ));

    let mut state = pushed();
    step(&mut state, &graded(GuardOutcome::Broke)).unwrap();
    let closed: BTreeSet<&str> = state.closed_scopes.keys().map(String::as_str).collect();
    assert_eq!(closed, BTreeSet::from([DREAM, SCOPE]));
    assert!(state.claims[&"C1".into()].rollback_due());
    let attempts = state.failed_attempts(&good_body(), &BTreeSet::new());
    assert_eq!(attempts[0].broken_elsewhere[0].scope, DREAM);

    // A rollback of either scope takes the same commit back.
    let mut rollback = state.claims[&"C1".into()].clone();
    rollback.id = "C2".into();
    rollback.body.kind = attest::claim::ClaimKind::Rollback;
    rollback.body.proof_scope = DREAM.into();
    rollback.phase = crate::state::ClaimPhase::PushIntent;
    state.claims.insert("C2".into(), rollback);
    let landed = Event::PushSettled {
        claim_id: "C2".into(),
        outcome: crate::event::PushOutcome::Pushed,
    };
    step(&mut state, &landed).unwrap();
    assert!(state.closed_scopes.is_empty());
}

#[test]
fn guards_are_graded_for_a_pushed_commit_in_a_scope_that_the_claim_guards() {
    let refused = |edit: fn(&mut ScopeGuards, &mut LoopState)| {
        let mut state = pushed();
        let Event::GuardsGraded {
            claim_id,
            mut guards,
        } = graded(GuardOutcome::Broke)
        else {
            unreachable!()
        };
        edit(&mut guards, &mut state);
        let before = state.closed_scopes.len();
        let refused = step(&mut state, &Event::GuardsGraded { claim_id, guards });
        assert_eq!(state.closed_scopes.len(), before);
        refused.unwrap_err()
    };
    let unguarded = refused(|guards, _| guards.scope = "smoke".into());
    assert!(matches!(unguarded, IllegalEvent::Unknown { .. }));
    let own = refused(|guards, _| guards.scope = SCOPE.into());
    assert!(matches!(own, IllegalEvent::Unknown { .. }));
    let stranger = refused(|guards, _| guards.run_id = Some("R1".into()));
    assert!(
        matches!(stranger, IllegalEvent::Mismatch { .. }),
        "{stranger:?}"
    );
    let unpushed = refused(|_, state| {
        let mut claim = state.claims[&"C1".into()].clone();
        claim.phase = crate::state::ClaimPhase::Approved;
        state.claims.insert("C1".into(), claim);
    });
    assert!(matches!(unpushed, IllegalEvent::Transition { .. }));
}

#[test]
fn a_verdict_is_whole_once_every_guarded_scope_is_graded() {
    let mut state = pushed();
    let claim = |state: &LoopState| state.claims[&"C1".into()].clone();
    assert_eq!(claim(&state).whole_verdict(), None);
    let own = own(None, &cells(true));
    assert_eq!(own.kind, VerdictKind::Confirmed);
    let verified = Event::ClaimVerified {
        claim_id: "C1".into(),
        verdict: Box::new(own),
    };
    step(&mut state, &verified).unwrap();
    assert_eq!(
        claim(&state).whole_verdict(),
        None,
        "the dream was not seen"
    );
    let mut unseen = state.clone();
    let event = Event::GuardsGraded {
        claim_id: "C1".into(),
        guards: Box::new(not_seen(DREAM, "no run of it".into())),
    };
    step(&mut unseen, &event).unwrap();
    let whole = claim(&unseen).whole_verdict().unwrap();
    assert_eq!(
        (whole.kind, whole.rollback_due),
        (VerdictKind::Confirmed, false)
    );
    step(&mut state, &graded(GuardOutcome::Broke)).unwrap();
    let whole = claim(&state).whole_verdict().unwrap();
    assert_eq!(
        (whole.kind, whole.rollback_due, whole.other_scopes.len()),
        (VerdictKind::Confirmed, true, 1)
    );
}

#[test]
fn a_budget_counts_the_runs_of_guarded_scopes_where_this_machine_runs_them() {
    let refused = |runs: u32, edit: fn(&mut crate::decision::DecisionInput)| -> Vec<String> {
        let mut input = good_input();
        input.body = body();
        input.body.budget.runs = runs;
        edit(&mut input);
        let decision = decide(&input, &rulebook(), Stage::Propose);
        let refused = decision
            .refused()
            .filter(|refusal| refusal.field == "budget.runs");
        refused.map(|refusal| refusal.code.clone()).collect()
    };
    assert_eq!(refused(0, |_| ()), ["budget_without_runs"]);
    assert_eq!(refused(1, |_| ()), ["budget_runs_too_few"]);
    assert_eq!(refused(2, |_| ()), Vec::<String>::new());
    let at_a_forge = |input: &mut crate::decision::DecisionInput| {
        input.policy.policy.source.kind = crate::policy::SourceKind::Github;
    };
    assert_eq!(refused(1, at_a_forge), Vec::<String>::new());
}

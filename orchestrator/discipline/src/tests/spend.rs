use attest::claim::ClaimKind;
use attest::digest::Digest;
use markers::Truth;

use crate::decision::Stage;
use crate::event::Event;
use crate::fixtures::{self, COMMIT, NOW_MS, SCOPE, good_input, policy, rulebook, story};
use crate::hit_rate::{HitRate, by_author};
use crate::model::{
    ClaimId, Grade, LoopId, OverrideId, Run, RunStatus, Trigger, Verdict, VerdictKind,
};
use crate::overrides::{MAX_HOURS, Override, expiry, unmet};
use crate::rules::decide;
use crate::spend::{SpendState, empty_in_a_row, ledger, minutes_left, reserved_minutes};
use crate::state::{ClaimPhase, LoopState};
use crate::step::{IllegalEvent, fold, step};

const HOUR_MS: i64 = 3_600_000;

fn until(phase: ClaimPhase) -> LoopState {
    let after = |events: usize| fold(&story()[..events]).unwrap();
    let reached = |state: &LoopState| state.claims.values().any(|claim| claim.phase == phase);
    (0..=story().len()).map(after).find(reached).unwrap()
}

fn verdict(kind: VerdictKind, grades: Vec<Grade>, reasons: &[&str]) -> Event {
    Event::ClaimVerified {
        claim_id: "C1".into(),
        verdict: Box::new(Verdict {
            run_id: "R2".into(),
            commit: COMMIT.into(),
            kind,
            grades,
            rollback_due: false,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            other_scopes: Vec::new(),
        }),
    }
}

fn graded(kind: VerdictKind, reasons: &[&str]) -> LoopState {
    let mut state = fold(&story()).unwrap();
    step(&mut state, &verdict(kind, Vec::new(), reasons)).unwrap();
    state
}

fn grade(role: &str, truth: Truth) -> Grade {
    Grade {
        role: role.into(),
        predicate: "absent first_divergence".into(),
        truth,
        observed: String::new(),
        failed_before: false,
    }
}

/// Reserved with the signature, bound with the push, settled with the verdict.
#[test]
fn minutes_are_reserved_bound_and_settled() {
    let row = |state: &LoopState| {
        let rows = ledger(state, Some(&LoopId::nth(1)), NOW_MS, 10);
        let found = rows.into_iter().find(|row| row.claim_id.is_some());
        found.map(|row| (row.state, row.reserved_minutes, row.runs.len()))
    };
    assert_eq!(row(&until(ClaimPhase::Staged)), None);
    let approved = until(ClaimPhase::Approved);
    assert_eq!(row(&approved), Some((SpendState::Reserved, 5, 0)));
    assert_eq!(
        row(&until(ClaimPhase::PushIntent)),
        Some((SpendState::Reserved, 5, 0))
    );
    // Two of five minutes were spent by the run of the push.
    assert_eq!(
        row(&fold(&story()).unwrap()),
        Some((SpendState::Bound, 3, 1))
    );
    let settled = graded(VerdictKind::Confirmed, &[]);
    assert_eq!(row(&settled), Some((SpendState::Settled, 0, 1)));
    let bought = ledger(&settled, None, NOW_MS, 1).remove(0).bought.unwrap();
    assert_eq!(
        (bought.empty, bought.what.as_str()),
        (false, "confirmed: 2 predictions held")
    );
    // A signature that is too old keeps nothing.
    let late = NOW_MS + 2 * HOUR_MS;
    assert_eq!(reserved_minutes(&approved, None, None, late), 0);
}

#[test]
fn what_is_signed_for_is_not_left_for_others() {
    let approved = until(ClaimPhase::Approved);
    let own = ClaimId::nth(1);
    let left = |policy: &crate::policy::Policy, except| {
        minutes_left(&approved, policy, SCOPE, except, NOW_MS)
    };
    let mut policy = policy();
    // 60 of the day, 2 spent by R1, 5 kept for C1.
    assert_eq!(left(&policy, None), 53);
    assert_eq!(left(&policy, Some(&own)), 58);
    policy.scope.get_mut(SCOPE).unwrap().runner_minutes_per_day = Some(9);
    assert_eq!(left(&policy, None), 2);
    assert_eq!(left(&policy, Some(&own)), 7);
    assert_eq!(minutes_left(&approved, &policy, "dream", None, NOW_MS), 53);
}

#[test]
fn each_run_says_what_it_bought() {
    let mut state = fold(&story()[..3]).unwrap();
    let mut bought = |run: Run| {
        step(&mut state, &Event::RunChanged { run }).unwrap();
        let rows = ledger(&state, None, NOW_MS, 1);
        rows[0]
            .bought
            .clone()
            .map(|bought| (bought.empty, bought.what))
    };
    let by_hand = |id: &str, minute: i64| Run {
        created_ms: NOW_MS + minute * 60_000,
        ..fixtures::run(id, COMMIT, Trigger::Manual, false)
    };
    let never = Run {
        jobs: Vec::new(),
        ..by_hand("R7", 1)
    };
    assert_eq!(bought(never), Some((true, "executed no step".into())));
    let cancelled = Run {
        conclusion: Some(crate::model::Conclusion::Cancelled),
        ..by_hand("R8", 2)
    };
    assert_eq!(bought(cancelled), Some((true, "was cancelled".into())));
    let live = Run {
        status: RunStatus::InProgress,
        ..by_hand("R9", 3)
    };
    assert_eq!(bought(live), None);
    assert_eq!(bought(by_hand("R10", 4)), None, "not classified yet");
    let playbooks = playbooks::Playbooks::builtin(&rulebook().catalogue).unwrap();
    for (id, wanted) in [("R10", false), ("R11", true)] {
        if id == "R11" {
            let run = by_hand(id, 5);
            step(&mut state, &Event::RunChanged { run }).unwrap();
        }
        let mut classification = playbooks::classify(
            &playbooks,
            &rulebook().catalogue,
            &playbooks::RunFacts::default(),
            &[],
        );
        classification.disposition = playbooks::Disposition::Debug;
        let classified = Event::RunClassified {
            run_id: id.into(),
            classification,
            green: false,
            catalogue: Digest::of(b"catalogue"),
        };
        step(&mut state, &classified).unwrap();
        let row = ledger(&state, None, NOW_MS, 1).remove(0);
        let bought = row.bought.unwrap();
        assert_eq!(bought.empty, wanted, "{}", bought.what);
        assert_eq!(bought.what == "nothing that R10 had not shown", wanted);
    }
}

fn codes(input: &crate::decision::DecisionInput) -> Vec<String> {
    let decision = decide(input, &rulebook(), Stage::Push);
    decision.refused().map(|found| found.code.clone()).collect()
}

fn granted(code: &str) -> Override {
    Override {
        id: "V1".into(),
        code: code.into(),
        scope: SCOPE.into(),
        reason: "the runner was replaced this morning".into(),
        granted_ms: NOW_MS - HOUR_MS,
        expires_ms: expiry(NOW_MS, 1),
        author: fixtures::author(),
    }
}

#[test]
fn two_pushes_that_told_nothing_need_a_person() {
    let state = graded(VerdictKind::Inconclusive, &["R2 was cancelled"]);
    assert_eq!(
        empty_in_a_row(&state, SCOPE),
        ["C1 told nothing: R2 was cancelled"]
    );
    let told = graded(VerdictKind::Refuted, &["prediction fails"]);
    assert_eq!(empty_in_a_row(&told, SCOPE), Vec::<String>::new());
    assert_eq!(empty_in_a_row(&state, "dream"), Vec::<String>::new());

    let mut input = good_input();
    input.target.empty_results = vec!["C2 told nothing: x".into()];
    assert_eq!(codes(&input), Vec::<String>::new());
    input.target.empty_results.push("C1 told nothing: y".into());
    assert_eq!(codes(&input), ["empty_results_in_a_row"]);
    input.overrides = vec![granted("empty_results_in_a_row")];
    let decision = decide(&input, &rulebook(), Stage::Push);
    assert!(decision.allowed);
    let passed_over: Vec<_> = decision
        .rules
        .iter()
        .flat_map(|rule| &rule.overridden)
        .map(|found| (found.by.as_str(), found.refusal.code.as_str()))
        .collect();
    assert_eq!(passed_over, [("V1", "empty_results_in_a_row")]);
    input.body.kind = ClaimKind::Rollback;
    input.overrides.clear();
    assert!(!codes(&input).contains(&"empty_results_in_a_row".to_owned()));
}

/// An override counts for its code, its scope and its hours, and for no rule of proof.
#[test]
fn an_override_passes_over_nothing_else() {
    let mut input = good_input();
    input.target.minutes_left = 0;
    let edits: [fn(&mut Override); 4] = [
        |granted| granted.code = "empty_results_in_a_row".into(),
        |granted| granted.scope = "dream".into(),
        |granted| granted.expires_ms = NOW_MS,
        |granted| granted.granted_ms = NOW_MS + 1,
    ];
    for edit in edits {
        let mut word = granted("budget_exceeded");
        edit(&mut word);
        input.overrides = vec![word.clone()];
        assert_eq!(codes(&input), ["budget_exceeded"], "{word:?}");
    }
    input.overrides = vec![granted("budget_exceeded")];
    assert_eq!(codes(&input), Vec::<String>::new());
    input.target.already_pushed = true;
    input.overrides.push(granted("already_pushed"));
    assert_eq!(codes(&input), ["already_pushed"], "a forged word");
}

#[test]
fn a_closed_scope_takes_a_push_only_while_a_person_stands_for_it() {
    let mut input = good_input();
    input.target.scope_closed = Some("a guard broke".into());
    assert_eq!(codes(&input), ["scope_closed"]);
    let mut word = granted("scope_closed");
    input.overrides = vec![word.clone()];
    assert_eq!(codes(&input), Vec::<String>::new());
    let decision = decide(&input, &rulebook(), Stage::Push);
    assert_eq!(decision.overrides(), ["V1".into()]);
    // The hours are over, or the clock stands before they began.
    word.expires_ms = NOW_MS;
    input.overrides = vec![word.clone()];
    assert_eq!(codes(&input), ["scope_closed"]);
    word.expires_ms = NOW_MS + 1;
    word.granted_ms = NOW_MS + 1;
    input.overrides = vec![word];
    assert_eq!(codes(&input), ["scope_closed"]);
}

#[test]
fn a_push_into_a_closed_scope_names_the_word_that_lets_it_pass() {
    let mut state = until(ClaimPhase::Approved);
    state
        .closed_scopes
        .insert(SCOPE.into(), fixtures::closure());
    let intend = |by: Vec<OverrideId>| {
        let is_intent = |event: &Event| matches!(event, Event::PushIntended { .. });
        let mut event = story().into_iter().find(is_intent).unwrap();
        if let Event::PushIntended { overrides, .. } = &mut event {
            *overrides = by;
        }
        event
    };
    let refused = |state: &mut LoopState, overrides: Vec<OverrideId>| {
        matches!(
            step(state, &intend(overrides)),
            Err(IllegalEvent::ScopeClosed { .. })
        )
    };
    assert!(refused(&mut state, Vec::new()));
    assert!(refused(&mut state, vec!["V1".into()]), "nobody granted it");
    let other = Override {
        code: "budget_exceeded".into(),
        ..granted("x")
    };
    step(&mut state, &Event::OverrideGranted { granted: other }).unwrap();
    assert!(
        refused(&mut state, vec!["V1".into()]),
        "granted for another rule"
    );
    let word = Override {
        id: "V2".into(),
        ..granted("scope_closed")
    };
    step(&mut state, &Event::OverrideGranted { granted: word }).unwrap();
    step(&mut state, &intend(vec!["V2".into()])).unwrap();
}

#[test]
fn granting_needs_a_known_code_a_scope_a_reason_and_an_end() {
    let told = |code, scope, reason, hours| -> Vec<String> {
        let refused = unmet(code, scope, reason, hours, &[SCOPE]);
        refused.into_iter().map(|refusal| refusal.code).collect()
    };
    let (code, why) = ("budget_exceeded", "the night shift pays");
    assert_eq!(told(code, SCOPE, why, 24), Vec::<String>::new());
    assert_eq!(
        told("pin_green_on_base", SCOPE, why, 24),
        ["not_overridable"]
    );
    assert_eq!(told(code, "other", why, 24), ["scope_unknown"]);
    assert_eq!(told(code, SCOPE, " ", 24), ["reason_missing"]);
    assert_eq!(told(code, SCOPE, why, 0), ["expiry_out_of_range"]);
    assert_eq!(
        told(code, SCOPE, why, MAX_HOURS + 1),
        ["expiry_out_of_range"]
    );
    let mut state = LoopState::default();
    step(&mut state, &story()[0]).unwrap();
    let event = Event::OverrideGranted {
        granted: granted(code),
    };
    step(&mut state, &event).unwrap();
    assert!(step(&mut state, &event).is_err(), "an id is used once");
    assert_eq!(state.overrides_in_force(SCOPE, NOW_MS).len(), 1);
    assert_eq!(state.overrides_in_force(SCOPE, NOW_MS + HOUR_MS).len(), 0);
    assert_eq!(state.overrides.len(), 1, "it stands for ever");
}

#[test]
fn predictions_are_counted_by_author() {
    let mut state = fold(&story()).unwrap();
    assert_eq!(by_author(&state), []);
    let grades = vec![
        grade("prediction", Truth::Holds),
        grade("prediction", Truth::Holds),
        grade("prediction", Truth::Fails),
        grade("prediction", Truth::NotObservable),
        grade("guard", Truth::Holds),
    ];
    step(
        &mut state,
        &verdict(VerdictKind::Refuted, grades, &["one fails"]),
    )
    .unwrap();
    let rates = by_author(&state);
    assert_eq!(
        rates,
        [HitRate {
            author: "agent".into(),
            claims: 1,
            hits: 2,
            misses: 1,
            not_observable: 1,
        }]
    );
    assert_eq!(rates[0].percent(), Some(66));
    assert_eq!(HitRate::default().percent(), None);
}

use markers::{CellObservations, Truth};

use crate::fixtures::{self, COMMIT, SCOPE, cells, good_body, policy, rulebook, run};
use crate::model::{Conclusion, Run, RunStatus, Trigger, Verdict, VerdictKind};
use crate::verification::{Pushed, grade};

fn pushed(green: bool) -> Run {
    run("R2", COMMIT, Trigger::Push { claim: "C1".into() }, green)
}

fn graded(
    run: &Run,
    cells: &[CellObservations],
    edit: impl Fn(&mut attest::claim::ClaimBody),
) -> Verdict {
    let mut body = good_body();
    edit(&mut body);
    let policy = policy();
    let pushed = Pushed {
        body: &body,
        commit: COMMIT,
        policy: &policy,
        run,
        classification: None,
        cells,
        before: None,
    };
    grade(&pushed, &rulebook())
}

/// Cells whose log has this line added before the results of the tests.
fn with_line(green: bool, line: &str) -> Vec<CellObservations> {
    ["noop-0-summary", "noop-0-full"]
        .map(|name| fixtures::cell(name, &fixtures::log_with(name, green, line)))
        .to_vec()
}

#[test]
fn everything_that_was_promised_confirms() {
    let verdict = graded(&pushed(true), &cells(true), |_| ());
    assert_eq!(
        (verdict.kind, verdict.rollback_due),
        (VerdictKind::Confirmed, false),
        "{:?}",
        verdict.reasons
    );
    let roles: Vec<_> = verdict
        .grades
        .iter()
        .map(|grade| grade.role.as_str())
        .collect();
    let expected = [
        "prediction",
        "prediction",
        "guard",
        "engage",
        "engage",
        "rollback_if",
        "rollback_if",
    ];
    assert_eq!(roles, expected);
    assert!(
        verdict
            .grades
            .iter()
            .all(|g| (g.role == "rollback_if") == (g.truth == Truth::Fails))
    );
}

#[test]
fn a_prediction_that_fails_refutes_and_closes_nothing() {
    let verdict = graded(&pushed(false), &cells(false), |_| ());
    assert_eq!(
        (verdict.kind, verdict.rollback_due),
        (VerdictKind::Refuted, false)
    );
    assert!(
        verdict.reasons[0].starts_with("prediction `absent first_divergence` fails"),
        "{:?}",
        verdict.reasons
    );
}

#[test]
fn a_rollback_condition_is_due_even_under_confirmed() {
    let verdict = graded(&pushed(true), &cells(true), |body| {
        body.rollback_if = vec!["any cargo_summary.passed == 2".into()]
    });
    assert_eq!(
        (verdict.kind, verdict.rollback_due),
        (VerdictKind::Confirmed, true)
    );
}

#[test]
fn a_broken_guard_refutes_and_makes_rollback_due_though_the_claim_left_it_out() {
    let crash = "[WORKER EXIT] v=1 run=0b0b0b0b seq=0 pid=7 code=none signal=11 class=driver_crash step=predict";
    let verdict = graded(&pushed(true), &with_line(true, crash), |body| {
        body.guards.clear();
        body.rollback_if = vec!["present envelope".into()];
    });
    assert_eq!(
        (verdict.kind, verdict.rollback_due),
        (VerdictKind::Refuted, true),
        "{:?}",
        verdict.reasons
    );
}

#[test]
fn what_says_nothing_is_inconclusive() {
    let stranger = run("R2", &"9".repeat(40), Trigger::Manual, true);
    let other_scope = Run {
        scope: "dream".into(),
        ..pushed(true)
    };
    let cancelled = Run {
        conclusion: Some(Conclusion::Cancelled),
        ..pushed(true)
    };
    let running = Run {
        status: RunStatus::InProgress,
        ..pushed(true)
    };
    let idle = Run {
        jobs: Vec::new(),
        ..pushed(true)
    };
    for run in [stranger, other_scope, cancelled, running, idle] {
        let verdict = graded(&run, &cells(true), |_| ());
        assert_eq!(
            (verdict.kind, verdict.rollback_due),
            (VerdictKind::Inconclusive, false),
            "{run:?}"
        );
        assert_eq!(verdict.reasons.len(), 1);
    }
    let one_cell = graded(&pushed(true), &cells(true)[..1], |_| ());
    assert_eq!(
        one_cell.kind,
        VerdictKind::Inconclusive,
        "{:?}",
        one_cell.reasons
    );
}

#[test]
fn a_run_on_the_wrong_device_refutes_nothing() {
    let mut fallen = cells(false);
    for row in fallen.iter_mut().flat_map(|cell| &mut cell.observations) {
        if row.kind == "backend" {
            row.fields
                .insert("cpu_fallback".into(), markers::Value::Bool(true));
        }
    }
    let verdict = graded(&pushed(false), &fallen, |_| ());
    assert_eq!(verdict.kind, VerdictKind::Inconclusive);
    assert!(
        verdict.reasons[0].starts_with("engage `all backend.cpu_fallback == false` fails"),
        "{:?}",
        verdict.reasons
    );
}

#[test]
fn a_scope_without_engagement_proof_confirms_nothing() {
    let mut policy = policy();
    policy.scope.get_mut(SCOPE).unwrap().engage.clear();
    let (body, run, cells) = (good_body(), pushed(true), cells(true));
    let pushed = Pushed {
        body: &body,
        commit: COMMIT,
        policy: &policy,
        run: &run,
        classification: None,
        cells: &cells,
        before: None,
    };
    assert_eq!(grade(&pushed, &rulebook()).kind, VerdictKind::Inconclusive);
}

#[test]
fn a_diagnostic_is_judged_by_its_outcomes_on_a_red_run_and_has_to_go() {
    let outcome = |predicate: &str, kills: &str| attest::claim::Outcome {
        predicate: predicate.into(),
        kills: vec![kills.into()],
    };
    let diagnostic = |body: &mut attest::claim::ClaimBody| {
        body.kind = attest::claim::ClaimKind::Diagnostic;
        body.predictions.clear();
        body.outcomes = vec![
            outcome("present chunk_abort", "H1"),
            outcome("present envelope", "H2"),
        ];
    };
    let line = "ABORT: only 12/31 chunks allocated";
    let seen = graded(&pushed(false), &with_line(false, line), diagnostic);
    assert_eq!(
        (seen.kind, seen.rollback_due),
        (VerdictKind::Confirmed, true),
        "{:?}",
        seen.reasons
    );
    let mut body = good_body();
    diagnostic(&mut body);
    let dead = crate::verification::killed(&body, &seen.grades);
    assert_eq!(dead, [("H1", "present chunk_abort")]);
    let unseen = graded(&pushed(false), &cells(false), diagnostic);
    assert_eq!(
        (unseen.kind, unseen.rollback_due),
        (VerdictKind::Inconclusive, true)
    );
    assert_eq!(crate::verification::killed(&body, &unseen.grades), []);
}

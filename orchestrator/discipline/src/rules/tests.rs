//! Each rule refuses when its part is missing or false, and says nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use attest::claim::{ClaimKind, Guard, Outcome};
use attest::digest::Digest;

use super::{RULES, decide};
use crate::decision::{
    AttemptFact, DecisionInput, ExhibitFact, HypothesisFacts, RevertedFacts, Stage, gates_digest,
};
use crate::event::Mechanism;
use crate::fixtures::{self, NOW_MS, SCOPE, cells, good_input, redigested, rulebook};
use crate::forecast::{MetEffect, MetRun, RunnerFact};
use crate::model::{DeadCode, GateResult, GateRole, GateVerdict, ProcessExit, Refusal};
use crate::observation::Grade;

type Edit = fn(&mut DecisionInput);

/// (what is wrong, how to make it so, every refusal as `code @ field`)
type Row = (&'static str, Edit, &'static [&'static str]);

fn results(input: &mut DecisionInput, edit: impl Fn(&mut crate::model::GateResult)) {
    let gates = input.gates.as_mut().unwrap();
    gates.results.iter_mut().for_each(edit);
    gates.gates_digest = gates_digest(&gates.results).unwrap();
    input.approval.as_mut().unwrap().subject.gates_digest = gates.gates_digest.clone();
}

fn of_role(
    role: GateRole,
    edit: fn(&mut crate::model::GateResult),
) -> impl Fn(&mut crate::model::GateResult) {
    move |result| {
        if result.role == role {
            edit(result);
        }
    }
}

/// Makes the claim a diagnostic between two live theories, as it should be.
fn diagnostic(input: &mut DecisionInput) {
    kind(input, ClaimKind::Diagnostic);
    let row = |predicate: &str, kills: &str| Outcome {
        predicate: predicate.into(),
        kills: vec![kills.into()],
    };
    input.body.outcomes = vec![
        row("present worker_exit{class=gpu_hang}", "H1"),
        row("present chunk_abort", "H2"),
    ];
    let own = input.hypothesis.clone().unwrap();
    let rival = HypothesisFacts {
        id: "H2".into(),
        ..own.clone()
    };
    input.rivals = vec![own, rival];
    input.target.diagnostics_left = Some(1);
}

#[test]
fn a_diagnostic_needs_no_prediction_and_no_pinned_test() {
    let mut input = good_input();
    diagnostic(&mut input);
    input.body.predictions.clear();
    input.body.hypothesis_id.clear();
    input.body.rollback_if.clear();
    input.body.pinned_test = None;
    results(&mut input, |_| ());
    input
        .gates
        .as_mut()
        .unwrap()
        .results
        .retain(|result| !result.role.is_pinned());
    results(&mut input, |_| ());
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert!(
        decision.allowed,
        "{:#?}",
        decision.refused().collect::<Vec<_>>()
    );
}

fn unused(file: &str, line: u32) -> DeadCode {
    DeadCode {
        file: file.into(),
        line,
        what: "function `probe`".into(),
    }
}

#[test]
fn only_what_the_change_wrote_is_its_dead_code() {
    type Said = fn(&GateResult) -> Option<DeadCode>;
    let told = |kind: ClaimKind, said: Said| {
        let mut input = good_input();
        input.body.kind = kind;
        results(&mut input, |result| result.dead_code.extend(said(result)));
        let decision = decide(&input, &rulebook(), Stage::Push);
        let refused = decision.refused();
        refused
            .filter(|refusal| refusal.code == "symbol_unused")
            .count()
    };
    let fix = ClaimKind::Fix;
    assert_eq!(
        told(fix, |r| r
            .role
            .on_head()
            .then(|| unused(fixtures::CHANGED, 42))),
        1
    );
    assert_eq!(
        told(fix, |r| r
            .role
            .on_head()
            .then(|| unused(fixtures::CHANGED, 43))),
        0
    );
    assert_eq!(
        told(fix, |r| r
            .role
            .on_head()
            .then(|| unused("src/other.rs", 42))),
        0
    );
    // Another gate's features use it.
    assert_eq!(
        told(fix, |r| (r.role == GateRole::Gate)
            .then(|| unused(fixtures::CHANGED, 42))),
        0
    );
    // Unused on the base as well, whatever its line was there.
    assert_eq!(
        told(fix, |r| {
            let line = if r.role.on_head() { 42 } else { 7 };
            Some(unused(fixtures::CHANGED, line))
        }),
        0
    );
    assert_eq!(
        told(ClaimKind::Rollback, |r| {
            r.role.on_head().then(|| unused(fixtures::CHANGED, 42))
        }),
        0
    );
}

/// What an attempt mended, its test passes on; it failed by what it broke.
#[test]
fn the_pin_need_not_fail_on_an_attempt_that_broke_something_else() {
    let mut input = good_input();
    attempted(&mut input, |attempt| {
        attempt.overlaps = false;
        attempt.predictions_held = true;
    });
    let gates = input.gates.as_mut().unwrap();
    gates
        .results
        .retain(|result| result.role != GateRole::PinOnAttempt);
    results(&mut input, |_| ());
    let refused = |input: &DecisionInput| -> Vec<String> {
        let decision = decide(input, &rulebook(), Stage::Push);
        decision
            .refused()
            .map(|refusal| refusal.code.clone())
            .collect()
    };
    assert_eq!(refused(&input), Vec::<String>::new());
    input.attempts[0].predictions_held = false;
    assert_eq!(refused(&input), ["pinned_test_not_run"]);
}

/// A guard of the other scope.
fn in_dream() -> Guard {
    Guard {
        scope: "dream".into(),
        predicate: "absent envelope".into(),
    }
}

/// An attempt at the same invariant that the runner refuted, and the pin's red run on its tree.
fn attempted(input: &mut DecisionInput, edit: fn(&mut AttemptFact)) {
    let mut attempt = AttemptFact {
        claim_id: "C1".into(),
        tree: "7".repeat(40),
        overlaps: true,
        broken_guards: vec!["absent worker_exit{class=gpu_hang}".into()],
        held_rollbacks: vec!["present chunk_abort".into()],
        broken_elsewhere: Vec::new(),
        predictions_held: false,
    };
    edit(&mut attempt);
    let mut red = fixtures::gate_result("pinned", GateRole::PinOnAttempt);
    red.tree = attempt.tree.clone();
    input.attempts.push(attempt);
    input.gates.as_mut().unwrap().results.push(red);
    results(input, |_| ());
}

#[test]
fn a_second_attempt_that_answers_the_first_is_allowed() {
    let mut input = good_input();
    attempted(&mut input, |_| ());
    input
        .body
        .reasoning
        .push_str("; C1 dispatched it twice, this change once");
    input.body.rollback_if.push("present chunk_abort".into());
    input.body.guards.push(Guard {
        scope: SCOPE.into(),
        predicate: "absent worker_exit{class=gpu_hang}".into(),
    });
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert!(
        decision.allowed,
        "{:#?}",
        decision.refused().collect::<Vec<_>>()
    );
    // An attempt whose tree is the base is answered by the run on base.
    let mut input = good_input();
    attempted(&mut input, |attempt| attempt.overlaps = false);
    input.attempts[0].tree = fixtures::BASE_TREE.into();
    input.gates.as_mut().unwrap().results.pop();
    results(&mut input, |_| ());
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert!(
        decision.allowed,
        "{:#?}",
        decision.refused().collect::<Vec<_>>()
    );
}

fn refusal(code: &str) -> Refusal {
    Refusal::new(
        code,
        "change",
        "reason of the finding",
        "remedy of the finding",
    )
}

/// A claim about a test of a family that wants an exhibit, of which these rows are not cited.
fn exhibit(input: &mut DecisionInput, missing: &[&str]) {
    input.exhibits.push(ExhibitFact {
        marker: "path_delta".into(),
        field: "row".into(),
        family: "path_equivalence".into(),
        test: "gpu_path_equivalence_single_graph_vs_legacy".into(),
        missing: missing.iter().map(|row| (*row).to_owned()).collect(),
        show: "engine path-delta MODEL --markers".into(),
    });
}

#[test]
fn a_whole_exhibit_is_enough_and_only_a_fix_needs_one() {
    let mut input = good_input();
    exhibit(&mut input, &[]);
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert!(
        decision.allowed,
        "{:#?}",
        decision.refused().collect::<Vec<_>>()
    );
    let mut input = good_input();
    diagnostic(&mut input);
    exhibit(&mut input, &["lifetimes"]);
    let decision = decide(&redigested(input), &rulebook(), Stage::Propose);
    assert!(
        decision.allowed,
        "{:#?}",
        decision.refused().collect::<Vec<_>>()
    );
}

fn kind(input: &mut DecisionInput, kind: ClaimKind) {
    input.body.kind = kind;
}

const TABLE: &[Row] = &[
    // the four requirements, each alone
    (
        "no failing invariant",
        |i| i.body.failing_invariant.clear(),
        &["failing_invariant_missing @ failing_invariant"],
    ),
    (
        "no predicted delta",
        |i| i.body.predictions.clear(),
        &["prediction_missing @ prediction"],
    ),
    (
        "no local gates",
        |i| i.body.gates.clear(),
        &["gates_missing @ gates"],
    ),
    (
        "no rollback condition",
        |i| i.body.rollback_if.clear(),
        &["rollback_missing @ rollback_if"],
    ),
    // identity
    (
        "other rules",
        |i| i.rules_version = 99,
        &["rules_version_unknown @ rules_version"],
    ),
    (
        "other schema",
        |i| i.body.schema = 2,
        &["claim_schema_unknown @ schema"],
    ),
    (
        "short repo id",
        |i| {
            i.body.repo = "abc".into();
            i.approval.as_mut().unwrap().subject.repo = "abc".into();
        },
        &["object_id_malformed @ repo"],
    ),
    (
        "a tag for a branch",
        |i| {
            i.body.ref_name = "refs/tags/v1".into();
            i.approval.as_mut().unwrap().subject.ref_name = "refs/tags/v1".into();
        },
        &["ref_malformed @ ref_name"],
    ),
    (
        "diff of other trees",
        |i| i.diff.diff_digest = Digest::of(b"x"),
        &["diff_digest_mismatch @ diff_digest"],
    ),
    (
        "another catalogue",
        |i| i.policy.catalogue_digest = Digest::of(b"x"),
        &["catalogue_mismatch @ policy.catalogue_digest"],
    ),
    // kind
    (
        "a fix that changes nothing",
        |i| {
            i.diff.changed.clear();
            i.body.guards.clear();
            i.body.guards.push(Guard {
                scope: SCOPE.into(),
                predicate: "absent worker_exit{class=driver_crash}".into(),
            });
        },
        &["change_empty @ change"],
    ),
    // diagnostics
    (
        "a diagnostic without a table, on a day without budget",
        |i| kind(i, ClaimKind::Diagnostic),
        &[
            "diagnostic_budget_spent @ kind",
            "outcomes_decide_nothing @ outcomes",
        ],
    ),
    (
        "a diagnostic about one theory",
        |i| {
            diagnostic(i);
            i.body.outcomes[1].kills = vec!["H1".into()];
        },
        &["outcomes_decide_nothing @ outcomes"],
    ),
    (
        "a diagnostic whose outcomes do not differ",
        |i| {
            diagnostic(i);
            for outcome in &mut i.body.outcomes {
                outcome.kills = vec!["H1".into(), "H2".into()];
            }
        },
        &["outcomes_decide_nothing @ outcomes"],
    ),
    (
        "outcomes that kill nobody, the dead, strangers, and theories of another scope",
        |i| {
            diagnostic(i);
            let third = Outcome {
                predicate: "present chunk_abort".into(),
                kills: vec![],
            };
            i.body.outcomes.push(third);
            i.body.outcomes[0].kills.push("H9".into());
            i.rivals[0].scope = "dream".into();
            i.rivals[1].alive = false;
            i.rivals[1].status = "falsified".into();
        },
        &[
            "hypothesis_other_scope @ outcomes[0].kills",
            "hypothesis_unknown @ outcomes[0].kills",
            "hypothesis_falsified @ outcomes[1].kills",
            "outcome_kills_nothing @ outcomes[2].kills",
        ],
    ),
    (
        "a look at what was seen already, at what no mode shows, and at nothing",
        |i| {
            diagnostic(i);
            i.body.outcomes[0].predicate = "present first_divergence{kind=zeros}".into();
            i.body.outcomes[1].predicate = "all gpu_perdispatch.sum_us > 1us".into();
        },
        &[
            "outcome_already_known @ outcomes[0].predicate",
            "outcome_unobservable @ outcomes[1].predicate",
        ],
    ),
    (
        "an outcome that is no predicate",
        |i| {
            diagnostic(i);
            i.body.outcomes[0].predicate = "we will see".into();
        },
        &["predicate_malformed @ outcomes[0].predicate"],
    ),
    (
        "outcomes in a fix",
        |i| {
            diagnostic(i);
            kind(i, ClaimKind::Fix);
        },
        &["outcomes_without_diagnostic @ outcomes"],
    ),
    (
        "a baseline that changes files although a signal exists",
        |i| kind(i, ClaimKind::Baseline),
        &["baseline_changes_files @ change", "signal_exists @ kind"],
    ),
    (
        "code in a policy change",
        |i| kind(i, ClaimKind::PolicyChange),
        &[
            "policy_change_with_code @ change",
            "policy_change_with_code @ change",
        ],
    ),
    (
        "a rollback of nothing",
        |i| kind(i, ClaimKind::Rollback),
        &["rollback_not_due @ kind"],
    ),
    // scope
    (
        "a scope nobody declared",
        |i| {
            i.body.proof_scope = "elsewhere".into();
            i.evidence[0].scope = Some("elsewhere".into());
            i.baseline.as_mut().unwrap().scope = "elsewhere".into();
            i.hypothesis.as_mut().unwrap().scope = "elsewhere".into();
        },
        &["proof_scope_unknown @ proof_scope"],
    ),
    // invariant
    (
        "a law nobody wrote",
        |i| {
            i.body.failing_invariant = "§44".into();
            i.body.message = "engine: §44".into();
        },
        &["invariant_unknown @ failing_invariant"],
    ),
    (
        "a law without pin",
        |i| i.policy.law[0].pins.clear(),
        &["invariant_unpinned @ failing_invariant"],
    ),
    (
        "a pin that does not exist",
        |i| i.policy.law[0].missing_pins.push("type Gone".into()),
        &["invariant_pin_missing @ failing_invariant"],
    ),
    // evidence
    (
        "no evidence",
        |i| {
            i.body.evidence.clear();
            i.evidence.clear();
        },
        &["evidence_missing @ evidence"],
    ),
    (
        "evidence of another claim",
        |i| i.evidence[0].citation.line_start = 9,
        &["evidence_not_looked_up @ evidence"],
    ),
    (
        "bytes that are not there",
        |i| i.evidence[0].exists = false,
        &["evidence_not_found @ evidence[0]"],
    ),
    (
        "a cut log",
        |i| i.evidence[0].complete = false,
        &["evidence_incomplete @ evidence[0]"],
    ),
    (
        "a log of another scope",
        |i| i.evidence[0].scope = None,
        &["evidence_other_scope @ evidence[0]"],
    ),
    (
        "a log of older files",
        |i| i.evidence[0].current = false,
        &["evidence_stale @ evidence[0]"],
    ),
    (
        "lines that show success",
        |i| i.evidence[0].shows_failure = false,
        &["evidence_shows_no_failure @ evidence"],
    ),
    // baseline run
    (
        "no baseline run",
        |i| i.body.baseline_run.clear(),
        &["baseline_run_missing @ baseline_run"],
    ),
    (
        "an unknown run",
        |i| i.baseline = None,
        &["baseline_run_unknown @ baseline_run"],
    ),
    (
        "a run that did nothing",
        |i| i.baseline.as_mut().unwrap().executed = false,
        &["baseline_not_executed @ baseline_run"],
    ),
    (
        "a run of another scope",
        |i| i.baseline.as_mut().unwrap().scope = "dream".into(),
        &["baseline_other_scope @ baseline_run"],
    ),
    (
        "a run of older files",
        |i| i.baseline.as_mut().unwrap().current = false,
        &["baseline_stale @ baseline_run"],
    ),
    // hypothesis
    (
        "no hypothesis",
        |i| i.body.hypothesis_id.clear(),
        &["hypothesis_missing @ hypothesis_id"],
    ),
    (
        "an unknown hypothesis",
        |i| i.hypothesis = None,
        &["hypothesis_unknown @ hypothesis_id"],
    ),
    (
        "a dead hypothesis",
        |i| {
            let hypothesis = i.hypothesis.as_mut().unwrap();
            hypothesis.alive = false;
            hypothesis.status = "falsified".into();
        },
        &["hypothesis_falsified @ hypothesis_id"],
    ),
    (
        "a hypothesis about another scope",
        |i| i.hypothesis.as_mut().unwrap().scope = "dream".into(),
        &["hypothesis_other_scope @ hypothesis_id"],
    ),
    (
        "a hypothesis that the baseline contradicts",
        |i| {
            let forbids = &mut i.hypothesis.as_mut().unwrap().forbids;
            *forbids = vec!["any first_divergence.dispatched == false".into()];
        },
        &["hypothesis_contradicted @ hypothesis_id"],
    ),
    (
        "a hypothesis that only people and agents speak for",
        |i| {
            let hypothesis = i.hypothesis.as_mut().unwrap();
            hypothesis.grade = Grade::Guess;
            hypothesis.predicts = vec!["present chunk_abort".into()];
            hypothesis.forbids.clear();
        },
        &["hypothesis_unproven @ hypothesis_id"],
    ),
    (
        "a hypothesis that only foreign text speaks for",
        |i| {
            let hypothesis = i.hypothesis.as_mut().unwrap();
            hypothesis.grade = Grade::Analogue;
            hypothesis.predicts.clear();
            hypothesis.forbids.clear();
        },
        &["hypothesis_unproven @ hypothesis_id"],
    ),
    (
        "a comparison with a reference of zeros",
        |i| i.evidence[0].blames_reference = Some("the reference side is all zeros".into()),
        &["reference_is_zeros @ evidence[0]"],
    ),
    (
        "a path that diverges, and nothing of what sets it apart",
        |i| exhibit(i, &["graph_construction", "tensor_ids", "lifetimes"]),
        &["exhibit_missing @ evidence"],
    ),
    (
        "a path that diverges, and one row left out",
        |i| exhibit(i, &["pending_writes"]),
        &["exhibit_missing @ evidence"],
    ),
    (
        "a recovery that is only non-zero",
        |i| i.body.predictions = vec!["all first_divergence.gpu != 0".into()],
        &["recovery_is_not_equality @ prediction[0]"],
    ),
    (
        "a recovery that is only above zero",
        |i| i.body.predictions = vec!["all first_divergence{kind=zeros}.gpu > 0".into()],
        &["recovery_is_not_equality @ prediction[0]"],
    ),
    // places
    (
        "no sites",
        |i| i.body.sites.clear(),
        &["sites_missing @ sites"],
    ),
    (
        "a hunk elsewhere",
        |i| i.diff.site_findings.push(refusal("hunk_outside_sites")),
        &["hunk_outside_sites @ change"],
    ),
    (
        "an ignored test",
        |i| i.diff.findings.push(refusal("test_ignored")),
        &["test_ignored @ change"],
    ),
    // words
    (
        "no reasoning",
        |i| i.body.reasoning = "  ".into(),
        &["reasoning_missing @ reasoning"],
    ),
    (
        "no sentence",
        |i| i.body.reasoning = "fixes it".into(),
        &["reasoning_too_short @ reasoning"],
    ),
    (
        "no subject",
        |i| i.body.message = "\n\nbody §4".into(),
        &["message_missing @ message"],
    ),
    (
        "a silent subject",
        |i| i.body.message = "fix things".into(),
        &["message_without_invariant @ message"],
    ),
    (
        "a forged trailer",
        |i| i.body.message.push_str("\n\nclaim-digest : sha256:00"),
        &["message_forges_trailer @ message"],
    ),
    (
        "an escape sequence",
        |i| i.body.message.push('\u{1b}'),
        &["message_control_characters @ message"],
    ),
    // predictions
    (
        "no predicate",
        |i| i.body.predictions = vec!["it gets better".into()],
        &["predicate_malformed @ prediction[0]"],
    ),
    (
        "an unknown marker",
        |i| i.body.predictions = vec!["absent first_divergance".into()],
        &["marker_unknown @ prediction[0]"],
    ),
    (
        "an unknown field",
        |i| i.body.predictions = vec!["all cargo_summary.fails == 0".into()],
        &["field_unknown @ prediction[0]"],
    ),
    (
        "a word for a number",
        |i| i.body.predictions = vec!["all cargo_summary.failed == none_at_all".into()],
        &["predicate_type @ prediction[0]"],
    ),
    (
        "an unknown cell",
        |i| i.body.predictions = vec!["absent first_divergence @noop-50".into()],
        &["cell_unknown @ prediction[0]"],
    ),
    (
        "what holds already",
        |i| i.body.predictions = vec!["all backend.cpu_fallback == false".into()],
        &["prediction_already_holds @ prediction"],
    ),
    (
        "what nobody sees today",
        |i| {
            i.body.predictions = vec![
                "all kl_top5.value <= 1e-4".into(),
                "all backend.cpu_fallback == false".into(),
            ]
        },
        &["prediction_not_false_today @ prediction"],
    ),
    (
        "a histogram in summary mode",
        |i| {
            i.body
                .predictions
                .push("any gpu_perdispatch.shader_buckets.rms_norm.count >= 3".into())
        },
        &["prediction_unobservable @ prediction[2]"],
    ),
    // guards
    (
        "no guards",
        |i| i.body.guards.clear(),
        &["guard_missing @ guards"],
    ),
    (
        "a guard of nowhere",
        |i| {
            i.body.guards.push(Guard {
                scope: "x".into(),
                predicate: "absent envelope".into(),
            })
        },
        &["guard_scope_unknown @ guards[1].scope"],
    ),
    (
        "a guard that is broken today",
        |i| {
            i.body.guards.push(Guard {
                scope: SCOPE.into(),
                predicate: "absent first_divergence".into(),
            })
        },
        &["guard_broken_today @ guards[1].predicate"],
    ),
    (
        "a guard that does not read",
        |i| {
            i.body.guards.push(Guard {
                scope: SCOPE.into(),
                predicate: "the dream stays".into(),
            })
        },
        &["predicate_malformed @ guards[1].predicate"],
    ),
    (
        "a file of another scope",
        |i| i.diff.changed[0].path = "engine/src/dream/mod.rs".into(),
        &[
            "guard_missing @ guards",
            "budget_runs_too_few @ budget.runs",
            "gate_uncovered @ gates",
        ],
    ),
    // gates
    (
        "an unknown gate",
        |i| i.body.gates.push("lint".into()),
        &[
            "gate_unknown @ gates[1]",
            "gate_result_missing @ gates[1]",
            "canary_not_failing @ gates[1]",
        ],
    ),
    (
        "a gate named twice",
        |i| i.body.gates.push("engine_smoke".into()),
        &["gate_named_twice @ gates[1]"],
    ),
    (
        "the wrong gate",
        |i| i.body.gates = vec!["markers".into()],
        &[
            "gate_required @ gates",
            "gate_result_missing @ gates[0]",
            "canary_not_failing @ gates[0]",
        ],
    ),
    // pinned test
    (
        "no pinned test",
        |i| i.body.pinned_test = None,
        &["pinned_test_missing @ pinned_test"],
    ),
    (
        "a test without name",
        |i| i.body.pinned_test.as_mut().unwrap().name.clear(),
        &[
            "pinned_test_incomplete @ pinned_test.name",
            "pinned_test_not_red @ pinned_test",
        ],
    ),
    (
        "a test that is not there",
        |i| i.diff.pinned_test_exists = false,
        &["pinned_test_not_found @ pinned_test.name"],
    ),
    (
        "a test beside code",
        |i| i.diff.impure_test_files.push("engine/src/graph.rs".into()),
        &["pinned_test_impure @ pinned_test.files"],
    ),
    // rollback
    (
        "a rollback condition that holds today",
        |i| i.body.rollback_if.push("present first_divergence".into()),
        &["rollback_already_holds @ rollback_if[2]"],
    ),
    (
        "a rollback condition that nobody would see",
        |i| {
            i.body
                .rollback_if
                .push("any gpu_perdispatch.sum_us > 5ms @noop-0-summary".into())
        },
        &["rollback_unobservable @ rollback_if[2]"],
    ),
    (
        "a rollback condition in prose",
        |i| i.body.rollback_if.push("if it gets worse".into()),
        &["predicate_malformed @ rollback_if[2]"],
    ),
    // budget
    (
        "no run",
        |i| i.body.budget.runs = 0,
        &["budget_without_runs @ budget.runs"],
    ),
    (
        "a guard of another scope, whose run nobody pays",
        |i| i.body.guards.push(in_dream()),
        &["budget_runs_too_few @ budget.runs"],
    ),
    (
        "no minutes",
        |i| i.body.budget.runner_minutes = 0,
        &["budget_without_minutes @ budget.runner_minutes"],
    ),
    (
        "too many minutes",
        |i| i.target.minutes_left = 4,
        &["budget_exceeded @ budget.runner_minutes"],
    ),
    // results of gates
    (
        "gates that did not run",
        |i| i.gates = None,
        &[
            "gates_not_run @ gates",
            "approval_mismatch @ approval.gates_digest",
        ],
    ),
    (
        "a failed gate",
        |i| {
            results(
                i,
                of_role(GateRole::Gate, |r| {
                    r.verdict = GateVerdict::Refused;
                    r.failed_tests.push("gpu_correctness_smoke_rope".into());
                }),
            )
        },
        &["gate_failed @ gates[0]"],
    ),
    (
        "a vacuous gate",
        |i| {
            results(
                i,
                of_role(GateRole::Gate, |r| {
                    r.verdict = GateVerdict::Vacuous;
                    r.refused.push(refusal("gate_vacuous_no_tests"));
                }),
            )
        },
        &["gate_vacuous_no_tests @ gates[0]"],
    ),
    (
        "a canary that sang",
        |i| {
            results(
                i,
                of_role(GateRole::Canary, |r| r.verdict = GateVerdict::Refused),
            )
        },
        &["canary_not_failing @ gates[0]"],
    ),
    (
        "gates of another tree",
        |i| results(i, of_role(GateRole::Gate, |r| r.tree = "9".repeat(40))),
        &["gate_on_other_tree @ gates"],
    ),
    (
        "a pin on another base",
        |i| {
            results(
                i,
                of_role(GateRole::PinOnBase, |r| r.tree = fixtures::TREE.into()),
            )
        },
        &["gate_on_other_tree @ gates"],
    ),
    (
        "a new item that rustc finds unused",
        |i| {
            results(i, |result| {
                if result.role.on_head() {
                    result.dead_code.push(unused(fixtures::CHANGED, 42));
                }
            })
        },
        &["symbol_unused @ change"],
    ),
    (
        "files that no gate compiled",
        |i| results(i, |r| r.covered.clear()),
        &["gate_uncovered @ gates"],
    ),
    (
        "a forged digest of results",
        |i| {
            i.gates.as_mut().unwrap().gates_digest = Digest::of(b"x");
            i.approval.as_mut().unwrap().subject.gates_digest = Digest::of(b"x");
        },
        &["gates_digest_mismatch @ gates"],
    ),
    (
        "a pin that is green on base",
        |i| results(i, of_role(GateRole::PinOnBase, |r| r.failed_tests.clear())),
        &["pinned_test_not_red @ pinned_test"],
    ),
    (
        "a pin that is red on head",
        |i| {
            results(
                i,
                of_role(GateRole::PinOnHead, |r| {
                    r.failed_tests.push(fixtures::PINNED.into())
                }),
            )
        },
        &["pinned_test_not_green @ pinned_test"],
    ),
    (
        "a pin that ran nowhere",
        |i| {
            i.gates
                .as_mut()
                .unwrap()
                .results
                .retain(|r| matches!(r.role, GateRole::Gate | GateRole::Canary));
            results(i, |_| ());
        },
        &[
            "pinned_test_not_run @ pinned_test",
            "pinned_test_not_run @ pinned_test",
        ],
    ),
    // earlier attempts
    (
        "an earlier attempt in the same file, as if it had not been",
        |i| attempted(i, |_| ()),
        &[
            "attempt_unanswered @ reasoning",
            "fingerprint_not_carried @ guards",
            "fingerprint_not_carried @ rollback_if",
        ],
    ),
    (
        "the tree of an earlier attempt again",
        |i| {
            attempted(i, |attempt| {
                attempt.tree = fixtures::TREE.into();
                attempt.overlaps = false;
                attempt.predictions_held = true;
            })
        },
        &["attempt_repeated @ change"],
    ),
    (
        "an earlier attempt that broke another scope, which nobody watches now",
        |i| {
            attempted(i, |attempt| {
                attempt.broken_guards.clear();
                attempt.held_rollbacks.clear();
                attempt.broken_elsewhere.push(in_dream());
            })
        },
        &[
            "attempt_unanswered @ reasoning",
            "fingerprint_not_carried @ guards",
        ],
    ),
    (
        "an earlier attempt elsewhere, on which the pin did not run",
        |i| {
            attempted(i, |attempt| attempt.overlaps = false);
            results(i, |r| {
                if r.role == GateRole::PinOnAttempt {
                    r.role = GateRole::PinOnHead;
                    r.tree = fixtures::TREE.into();
                    r.failed_tests.clear();
                    r.tests.passed = 1;
                }
            });
        },
        &["pinned_test_not_run @ pinned_test"],
    ),
    (
        "a pin that an earlier attempt passes",
        |i| {
            attempted(i, |attempt| attempt.overlaps = false);
            results(
                i,
                of_role(GateRole::PinOnAttempt, |r| r.failed_tests.clear()),
            );
        },
        &["pinned_test_green_on_attempt @ pinned_test"],
    ),
    (
        "a pin on the tree of no attempt",
        |i| {
            attempted(i, |attempt| attempt.overlaps = false);
            let mut stray = fixtures::gate_result("pinned", GateRole::PinOnAttempt);
            stray.tree = "9".repeat(40);
            i.gates.as_mut().unwrap().results.push(stray);
            results(i, |_| ());
        },
        &["gate_on_other_tree @ gates"],
    ),
    // approval
    (
        "no approval",
        |i| i.approval = None,
        &["approval_missing @ approval"],
    ),
    (
        "another commit approved",
        |i| i.approval.as_mut().unwrap().subject.commit = "9".repeat(40),
        &["approval_mismatch @ approval.commit"],
    ),
    (
        "another tree and ref approved",
        |i| {
            let subject = &mut i.approval.as_mut().unwrap().subject;
            subject.tree = "9".repeat(40);
            subject.ref_name = "refs/heads/other".into();
        },
        &[
            "approval_mismatch @ approval.ref",
            "approval_mismatch @ approval.tree",
        ],
    ),
    (
        "an expired approval",
        |i| i.approval.as_mut().unwrap().subject.expires_ms = NOW_MS - 301_000,
        &["approval_expired @ approval.expires_ms"],
    ),
    (
        "an approval for ever",
        |i| i.approval.as_mut().unwrap().subject.expires_ms = i64::MAX,
        &["approval_too_long @ approval.expires_ms"],
    ),
    (
        "an approval by nobody",
        |i| i.approval.as_mut().unwrap().signer.clear(),
        &["approval_unsigned @ approval.signer"],
    ),
    // target
    (
        "nothing staged",
        |i| i.target.commit = None,
        &["approval_mismatch @ approval.commit", "not_staged @ commit"],
    ),
    (
        "the remote moved",
        |i| i.target.remote_tip = Some("9".repeat(40)),
        &["remote_moved @ parent"],
    ),
    (
        "the ref is gone",
        |i| i.target.remote_tip = None,
        &["remote_moved @ parent"],
    ),
    (
        "pushed before",
        |i| i.target.already_pushed = true,
        &["already_pushed @ claim"],
    ),
    (
        "a closed scope",
        |i| i.target.scope_closed = Some("C0 broke a guard".into()),
        &["scope_closed @ proof_scope"],
    ),
    (
        "a live run",
        |i| i.target.live_runs.push("R7".into()),
        &["run_live @ budget.cancels"],
    ),
    (
        "a run of another workflow in the same group",
        |i| meets(i, "R8", MetEffect::WaitsFor),
        &["run_live @ budget.cancels"],
    ),
    (
        "superseding one run of two",
        |i| {
            meets(i, "R8", MetEffect::Cancels);
            meets(i, "R9", MetEffect::Replaces);
            i.body.budget.cancels.push("R8".into());
        },
        &[
            "budget_cancels_incomplete @ budget.cancels",
            "run_live @ budget.cancels",
        ],
    ),
    (
        "a runner that is not there",
        |i| {
            let names = vec!["rig".into()];
            i.target.forecast.runner = RunnerFact::Offline { names };
        },
        &["runner_offline @ proof_scope"],
    ),
    (
        "labels that no runner has",
        |i| {
            let labels = vec!["self-hosted".into(), "gpu".into()];
            i.target.forecast.runner = RunnerFact::NoneFits { labels };
        },
        &["runner_offline @ proof_scope"],
    ),
    (
        "a forecast with a hole",
        |i| {
            let why = "gpu.yml: it is no YAML".to_owned();
            i.target.forecast.unknown.push(why);
        },
        &["forecast_unknown @ budget.cancels"],
    ),
    (
        "two pushes before it that told nothing",
        |i| {
            let told = |id: &str| format!("{id} told nothing: R2 was cancelled");
            i.target.empty_results = vec![told("C3"), told("C2")];
        },
        &["empty_results_in_a_row @ proof_scope"],
    ),
    (
        "a file that a rule of the policy refuses",
        |i| {
            let rule = crate::policy::RulePolicy {
                paths: vec!["engine/src/*.rs".into()],
                kinds: Vec::new(),
                codes: Vec::new(),
                decision: crate::policy::RuleDecision::Refuse,
                because: "it is frozen until the release".into(),
                allow: vec!["engine/build.rs".into()],
                refuse: vec!["engine/src/graph.rs".into()],
            };
            i.policy.policy.rule.insert("frozen".into(), rule);
        },
        &["policy_rule @ change"],
    ),
];

fn meets(input: &mut DecisionInput, run: &str, effect: MetEffect) {
    input.target.forecast.meets.push(MetRun {
        run: run.into(),
        workflow: ".github/workflows/gpu.yml".into(),
        group: "card".into(),
        effect,
    });
}

/// Superseding that the budget names in full is approved with it, and an idle runner refuses nothing.
#[test]
fn a_budget_that_names_every_lost_run_may_supersede_them() {
    let mut input = good_input();
    meets(&mut input, "R8", MetEffect::Cancels);
    meets(&mut input, "R9", MetEffect::Replaces);
    input.body.budget.cancels = vec!["R8".into(), "R9".into()];
    input.target.forecast.runner = RunnerFact::Idle {
        names: vec!["rig".into()],
    };
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    let refused: Vec<_> = decision.refused().map(|found| &found.code).collect();
    assert_eq!(refused, Vec::<&String>::new());
}

fn judged(edit: Edit) -> Vec<Refusal> {
    let mut input = good_input();
    edit(&mut input);
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    decision.refused().cloned().collect()
}

#[test]
fn the_good_claim_is_allowed_at_every_stage() {
    for stage in [Stage::Propose, Stage::Gates, Stage::Push] {
        let decision = decide(&good_input(), &rulebook(), stage);
        assert_eq!(
            decision.refused().collect::<Vec<_>>(),
            Vec::<&Refusal>::new(),
            "{stage:?}"
        );
        assert!(decision.allowed);
    }
}

#[test]
fn each_rule_refuses_when_its_part_is_missing_or_false_and_no_other_does() {
    let mut wrong = String::new();
    for (name, edit, expected) in TABLE {
        let found: Vec<_> = judged(*edit)
            .iter()
            .map(|r| format!("{} @ {}", r.code, r.field))
            .collect();
        if found != *expected {
            let _ = writeln!(
                wrong,
                "{name}:\n  expected {expected:?}\n  found    {found:?}"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_rule_of_the_list_refuses_something_in_the_table() {
    let mut silent: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    for (_, edit, _) in TABLE {
        let mut input = good_input();
        edit(&mut input);
        let decision = decide(&redigested(input), &rulebook(), Stage::Push);
        for rule in decision
            .rules
            .iter()
            .filter(|rule| !rule.refused.is_empty())
        {
            silent.remove(rule.rule.as_str());
        }
    }
    assert!(silent.is_empty(), "no row makes these refuse: {silent:?}");
}

#[test]
fn a_bad_claim_hears_every_reason_at_once() {
    let mut input = good_input();
    input.body.failing_invariant.clear();
    input.body.predictions.clear();
    input.body.gates.clear();
    input.body.rollback_if.clear();
    input.diff.findings.push(refusal("test_deleted"));
    let decision = decide(&redigested(input), &rulebook(), Stage::Propose);
    let codes: Vec<_> = decision
        .refused()
        .map(|refusal| refusal.code.as_str())
        .collect();
    let expected = [
        "failing_invariant_missing",
        "test_deleted",
        "prediction_missing",
        "gates_missing",
        "rollback_missing",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn stages_judge_only_what_they_can_know() {
    let mut input = good_input();
    (input.gates, input.approval, input.target.commit) = (None, None, None);
    assert!(decide(&input, &rulebook(), Stage::Propose).allowed);
    assert!(!decide(&input, &rulebook(), Stage::Gates).allowed);
    let gated = DecisionInput {
        gates: good_input().gates,
        ..input
    };
    assert!(decide(&gated, &rulebook(), Stage::Gates).allowed);
    assert!(!decide(&gated, &rulebook(), Stage::Push).allowed);
}

#[test]
fn a_claim_cancels_live_runs_only_by_name() {
    let mut input = good_input();
    input.body.budget.cancels.push("R7".into());
    let input = redigested(input);
    let codes = |input: &DecisionInput, stage| -> Vec<String> {
        decide(input, &rulebook(), stage)
            .refused()
            .map(|refusal| refusal.code.clone())
            .collect()
    };
    let mut draft = input.clone();
    draft.target.commit = None;
    assert_eq!(
        codes(&draft, Stage::Propose),
        ["budget_cancels_no_live_run"]
    );
    draft.target.live_runs.push("R7".into());
    assert_eq!(codes(&draft, Stage::Propose), Vec::<String>::new());
    assert_eq!(
        codes(&input, Stage::Push),
        Vec::<String>::new(),
        "it ended by itself"
    );
    let mut named = input;
    named.target.live_runs = vec!["R7".into(), "R8".into()];
    assert_eq!(codes(&named, Stage::Push), ["run_live"]);
}

#[test]
fn a_forged_digest_is_seen() {
    let mut input = good_input();
    input.body.reasoning.push_str(" (edited after the fact)");
    let decision = decide(&input, &rulebook(), Stage::Propose);
    let codes: Vec<_> = decision
        .refused()
        .map(|refusal| refusal.code.as_str())
        .collect();
    assert_eq!(codes, ["claim_digest_mismatch"]);
}

#[test]
fn a_pin_that_is_red_by_a_compile_error_is_weak_but_allowed() {
    let mut input = good_input();
    results(
        &mut input,
        of_role(GateRole::PinOnBase, |r| {
            r.failed_tests.clear();
            r.compile_error = true;
        }),
    );
    assert!(decide(&input, &rulebook(), Stage::Push).allowed);
}

#[test]
fn a_rollback_needs_no_hypothesis_and_passes_a_closed_scope() {
    let mut input = good_input();
    input.body.kind = ClaimKind::Rollback;
    (input.body.hypothesis_id, input.body.pinned_test) = (String::new(), None);
    input.hypothesis = None;
    input.target.scope_closed = Some("C1 broke a guard".into());
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert_eq!(
        decision.refused().collect::<Vec<_>>(),
        Vec::<&Refusal>::new()
    );
}

#[test]
fn a_guess_whose_predictions_the_baseline_shows_may_be_acted_on() {
    let mut input = good_input();
    input.hypothesis.as_mut().unwrap().grade = Grade::Guess;
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert!(
        decision.allowed,
        "{:?}",
        decision.refused().collect::<Vec<_>>()
    );
    let mut input = good_input();
    let hypothesis = input.hypothesis.as_mut().unwrap();
    (hypothesis.mechanism, hypothesis.grade) = (Mechanism::WrongReference, Grade::Observed);
    input.evidence[0].blames_reference = Some("the reference side is all zeros".into());
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    assert!(
        decision.allowed,
        "{:?}",
        decision.refused().collect::<Vec<_>>()
    );
}

/// A rollback whose gate is red by `red` on the restored tree; `before` are the tests that were red on
/// the tree before the reverted commit, `None` where that tree is the restored one.
fn red_rollback(red: &[&str], before: Option<&[&str]>) -> Vec<String> {
    let names = |tests: &[&str]| tests.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut input = good_input();
    input.body.kind = ClaimKind::Rollback;
    (input.body.hypothesis_id, input.body.pinned_test) = (String::new(), None);
    input.hypothesis = None;
    input.target.scope_closed = Some("C1 broke a guard".into());
    let other = "9".repeat(40);
    input.reverted = Some(RevertedFacts {
        claim_id: "C1".into(),
        commit: "8".repeat(40),
        parent_tree: match before {
            None => fixtures::TREE.into(),
            Some(_) => other.clone(),
        },
        changed: None,
    });
    let gates = &mut input.gates.as_mut().unwrap().results;
    gates.retain(|result| !result.role.is_pinned());
    for result in gates
        .iter_mut()
        .filter(|result| result.role == GateRole::Gate)
    {
        result.verdict = GateVerdict::Refused;
        result.exit = ProcessExit::Code(101);
        result.failed_tests = names(red);
        result.refused = vec![Refusal::new(
            "gate_failed",
            "gates[x]",
            "it failed",
            "repair it",
        )];
    }
    if let Some(before) = before {
        let mut result = fixtures::gate_result("engine_smoke", GateRole::GateOnParent);
        result.tree = other;
        result.failed_tests = names(before);
        gates.push(result);
    }
    results(&mut input, |_| ());
    let decision = decide(&redigested(input), &rulebook(), Stage::Push);
    decision
        .refused()
        .map(|refusal| refusal.code.clone())
        .collect()
}

#[test]
fn redness_older_than_a_regression_does_not_keep_it_from_being_reverted() {
    let nothing: [String; 0] = [];
    assert_eq!(red_rollback(&["old"], None), nothing);
    assert_eq!(red_rollback(&["old"], Some(&["old", "older"])), nothing);
    // What the tree before did not show is new, and stays a reason.
    for before in [&[][..], &["other"]] {
        let codes = red_rollback(&["old"], Some(before));
        assert!(codes.contains(&"gate_failed".to_owned()), "{codes:?}");
        assert!(codes.contains(&"gate_uncovered".to_owned()), "{codes:?}");
    }
    // A gate that ended without naming a test cannot be compared with anything.
    assert!(red_rollback(&[], None).contains(&"gate_failed".to_owned()));
}

#[test]
fn a_cell_that_did_not_run_makes_no_prediction_easier() {
    let mut input = good_input();
    input.body.predictions = vec!["all backend.cpu_fallback == false".into()];
    input.baseline.as_mut().unwrap().cells.truncate(1);
    let decision = decide(&redigested(input), &rulebook(), Stage::Propose);
    let codes: Vec<_> = decision
        .refused()
        .map(|refusal| refusal.code.as_str())
        .collect();
    assert_eq!(codes, ["prediction_not_false_today"]);
}

#[test]
fn the_fixture_logs_are_whole() {
    let kinds = |green| -> Vec<_> {
        cells(green)[1]
            .observations
            .iter()
            .map(|row| row.kind.clone())
            .collect()
    };
    assert!(
        kinds(false).contains(&"first_divergence".to_owned()),
        "{:?}",
        kinds(false)
    );
    assert!(
        !kinds(true).contains(&"first_divergence".to_owned()),
        "{:?}",
        kinds(true)
    );
}

#[test]
fn refusals_read_well() {
    let mut text = String::new();
    for (name, edit, _) in TABLE {
        let _ = writeln!(text, "# {name}");
        for refusal in judged(*edit) {
            let _ = writeln!(text, "{} @ {}", refusal.code, refusal.field);
            let _ = writeln!(text, "  why: {}\n  do:  {}", refusal.reason, refusal.remedy);
        }
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

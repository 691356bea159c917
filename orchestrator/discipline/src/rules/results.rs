//! Gate results: every named gate passed, on exactly the claim's tree, and was seen able to fail.

use attest::claim::ClaimKind;

use super::Case;
use crate::decision::{GateFacts, gates_digest};
use crate::gates::{failed_by_tests, uncovered};
use crate::model::{GateResult, GateRole, GateVerdict, Refusal};

const RUN_AGAIN: &str = "run the gates again with `run_gates`";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let Some(gates) = &case.input.gates else {
        return vec![Refusal::new(
            "gates_not_run",
            "gates",
            "the gates of this claim have not run",
            "run them with `run_gates`",
        )];
    };
    let mut refused: Vec<_> = numbered(case)
        .flat_map(|(field, name)| judge_gate(case, gates, &field, name))
        .collect();
    if gates_digest(&gates.results).ok().as_ref() != Some(&gates.gates_digest) {
        refused.push(Refusal::new(
            "gates_digest_mismatch",
            "gates",
            "the digest of the gate results is not theirs",
            RUN_AGAIN,
        ));
    }
    refused
}

fn numbered<'a>(case: &Case<'a>) -> impl Iterator<Item = (String, &'a String)> {
    case.body()
        .gates
        .iter()
        .enumerate()
        .map(|(index, name)| (format!("gates[{index}]"), name))
}

fn results<'a>(gates: &'a GateFacts, name: &str, role: GateRole) -> Vec<&'a GateResult> {
    gates
        .results
        .iter()
        .filter(|result| result.role == role && result.gate == name)
        .collect()
}

fn judge_gate(case: &Case<'_>, gates: &GateFacts, field: &str, name: &str) -> Vec<Refusal> {
    let found = results(gates, name, GateRole::Gate);
    if found.is_empty() {
        let reason = format!("`{name}` has no result");
        return vec![Refusal::new(
            "gate_result_missing",
            field,
            reason,
            RUN_AGAIN,
        )];
    }
    let unpassed = found
        .into_iter()
        .filter(|result| result.verdict != GateVerdict::Passed)
        .filter(|result| !was_red_before(case, gates, result));
    unpassed
        .flat_map(|result| unpassed_gate(field, result))
        .collect()
}

/// True for a rollback's gate whose every failing test failed on the parent of the reverted commit as
/// well: that redness is older than the regression, and reverting a regression must not wait for it.
fn was_red_before(case: &Case<'_>, gates: &GateFacts, result: &GateResult) -> bool {
    let Some(reverted) = case
        .input
        .reverted
        .as_ref()
        .filter(|_| case.body().kind == ClaimKind::Rollback)
    else {
        return false;
    };
    if !failed_by_tests(result) {
        return false;
    }
    // The exact revert restores the parent's tree, so that one run answers for both.
    if result.tree == reverted.parent_tree {
        return true;
    }
    let on_parent = results(gates, &result.gate, GateRole::GateOnParent);
    let mut on_parent = on_parent
        .into_iter()
        .filter(|earlier| earlier.tree == reverted.parent_tree);
    on_parent.any(|earlier| {
        let red = |test: &String| earlier.failed_tests.contains(test);
        result.failed_tests.iter().all(red)
    })
}

/// What the judgement of the gate itself said, under the gate's field.
fn unpassed_gate(field: &str, result: &GateResult) -> Vec<Refusal> {
    let (code, word) = match result.verdict {
        GateVerdict::Vacuous => ("gate_vacuous", "decided nothing"),
        GateVerdict::Passed | GateVerdict::Refused => ("gate_failed", "did not pass"),
    };
    if result.refused.is_empty() {
        let failed = result.failed_tests.join(", ");
        let reason = format!(
            "`{}` {word}: {:?}, failed tests: [{failed}]",
            result.gate, result.exit
        );
        let remedy = format!(
            "run `{}` in your work tree, then propose the tree that passes",
            result.argv.join(" ")
        );
        return vec![Refusal::new(code, field, reason, remedy)];
    }
    let said = result.refused.iter();
    said.map(|said| {
        let reason = format!("`{}` {word}: {}", result.gate, said.reason);
        Refusal::new(&said.code, field, reason, &said.remedy)
    })
    .collect()
}

/// Results count for the tree they ran on and for no other.
pub(super) fn judge_trees(case: &Case<'_>) -> Vec<Refusal> {
    let Some(gates) = &case.input.gates else {
        return Vec::new();
    };
    let (head, base) = (&case.body().tree, &case.input.diff.base_tree);
    let attempts = &case.input.attempts;
    let wanted = |result: &GateResult| match result.role {
        GateRole::PinOnBase => base,
        GateRole::PinOnAttempt => attempts
            .iter()
            .map(|attempt| &attempt.tree)
            .find(|tree| **tree == result.tree)
            .unwrap_or(head),
        GateRole::GateOnParent => case
            .input
            .reverted
            .as_ref()
            .map_or(head, |reverted| &reverted.parent_tree),
        GateRole::PinOnHead | GateRole::Gate | GateRole::Canary => head,
    };
    let strays = gates
        .results
        .iter()
        .filter(|result| &result.tree != wanted(result));
    strays
        .map(|result| {
            Refusal::new(
                "gate_on_other_tree",
                "gates",
                format!(
                    "`{}` ran on tree {}, not on {}",
                    result.gate,
                    result.tree,
                    wanted(result)
                ),
                RUN_AGAIN,
            )
        })
        .collect()
}

/// Every changed file that has to be compiled was, by a gate that passed.
pub(super) fn judge_coverage(case: &Case<'_>) -> Vec<Refusal> {
    let Some(gates) = &case.input.gates else {
        return Vec::new();
    };
    // A gate that is red for an old reason did compile what it says it compiled.
    let mut results = gates.results.clone();
    for result in &mut results {
        if was_red_before(case, gates, result) {
            result.verdict = GateVerdict::Passed;
        }
    }
    uncovered(
        &results,
        &case.input.diff.changed,
        &case.input.diff.conditional,
        &case.input.policy.policy,
    )
}

/// A gate that was not seen failing on a failing test is broken.
pub(super) fn judge_canaries(case: &Case<'_>) -> Vec<Refusal> {
    let Some(gates) = &case.input.gates else {
        return Vec::new();
    };
    let dead = numbered(case).filter(|(_, name)| {
        let canaries = results(gates, name, GateRole::Canary);
        canaries.is_empty()
            || canaries
                .iter()
                .any(|canary| canary.verdict != GateVerdict::Passed)
    });
    dead.map(|(field, name)| {
        Refusal::new(
            "canary_not_failing",
            field,
            format!("`{name}` was not seen failing on a test that must fail, so its success says nothing"),
            format!("give `[gate.{name}]` a `canary` that runs the generated test, with a `policy_change` claim"),
        )
    })
    .collect()
}

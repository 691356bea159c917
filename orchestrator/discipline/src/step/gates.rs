//! Gate runs: they begin, collect results, end, and bind what they prove to the claim.

use attest::claim::{ClaimBody, ClaimKind};
use attest::digest::Digest;

use super::claims::{Move, bound, change, get};
use super::{IllegalEvent, counters, equal, fresh, known};
use crate::decision::gates_digest;
use crate::gates::failed_by_tests;
use crate::model::{ClaimId, GateResult, GateRole, GateRunId, GateVerdict};
use crate::state::{GateRun, GateRunStatus, LoopState};

pub(super) fn start_gates(
    state: &mut LoopState,
    claim_id: &ClaimId,
    id: &GateRunId,
) -> Result<(), IllegalEvent> {
    fresh(&state.gate_runs, id, "gate run", id.as_str())?;
    change(
        state,
        claim_id,
        Move::StartGates,
        "gates_started",
        |claim| {
            claim.gate_run_id = Some(id.clone());
            claim.refused.clear();
        },
    )?;
    let gate_run = GateRun {
        id: id.clone(),
        claim_id: claim_id.clone(),
        status: GateRunStatus::Live,
        results: Vec::new(),
    };
    state.gate_runs.insert(id.clone(), gate_run);
    let loop_id = get(state, claim_id)?.loop_id.clone();
    if let Some(counters) = counters(state, &loop_id) {
        counters.gate_runs += 1;
    }
    Ok(())
}

pub(super) fn live<'a>(state: &'a LoopState, id: &GateRunId) -> Result<&'a GateRun, IllegalEvent> {
    let gate_run = known(&state.gate_runs, id, "gate run", id.as_str())?;
    match gate_run.status {
        GateRunStatus::Live => Ok(gate_run),
        _ => Err(IllegalEvent::GateRunEnded {
            gate_run: id.to_string(),
        }),
    }
}

pub(super) fn end_gate_run(state: &mut LoopState, id: &GateRunId, status: GateRunStatus) {
    if let Some(gate_run) = state.gate_runs.get_mut(id) {
        gate_run.status = status;
    }
}

/// Checks what a finished gate run proves, then binds its results to the claim.
pub(super) fn finish_gates(
    state: &mut LoopState,
    id: &GateRunId,
    digest: &Digest,
    moved: Move,
) -> Result<ClaimId, IllegalEvent> {
    let gate_run = live(state, id)?;
    let claim = bound(get(state, &gate_run.claim_id)?, moved, "gates_finished")?;
    equal(
        &format!("gate run {id}"),
        "gates_digest",
        &gates_digest(&gate_run.results)?,
        digest,
    )?;
    if moved == Move::PassGates {
        proves(&claim.body, &gate_run.results).map_err(|reason| {
            IllegalEvent::GatesProveNothing {
                gate_run: id.to_string(),
                reason,
            }
        })?;
    }
    let (claim_id, results) = (claim.id.clone(), gate_run.results.clone());
    end_gate_run(state, id, GateRunStatus::Finished);
    if let Some(claim) = state.claims.get_mut(&claim_id) {
        claim.results = results;
        claim.gates_digest = Some(digest.clone());
    }
    Ok(claim_id)
}

/// The least that passed gates say: every named gate passed on exactly the claim's tree. Of a
/// rollback's gates some may be red by tests; whether those were red before is the rules' question.
fn proves(body: &ClaimBody, results: &[GateResult]) -> Result<(), String> {
    if body.gates.is_empty() {
        return Err("the claim names no gate".to_owned());
    }
    if let Some(result) = results
        .iter()
        .filter(|result| body.kind != ClaimKind::Rollback || !failed_by_tests(result))
        .find(|result| result.verdict != GateVerdict::Passed)
    {
        return Err(format!("`{}` did not pass", result.gate));
    }
    let on_head = |result: &&GateResult| result.role.on_head();
    if let Some(result) = results
        .iter()
        .filter(on_head)
        .find(|result| result.tree != body.tree)
    {
        return Err(format!(
            "`{}` ran on tree {}, the claim's is {}",
            result.gate, result.tree, body.tree
        ));
    }
    let ran = |gate: &String| {
        results
            .iter()
            .any(|r| r.role == GateRole::Gate && &r.gate == gate)
    };
    match body.gates.iter().find(|gate| !ran(gate)) {
        Some(gate) => Err(format!("`{gate}` has no result")),
        None => Ok(()),
    }
}

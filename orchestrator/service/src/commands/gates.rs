//! `run_gates`: starts them, attaches to them, or shows what they said.

use std::time::{Duration, Instant};

use discipline::event::Event;
use discipline::model::{ClaimId, Refusal};
use discipline::state::{Claim, ClaimPhase, GateRunStatus};

use super::claim_of;
use crate::ServiceError;
use crate::api::{RunGatesAnswer, RunGatesRequest};
use crate::core::Core;
use crate::queue::Job;
use crate::shared::{Ctx, Shared};
use crate::views;

/// Wait when none is asked for, seconds.
const DEFAULT_WAIT_S: u32 = 50;
/// Longest wait, seconds.
const MAX_WAIT_S: u32 = 3000;

/// Runs the gates of a checked claim. The gates go on without the caller; cancelling the call ends
/// them.
pub(super) fn run_gates(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: RunGatesRequest,
) -> Result<RunGatesAnswer, ServiceError> {
    let id = claim_of(&shared.core().state, &request.loop_id, &request.claim_id)?
        .id
        .clone();
    let refused = start(shared, ctx, &id)?;
    if !refused.is_empty() {
        return Ok(answer(&shared.core(), &id, refused));
    }
    let seconds = request.max_wait_s.unwrap_or(DEFAULT_WAIT_S).min(MAX_WAIT_S);
    let deadline = Instant::now() + Duration::from_secs(u64::from(seconds));
    let waited = shared.wait(ctx, deadline, |core| {
        let claim = core.state.claims.get(&id)?;
        (!matches!(claim.phase, ClaimPhase::Gating | ClaimPhase::Gated)).then_some(())
    });
    if matches!(waited, Err(ServiceError::Cancelled)) && ctx.cancel.is_cancelled() {
        cancel(shared, &id)?;
    }
    waited?;
    Ok(answer(&shared.core(), &id, Vec::new()))
}

/// Starts the gates of a checked claim; does nothing for one whose gates run or ran.
fn start(shared: &Shared, ctx: Ctx<'_>, id: &ClaimId) -> Result<Vec<Refusal>, ServiceError> {
    let mut refused = Vec::new();
    let started = shared.append_with(&ctx.caller.author(), |core| {
        let Some(claim) = core.state.claims.get(id) else {
            return Ok(None);
        };
        match claim.phase {
            ClaimPhase::Checked => {}
            ClaimPhase::Drafted => {
                refused = vec![not_checked(claim)];
                return Ok(None);
            }
            ClaimPhase::Gated => {
                shared.queue.add(Job::Stage(id.clone()));
                return Ok(None);
            }
            _ => return Ok(None),
        }
        if let Some(ahead) = core.state.ahead_of(&claim.body, Some(id)) {
            refused = vec![queued(claim, ahead)];
            return Ok(None);
        }
        Ok(Some(Event::GatesStarted {
            claim_id: id.clone(),
            gate_run_id: core.state.next_gate_run_id(),
        }))
    })?;
    if started {
        shared.queue.add(Job::Gates(id.clone()));
    }
    Ok(refused)
}

fn not_checked(claim: &Claim) -> Refusal {
    Refusal::new(
        "claim_not_checked",
        "claim_id",
        format!(
            "{} is refused for {} reasons",
            claim.id,
            claim.refused.len()
        ),
        "propose it again without what `get_claim` lists under `refused`",
    )
}

fn queued(claim: &Claim, ahead: &Claim) -> Refusal {
    Refusal::new(
        "claim_queued",
        "claim_id",
        format!(
            "{} holds `{}` and scope `{}`, and is {}",
            ahead.id, claim.body.ref_name, claim.body.proof_scope, ahead.phase
        ),
        format!("ask again when {} has ended, or have it rejected", ahead.id),
    )
}

pub(super) fn cancel(shared: &Shared, id: &ClaimId) -> Result<(), ServiceError> {
    let job = Job::Gates(id.clone());
    if !shared.queue.cancel(&job) {
        return Ok(());
    }
    // A job that had not begun has nobody to record its end.
    shared
        .append_with(&crate::shared::daemon(), |core| {
            let waiting = core.state.claims.get(id).filter(|claim| {
                claim.phase == ClaimPhase::Gating && !shared.queue.is_current(&job)
            });
            Ok(waiting
                .and_then(|claim| claim.gate_run_id.clone())
                .map(|gate_run_id| Event::GatesCancelled {
                    gate_run_id,
                    reason: "cancelled by the caller".into(),
                }))
        })
        .map(|_| ())
}

fn cancelled(claim: &Claim) -> Refusal {
    Refusal::new(
        "gates_cancelled",
        "claim_id",
        format!("the gates of {} were stopped before their end", claim.id),
        "call `run_gates` again; it starts them anew",
    )
}

fn answer(core: &Core, id: &ClaimId, refused: Vec<Refusal>) -> RunGatesAnswer {
    let claim = core.state.claims.get(id);
    let gate_run = claim
        .and_then(|claim| claim.gate_run_id.as_ref())
        .and_then(|id| core.state.gate_runs.get(id));
    let phase = claim.map_or(ClaimPhase::Drafted, |claim| claim.phase);
    let mut all = refused;
    if let Some(claim) = claim.filter(|_| all.is_empty()) {
        all.extend(claim.refused.iter().cloned());
        let stopped = gate_run.is_some_and(|found| found.status == GateRunStatus::Cancelled);
        if stopped && claim.phase == ClaimPhase::Checked && all.is_empty() {
            all.push(cancelled(claim));
        }
    }
    RunGatesAnswer {
        gate_run_id: gate_run.map(|found| found.id.to_string()),
        done: !matches!(phase, ClaimPhase::Gating | ClaimPhase::Gated),
        state: phase.as_str().into(),
        results: gate_run
            .map(|found| found.results.iter().map(views::gate).collect())
            .unwrap_or_default(),
        refused: views::refusals(&all),
    }
}

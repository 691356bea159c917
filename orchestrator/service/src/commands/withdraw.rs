//! `withdraw_claim`: an agent takes a claim back.

use std::time::{Duration, Instant};

use discipline::event::Event;
use discipline::model::Refusal;
use discipline::state::{Claim, ClaimPhase};

use super::{claim_of, find_claim};
use crate::ServiceError;
use crate::api::{WithdrawClaimAnswer, WithdrawClaimRequest};
use crate::shared::{Ctx, Shared};
use crate::views;

/// A cancelled gate ends within two seconds; its end is recorded by the worker.
const PATIENCE: Duration = Duration::from_secs(20);

/// Withdraws a claim that has not been pushed; gates that run for it are ended first.
pub(super) fn withdraw_claim(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &WithdrawClaimRequest,
) -> Result<WithdrawClaimAnswer, ServiceError> {
    let claim = claim_of(&shared.core().state, &request.loop_id, &request.claim_id)?.clone();
    let mut refused = Vec::from_iter(no_reason(&request.reason));
    if refused.is_empty() && claim.phase == ClaimPhase::Gating {
        super::gates::cancel(shared, &claim.id)?;
        shared.wait(ctx, Instant::now() + PATIENCE, |core| {
            let claim = core.state.claims.get(&claim.id)?;
            (claim.phase != ClaimPhase::Gating).then_some(())
        })?;
    }
    shared.append_with(&ctx.caller.author(), |core| {
        let claim = find_claim(&core.state, claim.id.as_str())?;
        if claim.phase == ClaimPhase::Withdrawn || !refused.is_empty() {
            return Ok(None);
        }
        if !claim.phase.before_push() {
            refused.push(too_late(claim));
            return Ok(None);
        }
        Ok(Some(Event::ClaimWithdrawn {
            claim_id: claim.id.clone(),
            reason: request.reason.clone(),
        }))
    })?;
    let core = shared.core();
    Ok(WithdrawClaimAnswer {
        state: find_claim(&core.state, claim.id.as_str())?
            .phase
            .as_str()
            .into(),
        refused: views::refusals(&refused),
    })
}

fn no_reason(reason: &str) -> Option<Refusal> {
    reason.trim().is_empty().then(|| {
        Refusal::new(
            "reason_missing",
            "reason",
            "a withdrawal without a reason teaches nothing",
            "say why, in one sentence",
        )
    })
}

fn too_late(claim: &Claim) -> Refusal {
    let remedy = match claim.phase.is_final() {
        true => "propose another claim",
        false => {
            "wait for its verdict; what was pushed is taken back by a claim of kind `rollback`"
        }
    };
    Refusal::new(
        "claim_not_withdrawable",
        "claim_id",
        format!("{} is {}", claim.id, claim.phase),
        remedy,
    )
}

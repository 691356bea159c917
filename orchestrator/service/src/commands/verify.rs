//! `verify_claim`: waits for the grading of a pushed claim.

use std::time::{Duration, Instant};

use discipline::model::Refusal;
use discipline::state::{Claim, ClaimPhase};

use super::find_claim;
use crate::ServiceError;
use crate::api::{VerifyClaimAnswer, VerifyClaimRequest};
use crate::queue::Job;
use crate::shared::{Ctx, Shared};
use crate::views;

/// Longest wait, seconds.
const MAX_WAIT_S: u32 = 3000;

/// The verdict of a pushed claim; asks the worker for what is still missing.
pub(super) fn verify_claim(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: VerifyClaimRequest,
) -> Result<VerifyClaimAnswer, ServiceError> {
    let claim = find_claim(&shared.core().state, &request.claim_id)?.clone();
    if !claim.phase.is_pushed() {
        let refusal = Refusal::new(
            "claim_not_pushed",
            "claim_id",
            format!(
                "{} is {}, only a pushed claim is graded",
                claim.id, claim.phase
            ),
            "see what it needs with `greenloop claim`",
        );
        return Ok(answer(&claim, &[refusal]));
    }
    if !settled(&claim) {
        shared.queue.add(Job::Follow(claim.id.clone()));
    }
    let seconds = u64::from(request.max_wait_s.min(MAX_WAIT_S));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    shared.wait(ctx, deadline, |core| {
        core.state
            .claims
            .get(&claim.id)
            .filter(|now| settled(now))
            .map(|_| ())
    })?;
    let core = shared.core();
    Ok(answer(find_claim(&core.state, claim.id.as_str())?, &[]))
}

/// Graded, and the verdict is at the remote.
fn settled(claim: &Claim) -> bool {
    claim.verdict.is_some() && claim.verdict_object.is_some()
}

fn answer(claim: &Claim, refused: &[Refusal]) -> VerifyClaimAnswer {
    let graded = matches!(
        claim.phase,
        ClaimPhase::Confirmed | ClaimPhase::Refuted | ClaimPhase::Inconclusive
    );
    let mut refused = refused.to_vec();
    if refused.is_empty() && !graded {
        let run = claim.verifying_run.as_ref().map(ToString::to_string);
        refused.push(Refusal::new(
            "not_graded_yet",
            "claim_id",
            format!(
                "{} waits for {}",
                claim.id,
                run.as_deref().unwrap_or("its run")
            ),
            "ask again with a longer `max_wait_s`; grading starts by itself",
        ));
    }
    VerifyClaimAnswer {
        state: claim.phase.as_str().into(),
        verdict: views::verdict(claim),
        refused: views::refusals(&refused),
    }
}

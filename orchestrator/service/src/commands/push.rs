//! `request_push`: spends an approval, once.

use discipline::model::{Refusal, RunId};
use discipline::state::{Claim, ClaimPhase, LoopState};

use super::claim_of;
use crate::ServiceError;
use crate::api::{RequestPushAnswer, RequestPushRequest};
use crate::delivery::{Delivered, deliver};
use crate::follow;
use crate::shared::{Ctx, Shared};
use crate::{source, views};

/// Pushes an approved claim. Asked again after the push, it gives the same answer.
pub(super) fn request_push(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: RequestPushRequest,
) -> Result<RequestPushAnswer, ServiceError> {
    let digest = views::digest(&request.claim_digest, "claim_digest")?;
    let claim = claim_of(&shared.core().state, &request.loop_id, &request.claim_id)?.clone();
    if claim.digest != digest {
        let refusal = Refusal::new(
            "claim_digest_mismatch",
            "claim_digest",
            format!("{} has digest {}", claim.id, claim.digest),
            "read the claim again with `get_claim` and pass its digest",
        );
        return answer(shared, &claim, vec![refusal]);
    }
    let unseen = match claim.phase.is_pushed() {
        true => None,
        false => {
            let base = shared.base(&claim.body.parent)?;
            let policy = &base.facts.policy;
            // A forge that this machine cannot read could tell nothing about the push.
            source::open(shared, &policy.source)?;
            source::no_new_runs(policy, &claim.body.proof_scope)
        }
    };
    if let Some(refusal) = unseen {
        return answer(shared, &claim, vec![refusal]);
    }
    let refused = match claim.phase.is_pushed() {
        true => Vec::new(),
        false => match deliver(shared, ctx.caller, &claim.id, ctx.cancel)? {
            Delivered::Pushed => Vec::new(),
            Delivered::Refused(refused) => refused,
        },
    };
    let now = phase(shared, &claim);
    if now == ClaimPhase::Pushed {
        follow::begin(shared, &claim.id)?;
    }
    answer(shared, &claim, refused)
}

fn phase(shared: &Shared, claim: &Claim) -> ClaimPhase {
    let core = shared.core();
    let found = core.state.claims.get(&claim.id);
    found.map_or(claim.phase, |claim| claim.phase)
}

fn answer(
    shared: &Shared,
    claim: &Claim,
    refused: Vec<Refusal>,
) -> Result<RequestPushAnswer, ServiceError> {
    let core = shared.core();
    let claim = super::find_claim(&core.state, claim.id.as_str())?;
    let pushed = claim.phase.is_pushed();
    let commit = claim.commit.clone().filter(|_| pushed);
    Ok(RequestPushAnswer {
        attestation_ref: commit.as_deref().map(repo::attestation_ref),
        pushed_commit: commit,
        run_id: run(&core.state, claim).map(|id| id.to_string()),
        state: claim.phase.as_str().into(),
        refused: views::refusals(&refused),
    })
}

fn run(state: &LoopState, claim: &Claim) -> Option<RunId> {
    let id = claim.verifying_run.as_ref()?;
    state.runs.contains_key(id).then(|| id.clone())
}

//! `review_claim`: a claim on one page, as a person reads it.

use discipline::state::{Claim, ClaimPhase};

use super::{claims, classify, find_claim};
use crate::api::{ClassifyRunRequest, ReviewClaimAnswer, ReviewClaimRequest};
use crate::shared::{Ctx, Shared};
use crate::{ServiceError, staging, unified, views};

/// The card with what is too long for it: the law's text and the diff.
pub(super) fn review_claim(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ReviewClaimRequest,
) -> Result<ReviewClaimAnswer, ServiceError> {
    let claim = find_claim(&shared.core().state, &request.claim_id)?.clone();
    let bound = claims::card(shared, &claim)?;
    let base = shared.base(&claim.body.parent)?;
    let (law_text, law_pins) = law(shared, &claim)?;
    let reader = shared.reader()?;
    let base_tree = reader.commit_info(&claim.body.parent)?.tree;
    let diff = reader.diff_trees(&base_tree, &claim.body.tree)?;
    let approvable = claim.phase == ClaimPhase::Staged;
    Ok(ReviewClaimAnswer {
        summary: views::claim(&claim),
        bound: bound.is_some(),
        card: match bound {
            Some(card) => card,
            None => claims::object(&staging::card_now(shared, &claim)?)?,
        },
        law_text,
        law_pins,
        first_divergence: first_divergence(shared, ctx, &claim)?,
        diff: unified::files(&diff, &discipline::change::hunks(&diff)),
        expires_h: base.facts.policy.approval.expires_h,
        missing: claims::missing(&claim),
        approval_command: approvable.then(|| claims::approval_command(&claim)),
        approved_by: claim.approval.as_ref().map(|record| record.signer.clone()),
        verdict: views::verdict(&claim),
    })
}

/// Text and pins of the law that fails, from the file of the claim's parent.
fn law(shared: &Shared, claim: &Claim) -> Result<(String, Vec<String>), ServiceError> {
    let base = shared.base(&claim.body.parent)?;
    let reader = shared.reader()?;
    let tree = reader.commit_info(&claim.body.parent)?.tree;
    let bytes = reader.blob_at(&tree, &base.facts.policy.repo.law)?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    // The base was read before, so the file parses; a claim may still name no law of it.
    let law = invariants::Law::parse(&text).ok();
    let found = law
        .as_ref()
        .and_then(|law| law.get(&claim.body.failing_invariant));
    Ok(match found {
        Some(found) => (
            crate::page::plain(&found.text),
            found.pins.iter().map(ToString::to_string).collect(),
        ),
        None => (String::new(), Vec::new()),
    })
}

fn first_divergence(
    shared: &Shared,
    ctx: Ctx<'_>,
    claim: &Claim,
) -> Result<Option<crate::api::AnchorView>, ServiceError> {
    let run = discipline::model::RunId::from(claim.body.baseline_run.as_str());
    if !shared.core().state.runs.contains_key(&run) {
        return Ok(None);
    }
    let request = ClassifyRunRequest {
        run_id: run.to_string(),
    };
    Ok(classify::classify_run(shared, ctx, request)?.first_divergence)
}

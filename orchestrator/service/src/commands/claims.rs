//! `check_claim`, `propose_claim`, `get_claim`.

use std::collections::BTreeMap;

use attest::approval::claim_digest;
use attest::claim::ClaimBody;
use attest::json::canonical;
use discipline::decision::{Decision, Stage};
use discipline::event::Event;
use discipline::model::{ClaimId, LoopId};
use discipline::rules::decide;
use discipline::state::{Claim, ClaimPhase, LoopState, Operation};

use super::{check_key, draft, find_claim, find_loop, status};
use crate::ServiceError;
use crate::api::{
    CheckClaimAnswer, CheckClaimRequest, ClaimDraft, GetClaimAnswer, GetClaimRequest,
    ListClaimsAnswer, ListClaimsRequest, ProposeClaimAnswer, ProposeClaimRequest,
};
use crate::core::Core;
use crate::facts::{Circumstances, Gathered, gather};
use crate::shared::{Ctx, Shared};
use crate::{forecast, views};

/// Judges a draft and records nothing.
pub(super) fn check_claim(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: CheckClaimRequest,
) -> Result<CheckClaimAnswer, ServiceError> {
    find_loop(&shared.core().state, &request.loop_id)?;
    let judged = judge(shared, ctx, &request.draft)?;
    let rules = judged
        .decision
        .rules
        .iter()
        .map(|rule| (rule.rule.clone(), rule.refused.is_empty()));
    Ok(CheckClaimAnswer {
        rules: rules.collect(),
        refused: views::refusals(&refused(&judged.decision)),
        behavioural_lines: judged.gathered.input.diff.behavioural_lines,
        mechanical_lines: judged.gathered.input.diff.mechanical_lines,
        forecast: judged.gathered.input.target.forecast.sentences(),
    })
}

struct Judged {
    gathered: Gathered,
    decision: Decision,
}

fn judge(shared: &Shared, ctx: Ctx<'_>, draft: &ClaimDraft) -> Result<Judged, ServiceError> {
    let target = shared.refresh_target(ctx.cancel)?;
    let body = draft::body(shared, ctx, draft, &target)?;
    let base = shared.base(&body.parent)?;
    let circumstances = Circumstances {
        claim: None,
        remote_tip: Some(target.tip),
        forge: forecast::ask(shared, &base.facts.policy, ctx.cancel),
    };
    let gathered = gather(shared, &body, &circumstances)?;
    let decision = decide(&gathered.input, &gathered.base.rulebook, Stage::Propose);
    Ok(Judged { gathered, decision })
}

fn refused(decision: &Decision) -> Vec<discipline::model::Refusal> {
    decision.refused().cloned().collect()
}

/// Records a claim, with every unmet rule; the same key records it once.
pub(super) fn propose_claim(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ProposeClaimRequest,
) -> Result<ProposeClaimAnswer, ServiceError> {
    check_key(&request.idempotency_key)?;
    let loop_id = find_loop(&shared.core().state, &request.loop_id)?
        .id
        .clone();
    let operation = Operation::ProposeClaim(&loop_id);
    let key = &request.idempotency_key;
    let earlier = known(&shared.core().state, &loop_id, key);
    if let Some(claim) = earlier {
        return retried(shared, ctx, &request, &claim);
    }
    let judged = judge(shared, ctx, &request.draft)?;
    let body = judged.gathered.input.body.clone();
    let refused = refused(&judged.decision);
    let digest = judged.gathered.input.claim_digest.clone();
    let mut proposed = None;
    shared.append_with(&ctx.caller.author(), |core| {
        super::open_loop(&core.state, &request.loop_id)?;
        if let Some(id) = core.state.known(operation, key) {
            proposed = Some(ClaimId::from(id));
            return Ok(None);
        }
        let claim_id = core.state.next_claim_id();
        proposed = Some(claim_id.clone());
        Ok(Some(Event::ClaimProposed {
            claim_id,
            loop_id: loop_id.clone(),
            body: Box::new(body),
            claim_digest: digest,
            refused,
            idempotency_key: key.clone(),
            author: ctx.caller.author(),
        }))
    })?;
    let id = proposed.ok_or_else(|| ServiceError::Internal("no claim was made".into()))?;
    count_work(shared, ctx, &id, &judged.gathered)?;
    let core = shared.core();
    Ok(answer(find_claim(&core.state, id.as_str())?))
}

/// Counts what a tree that nobody proposed before holds: the work behind the proposals.
fn count_work(
    shared: &Shared,
    ctx: Ctx<'_>,
    id: &ClaimId,
    gathered: &Gathered,
) -> Result<(), ServiceError> {
    let diff = &gathered.input.diff;
    let lines = diff.behavioural_lines.saturating_add(diff.mechanical_lines);
    let grew = [("lines_written", lines), ("tests_added", diff.tests_added)];
    let grew: BTreeMap<String, u64> = grew
        .into_iter()
        .filter(|(_, by)| *by > 0)
        .map(|(name, by)| (name.to_owned(), u64::from(by)))
        .collect();
    let counted = |core: &Core| {
        let claim = core.state.claims.get(id)?;
        let mut others = core.state.claims.values();
        let known = others.any(|other| other.id != *id && other.body.tree == claim.body.tree);
        (!known && !grew.is_empty()).then(|| Event::Counted {
            loop_id: claim.loop_id.clone(),
            grew,
        })
    };
    shared
        .append_with(&ctx.caller.author(), |core| Ok(counted(core)))
        .map(|_| ())
}

fn known(state: &LoopState, loop_id: &LoopId, key: &str) -> Option<Claim> {
    let id = state.known(Operation::ProposeClaim(loop_id), key)?;
    state.claims.get(&ClaimId::from(id)).cloned()
}

/// The same key again: the same claim, when it is the same request.
fn retried(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &ProposeClaimRequest,
    claim: &Claim,
) -> Result<ProposeClaimAnswer, ServiceError> {
    // Judged on the target as it was then, so that a moved remote makes no other body of it.
    let target = crate::shared::Target {
        ref_name: claim.body.ref_name.clone(),
        tip: claim.body.parent.clone(),
    };
    let body = draft::body(shared, ctx, &request.draft, &target)?;
    let same = ClaimBody {
        author: claim.body.author.clone(),
        ..body
    };
    if claim_digest(&canonical(&same)?) == claim.digest {
        return Ok(answer(claim));
    }
    Err(ServiceError::KeyReused {
        key: request.idempotency_key.clone(),
        other: format!("claim {} with another content", claim.id),
    })
}

fn answer(claim: &Claim) -> ProposeClaimAnswer {
    ProposeClaimAnswer {
        claim_id: Some(claim.id.to_string()),
        claim_digest: Some(claim.digest.to_string()),
        state: claim.phase.as_str().into(),
        refused: views::refusals(&claim.refused),
    }
}

/// Claims of one loop or of all, newest first.
pub(super) fn list_claims(
    shared: &Shared,
    request: &ListClaimsRequest,
) -> Result<ListClaimsAnswer, ServiceError> {
    let core = shared.core();
    let state = &core.state;
    let of_loop = match (&request.loop_id, request.all) {
        (Some(id), _) => Some(find_loop(state, id)?.id.clone()),
        (None, true) => None,
        (None, false) => status::newest_open(&core),
    };
    let mut claims: Vec<&Claim> = state
        .claims
        .values()
        .filter(|claim| of_loop.as_ref().is_none_or(|id| &claim.loop_id == id))
        .collect();
    claims.sort_by_key(|claim| std::cmp::Reverse(claim.proposed_seq));
    Ok(ListClaimsAnswer {
        claims: claims.into_iter().map(views::claim).collect(),
        hit_rates: views::hit_rates(state),
    })
}

/// Everything about a claim.
pub(super) fn get_claim(
    shared: &Shared,
    request: GetClaimRequest,
) -> Result<GetClaimAnswer, ServiceError> {
    let (claim, gates) = {
        let core = shared.core();
        let claim = find_claim(&core.state, &request.claim_id)?.clone();
        let gate_run = claim
            .gate_run_id
            .as_ref()
            .and_then(|id| core.state.gate_runs.get(id));
        let gates = gate_run.map(|found| found.results.clone());
        (claim, gates.unwrap_or_default())
    };
    let approvable = matches!(claim.phase, ClaimPhase::Staged);
    Ok(GetClaimAnswer {
        summary: views::claim(&claim),
        body: object(&claim.body)?,
        refused: views::refusals(&claim.refused),
        missing: missing(&claim),
        gates: gates.iter().map(views::gate).collect(),
        approval_command: approvable.then(|| approval_command(&claim)),
        approved_by: claim.approval.as_ref().map(|record| record.signer.clone()),
        verdict: views::verdict(&claim),
        card: card(shared, &claim)?,
    })
}

/// What a person types to approve the claim.
pub(super) fn approval_command(claim: &Claim) -> String {
    format!("greenloop approve {} --key FILE", claim.id)
}

pub(super) fn object<T: serde::Serialize>(
    value: &T,
) -> Result<serde_json::Map<String, serde_json::Value>, ServiceError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err(ServiceError::Internal("not an object".into())),
        Err(error) => Err(ServiceError::Internal(error.to_string())),
    }
}

/// The card that was bound when the claim was staged, from the evidence store.
pub(super) fn card(
    shared: &Shared,
    claim: &Claim,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, ServiceError> {
    let Some(digest) = &claim.shown_digest else {
        return Ok(None);
    };
    let bytes = shared.evidence.get_blob(digest)?;
    let card = serde_json::from_slice(&bytes)
        .map_err(|error| ServiceError::Internal(format!("card of {}: {error}", claim.id)))?;
    Ok(Some(card))
}

/// What stands between the claim and the remote, in order.
pub(super) fn missing(claim: &Claim) -> Vec<String> {
    use ClaimPhase as P;
    let steps: &[&str] = match claim.phase {
        P::Drafted => &["a corrected proposal", "gates", "an approval", "the push"],
        P::Checked | P::Gating | P::Gated => &["gates", "an approval", "the push"],
        P::Staged => &["an approval by a person", "the push"],
        P::Approved => &["the push: `request_push`"],
        P::PushIntent | P::PushUnknown => &["a look at the remote: `request_push`"],
        P::Pushed | P::Verifying => &["the run of the pushed commit"],
        _ => &[],
    };
    steps.iter().map(|step| (*step).to_owned()).collect()
}

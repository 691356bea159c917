//! `prepare_approval`, `approve_claim`, `reject_claim`: a person's word.

use attest::approval::{Approval, ApprovalSubject, CLOCK_SKEW_MS};
use attest::namespace::Namespace;
use discipline::event::Event;
use discipline::model::Refusal;
use discipline::state::{Claim, ClaimPhase};

use super::{claims, find_claim, signing};
use crate::ServiceError;
use crate::api::{
    ApproveClaimAnswer, ApproveClaimRequest, PrepareApprovalAnswer, PrepareApprovalRequest,
    RejectClaimAnswer, RejectClaimRequest,
};
use crate::facts;
use crate::shared::{Ctx, Shared};
use crate::views;

/// The card and the bytes to sign.
pub(super) fn prepare(
    shared: &Shared,
    request: PrepareApprovalRequest,
) -> Result<PrepareApprovalAnswer, ServiceError> {
    let claim = find_claim(&shared.core().state, &request.claim_id)?.clone();
    let answer = |card, payload, refused: &[Refusal]| PrepareApprovalAnswer {
        summary: views::claim(&claim),
        card,
        payload,
        namespace: Namespace::Approval.as_str().into(),
        refused: views::refusals(refused),
    };
    if claim.phase != ClaimPhase::Staged {
        return Ok(answer(None, None, &[not_staged(&claim)]));
    }
    let subject = subject(shared, &claim)?;
    let payload = String::from_utf8(subject.signed_bytes()?)
        .map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(answer(claims::card(shared, &claim)?, Some(payload), &[]))
}

fn not_staged(claim: &Claim) -> Refusal {
    Refusal::new(
        "claim_not_staged",
        "claim_id",
        format!(
            "{} is {}, only a staged claim can be approved",
            claim.id, claim.phase
        ),
        "see what it needs with `greenloop claim`",
    )
}

fn subject(shared: &Shared, claim: &Claim) -> Result<ApprovalSubject, ServiceError> {
    let broken =
        |what: &str| ServiceError::Internal(format!("{} is staged without {what}", claim.id));
    let base = shared.base(&claim.body.parent)?;
    let hours = base.facts.policy.approval.expires_h;
    Ok(ApprovalSubject {
        claim_digest: claim.digest.clone(),
        repo: claim.body.repo.clone(),
        ref_name: claim.body.ref_name.clone(),
        old_tip: claim.body.parent.clone(),
        commit: claim.commit.clone().ok_or_else(|| broken("a commit"))?,
        tree: claim.body.tree.clone(),
        diff_digest: claim.body.diff_digest.clone(),
        gates_digest: claim.gates_digest.clone().ok_or_else(|| broken("gates"))?,
        shown_digest: claim.shown_digest.clone().ok_or_else(|| broken("a card"))?,
        expires_ms: signing::expires_ms(shared, hours),
        nonce: signing::nonce()?,
    })
}

/// Records a signature after checking whose it is and what it is over.
pub(super) fn approve(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ApproveClaimRequest,
) -> Result<ApproveClaimAnswer, ServiceError> {
    let claim = find_claim(&shared.core().state, &request.claim_id)?.clone();
    if let Some(record) = &claim.approval
        && record.signature == request.signature
    {
        return Ok(approved(&claim, Some(record.signer.clone()), &[]));
    }
    if claim.phase != ClaimPhase::Staged {
        return Ok(approved(&claim, None, &[not_staged(&claim)]));
    }
    let subject: ApprovalSubject = signing::subject(&request.payload, "prepare_approval")?;
    let base = shared.base(&claim.body.parent)?;
    let hours = base.facts.policy.approval.expires_h;
    let refused = unbound(shared, &claim, &subject, hours);
    if !refused.is_empty() {
        return Ok(approved(&claim, None, &refused));
    }
    let approval = Approval {
        subject,
        signature: request.signature,
    };
    let signers = facts::signers(shared, &base, &claim.body)?;
    let approver = match approval.verify(&signers, Some(shared.now())) {
        Ok(approver) => approver,
        Err(error) => {
            return Ok(approved(&claim, None, &[signing::refusal(&error)]));
        }
    };
    let signer = approver.principal.clone();
    shared.append_with(&ctx.caller.author(), |core| {
        let now = find_claim(&core.state, claim.id.as_str())?;
        Ok(
            (now.phase == ClaimPhase::Staged).then(|| Event::ClaimApproved {
                claim_id: claim.id.clone(),
                subject: Box::new(approval.subject.clone()),
                signature: approval.signature.clone(),
                signer: approver.principal.clone(),
            }),
        )
    })?;
    let core = shared.core();
    Ok(approved(
        find_claim(&core.state, claim.id.as_str())?,
        Some(signer),
        &[],
    ))
}

fn approved(claim: &Claim, signer: Option<String>, refused: &[Refusal]) -> ApproveClaimAnswer {
    ApproveClaimAnswer {
        state: claim.phase.as_str().into(),
        signer,
        refused: views::refusals(refused),
    }
}

/// What the signature is over must be what the claim is now.
fn unbound(shared: &Shared, claim: &Claim, subject: &ApprovalSubject, hours: u32) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if subject.expired_at(shared.now()) {
        refused.push(Refusal::new(
            "approval_expired",
            "payload.expires_ms",
            "the payload has expired",
            "run `greenloop approve` again",
        ));
    }
    let latest = signing::expires_ms(shared, hours).saturating_add(CLOCK_SKEW_MS);
    if subject.expires_ms > latest {
        refused.push(Refusal::new(
            "approval_too_long",
            "payload.expires_ms",
            format!("approvals last {hours} h here, the payload outlives that"),
            "run `greenloop approve` again, which sets the right time",
        ));
    }
    let text = |value: Option<String>| value.unwrap_or_default();
    let pairs = [
        (
            "claim_digest",
            claim.digest.to_string(),
            subject.claim_digest.to_string(),
        ),
        ("repo", claim.body.repo.clone(), subject.repo.clone()),
        ("ref", claim.body.ref_name.clone(), subject.ref_name.clone()),
        (
            "old_tip",
            claim.body.parent.clone(),
            subject.old_tip.clone(),
        ),
        ("commit", text(claim.commit.clone()), subject.commit.clone()),
        ("tree", claim.body.tree.clone(), subject.tree.clone()),
        (
            "diff_digest",
            claim.body.diff_digest.to_string(),
            subject.diff_digest.to_string(),
        ),
        (
            "gates_digest",
            text(claim.gates_digest.as_ref().map(ToString::to_string)),
            subject.gates_digest.to_string(),
        ),
        (
            "shown_digest",
            text(claim.shown_digest.as_ref().map(ToString::to_string)),
            subject.shown_digest.to_string(),
        ),
    ];
    for (field, is, signed) in pairs {
        if is != signed {
            refused.push(Refusal::new(
                "approval_mismatch",
                format!("payload.{field}"),
                format!("the payload says {signed}, the claim has {is}"),
                "run `greenloop approve` again, which signs the claim as it is now",
            ));
        }
    }
    refused
}

/// Records a person's no.
pub(super) fn reject(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: RejectClaimRequest,
) -> Result<RejectClaimAnswer, ServiceError> {
    let mut refused = Vec::new();
    if request.reason.trim().is_empty() {
        refused.push(Refusal::new(
            "reason_missing",
            "reason",
            "a rejection without a reason teaches nothing",
            "say why, in one sentence",
        ));
    }
    shared.append_with(&ctx.caller.author(), |core| {
        let claim = find_claim(&core.state, &request.claim_id)?;
        if claim.phase == ClaimPhase::Rejected || !refused.is_empty() {
            return Ok(None);
        }
        if claim.phase != ClaimPhase::Staged {
            refused.push(not_staged(claim));
            return Ok(None);
        }
        Ok(Some(Event::ClaimRejected {
            claim_id: claim.id.clone(),
            reason: request.reason.clone(),
            author: ctx.caller.author(),
        }))
    })?;
    let core = shared.core();
    Ok(RejectClaimAnswer {
        state: find_claim(&core.state, &request.claim_id)?
            .phase
            .as_str()
            .into(),
        refused: views::refusals(&refused),
    })
}

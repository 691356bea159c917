//! The signature is over exactly what would be pushed, and is not too old.

use attest::approval::{ApprovalSubject, CLOCK_SKEW_MS};

use super::Case;
use crate::model::Refusal;

const HOUR_MS: i64 = 60 * 60 * 1000;
const APPROVE: &str = "ask a person to run `greenloop approve`";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let Some(approval) = &case.input.approval else {
        return vec![Refusal::new(
            "approval_missing",
            "approval",
            "no person has signed this claim",
            APPROVE,
        )];
    };
    let mut refused = mismatches(case, &approval.subject);
    refused.extend(lifetime(case, &approval.subject));
    if approval.signer.trim().is_empty() {
        refused.push(Refusal::new(
            "approval_unsigned",
            "approval.signer",
            "no principal stands behind the signature",
            APPROVE,
        ));
    }
    refused
}

fn mismatches(case: &Case<'_>, subject: &ApprovalSubject) -> Vec<Refusal> {
    let (input, body) = (case.input, case.body());
    let none = || "nothing".to_owned();
    let gates = input
        .gates
        .as_ref()
        .map_or_else(none, |gates| gates.gates_digest.to_string());
    let commit = input.target.commit.clone().unwrap_or_else(none);
    let pairs = [
        (
            "claim_digest",
            input.claim_digest.to_string(),
            subject.claim_digest.to_string(),
        ),
        ("repo", body.repo.clone(), subject.repo.clone()),
        ("ref", body.ref_name.clone(), subject.ref_name.clone()),
        ("old_tip", body.parent.clone(), subject.old_tip.clone()),
        ("commit", commit, subject.commit.clone()),
        ("tree", body.tree.clone(), subject.tree.clone()),
        (
            "diff_digest",
            body.diff_digest.to_string(),
            subject.diff_digest.to_string(),
        ),
        ("gates_digest", gates, subject.gates_digest.to_string()),
    ];
    let differing = pairs.into_iter().filter(|(_, is, signed)| is != signed);
    differing
        .map(|(field, is, signed)| {
            Refusal::new(
                "approval_mismatch",
                format!("approval.{field}"),
                format!("the signature is over {signed}, the claim has {is}"),
                "have the claim as it is now approved: `greenloop approve`",
            )
        })
        .collect()
}

fn lifetime(case: &Case<'_>, subject: &ApprovalSubject) -> Option<Refusal> {
    let now = case.input.now_ms;
    let hours = case.input.policy.policy.approval.expires_h;
    if subject.expired_at(now) {
        return Some(Refusal::new(
            "approval_expired",
            "approval.expires_ms",
            "the approval has expired",
            "propose the claim again and have it approved",
        ));
    }
    let latest = now
        .saturating_add(i64::from(hours) * HOUR_MS)
        .saturating_add(CLOCK_SKEW_MS);
    (subject.expires_ms > latest).then(|| {
        Refusal::new(
            "approval_too_long",
            "approval.expires_ms",
            format!("approvals last {hours} h here, this one outlives that"),
            "approve again with `greenloop approve`, which sets the right time",
        )
    })
}

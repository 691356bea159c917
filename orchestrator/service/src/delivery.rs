//! From approved to pushed: intent before, outcome after, the remote as the only witness.

use std::sync::PoisonError;

use attest::approval::Approval;
use attest::digest::Digest;
use attest::json::Value;
use attest::statement::JournalHead;
use discipline::decision::{Decision, Stage};
use discipline::event::{Event, PushOutcome};
use discipline::model::{ClaimId, Refusal};
use discipline::permit::{PushPermit, grant};
use discipline::rules::decide;
use discipline::state::{Claim, ClaimPhase};
use repo::Delivery;
use verify::build::{DaemonKeys, attestation};

use crate::facts::{Circumstances, Gathered, gather};
use crate::forecast;
use crate::shared::{Shared, daemon};
use crate::{Caller, Cancel, ServiceError};

/// What came of asking for a push.
pub(crate) enum Delivered {
    /// Branch and attestation are at the remote.
    Pushed,
    /// Nothing moved, for these reasons.
    Refused(Vec<Refusal>),
}

/// Spends an approval. Called again for a claim that was pushed, it says so and sends nothing.
pub(crate) fn deliver(
    shared: &Shared,
    caller: &Caller,
    id: &ClaimId,
    cancel: &Cancel,
) -> Result<Delivered, ServiceError> {
    let _one_at_a_time = shared
        .push_door
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    settle_open(shared, id, cancel)?;
    let claim = claim(shared, id)?;
    if claim.phase.is_pushed() {
        return Ok(Delivered::Pushed);
    }
    let target = shared.refresh_target(cancel)?;
    let base = shared.base(&claim.body.parent)?;
    let circumstances = Circumstances {
        claim: Some(&claim),
        remote_tip: Some(target.tip),
        forge: forecast::ask(shared, &base.facts.policy, cancel),
    };
    let gathered = gather(shared, &claim.body, &circumstances)?;
    let decision = decide(&gathered.input, &gathered.base.rulebook, Stage::Push);
    if claim.phase != ClaimPhase::Approved || !decision.allowed {
        return refuse(shared, &claim, &gathered, &decision);
    }
    let permit = match permit(shared, &claim, &gathered, &decision)? {
        Ok(permit) => permit,
        Err(refused) => return Ok(Delivered::Refused(refused)),
    };
    let delivery = intended(&permit);
    shared.append(
        &caller.author(),
        Event::PushIntended {
            claim_id: id.clone(),
            commit: delivery.commit.clone(),
            old_tip: permit.old_tip().to_owned(),
            attestation: delivery.attestation.clone(),
            decision: permit.decision_digest().clone(),
            overrides: decision.overrides(),
        },
    )?;
    send(shared, id, permit, &delivery, cancel)
}

fn send(
    shared: &Shared,
    id: &ClaimId,
    permit: PushPermit,
    delivery: &Delivery,
    cancel: &Cancel,
) -> Result<Delivered, ServiceError> {
    let mut group = None;
    let mut on_group = |started: &exec::Group| {
        group = Some(started.clone());
        shared.group_started(started, "push")
    };
    let sent = shared.repo.push(permit, &mut on_group, cancel);
    if let Some(group) = &group {
        shared.group_ended(group);
    }
    let outcome = sent.unwrap_or_else(|error| PushOutcome::Unknown {
        message: error.to_string(),
    });
    settle(shared, id, outcome.clone())?;
    let outcome = match outcome {
        PushOutcome::Unknown { message } => {
            // Not the caller's cancel: what happened has to be known.
            match shared
                .repo
                .resolve_push(&shared.remote, delivery, &Cancel::new()?)
            {
                Ok(found) => {
                    settle(shared, id, found.clone())?;
                    found
                }
                Err(error) => {
                    tracing::warn!(%error, "outcome of a push stays unknown");
                    PushOutcome::Unknown { message }
                }
            }
        }
        known => known,
    };
    Ok(match outcome {
        PushOutcome::Pushed => Delivered::Pushed,
        PushOutcome::Refused { message } => Delivered::Refused(vec![Refusal::new(
            "remote_refused",
            "remote",
            format!("the remote took nothing: {message}"),
            "read what the remote says; when it is resolved, ask for the push again",
        )]),
        PushOutcome::Unknown { message } => Delivered::Refused(vec![Refusal::new(
            "push_unknown",
            "remote",
            format!("whether it arrived is not known: {message}"),
            "ask again when the remote can be read; nothing is sent twice",
        )]),
    })
}

fn settle(shared: &Shared, id: &ClaimId, outcome: PushOutcome) -> Result<(), ServiceError> {
    shared.append(
        &daemon(),
        Event::PushSettled {
            claim_id: id.clone(),
            outcome,
        },
    )
}

/// Reads the remote for a claim whose push was intended and not settled.
pub(crate) fn settle_open(
    shared: &Shared,
    id: &ClaimId,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let claim = claim(shared, id)?;
    let open = matches!(
        claim.phase,
        ClaimPhase::PushIntent | ClaimPhase::PushUnknown
    );
    let earlier = claim.phase == ClaimPhase::Approved && claim.push.is_some();
    let Some(push) = claim.push.clone().filter(|_| open || earlier) else {
        return Ok(());
    };
    let delivery = Delivery {
        ref_name: claim.body.ref_name.clone(),
        old_tip: Some(push.old_tip.clone()),
        commit: push.commit.clone(),
        attestation: push.attestation.clone(),
    };
    let outcome = shared
        .repo
        .resolve_push(&shared.remote, &delivery, cancel)?;
    if open {
        return settle(shared, id, outcome);
    }
    if outcome == PushOutcome::Pushed {
        // It arrived after the remote had been read as empty: the same intent, settled late.
        shared.append(
            &daemon(),
            Event::PushIntended {
                claim_id: id.clone(),
                commit: push.commit,
                old_tip: push.old_tip,
                attestation: push.attestation,
                decision: push.decision,
                overrides: push.overrides,
            },
        )?;
        settle(shared, id, outcome)?;
    }
    Ok(())
}

fn refuse(
    shared: &Shared,
    claim: &Claim,
    gathered: &Gathered,
    decision: &Decision,
) -> Result<Delivered, ServiceError> {
    let mut refused: Vec<Refusal> = decision.refused().cloned().collect();
    if claim.phase == ClaimPhase::Approved {
        if let Some(event) = end_of(claim, gathered) {
            shared.append(&daemon(), event)?;
        }
    } else if refused.is_empty() {
        refused.push(Refusal::new(
            "claim_not_approved",
            "claim",
            format!("{} is {}", claim.id, claim.phase),
            format!("see what it needs with `greenloop claim {}`", claim.id),
        ));
    }
    Ok(Delivered::Refused(refused))
}

/// An approved claim that can never be pushed any more gives its scope free.
fn end_of(claim: &Claim, gathered: &Gathered) -> Option<Event> {
    let input = &gathered.input;
    let claim_id = claim.id.clone();
    let signed = claim.approval.as_ref()?;
    if signed.subject.expired_at(input.now_ms) {
        return Some(Event::ClaimExpired { claim_id });
    }
    let tip = input.target.remote_tip.as_deref()?;
    (tip != input.body.parent).then(|| Event::ClaimInvalidated {
        claim_id,
        reason: format!("the remote moved to {tip}"),
    })
}

/// Writes the attestation and makes the permit for exactly it.
fn permit(
    shared: &Shared,
    claim: &Claim,
    gathered: &Gathered,
    decision: &Decision,
) -> Result<Result<PushPermit, Vec<Refusal>>, ServiceError> {
    let Some(record) = &claim.approval else {
        return Err(ServiceError::Internal(format!(
            "{} has no approval",
            claim.id
        )));
    };
    let approval = Approval {
        subject: record.subject.clone(),
        signature: record.signature.clone(),
    };
    let excerpts = match gathered.base.facts.policy.attest.excerpts {
        true => Some(excerpts(shared, claim)?),
        false => None,
    };
    let files = attestation(
        &gathered.input,
        decision,
        &approval,
        excerpts.as_ref(),
        journal_head(shared),
        DaemonKeys {
            gate: &shared.keys.gate,
            verdict: &shared.keys.verdict,
        },
    )?;
    let files: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect();
    let tree = shared.repo.write_files(&files)?;
    Ok(grant(
        decision,
        &gathered.input,
        &gathered.base.rulebook,
        claim,
        tree,
        shared.remote.clone(),
    ))
}

/// Cited lines as text, by citation.
fn excerpts(shared: &Shared, claim: &Claim) -> Result<Value, ServiceError> {
    let mut cited = Vec::new();
    for citation in &claim.body.evidence {
        let reader = shared.evidence.open_log(&citation.log_id)?;
        let length = citation.byte_end.saturating_sub(citation.byte_start);
        let bytes = reader.read_range(citation.byte_start, length.min(64 << 10))?;
        cited.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    let bytes = attest::json::canonical(&cited)?;
    Ok(attest::json::parse_strict(&bytes)?)
}

/// The journal's head, as attestations and verdicts carry it.
pub(crate) fn journal_head(shared: &Shared) -> JournalHead {
    let head = shared.core().dir.journal.head();
    JournalHead {
        seq: head.seq,
        head: Digest::from_bytes(head.hash.0),
    }
}

fn intended(permit: &PushPermit) -> Delivery {
    Delivery {
        ref_name: permit.ref_name().to_owned(),
        old_tip: Some(permit.old_tip().to_owned()),
        commit: permit.commit().to_owned(),
        attestation: permit.attestation().to_owned(),
    }
}

fn claim(shared: &Shared, id: &ClaimId) -> Result<Claim, ServiceError> {
    let core = shared.core();
    core.state
        .claims
        .get(id)
        .cloned()
        .ok_or_else(|| ServiceError::Internal(format!("claim {id} has gone")))
}

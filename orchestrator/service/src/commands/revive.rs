//! `prepare_revival`, `revive_hypothesis`: a person lets a dead cause live again.
//!
//! What an agent can do for it is to record what newer runs show; whether that contradicts the killer is
//! evaluated, and then a person signs.

use attest::approval::RevivalSubject;
use attest::namespace::Namespace;
use discipline::event::Event;
use discipline::hypothesis::{NewerRun, admit_revival, killer_digest, newer_measurements};
use discipline::model::{HypothesisId, Refusal};
use discipline::state::{Hypothesis, HypothesisStatus};

use super::hypotheses::view;
use super::{find_hypothesis, signing};
use crate::api::{
    PrepareRevivalAnswer, PrepareRevivalRequest, ReviveHypothesisAnswer, ReviveHypothesisRequest,
};
use crate::shared::{Ctx, Shared};
use crate::{ServiceError, facts, observe, views};

/// The observations that speak for it now, and every reason against it.
struct Judged {
    dead: Hypothesis,
    observations: Vec<String>,
    refused: Vec<Refusal>,
}

fn judge(shared: &Shared, id: &str, reason: &str) -> Result<Judged, ServiceError> {
    let state = shared.core().state.clone();
    let dead = find_hypothesis(&state, id)?.clone();
    let base = shared.base(&dead.body.commit)?;
    let measured = newer_measurements(&state, &dead.id);
    let mut runs: Vec<NewerRun> = Vec::new();
    for run_id in measured.iter().flat_map(|(_, runs)| runs) {
        if runs.iter().any(|known| &known.run_id == run_id) {
            continue;
        }
        let run = super::find_run(&state, run_id.as_str())?.clone();
        runs.push(NewerRun {
            run_id: run_id.clone(),
            cells: observe::cells_of(shared, &run, &base.rulebook.catalogue)?,
        });
    }
    let refused = admit_revival(&state, &dead.id, &runs, reason, &base.rulebook);
    let observations = measured.into_iter().map(|(id, _)| id.to_string());
    Ok(Judged {
        observations: observations.collect(),
        dead,
        refused,
    })
}

/// What is asked for, and the bytes to sign.
pub(super) fn prepare(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &PrepareRevivalRequest,
) -> Result<PrepareRevivalAnswer, ServiceError> {
    let judged = judge(shared, &request.hypothesis_id, &request.reason)?;
    let payload = match (&judged.dead.killer, judged.refused.is_empty()) {
        (Some(killer), true) => {
            let tip = shared.known_target(ctx.cancel)?.tip;
            let hours = shared.base(&tip)?.facts.policy.approval.expires_h;
            let subject = RevivalSubject {
                revives: judged.dead.id.to_string(),
                repo: shared.root_commit.clone(),
                killer_digest: killer_digest(killer)?,
                observations: judged.observations.clone(),
                reason: request.reason.clone(),
                expires_ms: signing::expires_ms(shared, hours),
                nonce: signing::nonce()?,
            };
            let bytes = String::from_utf8(subject.signed_bytes()?);
            Some(bytes.map_err(|error| ServiceError::Internal(error.to_string()))?)
        }
        _ => None,
    };
    Ok(PrepareRevivalAnswer {
        hypothesis: views::hypothesis(&judged.dead),
        observations: judged.observations,
        payload,
        namespace: Namespace::Approval.as_str().into(),
        refused: views::refusals(&judged.refused),
    })
}

/// Records a signature after checking whose it is, what it is over, and that it still holds.
pub(super) fn revive(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ReviveHypothesisRequest,
) -> Result<ReviveHypothesisAnswer, ServiceError> {
    let subject: RevivalSubject = signing::subject(&request.payload, "prepare_revival")?;
    let judged = judge(shared, &request.hypothesis_id, &subject.reason)?;
    let id = judged.dead.id.clone();
    let mut refused = judged.refused.clone();
    refused.extend(unbound(shared, &judged, &subject)?);
    if !refused.is_empty() {
        return answer(shared, &id, None, &refused);
    }
    let tip = shared.known_target(ctx.cancel)?.tip;
    let base = shared.base(&tip)?;
    let signers = facts::signers_at(shared, &base, &tip)?;
    let approver = match subject.verify(&request.signature, &signers, Some(shared.now())) {
        Ok(approver) => approver,
        Err(error) => {
            return answer(shared, &id, None, &[signing::refusal(&error)]);
        }
    };
    shared.append_with(&ctx.caller.author(), |core| {
        let now = find_hypothesis(&core.state, id.as_str())?;
        let dead = now.status == HypothesisStatus::Falsified;
        Ok(dead.then(|| Event::HypothesisRevived {
            hypothesis_id: id.clone(),
            subject: Box::new(subject.clone()),
            signature: request.signature.clone(),
            signer: approver.principal.clone(),
        }))
    })?;
    answer(shared, &id, Some(approver.principal), &[])
}

/// What the signature is over must be what the ledger holds now.
fn unbound(
    shared: &Shared,
    judged: &Judged,
    subject: &RevivalSubject,
) -> Result<Vec<Refusal>, ServiceError> {
    let again = "run `greenloop revive` again, which signs the ledger as it is now";
    let mut refused = Vec::new();
    if subject.expired_at(shared.now()) {
        refused.push(Refusal::new(
            "approval_expired",
            "payload.expires_ms",
            "the payload has expired",
            again,
        ));
    }
    let killer = judged.dead.killer.as_ref().map(killer_digest).transpose()?;
    let same = [
        ("revives", judged.dead.id.as_str() == subject.revives),
        ("repo", shared.root_commit == subject.repo),
        (
            "killer_digest",
            killer.as_ref() == Some(&subject.killer_digest),
        ),
        ("observations", judged.observations == subject.observations),
    ];
    for (field, _) in same.into_iter().filter(|(_, same)| !same) {
        refused.push(Refusal::new(
            "approval_mismatch",
            format!("payload.{field}"),
            "the payload says otherwise than the ledger does now",
            again,
        ));
    }
    Ok(refused)
}

fn answer(
    shared: &Shared,
    id: &HypothesisId,
    signer: Option<String>,
    refused: &[Refusal],
) -> Result<ReviveHypothesisAnswer, ServiceError> {
    Ok(ReviveHypothesisAnswer {
        hypothesis: view(shared, id)?,
        signer,
        refused: views::refusals(refused),
    })
}

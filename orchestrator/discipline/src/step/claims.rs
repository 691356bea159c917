//! The claim machine: one match says which move leads where; everything else is checked against
//! what the claim is bound to.

use std::collections::BTreeMap;

use attest::approval::{ApprovalSubject, claim_digest};
use attest::claim::{ClaimBody, ClaimKind};
use attest::digest::Digest;
use attest::json::canonical;

use super::gates::{end_gate_run, finish_gates, live, start_gates};
use super::{IllegalEvent, counters, equal, fresh, fresh_key, known, known_run, open};
use crate::event::{Event, PushOutcome};
use crate::model::{ClaimId, GuardOutcome, LoopId, ScopeGuards, VerdictKind};
use crate::overrides::SCOPE_CLOSED;
use crate::state::{
    ApprovalRecord, Claim, ClaimPhase, GateRunStatus, LoopState, Operation, PushRecord,
    ScopeClosure,
};

/// What can happen to a claim after it was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    StartGates,
    PassGates,
    FailGates,
    CancelGates,
    Stage,
    Approve,
    Reject,
    Withdraw,
    Invalidate,
    Expire,
    IntendPush,
    Push,
    RefusePush,
    LosePush,
    Verify,
    Grade(VerdictKind),
    GradeGuards,
    PublishVerdict,
}

/// Where a move leads, if it exists at all: the whole state machine.
pub(super) fn target(from: ClaimPhase, by: Move) -> Option<ClaimPhase> {
    use ClaimPhase as P;
    Some(match (from, by) {
        (P::Checked, Move::StartGates) => P::Gating,
        (P::Gating, Move::PassGates) => P::Gated,
        (P::Gating, Move::FailGates | Move::CancelGates) => P::Checked,
        (P::Gated, Move::Stage) => P::Staged,
        (P::Staged, Move::Approve) => P::Approved,
        (P::Staged, Move::Reject) => P::Rejected,
        (P::Approved, Move::IntendPush) => P::PushIntent,
        (P::Approved, Move::Expire) => P::Expired,
        (from, Move::Withdraw) if from.before_push() => P::Withdrawn,
        (from, Move::Invalidate) if from.before_push() => P::Invalidated,
        (P::PushIntent | P::PushUnknown, Move::Push) => P::Pushed,
        (P::PushIntent | P::PushUnknown, Move::RefusePush) => P::Approved,
        (P::PushIntent, Move::LosePush) => P::PushUnknown,
        // A run that was lost is replaced by another of the same commit.
        (P::Pushed | P::Verifying, Move::Verify) => P::Verifying,
        (P::Verifying, Move::Grade(VerdictKind::Confirmed)) => P::Confirmed,
        (P::Verifying, Move::Grade(VerdictKind::Refuted)) => P::Refuted,
        (P::Verifying, Move::Grade(VerdictKind::Inconclusive)) => P::Inconclusive,
        (from, Move::GradeGuards) if from.is_pushed() => from,
        (from @ (P::Confirmed | P::Refuted | P::Inconclusive), Move::PublishVerdict) => from,
        _ => return None,
    })
}

pub(super) fn apply(state: &mut LoopState, event: &Event) -> Result<(), IllegalEvent> {
    match event {
        Event::ClaimProposed {
            loop_id,
            body,
            claim_digest,
            idempotency_key,
            ..
        } => {
            may_propose(state, loop_id, body, claim_digest, idempotency_key)?;
            propose(state, event)
        }
        Event::GatesStarted {
            claim_id,
            gate_run_id,
        } => start_gates(state, claim_id, gate_run_id),
        Event::GateFinished {
            gate_run_id,
            result,
        } => {
            live(state, gate_run_id)?;
            if let Some(gate_run) = state.gate_runs.get_mut(gate_run_id) {
                gate_run.results.push((**result).clone());
            }
            Ok(())
        }
        Event::GatesFinished {
            gate_run_id,
            gates_digest,
            refused,
        } => {
            let moved = if refused.is_empty() {
                Move::PassGates
            } else {
                Move::FailGates
            };
            let claim_id = finish_gates(state, gate_run_id, gates_digest, moved)?;
            change(state, &claim_id, moved, "gates_finished", |claim| {
                claim.refused.clone_from(refused)
            })
        }
        Event::GatesCancelled { gate_run_id, .. } => {
            let claim_id = live(state, gate_run_id)?.claim_id.clone();
            change(
                state,
                &claim_id,
                Move::CancelGates,
                "gates_cancelled",
                |_| (),
            )?;
            end_gate_run(state, gate_run_id, GateRunStatus::Cancelled);
            Ok(())
        }
        Event::ClaimStaged {
            claim_id,
            commit,
            shown_digest,
        } => change(state, claim_id, Move::Stage, "claim_staged", |claim| {
            claim.commit = Some(commit.clone());
            claim.shown_digest = Some(shown_digest.clone());
        }),
        Event::ClaimApproved {
            claim_id,
            subject,
            signature,
            signer,
        } => {
            bound(get(state, claim_id)?, Move::Approve, "claim_approved")
                .and_then(|claim| subject_matches(claim, subject))?;
            let record = ApprovalRecord {
                subject: (**subject).clone(),
                signature: signature.clone(),
                signer: signer.clone(),
            };
            change(state, claim_id, Move::Approve, "claim_approved", |claim| {
                claim.approval = Some(record)
            })
        }
        Event::ClaimRejected {
            claim_id, reason, ..
        } => close(state, claim_id, Move::Reject, "claim_rejected", reason),
        Event::ClaimWithdrawn { claim_id, reason } => {
            close(state, claim_id, Move::Withdraw, "claim_withdrawn", reason)
        }
        Event::ClaimExpired { claim_id } => close(
            state,
            claim_id,
            Move::Expire,
            "claim_expired",
            "the approval grew too old",
        ),
        Event::ClaimInvalidated { claim_id, reason } => close(
            state,
            claim_id,
            Move::Invalidate,
            "claim_invalidated",
            reason,
        ),
        Event::PushIntended {
            claim_id,
            commit,
            old_tip,
            attestation,
            decision,
            overrides,
        } => {
            let push = PushRecord {
                commit: commit.clone(),
                old_tip: old_tip.clone(),
                attestation: attestation.clone(),
                decision: decision.clone(),
                overrides: overrides.clone(),
                message: None,
            };
            may_push(state, claim_id, &push)?;
            change(
                state,
                claim_id,
                Move::IntendPush,
                "push_intended",
                |claim| claim.push = Some(push),
            )
        }
        Event::PushSettled { claim_id, outcome } => settle(state, claim_id, outcome),
        Event::VerificationStarted { claim_id, run_id } => {
            let claim = bound(get(state, claim_id)?, Move::Verify, "verification_started")?;
            let run = known_run(state, run_id)?;
            let subject = format!("claim {claim_id}");
            equal(&subject, "run.scope", &claim.body.proof_scope, &run.scope)?;
            equal(
                &subject,
                "run.head_sha",
                claim.commit.as_deref().unwrap_or("none"),
                &run.head_sha,
            )?;
            let run_id = run_id.clone();
            change(
                state,
                claim_id,
                Move::Verify,
                "verification_started",
                |claim| claim.verifying_run = Some(run_id),
            )
        }
        Event::ClaimVerified { claim_id, verdict } => {
            let moved = Move::Grade(verdict.kind);
            let claim = bound(get(state, claim_id)?, moved, "claim_verified")?;
            let subject = format!("claim {claim_id}");
            let graded = claim
                .verifying_run
                .as_ref()
                .map_or("none", |run| run.as_str());
            equal(&subject, "verdict.run_id", graded, verdict.run_id.as_str())?;
            equal(
                &subject,
                "verdict.commit",
                claim.commit.as_deref().unwrap_or("none"),
                &verdict.commit,
            )?;
            let scope = claim.body.proof_scope.clone();
            change(state, claim_id, moved, "claim_verified", |claim| {
                claim.verdict = Some((**verdict).clone())
            })?;
            if verdict.rollback_due {
                close_scope(state, &scope, claim_id, &verdict.reasons.join("; "));
            }
            Ok(())
        }
        Event::GuardsGraded { claim_id, guards } => grade_guards(state, claim_id, guards),
        Event::VerdictPublished { claim_id, object } => change(
            state,
            claim_id,
            Move::PublishVerdict,
            "verdict_published",
            |claim| {
                claim.verdict_object = Some(object.clone());
            },
        ),
        other => Err(IllegalEvent::Unknown {
            what: "claim event",
            id: format!("{other:?}").chars().take(40).collect(),
        }),
    }
}

/// A guard that broke closes the scope it stands for and the claim's own, whatever the claim's own run says.
fn grade_guards(
    state: &mut LoopState,
    id: &ClaimId,
    guards: &ScopeGuards,
) -> Result<(), IllegalEvent> {
    let claim = bound(get(state, id)?, Move::GradeGuards, "guards_graded")?;
    let scope = guards.scope.as_str();
    if !claim.ungraded_scopes().contains(&scope) {
        return Err(IllegalEvent::Unknown {
            what: "guarded scope without a grade",
            id: scope.to_owned(),
        });
    }
    if let Some(run_id) = &guards.run_id {
        let run = known_run(state, run_id)?;
        let subject = format!("claim {id}");
        equal(&subject, "guards.scope", scope, &run.scope)?;
        let commit = claim.commit.as_deref().unwrap_or("none");
        equal(&subject, "guards.commit", commit, &run.head_sha)?;
    }
    let own = claim.body.proof_scope.clone();
    change(state, id, Move::GradeGuards, "guards_graded", |claim| {
        claim
            .other_scopes
            .insert(guards.scope.clone(), guards.clone());
    })?;
    if guards.outcome == GuardOutcome::Broke {
        let reason = guards.reasons.join("; ");
        close_scope(state, scope, id, &reason);
        close_scope(state, &own, id, &reason);
    }
    Ok(())
}

/// Closes a scope; the first reason stays until the scope is reopened.
fn close_scope(state: &mut LoopState, scope: &str, claim_id: &ClaimId, reason: &str) {
    let closure = ScopeClosure {
        claim_id: claim_id.clone(),
        reason: reason.to_owned(),
    };
    if !state.closed_scopes.contains_key(scope) {
        state.closed_scopes.insert(scope.to_owned(), closure);
    }
}

pub(super) fn get<'a>(state: &'a LoopState, id: &ClaimId) -> Result<&'a Claim, IllegalEvent> {
    known(&state.claims, id, "claim", id.as_str())
}

/// The claim, when the move exists from where it stands.
pub(super) fn bound<'a>(
    claim: &'a Claim,
    by: Move,
    event: &'static str,
) -> Result<&'a Claim, IllegalEvent> {
    match target(claim.phase, by) {
        Some(_) => Ok(claim),
        None => Err(IllegalEvent::Transition {
            claim: claim.id.to_string(),
            from: claim.phase,
            event,
        }),
    }
}

pub(super) fn change(
    state: &mut LoopState,
    id: &ClaimId,
    by: Move,
    event: &'static str,
    edit: impl FnOnce(&mut Claim),
) -> Result<(), IllegalEvent> {
    let claim = bound(get(state, id)?, by, event)?;
    let Some(to) = target(claim.phase, by) else {
        return Ok(());
    };
    if let Some(claim) = state.claims.get_mut(id) {
        claim.phase = to;
        edit(claim);
    }
    Ok(())
}

fn close(
    state: &mut LoopState,
    id: &ClaimId,
    by: Move,
    event: &'static str,
    reason: &str,
) -> Result<(), IllegalEvent> {
    let was = get(state, id)?.phase;
    let gate_run = get(state, id)?.gate_run_id.clone();
    change(state, id, by, event, |claim| {
        claim.closed_because = Some(reason.to_owned())
    })?;
    if let Some(gate_run) = gate_run.filter(|_| was == ClaimPhase::Gating) {
        end_gate_run(state, &gate_run, GateRunStatus::Cancelled);
    }
    Ok(())
}

fn may_propose(
    state: &LoopState,
    loop_id: &LoopId,
    body: &ClaimBody,
    digest: &Digest,
    key: &str,
) -> Result<(), IllegalEvent> {
    open(state, loop_id)?;
    fresh_key(state, Operation::ProposeClaim(loop_id), key)?;
    equal(
        "proposed claim",
        "claim_digest",
        &claim_digest(&canonical(body)?),
        digest,
    )
}

fn propose(state: &mut LoopState, event: &Event) -> Result<(), IllegalEvent> {
    let Event::ClaimProposed {
        claim_id,
        loop_id,
        body,
        claim_digest,
        refused,
        idempotency_key,
        author,
    } = event
    else {
        return Ok(());
    };
    fresh(&state.claims, claim_id, "claim", claim_id.as_str())?;
    let claim = Claim {
        id: claim_id.clone(),
        loop_id: loop_id.clone(),
        proposed_seq: state.head_seq,
        body: (**body).clone(),
        digest: claim_digest.clone(),
        phase: if refused.is_empty() {
            ClaimPhase::Checked
        } else {
            ClaimPhase::Drafted
        },
        refused: refused.clone(),
        gate_run_id: None,
        results: Vec::new(),
        gates_digest: None,
        commit: None,
        shown_digest: None,
        approval: None,
        push: None,
        verifying_run: None,
        verdict: None,
        other_scopes: BTreeMap::new(),
        verdict_object: None,
        closed_because: None,
        author: author.clone(),
    };
    state.idempotency.insert(
        Operation::ProposeClaim(loop_id).key(idempotency_key),
        claim_id.to_string(),
    );
    state.claims.insert(claim_id.clone(), claim);
    if let Some(counters) = counters(state, loop_id) {
        counters.proposals += 1;
    }
    Ok(())
}

/// A signature counts for exactly what the claim is now.
fn subject_matches(claim: &Claim, subject: &ApprovalSubject) -> Result<(), IllegalEvent> {
    let name = format!("claim {}", claim.id);
    let none = || "none".to_owned();
    let commit = claim.commit.clone().unwrap_or_else(none);
    let gates = claim
        .gates_digest
        .as_ref()
        .map_or_else(none, ToString::to_string);
    let shown = claim
        .shown_digest
        .as_ref()
        .map_or_else(none, ToString::to_string);
    equal(&name, "claim_digest", &claim.digest, &subject.claim_digest)?;
    equal(&name, "repo", &claim.body.repo, &subject.repo)?;
    equal(&name, "ref", &claim.body.ref_name, &subject.ref_name)?;
    equal(&name, "old_tip", &claim.body.parent, &subject.old_tip)?;
    equal(&name, "commit", &commit, &subject.commit)?;
    equal(&name, "tree", &claim.body.tree, &subject.tree)?;
    equal(
        &name,
        "diff_digest",
        &claim.body.diff_digest,
        &subject.diff_digest,
    )?;
    equal(&name, "gates_digest", &gates, &subject.gates_digest)?;
    equal(&name, "shown_digest", &shown, &subject.shown_digest)
}

fn may_push(state: &LoopState, claim_id: &ClaimId, push: &PushRecord) -> Result<(), IllegalEvent> {
    let claim = bound(get(state, claim_id)?, Move::IntendPush, "push_intended")?;
    let subject = format!("claim {claim_id}");
    equal(
        &subject,
        "commit",
        claim.commit.as_deref().unwrap_or("none"),
        &push.commit,
    )?;
    equal(&subject, "old_tip", &claim.body.parent, &push.old_tip)?;
    let scope = &claim.body.proof_scope;
    let mut granted = push
        .overrides
        .iter()
        .filter_map(|id| state.overrides.get(id));
    let reopened = granted.any(|granted| granted.code == SCOPE_CLOSED && granted.scope == *scope);
    let closed = state.scope_closed_for(scope, claim.body.kind);
    match closed.filter(|_| !reopened) {
        Some(closure) => Err(IllegalEvent::ScopeClosed {
            scope: scope.clone(),
            reason: closure.reason.clone(),
        }),
        None => Ok(()),
    }
}

/// A rollback has landed: its scope takes pushes again, and so does every scope that the same claim closed.
fn open_scopes(state: &mut LoopState, scope: &str) {
    let Some(landed) = state.closed_scopes.remove(&scope.to_owned()) else {
        return;
    };
    let of_same = |closure: &ScopeClosure| closure.claim_id == landed.claim_id;
    let others: Vec<String> = state
        .closed_scopes
        .iter()
        .filter(|(_, closure)| of_same(closure))
        .map(|(scope, _)| scope.clone())
        .collect();
    for other in others {
        state.closed_scopes.remove(&other);
    }
}

fn settle(state: &mut LoopState, id: &ClaimId, outcome: &PushOutcome) -> Result<(), IllegalEvent> {
    let (moved, message) = match outcome {
        PushOutcome::Pushed => (Move::Push, "pushed"),
        PushOutcome::Refused { message } => (Move::RefusePush, message.as_str()),
        PushOutcome::Unknown { message } => (Move::LosePush, message.as_str()),
    };
    change(state, id, moved, "push_settled", |claim| {
        if let Some(push) = &mut claim.push {
            push.message = Some(message.to_owned());
        }
    })?;
    if moved != Move::Push {
        return Ok(());
    }
    let claim = get(state, id)?;
    let (loop_id, scope) = (claim.loop_id.clone(), claim.body.proof_scope.clone());
    if claim.body.kind == ClaimKind::Rollback {
        open_scopes(state, &scope);
    }
    if let Some(counters) = counters(state, &loop_id) {
        counters.pushes += 1;
    }
    Ok(())
}

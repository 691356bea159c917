//! After a push: the scope's run, its grading, the verdict's ref. Each step looks at the journal
//! first, so that it can be asked for any number of times.

use attest::claim::Citation;
use discipline::event::{Event, PushOutcome};
use discipline::model::{
    ClaimId, Conclusion, HypothesisId, Run, RunStatus, Trigger, Verdict, VerdictKind,
};
use discipline::policy::SourceKind;
use discipline::rulebook::Rulebook;
use discipline::state::{Claim, ClaimPhase, HypothesisStatus, LoopState};
use discipline::verification::{Pushed, grade, killed};
use markers::{CellObservations, Truth};

use crate::checkpoint;
use crate::commands::rollback;
use crate::delivery::journal_head;
use crate::guarded;
use crate::observe;
use crate::queue::Job;
use crate::runs;
use crate::shared::{Shared, daemon};
use crate::source::is_being_pulled;
use crate::{Cancel, ServiceError};

/// Does the next thing that a pushed claim needs.
pub(crate) fn advance(shared: &Shared, id: &ClaimId, cancel: &Cancel) -> Result<(), ServiceError> {
    let Some(claim) = shared.core().state.claims.get(id).cloned() else {
        return Ok(());
    };
    match claim.phase {
        ClaimPhase::Pushed => begin(shared, id)?,
        ClaimPhase::Verifying => verify(shared, &claim)?,
        _ if !claim.phase.is_pushed() => return Ok(()),
        _ => {}
    }
    guarded::advance(shared, id)?;
    publish(shared, id, cancel)?;
    way_back(shared, id, cancel);
    Ok(())
}

/// A rollback that is due is prepared at once; one that cannot be is prepared by `greenloop revert`.
fn way_back(shared: &Shared, id: &ClaimId, cancel: &Cancel) {
    if let Err(error) = rollback::prepare_due(shared, id, cancel) {
        tracing::warn!(%error, claim = %id, "the way back is not prepared yet");
    }
}

/// Starts the run that grades a pushed claim, as a forge would on the push; a forge does it itself.
pub(crate) fn begin(shared: &Shared, id: &ClaimId) -> Result<(), ServiceError> {
    let now = shared.now();
    let claim = {
        let core = shared.core();
        let found = core.state.claims.get(id).cloned();
        found.ok_or_else(|| ServiceError::Internal(format!("claim {id} has gone")))?
    };
    if claim.commit.is_none() {
        return Err(ServiceError::Internal(format!(
            "{id} was pushed without a commit"
        )));
    }
    let base = shared.base(&claim.body.parent)?;
    if base.facts.policy.source.kind != SourceKind::Local {
        // The forge starts it; the follower finds it there.
        return Ok(());
    }
    let mut run_id = None;
    shared.append_with(&daemon(), |core| {
        let trigger = Trigger::Push { claim: id.clone() };
        // A kill between these two events leaves a queued run behind: it is the one to go on with.
        let waiting = core.state.runs.values().find(|run| {
            run.trigger == trigger
                && run.scope == claim.body.proof_scope
                && run.status == RunStatus::Queued
        });
        if let Some(run) = waiting {
            run_id = Some(run.run_id.clone());
            return Ok(None);
        }
        let scope = &claim.body.proof_scope;
        let run = runs::run_of_push(&core.state, &claim, &base.facts.policy, scope, now);
        run_id = Some(run.run_id.clone());
        Ok(Some(Event::RunChanged { run }))
    })?;
    let run_id = run_id.ok_or_else(|| ServiceError::Internal("no run was made".into()))?;
    shared.append(
        &daemon(),
        Event::VerificationStarted {
            claim_id: id.clone(),
            run_id: run_id.clone(),
        },
    )?;
    shared.queue.add(Job::Run(run_id));
    guarded::begin(shared, id)
}

/// True when the run said nothing because a daemon died under it.
pub(crate) fn was_lost(state: &LoopState, run: &Run) -> bool {
    run.status == RunStatus::Completed
        && run.conclusion == Some(Conclusion::Cancelled)
        && !state.was_ordered_to_end(run)
}

fn verify(shared: &Shared, claim: &Claim) -> Result<(), ServiceError> {
    let (run, classification) = {
        let core = shared.core();
        let Some(run) = claim
            .verifying_run
            .as_ref()
            .and_then(|id| core.state.runs.get(id))
        else {
            return Ok(());
        };
        let classified = core.state.classifications.get(&run.run_id);
        (
            run.clone(),
            classified.map(|found| found.classification.clone()),
        )
    };
    let pulling = run.forge.as_ref().is_some_and(is_being_pulled);
    if run.status != RunStatus::Completed || pulling {
        return Ok(());
    }
    let base = shared.base(&claim.body.parent)?;
    let catalogue = &base.rulebook.catalogue;
    let cells = observe::cells_of(shared, &run, catalogue)?;
    let before: Option<Vec<CellObservations>> = guarded::baseline_of(shared, claim)
        .map(|run| observe::cells_of(shared, &run, catalogue))
        .transpose()?;
    let commit = claim.commit.clone().unwrap_or_default();
    let verdict = grade(
        &Pushed {
            body: &claim.body,
            commit: &commit,
            policy: &base.facts.policy,
            run: &run,
            classification: classification.as_ref(),
            cells: &cells,
            before: before.as_deref(),
        },
        &base.rulebook,
    );
    // Before the verdict, so that a kill between the two only grades again.
    strike_out(shared, claim, &run, &verdict, &cells, &base.rulebook)?;
    shared.append(
        &daemon(),
        Event::ClaimVerified {
            claim_id: claim.id.clone(),
            verdict: Box::new(verdict),
        },
    )
}

/// Strikes out the hypotheses that the outcomes of a diagnostic kill, with the lines that show it.
fn strike_out(
    shared: &Shared,
    claim: &Claim,
    run: &Run,
    verdict: &Verdict,
    cells: &[CellObservations],
    rulebook: &Rulebook,
) -> Result<(), ServiceError> {
    if verdict.kind != VerdictKind::Confirmed {
        return Ok(());
    }
    for (id, predicate) in killed(&claim.body, &verdict.grades) {
        let id = HypothesisId::from(id);
        let killer = shown_by(run, predicate, cells, rulebook);
        let reason = format!(
            "{} showed `{predicate}`, which {} says kills it",
            run.run_id, claim.id
        );
        shared.append_with(&daemon(), |core| {
            let found = core.state.hypotheses.get(&id);
            let alive = found.filter(|found| found.status != HypothesisStatus::Falsified);
            Ok(alive.map(|_| Event::HypothesisFalsified {
                hypothesis_id: id.clone(),
                killer: killer.clone(),
                reason: reason.clone(),
                author: daemon(),
            }))
        })?;
    }
    Ok(())
}

/// The lines on which a predicate rests; the whole logs where it rests on what they do not hold.
fn shown_by(
    run: &Run,
    predicate: &str,
    cells: &[CellObservations],
    rulebook: &Rulebook,
) -> Vec<Citation> {
    let verdict = rulebook
        .parse(predicate, "outcomes")
        .map(|predicate| rulebook.evaluate(&predicate, cells));
    let judged = verdict.iter().flat_map(|verdict| &verdict.cells);
    let log_of = |cell: &str| {
        let job = run.jobs.iter().find(|job| job.cell == cell)?;
        job.log.as_ref()
    };
    let rows = judged.filter_map(|cell| {
        let row = cell.observed.iter().find(|row| row.truth == Truth::Holds)?;
        Some(Citation {
            log_id: log_of(&cell.cell)?.log_id.clone(),
            byte_start: row.span.start,
            byte_end: row.span.end,
            line_start: row.line,
            line_end: row.line,
        })
    });
    let rows: Vec<Citation> = rows.collect();
    if !rows.is_empty() {
        return rows;
    }
    let logs = run.jobs.iter().filter_map(|job| job.log.as_ref());
    logs.map(|log| Citation {
        log_id: log.log_id.clone(),
        byte_start: 0,
        byte_end: log.bytes,
        line_start: 1,
        line_end: log.lines,
    })
    .collect()
}

/// Signs the verdict and publishes its write-once ref, once every guarded scope is graded. A remote that cannot be reached is asked
/// again at the next start and by `verify`.
fn publish(shared: &Shared, id: &ClaimId, cancel: &Cancel) -> Result<(), ServiceError> {
    let Some(claim) = shared.core().state.claims.get(id).cloned() else {
        return Ok(());
    };
    let (Some(verdict), None) = (claim.whole_verdict(), &claim.verdict_object) else {
        return Ok(());
    };
    let ref_name = repo::verdict_ref(&verdict.commit);
    if let Some(there) = shared.repo.remote_tip(&shared.remote, &ref_name, cancel)? {
        // Sent by a daemon that was killed before it could say so, and before its checkpoint.
        checkpoint::publish(shared, id, cancel);
        return published(shared, id, there);
    }
    let at_ms = {
        let core = shared.core();
        let run = core.state.runs.get(&verdict.run_id);
        run.and_then(|run| run.finished_ms).unwrap_or_default()
    };
    let files = verify::build::verdict(
        &claim.body.ref_name,
        &claim.body.tree,
        &claim.digest,
        &verdict,
        at_ms,
        journal_head(shared),
        &shared.keys.verdict,
    )?;
    let files: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect();
    let object = shared.repo.write_files(&files)?;
    let mut group = None;
    let mut on_group = |started: &exec::Group| {
        group = Some(started.clone());
        shared.group_started(started, "verdict")
    };
    let outcome = shared.repo.publish(
        &shared.remote,
        &ref_name,
        None,
        &object,
        &mut on_group,
        cancel,
    );
    if let Some(group) = &group {
        shared.group_ended(group);
    }
    match outcome? {
        PushOutcome::Pushed => {
            checkpoint::publish(shared, id, cancel);
            published(shared, id, object)
        }
        PushOutcome::Refused { message } | PushOutcome::Unknown { message } => {
            tracing::warn!(claim = %id, message, "verdict is not published yet");
            Ok(())
        }
    }
}

fn published(shared: &Shared, id: &ClaimId, object: String) -> Result<(), ServiceError> {
    shared.append(
        &daemon(),
        Event::VerdictPublished {
            claim_id: id.clone(),
            object,
        },
    )
}

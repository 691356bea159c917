//! What a start does about effects that were in flight when the last daemon ended: reconciled by
//! looking at processes and remote, never repeated blindly.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use discipline::event::{Event, PushOutcome};
use discipline::model::{ClaimId, Run, RunStatus, Trigger};
use discipline::orders::{Order, OrderOutcome};
use discipline::state::{Claim, ClaimPhase, LoopState};

use crate::queue::Job;
use crate::shared::{Shared, daemon};
use crate::{Cancel, ServiceError, delivery, follow, guarded, orders, runs};

/// Between SIGTERM and SIGKILL for what a dead daemon left running.
const GRACE: Duration = Duration::from_secs(1);

/// Brings journal and world together, then queues what is left to do.
pub(crate) fn reconcile(shared: &Shared) -> Result<(), ServiceError> {
    reap(shared)?;
    carry_out(shared)?;
    let state = shared.core().state.clone();
    for run in state.runs.values() {
        reconcile_run(shared, &state, run)?;
    }
    let ids: Vec<ClaimId> = state.claims.keys().cloned().collect();
    for id in ids {
        reconcile_claim(shared, &id)?;
    }
    Ok(())
}

/// Ends process groups that outlived their daemon: before anything is read or run again.
fn reap(shared: &Shared) -> Result<(), ServiceError> {
    let groups = shared.core().state.live_groups.clone();
    for group in groups {
        let identity = exec::Group {
            pgid: u32::try_from(group.pgid).unwrap_or(0),
            start_ticks: group.start_ticks,
            session: (group.session != 0).then_some(group.session),
            boot_id: (!group.boot_id.is_empty()).then(|| group.boot_id.clone()),
        };
        let outcome = exec::reap_group(&identity, GRACE)?;
        tracing::info!(
            purpose = group.purpose,
            ?outcome,
            "process group of an earlier daemon"
        );
        shared.append(
            &daemon(),
            Event::GroupEnded {
                pgid: group.pgid,
                start_ticks: group.start_ticks,
            },
        )?;
    }
    reap_unrecorded(shared)
}

/// A daemon that is killed between the start of a group and its record leaves one that the journal
/// does not know. Whatever runs with this state folder's own homes is one: its daemon is this one,
/// which has started nothing yet.
fn reap_unrecorded(shared: &Shared) -> Result<(), ServiceError> {
    let mark = |name: &str, path: &Path| {
        let mut mark = OsString::from(name);
        mark.push(path);
        mark
    };
    let marks = [
        mark("CARGO_HOME=", shared.cargo_home.path()),
        mark("GIT_DIR=", shared.repo.path()),
    ];
    let groups = exec::reap_marked(&marks, GRACE)?;
    if groups > 0 {
        tracing::info!(
            groups,
            "process groups that an earlier daemon did not record"
        );
    }
    Ok(())
}

/// A run of this machine that a person had ended is not begun again: the order was recorded, and the daemon
/// died before it was carried out.
fn carry_out(shared: &Shared) -> Result<(), ServiceError> {
    let open: Vec<(Order, Run)> = {
        let core = shared.core();
        let open = core.state.orders.values().filter(|given| given.is_open());
        let about = open.filter_map(|given| {
            let run = core.state.runs.get(&given.order.run_id)?;
            Some((given.order.clone(), run.clone()))
        });
        about.filter(|(_, run)| run.forge.is_none()).collect()
    };
    for (order, run) in open {
        if run.status != RunStatus::Completed {
            runs::abandon(shared, run)?;
        }
        orders::settle(shared, &order, OrderOutcome::Taken)?;
    }
    Ok(())
}

fn reconcile_run(shared: &Shared, state: &LoopState, run: &Run) -> Result<(), ServiceError> {
    if let Some(forge) = &run.forge {
        // Executed elsewhere: a pull that was broken off goes on when it is asked for again.
        let whole = run.status == RunStatus::Completed && forge.provisional.is_none();
        if whole && run.executed() && !state.classifications.contains_key(&run.run_id) {
            shared.queue.add(Job::Run(run.run_id.clone()));
        }
        return Ok(());
    }
    match run.status {
        RunStatus::Queued => shared.queue.add(Job::Run(run.run_id.clone())),
        RunStatus::InProgress => {
            runs::abandon(shared, run.clone())?;
            // A pushed claim's next attempt is begun with its claim.
            if run.trigger == Trigger::Manual {
                retry(shared, run)?;
            }
        }
        RunStatus::Completed => {
            if run.executed() && !state.classifications.contains_key(&run.run_id) {
                shared.queue.add(Job::Run(run.run_id.clone()));
            }
        }
    }
    Ok(())
}

fn retry(shared: &Shared, lost: &Run) -> Result<(), ServiceError> {
    let now = shared.now();
    let mut id = None;
    shared.append_with(&daemon(), |core| {
        let cells = lost.jobs.iter().map(|job| job.cell.clone()).collect();
        let place = (lost.head_sha.as_str(), lost.tree.as_str());
        let mut run = runs::new_run(&core.state, &lost.scope, place, Trigger::Manual, cells, now);
        run.attempt = lost.attempt.saturating_add(1);
        id = Some(run.run_id.clone());
        Ok(Some(Event::RunChanged { run }))
    })?;
    if let Some(id) = id {
        shared.queue.add(Job::Run(id));
    }
    Ok(())
}

fn reconcile_claim(shared: &Shared, id: &ClaimId) -> Result<(), ServiceError> {
    let Some(claim) = shared.core().state.claims.get(id).cloned() else {
        return Ok(());
    };
    match claim.phase {
        ClaimPhase::Gating => shared.queue.add(Job::Gates(id.clone())),
        ClaimPhase::Gated => shared.queue.add(Job::Stage(id.clone())),
        ClaimPhase::PushIntent | ClaimPhase::PushUnknown => read_remote(shared, &claim)?,
        ClaimPhase::Pushed => follow::begin(shared, id)?,
        ClaimPhase::Verifying => verifying(shared, &claim)?,
        ClaimPhase::Confirmed | ClaimPhase::Refuted | ClaimPhase::Inconclusive
            if claim.verdict_object.is_none() =>
        {
            shared.queue.add(Job::Follow(id.clone()));
        }
        _ => {}
    }
    if !claim.ungraded_scopes().is_empty() {
        guarded::begin(shared, id)?;
        shared.queue.add(Job::Follow(id.clone()));
    }
    Ok(())
}

fn read_remote(shared: &Shared, claim: &Claim) -> Result<(), ServiceError> {
    match delivery::settle_open(shared, &claim.id, &Cancel::new()?) {
        Ok(()) => {}
        Err(error) if claim.phase == ClaimPhase::PushIntent => {
            // Not readable now: unknown, until a push is asked for or the next start.
            let message = error.to_string();
            shared.append(
                &daemon(),
                Event::PushSettled {
                    claim_id: claim.id.clone(),
                    outcome: PushOutcome::Unknown { message },
                },
            )?;
        }
        Err(error) => tracing::warn!(%error, claim = %claim.id, "remote cannot be read"),
    }
    let phase = shared
        .core()
        .state
        .claims
        .get(&claim.id)
        .map(|claim| claim.phase);
    if phase == Some(ClaimPhase::Pushed) {
        follow::begin(shared, &claim.id)?;
    }
    Ok(())
}

fn verifying(shared: &Shared, claim: &Claim) -> Result<(), ServiceError> {
    let run = claim.verifying_run.as_ref().and_then(|id| {
        let core = shared.core();
        let run = core.state.runs.get(id)?;
        Some((run.clone(), follow::was_lost(&core.state, run)))
    });
    match run {
        Some((run, _)) if run.status != RunStatus::Completed => {}
        Some((_, false)) => {
            shared.queue.add(Job::Follow(claim.id.clone()));
        }
        _ => {
            follow::begin(shared, &claim.id)?;
        }
    }
    Ok(())
}

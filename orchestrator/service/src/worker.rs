//! The one worker thread: takes jobs from the queue until the service stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use discipline::event::Event;
use discipline::model::{Conclusion, RunId, RunStatus};

use crate::queue::Job;
use crate::shared::{Shared, daemon};
use crate::{Cancel, ServiceError, follow, gates, runs, staging};

/// Starts the worker.
pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, ServiceError> {
    std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || work(&shared))
        .map_err(ServiceError::io("cannot start the worker"))
}

fn work(shared: &Shared) {
    loop {
        let (job, cancel) = match shared.queue.take() {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "worker stops");
                return;
            }
        };
        tracing::info!(?job, "begins");
        // A panic in one job must not leave the others waiting for ever.
        let performed = catch_unwind(AssertUnwindSafe(|| perform(shared, &job, &cancel)));
        let performed =
            performed.unwrap_or_else(|_| Err(ServiceError::Internal(format!("{job:?} panicked"))));
        if let Err(error) = performed {
            tracing::error!(?job, %error, "failed");
            failed(shared, &job, &error);
        }
        shared.queue.done();
        shared.wake();
    }
}

fn perform(shared: &Shared, job: &Job, cancel: &Cancel) -> Result<(), ServiceError> {
    match job {
        Job::Run(id) => {
            runs::execute(shared, id, cancel)?;
            runs::then_follow(shared, id);
            Ok(())
        }
        Job::Gates(id) => gates::execute(shared, id, cancel),
        Job::Stage(id) => staging::stage(shared, id),
        Job::Follow(id) => follow::advance(shared, id, cancel),
    }
}

/// A job that could not be done must not leave its subject waiting for ever.
fn failed(shared: &Shared, job: &Job, error: &ServiceError) {
    let recorded = match job {
        Job::Run(id) => end_run(shared, id, error),
        Job::Gates(id) => end_gates(shared, id, error),
        Job::Stage(_) | Job::Follow(_) => Ok(()),
    };
    if let Err(second) = recorded {
        tracing::error!(error = %second, "the failure could not be recorded");
    }
}

fn end_run(shared: &Shared, id: &RunId, error: &ServiceError) -> Result<(), ServiceError> {
    let run = shared.core().state.runs.get(id).cloned();
    let Some(mut run) = run.filter(|run| run.status != RunStatus::Completed) else {
        return Ok(());
    };
    run.status = RunStatus::Completed;
    run.conclusion = Some(Conclusion::Unknown(format!("not executed: {error}")));
    run.finished_ms = Some(shared.now());
    runs::change(shared, &run)?;
    runs::then_follow(shared, id);
    Ok(())
}

fn end_gates(
    shared: &Shared,
    id: &discipline::model::ClaimId,
    error: &ServiceError,
) -> Result<(), ServiceError> {
    shared
        .append_with(&daemon(), |core| {
            let live = core.state.claims.get(id).and_then(|claim| {
                let gate_run = core.state.gate_runs.get(claim.gate_run_id.as_ref()?)?;
                let live = gate_run.status == discipline::state::GateRunStatus::Live;
                live.then(|| gate_run.id.clone())
            });
            Ok(live.map(|gate_run_id| Event::GatesCancelled {
                gate_run_id,
                reason: error.to_string(),
            }))
        })
        .map(|_| ())
}

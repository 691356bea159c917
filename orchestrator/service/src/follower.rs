//! Runs that a forge starts on a push: found by the pushed commit, pulled in full when they have ended,
//! then graded. A thread of its own, because the forge takes hours and the worker has gates to run.
//!
//! What is followed is derived from the journal at every look, so that a start goes on where the last
//! daemon stood; a forge that cannot be read is asked again at the next look.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use ci::forge::model::WorkflowRun;
use ci::forge::{Forge, RunQuery, run_key};
use discipline::event::Event;
use discipline::model::{ClaimId, Run, RunStatus};
use discipline::policy::SourceKind;
use discipline::state::{Claim, ClaimPhase};
use verify::BaseFacts;

use crate::api::PullFullLogRequest;
use crate::commands::pull::{is_settled, pull_run};
use crate::queue::Job;
use crate::shared::{Ctx, Shared, daemon};
use crate::source::{self, FORGE_POLL, Keeper};
use crate::{Caller, NoProgress, ServiceError};

/// Pulls of a run that has ended before it is graded with what is there.
const PULLS: u32 = 5;

/// Starts the follower.
pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, ServiceError> {
    std::thread::Builder::new()
        .name("follower".into())
        .spawn(move || work(&shared))
        .map_err(ServiceError::io("cannot start the follower"))
}

fn work(shared: &Shared) {
    let github = shared.config.machine.sources.github.as_ref();
    let pause = github.map_or(FORGE_POLL, |access| access.poll);
    let mut pulls = BTreeMap::new();
    while !shared.queue.stop.wait(pause) {
        for claim in open_claims(shared) {
            match look(shared, &claim, &mut pulls) {
                Ok(()) => {}
                Err(ServiceError::Cancelled) => return,
                Err(error) => {
                    tracing::warn!(claim = %claim.id, %error, "the forge is asked again");
                }
            }
        }
    }
}

/// Claims that were pushed and are not graded.
fn open_claims(shared: &Shared) -> Vec<Claim> {
    let core = shared.core();
    let open = |claim: &&Claim| matches!(claim.phase, ClaimPhase::Pushed | ClaimPhase::Verifying);
    core.state.claims.values().filter(open).cloned().collect()
}

fn look(
    shared: &Shared,
    claim: &Claim,
    pulls: &mut BTreeMap<ClaimId, u32>,
) -> Result<(), ServiceError> {
    let base = shared.base(&claim.body.parent)?;
    let policy = &base.facts.policy;
    if policy.source.kind != SourceKind::Github {
        return Ok(());
    }
    let Some(forge) = source::open(shared, &policy.source)? else {
        return Ok(());
    };
    let cancel = &shared.queue.stop;
    let followed = followed(shared, claim);
    let described = match &followed {
        None => newest(&*forge, claim, &base, shared)?,
        Some(run) => {
            let id = run.forge.as_ref().map_or("", |forge| forge.id.as_str());
            let run = forge.run(id, Some(run.attempt), cancel);
            Some(run.map_err(source::failed)?)
        }
    };
    let Some(described) = described else {
        return Ok(());
    };
    let run = begun(shared, &base, &*forge, &described)?;
    if claim.phase == ClaimPhase::Pushed {
        shared.append(
            &daemon(),
            Event::VerificationStarted {
                claim_id: claim.id.clone(),
                run_id: run.run_id.clone(),
            },
        )?;
    }
    if !described.is_completed() {
        return Ok(());
    }
    let run = pulled(shared, &base, &forge, &run)?;
    let tries = pulls.entry(claim.id.clone()).or_default();
    *tries += 1;
    if run.status == RunStatus::Completed
        && (is_settled(shared, &run, &whole(&run)) || *tries >= PULLS)
    {
        pulls.remove(&claim.id);
        shared.queue.add(Job::Follow(claim.id.clone()));
    }
    Ok(())
}

/// The run that grades the claim, once it was found.
fn followed(shared: &Shared, claim: &Claim) -> Option<Run> {
    let core = shared.core();
    let run = core.state.runs.get(claim.verifying_run.as_ref()?)?;
    run.forge.is_some().then(|| run.clone())
}

/// The newest run that the push of the claim's commit started in the workflow that owns its scope.
fn newest(
    forge: &dyn Forge,
    claim: &Claim,
    base: &BaseFacts,
    shared: &Shared,
) -> Result<Option<WorkflowRun>, ServiceError> {
    let scope = base.facts.policy.scope.get(&claim.body.proof_scope);
    let workflow = scope.and_then(|scope| scope.workflow.clone());
    let (Some(workflow), Some(commit)) = (workflow, &claim.commit) else {
        return Ok(None);
    };
    let query = RunQuery {
        workflow: Some(workflow.clone()),
        head_sha: Some(commit.clone()),
        ..RunQuery::default()
    };
    let runs = forge
        .runs(&query, &shared.queue.stop)
        .map_err(source::failed)?;
    // A filter that the forge did not apply must not make a stranger the witness.
    let ours = |run: &WorkflowRun| {
        run.head_sha == *commit
            && run.event.as_deref() == Some("push")
            && run.workflow_file() == Some(workflow.as_str())
    };
    Ok(runs.into_iter().find(ours))
}

/// The run as the journal has it, noted when it is new there or has changed.
fn begun(
    shared: &Shared,
    base: &BaseFacts,
    forge: &dyn Forge,
    described: &WorkflowRun,
) -> Result<Run, ServiceError> {
    let policy = &base.facts.policy;
    let id = run_key(described);
    let cancel = &shared.queue.stop;
    let placing = source::placed(shared, policy, described, (None, None), cancel)?;
    Keeper::new(shared, policy, forge.label(), &id, described, placing).begun()
}

/// Everything of a run that has ended.
fn pulled(
    shared: &Shared,
    base: &BaseFacts,
    forge: &Arc<dyn Forge + Send + Sync>,
    run: &Run,
) -> Result<Run, ServiceError> {
    let request = whole(run);
    if is_settled(shared, run, &request) {
        return Ok(run.clone());
    }
    let _one_at_a_time = shared
        .pull_door
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let author = daemon();
    let ctx = Ctx {
        caller: &Caller {
            uid: author.uid,
            name: author.name,
            operator: true,
        },
        progress: &NoProgress,
        cancel: &shared.queue.stop,
    };
    let id = run.forge.as_ref().map_or("", |forge| forge.id.as_str());
    pull_run(shared, ctx, &request, base, forge, id)
}

fn whole(run: &Run) -> PullFullLogRequest {
    PullFullLogRequest {
        run_id: run.run_id.to_string(),
        attempt: Some(run.attempt),
        artifacts: true,
        ..PullFullLogRequest::default()
    }
}

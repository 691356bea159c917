//! The `local` source at work: a run from the queue to its class.

use std::time::{Duration, Instant, SystemTime};

use ci::{CellOutcome, CellProgress, Hooks, ScopeRun, Workplace, run_scope};
use discipline::event::Event;
use discipline::model::{Conclusion, Job, Run, RunId, RunStatus, Trigger, WhyEmpty};
use discipline::policy::Policy;
use discipline::state::{Claim, LoopState};
use verify::BaseFacts;

use crate::classes::{base_of, classify};
use crate::observe;
use crate::queue::Job as Queued;
use crate::room::{ROOM, harvest, on_branch, prepare};
use crate::shared::{Shared, daemon};
use crate::store::Store;
use crate::{Cancel, ServiceError};

/// Longest wait for a device that somebody else uses.
const LEASE_WAIT: Duration = Duration::from_secs(3600);

/// A queued run of `scope` at `commit`.
pub(crate) fn new_run(
    state: &LoopState,
    scope: &str,
    (commit, tree): (&str, &str),
    trigger: Trigger,
    cells: Vec<String>,
    now_ms: i64,
) -> Run {
    // A clock that was set back must not make the newest run look old.
    let newest = state.runs.values().map(|run| run.created_ms).max();
    let created_ms = newest.map_or(now_ms, |newest| now_ms.max(newest));
    let queued = |cell| Job {
        cell,
        status: RunStatus::Queued,
        conclusion: None,
        steps: Vec::new(),
        log: None,
        why_empty: Some(WhyEmpty::InProgress),
        outranked: Vec::new(),
        forge: None,
    };
    let same = |run: &&Run| run.scope == scope && run.head_sha == commit && run.trigger == trigger;
    let attempts = match trigger {
        // By hand is a new run each time; after a push, a lost run is tried again.
        Trigger::Manual => 0,
        Trigger::Push { .. } => state.runs.values().filter(same).count(),
    };
    Run {
        run_id: state.next_run_id(),
        source: "local".into(),
        scope: scope.to_owned(),
        attempt: u32::try_from(attempts)
            .unwrap_or(u32::MAX)
            .saturating_add(1),
        head_sha: commit.to_owned(),
        tree: tree.to_owned(),
        trigger,
        status: RunStatus::Queued,
        conclusion: None,
        jobs: cells.into_iter().map(queued).collect(),
        created_ms,
        finished_ms: None,
        forge: None,
        artifacts: Vec::new(),
    }
}

/// A queued run of `scope` at the commit that a claim has pushed.
pub(crate) fn run_of_push(
    state: &LoopState,
    claim: &Claim,
    policy: &Policy,
    scope: &str,
    now_ms: i64,
) -> Run {
    let cells = policy.effective_cells(scope).into_iter();
    let cells = cells.map(|cell| cell.name).collect();
    let trigger = Trigger::Push {
        claim: claim.id.clone(),
    };
    let commit = claim.commit.as_deref().unwrap_or_default();
    let place = (commit, claim.body.tree.as_str());
    new_run(state, scope, place, trigger, cells, now_ms)
}

/// Commit whose policy a run obeys: a pushed claim's parent, else the commit itself.
pub(crate) fn policy_commit(state: &LoopState, run: &Run) -> String {
    match &run.trigger {
        Trigger::Push { claim } => state
            .claims
            .get(claim)
            .map_or_else(|| run.head_sha.clone(), |claim| claim.body.parent.clone()),
        Trigger::Manual => run.head_sha.clone(),
    }
}

/// Executes a queued run and classifies it. A run that cannot be executed ends with the reason as
/// its conclusion.
pub(crate) fn execute(
    shared: &Shared,
    run_id: &RunId,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let (mut run, policy_commit) = {
        let core = shared.core();
        let Some(run) = core.state.runs.get(run_id) else {
            return Ok(());
        };
        (run.clone(), policy_commit(&core.state, run))
    };
    if run.status == RunStatus::Completed {
        let classified = shared.core().state.classifications.contains_key(run_id);
        return match classified {
            true => Ok(()),
            false => classify(shared, &run, &*base_of(shared, &run)?),
        };
    }
    if run.forge.is_some() {
        return Ok(());
    }
    let base = shared.base(&policy_commit)?;
    run.status = RunStatus::InProgress;
    let (begun_ms, begun) = (shared.now().max(run.created_ms), Instant::now());
    change(shared, &run)?;
    let executed = cells(shared, &mut run, &base, &policy_commit, cancel);
    if shared.queue.stopping() {
        // The next start finds it in progress, closes it and begins another attempt.
        return Ok(());
    }
    run.conclusion = Some(match executed {
        Ok(()) => conclusion(&run),
        Err(ServiceError::Ci(ci::CiError::Cancelled) | ServiceError::Cancelled) => {
            Conclusion::Cancelled
        }
        Err(ServiceError::Repo(repo::RepoError::Cancelled { .. })) => Conclusion::Cancelled,
        Err(error) => {
            tracing::error!(%error, run = %run.run_id, "run could not be executed");
            Conclusion::Unknown(format!("not executed: {error}"))
        }
    });
    close_jobs(&mut run);
    run.status = RunStatus::Completed;
    // What a run has cost does not depend on a clock that somebody sets meanwhile.
    let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    run.finished_ms = Some(begun_ms.saturating_add(took_ms));
    change(shared, &run)?;
    classify(shared, &run, &base)
}

/// Journals a run as it is now.
pub(crate) fn change(shared: &Shared, run: &Run) -> Result<(), ServiceError> {
    shared.append(&daemon(), Event::RunChanged { run: run.clone() })
}

/// Jobs that never came to their turn.
fn close_jobs(run: &mut Run) {
    for job in &mut run.jobs {
        if job.status != RunStatus::Completed {
            job.status = RunStatus::Completed;
            job.conclusion = Some(Conclusion::Cancelled);
            job.why_empty = Some(WhyEmpty::NeverStarted);
        }
    }
}

/// Closes a run that nobody executes.
pub(crate) fn abandon(shared: &Shared, run: Run) -> Result<(), ServiceError> {
    let now = shared.now();
    change(shared, &abandoned(run, now))
}

fn abandoned(mut run: Run, now_ms: i64) -> Run {
    close_jobs(&mut run);
    run.status = RunStatus::Completed;
    run.conclusion = Some(Conclusion::Cancelled);
    run.finished_ms = Some(now_ms);
    run
}

/// Ends a run of this machine: its process group, or its place in the queue.
pub(crate) fn cancel(shared: &Shared, id: &RunId) -> Result<(), ServiceError> {
    let job = Queued::Run(id.clone());
    shared.queue.cancel(&job);
    let now = shared.now();
    // One that had not begun has nobody to record its end.
    let recorded = shared.append_with(&daemon(), |core| {
        let run = core.state.runs.get(id);
        let waiting =
            run.filter(|run| run.status != RunStatus::Completed && !shared.queue.is_current(&job));
        Ok(waiting.map(|run| Event::RunChanged {
            run: abandoned(run.clone(), now),
        }))
    })?;
    if recorded {
        then_follow(shared, id);
    }
    Ok(())
}

/// A run after a push is graded as soon as it has ended.
pub(crate) fn then_follow(shared: &Shared, id: &RunId) {
    let trigger = {
        let core = shared.core();
        let run = core.state.runs.get(id);
        run.filter(|run| run.status == RunStatus::Completed)
            .map(|run| run.trigger.clone())
    };
    if let Some(Trigger::Push { claim }) = trigger {
        shared.queue.add(Queued::Follow(claim));
    }
}

fn conclusion(run: &Run) -> Conclusion {
    let any = |wanted: Conclusion| {
        run.jobs
            .iter()
            .any(|job| job.conclusion.as_ref() == Some(&wanted))
    };
    match () {
        () if any(Conclusion::Cancelled) => Conclusion::Cancelled,
        () if any(Conclusion::TimedOut) => Conclusion::TimedOut,
        () if run
            .jobs
            .iter()
            .all(|job| job.conclusion == Some(Conclusion::Success)) =>
        {
            Conclusion::Success
        }
        () => Conclusion::Failure,
    }
}

fn cells(
    shared: &Shared,
    run: &mut Run,
    base: &BaseFacts,
    policy_commit: &str,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let Some(policy) = base.facts.policy.scope.get(&run.scope) else {
        return Err(ServiceError::UnknownId {
            kind: "scope",
            id: run.scope.clone(),
            valid: base.facts.policy.scope.keys().cloned().collect(),
        });
    };
    let room = shared.rooms.room(ROOM);
    let base_tree = shared.reader()?.commit_info(policy_commit)?.tree;
    say(shared, run, "dependencies", 0);
    let whole = &base.facts.policy;
    let left = prepare(
        shared,
        whole,
        &room,
        &base_tree,
        &run.tree,
        &policy.argv,
        cancel,
    )?;
    // Dependencies of a commit that is not on the branch are not for others.
    let left = left.filter(|_| on_branch(shared, policy_commit));
    let (tree, target, home) = (room.tree(), room.target(), room.home());
    let lease = shared.lease_path();
    let jobs: Vec<String> = run.jobs.iter().map(|job| job.cell.clone()).collect();
    let only = (jobs.len() == 1).then(|| jobs.first().cloned()).flatten();
    let scope = run.scope.clone();
    let scope_run = ScopeRun {
        scope: &scope,
        policy,
        only: only.as_deref(),
        place: Workplace {
            tree: &tree,
            target: &target,
            home: &home,
            cargo_home: shared.cargo_home.path(),
        },
        toolchain: &shared.toolchain,
        environment: &shared.config.machine.environment,
        catalogue: &base.rulebook.catalogue,
        lease: Some(&lease),
        lease_wait: LEASE_WAIT,
    };
    let label = format!("run {} of {}", run.run_id, run.scope);
    let mut failed: Option<ServiceError> = None;
    let mut on_cell = |outcome: &CellOutcome| {
        if let Err(error) = keep_cell(shared, run, outcome) {
            failed.get_or_insert(error);
        }
    };
    let mut on_progress = |now: &CellProgress| {
        let what = format!("{label}: cell {} ({} lines)", now.cell, now.lines);
        let done = u64::try_from(now.index).unwrap_or(0);
        shared
            .queue
            .set_activity(what, done, u64::try_from(now.total).ok());
    };
    let mut store = Store(&shared.evidence);
    run_scope(
        &scope_run,
        &mut store,
        &mut Hooks {
            cancel,
            clock: &SystemTime::now,
            on_group: &mut |group, purpose| shared.group_started(group, purpose),
            off_group: &mut |group| shared.group_ended(group),
            on_progress: &mut on_progress,
            on_cell: &mut on_cell,
        },
    )?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(left) = left.filter(|_| !cancel.is_cancelled()) {
        harvest(shared, left, &policy.argv, &room, cancel)?;
    }
    Ok(())
}

fn say(shared: &Shared, run: &Run, what: &str, done: u64) {
    let total = u64::try_from(run.jobs.len()).ok();
    let text = format!("run {} of {}: {what}", run.run_id, run.scope);
    shared.queue.set_activity(text, done, total);
    shared.wake();
}

/// A cell ended: its log is readable from now on, provisional until the run is over.
fn keep_cell(shared: &Shared, run: &mut Run, outcome: &CellOutcome) -> Result<(), ServiceError> {
    if shared.queue.stopping() {
        return Ok(());
    }
    if let (Some(log), Some(scan)) = (&outcome.job.log, &outcome.scan) {
        observe::keep_scan(shared, &log.log_id, scan);
    }
    if let Some(job) = run.jobs.iter_mut().find(|job| job.cell == outcome.job.cell) {
        *job = outcome.job.clone();
    }
    change(shared, run)
}

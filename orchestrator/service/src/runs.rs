//! The `local` source at work: a run from the queue to its class.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use attest::digest::Digest;
use ci::{CellOutcome, CellProgress, Hooks, LogSink, ScopeRun, Sink, Workplace, run_scope};
use discipline::event::Event;
use discipline::green;
use discipline::model::{
    Conclusion, Job, LogRef, ProcessExit, Run, RunId, RunStatus, Trigger, WhyEmpty,
};
use discipline::state::LoopState;
use playbooks::{RunFacts, RunnerState};
use repo::{Room, SeedKey};
use state::{EvidenceStore, LogWriter};
use verify::BaseFacts;

use crate::observe;
use crate::shared::{Shared, daemon};
use crate::{Cancel, ServiceError};

/// The one room that runs and gates use in turn; one path, so that caches hold.
pub(crate) const ROOM: &str = "main";
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
    let queued = |cell| Job {
        cell,
        status: RunStatus::Queued,
        conclusion: None,
        steps: Vec::new(),
        log: None,
        why_empty: Some(WhyEmpty::InProgress),
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
        created_ms: now_ms,
        finished_ms: None,
    }
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
    let base = shared.base(&policy_commit)?;
    if run.status == RunStatus::Completed {
        let classified = shared.core().state.classifications.contains_key(run_id);
        return match classified {
            true => Ok(()),
            false => classify(shared, &run, &base),
        };
    }
    run.status = RunStatus::InProgress;
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
    run.finished_ms = Some(shared.now());
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

/// Closes a run that a killed daemon left behind.
pub(crate) fn abandon(shared: &Shared, mut run: Run) -> Result<(), ServiceError> {
    close_jobs(&mut run);
    run.status = RunStatus::Completed;
    run.conclusion = Some(Conclusion::Cancelled);
    run.finished_ms = Some(shared.now());
    change(shared, &run)
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
    let left = prepare(shared, &room, &base_tree, &run.tree, &policy.argv, cancel)?;
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

/// The commit is the branch's tip as last seen, or one before it.
fn on_branch(shared: &Shared, commit: &str) -> bool {
    let Some(target) = shared.last_target() else {
        return false;
    };
    let ancestor = shared
        .reader()
        .and_then(|reader| Ok(reader.is_ancestor(commit, &target.tip)?));
    ancestor.unwrap_or(false)
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

/// Dependencies that are to be kept once they were built in a room with the base tree.
pub(crate) struct Harvest(SeedKey);

/// Fills the room with `tree` and the dependencies of `argv`'s build, which are built once, from
/// the base tree alone. When the tree *is* the base, they are left to be built by `argv` itself and
/// [`harvest`]ed after it.
pub(crate) fn prepare(
    shared: &Shared,
    room: &Room,
    base_tree: &str,
    tree: &str,
    argv: &[String],
    cancel: &Cancel,
) -> Result<Option<Harvest>, ServiceError> {
    repo::check_parent_config(&room.tree(), shared.cargo_home.user())?;
    repo::check_tree_config(&shared.repo, tree)?;
    let key = seed_key(shared, tree)?;
    let cargo = argv.first().is_some_and(|program| program == "cargo");
    let wanted = key
        .as_ref()
        .filter(|key| cargo && !shared.seeds.ready(key, argv));
    if let Some(key) = wanted
        && tree != base_tree
        && seed_key(shared, base_tree)?.as_ref() == Some(key)
    {
        room.fill(&shared.repo, base_tree)?;
        fetch(shared, room, cancel)?;
        build_seed(shared, key, argv, room, cancel)?;
    }
    room.fill(&shared.repo, tree)?;
    if cargo {
        fetch(shared, room, cancel)?;
    }
    if let Some(key) = &key {
        shared.seeds.clone_into(key, room, cancel)?;
    }
    let left = tree == base_tree && wanted.is_some();
    Ok(key.filter(|_| left).map(Harvest))
}

/// Keeps the dependencies that a run of the base tree has built.
pub(crate) fn harvest(
    shared: &Shared,
    harvest: Harvest,
    argv: &[String],
    room: &Room,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let cargo = (&shared.cargo_home, &shared.toolchain);
    Ok(shared
        .seeds
        .harvest(&harvest.0, argv, room, cargo, cancel)?)
}

/// The key of a tree's dependencies; `None` without a lock file.
fn seed_key(shared: &Shared, tree: &str) -> Result<Option<SeedKey>, ServiceError> {
    let lock = shared.reader()?.blob_at(tree, "Cargo.lock")?;
    Ok(lock.map(|bytes| SeedKey {
        toolchain: shared.toolchain.digest(),
        lock: Digest::of(&bytes),
    }))
}

fn fetch(shared: &Shared, room: &Room, cancel: &Cancel) -> Result<(), ServiceError> {
    let environment = &shared.config.machine.environment;
    shared
        .cargo_home
        .fetch(room, &shared.toolchain, environment, cancel)?;
    Ok(())
}

fn build_seed(
    shared: &Shared,
    key: &SeedKey,
    argv: &[String],
    room: &Room,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let mut transcript = io::sink();
    let mut build = |command: &exec::Command, purpose: &str| {
        supervised(shared, command, purpose, &mut transcript, cancel).map_err(repo::RepoError::from)
    };
    let cargo = (&shared.cargo_home, &shared.toolchain);
    Ok(shared
        .seeds
        .prepare(key, argv, room, cargo, &mut build, cancel)?)
}

/// Runs a command whose process group is journalled.
pub(crate) fn supervised(
    shared: &Shared,
    command: &exec::Command,
    purpose: &str,
    sink: &mut dyn Write,
    cancel: &Cancel,
) -> Result<exec::Outcome, exec::Error> {
    let mut group = None;
    let mut on_spawn = |started: &exec::Group| {
        group = Some(started.clone());
        shared.group_started(started, purpose)
    };
    let mut supervision = exec::Supervision::new(cancel);
    supervision.on_spawn = Some(&mut on_spawn);
    let outcome = exec::run(command, sink, supervision);
    if let Some(group) = &group {
        shared.group_ended(group);
    }
    outcome
}

/// Classifies a completed run under its base's catalogue and playbooks, and journals the class.
pub(crate) fn classify(shared: &Shared, run: &Run, base: &BaseFacts) -> Result<(), ServiceError> {
    let catalogue = &base.rulebook.catalogue;
    let cells = observe::cells_of(shared, run, catalogue)?;
    let policy = &base.facts.policy;
    let engage = green::engagement(policy, run, &cells, &base.rulebook);
    let facts = run_facts(run, base, green::engaged(&engage));
    let classification = playbooks::classify(&base.playbooks, catalogue, &facts, &cells);
    let green = green::is_green(run, Some(&classification), &engage, policy, &cells);
    shared.append(
        &daemon(),
        Event::RunClassified {
            run_id: run.run_id.clone(),
            classification,
            green,
            catalogue: base.rulebook.catalogue_digest(),
        },
    )
}

fn run_facts(run: &Run, base: &BaseFacts, engaged: markers::Truth) -> RunFacts {
    let steps: Vec<_> = run.jobs.iter().flat_map(|job| &job.steps).collect();
    let failed = steps
        .iter()
        .find(|step| step.exit != ProcessExit::Code(0))
        .or_else(|| steps.last());
    let wanted = base.facts.policy.effective_cells(&run.scope);
    let has_log = |cell: &str| {
        run.jobs
            .iter()
            .any(|job| job.cell == cell && job.log.is_some())
    };
    let duration = run
        .finished_ms
        .map(|end| end.saturating_sub(run.created_ms) / 1000);
    RunFacts {
        status: Some("completed".into()),
        conclusion: run.conclusion.as_ref().map(conclusion_word),
        exit_code: failed.and_then(|step| match step.exit {
            ProcessExit::Code(code) => Some(i64::from(code)),
            _ => None,
        }),
        signal: failed.and_then(|step| match step.exit {
            ProcessExit::Signal(signal) => Some(signal),
            _ => None,
        }),
        executed_steps: u64::try_from(steps.len()).unwrap_or(u64::MAX),
        hosted: false,
        duration_s: duration.and_then(|seconds| u64::try_from(seconds).ok()),
        superseded: false,
        runner: RunnerState::Idle,
        cancelled_in_a_row: 0,
        all_cells: wanted.iter().all(|cell| has_log(&cell.name)),
        engaged,
    }
}

/// The word a forge uses for a conclusion.
pub(crate) fn conclusion_word(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Success => "success".into(),
        Conclusion::Failure => "failure".into(),
        Conclusion::Cancelled => "cancelled".into(),
        Conclusion::TimedOut => "timed_out".into(),
        Conclusion::Unknown(text) => text.clone(),
    }
}

/// The base that a completed run is read under.
pub(crate) fn base_of(shared: &Shared, run: &Run) -> Result<Arc<BaseFacts>, ServiceError> {
    let commit = policy_commit(&shared.core().state, run);
    shared.base(&commit)
}

/// Logs of a run go into the evidence store.
struct Store<'a>(&'a EvidenceStore);

struct StoreLog(LogWriter);

impl Sink for Store<'_> {
    fn open(&mut self, _cell: &str) -> io::Result<Box<dyn LogSink + '_>> {
        let writer = self.0.log_writer().map_err(other)?;
        Ok(Box::new(StoreLog(writer)))
    }
}

impl Write for StoreLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl LogSink for StoreLog {
    fn close(self: Box<Self>, complete: bool) -> io::Result<LogRef> {
        let entry = self.0.finish().map_err(other)?;
        Ok(LogRef {
            log_id: entry.digest,
            bytes: entry.bytes,
            lines: entry.lines,
            complete,
        })
    }
}

fn other(error: state::Error) -> io::Error {
    io::Error::other(error.to_string())
}

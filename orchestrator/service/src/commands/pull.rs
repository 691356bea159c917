//! `pull_full_log`: logs from the run source, whole or with a reason.

use std::sync::{Arc, TryLockError};

use ci::forge::{Forge, PullHooks, PullWhat, RunQuery, last_signal, pull, run_key};
use discipline::model::{Job, Run, RunStatus, StoredArtifact, Trigger};
use verify::BaseFacts;

use super::logs::count_read;
use super::{find_run, unknown};
use crate::api::{ArtifactView, EntryView, PullFullLogAnswer, PullFullLogRequest, PulledLog};
use crate::shared::{Ctx, Shared};
use crate::source::{self, FileReport, Keeper, PullReport, Teller};
use crate::store::Store;
use crate::{ServiceError, classes, observe, views};

/// Takes the logs of a run into the store where they are not there yet, and answers with handles.
pub(super) fn pull_full_log(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: PullFullLogRequest,
) -> Result<PullFullLogAnswer, ServiceError> {
    let (run, notes) = run_of(shared, ctx, &request)?;
    answer(shared, &request, &run, notes)
}

/// The run that is meant, pulled when need be, and what there is to say about how it was found.
pub(super) fn run_of(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &PullFullLogRequest,
) -> Result<(Run, Vec<String>), ServiceError> {
    let known = known_run(shared, request)?;
    let settled = |run: &Run| match &run.forge {
        None => true,
        Some(_) => !request.refresh && is_settled(shared, run, request),
    };
    if let Some(run) = known.as_ref().filter(|run| settled(run)) {
        return Ok((run.clone(), Vec::new()));
    }
    let pulled = from_source(shared, ctx, request, known.as_ref());
    match (pulled, known) {
        (Ok(found), _) => Ok(found),
        // What was pulled stays readable when its source is not.
        (Err(error @ ServiceError::Ci(_)), Some(run)) if !request.refresh => Ok((
            run,
            vec![format!("the source was not asked again: {error}")],
        )),
        (Err(error), _) => Err(error),
    }
}

/// A run that is in the journal, by its id here or by its source's.
fn known_run(shared: &Shared, request: &PullFullLogRequest) -> Result<Option<Run>, ServiceError> {
    let core = shared.core();
    let state = &core.state;
    let here = state.runs.contains_key(&request.run_id.as_str().into());
    if here {
        let run = find_run(state, &request.run_id)?;
        return attempt_of(state, run, request.attempt).map(Some);
    }
    let of_source = |run: &&Run| {
        run.forge
            .as_ref()
            .is_some_and(|forge| forge.id == request.run_id)
            && request.attempt.is_none_or(|attempt| run.attempt == attempt)
    };
    let found = state
        .runs
        .values()
        .filter(of_source)
        .max_by_key(|run| run.attempt);
    Ok(found.cloned())
}

/// The attempt asked for. Attempts of a forge's run can still be pulled, so an unknown one of those
/// is the run itself.
fn attempt_of(
    state: &discipline::state::LoopState,
    run: &Run,
    wanted: Option<u32>,
) -> Result<Run, ServiceError> {
    let family = family(state, run);
    let Some(wanted) = wanted.filter(|wanted| *wanted != run.attempt) else {
        return Ok(run.clone());
    };
    match family.iter().find(|run| run.attempt == wanted) {
        Some(found) => Ok((*found).clone()),
        None if run.forge.is_some() => Ok(run.clone()),
        None => Err(ServiceError::BadArgument {
            field: "attempt",
            reason: format!("{} has no attempt {wanted}", run.run_id),
            remedy: format!("use one of {:?}", attempts(&family)),
        }),
    }
}

/// Attempts of one run.
fn family<'s>(state: &'s discipline::state::LoopState, run: &Run) -> Vec<&'s Run> {
    let same = |other: &&Run| {
        other.run_id == run.run_id
            || match (&other.forge, &run.forge) {
                (Some(other_forge), Some(forge)) => {
                    other.source == run.source && other_forge.id == forge.id
                }
                (None, None) => {
                    other.trigger == run.trigger
                        && other.head_sha == run.head_sha
                        && other.scope == run.scope
                        && other.trigger != Trigger::Manual
                }
                _ => false,
            }
    };
    state.runs.values().filter(same).collect()
}

fn attempts(family: &[&Run]) -> Vec<u32> {
    let mut attempts: Vec<u32> = family.iter().map(|run| run.attempt).collect();
    attempts.sort_unstable();
    attempts.dedup();
    attempts
}

/// Nothing that is asked for could still come from the source.
pub(crate) fn is_settled(shared: &Shared, run: &Run, request: &PullFullLogRequest) -> bool {
    let Some(forge) = &run.forge else {
        return true;
    };
    if forge.provisional.is_some() || request.attempt.is_some_and(|a| a != run.attempt) {
        return false;
    }
    let report = report_of(shared, run);
    let failed = |file: &FileReport| ["failed", "pending"].contains(&file.fate.as_str());
    let stepless = |file: &FileReport| request.steps && file.steps.is_empty();
    !report
        .jobs
        .iter()
        .any(|file| failed(file) || stepless(file))
        && !report.artifacts.iter().any(failed)
        && (!request.artifacts || report.artifacts_asked)
}

fn report_of(shared: &Shared, run: &Run) -> PullReport {
    let digest = run.forge.as_ref().and_then(|forge| forge.report.as_ref());
    let bytes = digest.and_then(|digest| shared.evidence.get_blob(digest).ok());
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Pulls the run.
fn from_source(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &PullFullLogRequest,
    known: Option<&Run>,
) -> Result<(Run, Vec<String>), ServiceError> {
    let base = source::base(shared, ctx.cancel)?;
    let Some(forge) = source::open(shared, &base.facts.policy.source)? else {
        let core = shared.core();
        let valid = core.state.runs.keys().map(discipline::model::RunId::as_str);
        return Err(unknown("run", &request.run_id, valid));
    };
    let _one_at_a_time = match shared.pull_door.try_lock() {
        Ok(door) => door,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            return Err(ServiceError::WrongState {
                what: "another pull".into(),
                state: "at work".into(),
                remedy: "ask again when it has ended; whole files are kept".into(),
            });
        }
    };
    let (id, notes) = match (known, request.run_id.as_str()) {
        (
            Some(Run {
                forge: Some(own), ..
            }),
            _,
        ) => (own.id.clone(), Vec::new()),
        (_, "latest") => latest(shared, ctx, request, &base, &*forge)?,
        (_, id) => (id.to_owned(), Vec::new()),
    };
    let run = pull_run(shared, ctx, request, &base, &forge, &id)?;
    Ok((run, notes))
}

/// The newest run that executed anything, and what was passed on the way to it.
fn latest(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &PullFullLogRequest,
    base: &BaseFacts,
    forge: &dyn Forge,
) -> Result<(String, Vec<String>), ServiceError> {
    let policy = &base.facts.policy;
    let scope = source::scope_of(policy, None, request.scope.as_deref())?;
    let query = RunQuery {
        workflow: policy
            .scope
            .get(&scope)
            .and_then(|scope| scope.workflow.clone()),
        ..RunQuery::default()
    };
    let found = last_signal(forge, &query, shared.now(), ctx.cancel).map_err(source::failed)?;
    let Some(found) = found else {
        return Err(ServiceError::WrongState {
            what: format!("scope `{scope}`"),
            state: "without a run that executed anything".into(),
            remedy: "see its runs with `greenloop runs --source`".into(),
        });
    };
    let mut notes = Vec::new();
    if let Some(age) = found.age_ms {
        notes.push(format!("the signal is {} minutes old", age.max(0) / 60_000));
    }
    if !found.passed.is_empty() {
        let cancelled = found
            .passed
            .iter()
            .filter(|p| p.word == "cancelled")
            .count();
        notes.push(format!(
            "{} newer runs executed nothing, {cancelled} of them cancelled",
            found.passed.len()
        ));
    }
    notes.extend(commits_since(shared, &found.run.head_sha));
    Ok((run_key(&found.run), notes))
}

/// Commits of the branch that came after the signal.
fn commits_since(shared: &Shared, commit: &str) -> Option<String> {
    let tip = shared.last_target()?.tip;
    let newer = newer_commits(&shared.reader().ok()?, commit, &tip)?;
    let listed: Vec<&str> = newer.iter().take(5).filter_map(|id| id.get(..12)).collect();
    (!newer.is_empty())
        .then(|| format!("{} commits came since: {}", newer.len(), listed.join(", ")))
}

/// First parents from the tip down to a commit; `None` when it is not among them.
fn newer_commits(reader: &gitread::GitReader, commit: &str, tip: &str) -> Option<Vec<String>> {
    let mut newer = Vec::new();
    let mut at = tip.to_owned();
    while at != commit {
        let parents = reader.commit_info(&at).ok()?.parents;
        newer.push(std::mem::replace(&mut at, parents.into_iter().next()?));
        if newer.len() > MOST_COMMITS {
            return None;
        }
    }
    Some(newer)
}

/// Further back nobody counts.
const MOST_COMMITS: usize = 1_000;

pub(crate) fn pull_run(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &PullFullLogRequest,
    base: &BaseFacts,
    forge: &Arc<dyn Forge + Send + Sync>,
    id: &str,
) -> Result<Run, ServiceError> {
    let policy = &base.facts.policy;
    let described = forge
        .run(id, request.attempt, ctx.cancel)
        .map_err(source::failed)?;
    let given = (request.scope.as_deref(), request.commit.as_deref());
    let placing = source::placed(shared, policy, &described, given, ctx.cancel)?;
    let keeper = Keeper::new(shared, policy, forge.label(), id, &described, placing);
    let older = report_of(shared, &keeper.run);
    let keeper = std::cell::RefCell::new(keeper);
    let harness = source::harness(&policy.source)?;
    let job = request
        .job
        .as_deref()
        .map(|cell| forge_name(&keeper.borrow().run, cell));
    let what = PullWhat {
        run_id: id,
        attempt: request.attempt,
        job: job.as_deref(),
        artifacts: request.artifacts,
        steps: request.steps,
        harness: &harness,
    };
    let mut teller = Teller::new(ctx);
    let mut failed = None;
    let pulled = pull(
        &**forge,
        &what,
        &mut Store(&shared.evidence),
        &mut PullHooks {
            cancel: ctx.cancel,
            spool: &source::spool(shared)?,
            kept_job: &|id| keeper.borrow().kept(id),
            kept_artifact: &|artifact| keeper.borrow().kept_artifact(artifact),
            on_progress: &mut |now| teller.tell(now),
            on_job: &mut |_, job| {
                keeper.borrow_mut().job(job).map_err(|error| {
                    let text = error.to_string();
                    failed = Some(error);
                    std::io::Error::other(text)
                })
            },
        },
    );
    let pulled = match (pulled, failed) {
        (_, Some(error)) => return Err(error),
        (pulled, None) => pulled.map_err(source::failed)?,
    };
    let mut report = source::report_of(&pulled).with_older(older);
    report.artifacts_asked |= request.artifacts && request.job.is_none();
    let bytes =
        serde_json::to_vec(&report).map_err(|error| ServiceError::Internal(error.to_string()))?;
    let digest = shared.evidence.put_blob(&bytes)?;
    let run = keeper
        .into_inner()
        .finish(&pulled, request.job.is_none(), digest)?;
    let settled = run
        .forge
        .as_ref()
        .is_some_and(|forge| forge.provisional.is_none());
    if run.status == RunStatus::Completed && settled {
        let own = classes::base_of(shared, &run)?;
        classes::classify(shared, &run, &own)?;
    }
    Ok(run)
}

/// The forge's name of a job that is asked for by its cell.
fn forge_name(run: &Run, cell: &str) -> String {
    let job = run.jobs.iter().find(|job| job.cell == cell);
    job.and_then(|job| job.forge.as_ref())
        .map_or_else(|| cell.to_owned(), |forge| forge.name.clone())
}

fn answer(
    shared: &Shared,
    request: &PullFullLogRequest,
    run: &Run,
    mut notes: Vec<String>,
) -> Result<PullFullLogAnswer, ServiceError> {
    let wanted = |job: &&Job| {
        request.job.as_ref().is_none_or(|wanted| {
            *wanted == job.cell || job.forge.as_ref().is_some_and(|f| f.name == *wanted)
        })
    };
    let jobs: Vec<&Job> = run.jobs.iter().filter(wanted).collect();
    if let (Some(wanted), true) = (&request.job, jobs.is_empty()) {
        let cells = run.jobs.iter().map(|job| job.cell.as_str());
        return Err(unknown("cell", wanted, cells));
    }
    let base = classes::base_of(shared, run)?;
    let report = report_of(shared, run);
    let mut logs = Vec::with_capacity(jobs.len());
    for job in jobs {
        logs.push(pulled_log(shared, &base, run, job, &report)?);
    }
    count_read(shared, &run.scope);
    notes.extend(report.notes.iter().cloned());
    let artifacts: Vec<ArtifactView> = match request.artifacts || run.forge.is_some() {
        true => run
            .artifacts
            .iter()
            .map(|found| artifact_view(found, &report))
            .collect(),
        false => Vec::new(),
    };
    let provisional = run
        .forge
        .as_ref()
        .and_then(|forge| forge.provisional.clone());
    let whole = |fate: &str| ["byte_exact", "nothing"].contains(&fate);
    let complete = run.status == RunStatus::Completed
        && provisional.is_none()
        && logs.iter().all(|log| whole(&log.fate))
        && artifacts.iter().all(|artifact| whole(&artifact.fate));
    let core = shared.core();
    Ok(PullFullLogAnswer {
        run_id: run.run_id.to_string(),
        source: run.source.clone(),
        source_run_id: run.forge.as_ref().map(|forge| forge.id.clone()),
        scope: run.scope.clone(),
        head_sha: run.head_sha.clone(),
        attempt: run.attempt,
        logs,
        artifacts,
        attempts: attempts(&family(&core.state, run)),
        complete,
        provisional,
        notes,
    })
}

fn pulled_log(
    shared: &Shared,
    base: &BaseFacts,
    run: &Run,
    job: &Job,
    report: &PullReport,
) -> Result<PulledLog, ServiceError> {
    let marker_counts = match &job.log {
        Some(log) => observe::scan_of(shared, &log.log_id, &base.rulebook.catalogue)?
            .counts
            .clone(),
        None => Default::default(),
    };
    let file = job
        .forge
        .as_ref()
        .and_then(|forge| report.jobs.iter().find(|file| file.id == forge.id));
    let fate = match (file, &job.log) {
        (Some(file), _) if job.outranked.is_empty() => file.fate.clone(),
        (_, Some(log)) if log.complete && run.status == RunStatus::Completed => "byte_exact".into(),
        (_, Some(_)) => "provisional".into(),
        (_, None) if job.status == RunStatus::Completed && !job.steps.is_empty() => "lost".into(),
        (_, None) if job.status == RunStatus::Completed => "nothing".into(),
        (_, None) => "pending".into(),
    };
    Ok(PulledLog {
        job: job.cell.clone(),
        log: job.log.as_ref().map(views::log),
        fate,
        why_empty: job.why_empty.map(|why| views::why_empty_word(why).into()),
        marker_counts,
        outranked: job.outranked.iter().map(views::log).collect(),
        links: file.map(|file| file.links.clone()).unwrap_or_default(),
        steps: file.map(|file| file.steps.clone()).unwrap_or_default(),
    })
}

fn artifact_view(found: &StoredArtifact, report: &PullReport) -> ArtifactView {
    let file = report.artifacts.iter().find(|file| file.id == found.id);
    let fate = match (&found.blob, file) {
        (_, Some(file)) => file.fate.clone(),
        (Some(_), None) => "byte_exact".into(),
        (None, None) => "lost".into(),
    };
    ArtifactView {
        name: found.name.clone(),
        fate,
        sha256: found.blob.as_ref().map(ToString::to_string),
        bytes: found.bytes,
        detail: file.map(|file| file.detail.clone()).unwrap_or_default(),
        logs: found
            .logs
            .iter()
            .map(|entry| EntryView {
                name: entry.name.clone(),
                log: Some(views::log(&entry.log)),
                blob: None,
                size: entry.log.bytes,
                failed: None,
            })
            .collect(),
    }
}

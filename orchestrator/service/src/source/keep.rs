//! A run of a forge as the loop keeps it: journalled job by job, so that a pull goes on where it
//! was broken off.

use ci::forge::model::{self, WorkflowJob, WorkflowRun, millis};
use ci::forge::{HarnessLog, Kept, Pulled, PulledArtifact, PulledJob};
use discipline::event::Event;
use discipline::model::{
    ArtifactLog, Conclusion, ForgeJob, ForgeRun, Job, LogRef, ProcessExit, Run, RunId, RunStatus,
    Step, StoredArtifact, Trigger, WhyEmpty,
};
use discipline::policy::{Policy, ScopePolicy};
use discipline::state::{Claim, LoopState};

use crate::shared::{Shared, daemon};
use crate::{Cancel, ServiceError, page};

/// Longest name of a cell that a forge may give.
const NAME_CHARS: usize = 120;
/// Object id of a commit or tree that nobody knows.
const UNKNOWN_OBJECT: &str = "0000000000000000000000000000000000000000";
/// While a pull is at work.
const PULLING: &str = "the pull has not ended";

/// Which scope and commit a run belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placing {
    pub(crate) scope: String,
    pub(crate) commit: String,
    pub(crate) tree: String,
    /// The push that started it, where it was one of a claim.
    pub(crate) trigger: Trigger,
}

/// Finds scope and commit of a run: the workflow tells the scope, the source the commit; the caller
/// says what they do not.
pub(crate) fn placed(
    shared: &Shared,
    policy: &Policy,
    run: &WorkflowRun,
    (scope, commit): (Option<&str>, Option<&str>),
    cancel: &Cancel,
) -> Result<Placing, ServiceError> {
    let scope = scope_of(policy, run.workflow_file(), scope)?;
    let stated = Some(run.head_sha.as_str()).filter(|sha| is_object(sha));
    let commit = match (stated, commit) {
        (Some(stated), Some(given)) if !stated.starts_with(given) => {
            return Err(ServiceError::BadArgument {
                field: "commit",
                reason: format!("the run executed {stated}"),
                remedy: "leave `commit` out".into(),
            });
        }
        (Some(stated), _) => stated.to_owned(),
        (None, Some(given)) => given.to_owned(),
        (None, None) => UNKNOWN_OBJECT.to_owned(),
    };
    let tree = tree_of(shared, &commit, cancel);
    Ok(Placing {
        trigger: pushed_by(shared, run, &scope, &commit),
        scope,
        tree: tree.unwrap_or_else(|| UNKNOWN_OBJECT.to_owned()),
        commit,
    })
}

/// The claim whose push started the run, if one did.
fn pushed_by(shared: &Shared, run: &WorkflowRun, scope: &str, commit: &str) -> Trigger {
    let core = shared.core();
    let pushed =
        |claim: &&Claim| claim.body.proof_scope == scope && claim.commit.as_deref() == Some(commit);
    let claim = core.state.claims.values().find(pushed);
    match claim.filter(|_| run.event.as_deref() == Some("push")) {
        Some(claim) => Trigger::Push {
            claim: claim.id.clone(),
        },
        None => Trigger::Manual,
    }
}

/// Whether its bytes are still on their way.
pub(crate) fn is_being_pulled(forge: &ForgeRun) -> bool {
    forge.provisional.as_deref() == Some(PULLING)
}

fn is_object(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The scope that the workflow owns. Evidence never moves to a scope that another workflow owns.
pub(crate) fn scope_of(
    policy: &Policy,
    workflow: Option<&str>,
    wanted: Option<&str>,
) -> Result<String, ServiceError> {
    let names = || policy.scope.keys().cloned().collect::<Vec<_>>();
    let owns = |scope: &ScopePolicy| workflow.is_some() && scope.workflow.as_deref() == workflow;
    let owner = policy.scope.iter().find(|(_, scope)| owns(scope));
    let wrong = |reason: String| ServiceError::BadArgument {
        field: "scope",
        reason,
        remedy: format!("pass one of: {}", names().join(", ")),
    };
    match (owner, wanted) {
        (Some((owner, _)), Some(wanted)) if owner != wanted => {
            let file = workflow.unwrap_or_default().escape_debug();
            Err(ServiceError::BadArgument {
                field: "scope",
                reason: format!("workflow `{file}` owns the scope `{owner}`"),
                remedy: "leave `scope` out".into(),
            })
        }
        (Some((owner, _)), _) => Ok(owner.clone()),
        (None, Some(wanted)) => match policy.scope.get(wanted) {
            None => Err(wrong(format!("no scope `{}`", wanted.escape_debug()))),
            Some(scope) => match (&scope.workflow, workflow) {
                (Some(own), Some(file)) if own != file => Err(wrong(format!(
                    "scope `{wanted}` belongs to workflow `{own}`, the run is of `{}`",
                    file.escape_debug()
                ))),
                _ => Ok(wanted.to_owned()),
            },
        },
        (None, None) => match names().as_slice() {
            [only] if workflow.is_none() => Ok(only.clone()),
            _ => Err(wrong(match workflow {
                Some(file) => format!("no scope names workflow `{}`", file.escape_debug()),
                None => "the source does not tell the run's workflow".into(),
            })),
        },
    }
}

fn tree_of(shared: &Shared, commit: &str, cancel: &Cancel) -> Option<String> {
    let tree = || Some(shared.reader().ok()?.commit_info(commit).ok()?.tree);
    tree().or_else(|| {
        if commit != UNKNOWN_OBJECT {
            // Not every recorded commit is in the clone; then its tree stays unknown.
            let clone = &shared.config.repo_path;
            shared.repo.import(clone, commit, cancel).ok()?;
        }
        tree()
    })
}

/// One run on its way into the journal.
pub(crate) struct Keeper<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    /// The run as it is kept so far.
    pub(crate) run: Run,
    /// The run as it was before this pull.
    before: Option<Run>,
    /// Whether its id is in the journal.
    noted: bool,
}

impl<'a> Keeper<'a> {
    /// Goes on with the run that an earlier pull kept, or begins it.
    pub(crate) fn new(
        shared: &'a Shared,
        policy: &'a Policy,
        source: &str,
        forge_id: &str,
        described: &WorkflowRun,
        placing: Placing,
    ) -> Keeper<'a> {
        let core = shared.core();
        let before = known(&core.state, source, forge_id, Some(described.attempt())).cloned();
        let id = match &before {
            Some(run) => run.run_id.clone(),
            None => core.state.next_run_id(),
        };
        drop(core);
        let begun = begin(id, source, forge_id, described, placing, shared.now());
        let run = match &before {
            // Scope, commit and cause of a run never change.
            Some(before) => Run {
                scope: before.scope.clone(),
                head_sha: before.head_sha.clone(),
                tree: before.tree.clone(),
                trigger: before.trigger.clone(),
                jobs: before.jobs.clone(),
                artifacts: before.artifacts.clone(),
                status: begun.status.max(before.status),
                ..begun
            },
            None => begun,
        };
        Keeper {
            shared,
            policy,
            run,
            noted: before.is_some(),
            before,
        }
    }

    /// A job's own log from an earlier pull, when it is whole and still stored.
    pub(crate) fn kept(&self, job_id: u64) -> Option<Kept> {
        let jobs = &self.before.as_ref()?.jobs;
        let is_it = |job: &&Job| job.forge.as_ref().is_some_and(|forge| forge.id == job_id);
        let job = jobs.iter().find(is_it)?;
        let log = job.outranked.first().or(job.log.as_ref())?;
        let stored = self
            .shared
            .evidence
            .has(&log.log_id, state::evidence::Kind::Log);
        let mut codes = job.steps.iter().filter_map(|step| match step.exit {
            ProcessExit::Code(code) if code != 0 => Some(code),
            _ => None,
        });
        (log.complete && stored.unwrap_or(false)).then(|| Kept {
            log: log.clone(),
            exit_code: codes.next_back(),
        })
    }

    /// An artifact from an earlier pull. Its bytes never change under one id.
    pub(crate) fn kept_artifact(&self, artifact: &model::Artifact) -> Option<PulledArtifact> {
        let kept = &self.before.as_ref()?.artifacts;
        let found = kept
            .iter()
            .find(|known| known.id == artifact.id && known.name == artifact.name)?;
        let blob = found.blob.clone()?;
        let stored = self.shared.evidence.has(&blob, state::evidence::Kind::Blob);
        stored.unwrap_or(false).then(|| PulledArtifact {
            artifact: artifact.clone(),
            fate: ci::forge::Fate::ByteExact,
            blob: Some(blob),
            bytes: found.bytes,
            why_empty: None,
            detail: "kept from an earlier pull".into(),
            logs: found
                .logs
                .iter()
                .map(|kept| HarnessLog {
                    name: kept.name.clone(),
                    cell: self.bound(artifact, &kept.name),
                    log: kept.log.clone(),
                })
                .collect(),
        })
    }

    fn bound(&self, artifact: &model::Artifact, file: &str) -> Option<String> {
        let patterns = super::harness(&self.policy.source).ok()?;
        let found = patterns.iter().find_map(|p| p.cell(&artifact.name, file))?;
        found.map(str::to_owned)
    }

    /// Journals the run as it is now. What began meanwhile may have taken its id, or may be it.
    fn note(&mut self) -> Result<(), ServiceError> {
        let (run, noted) = (&mut self.run, self.noted);
        self.shared.append_with(&daemon(), |core| {
            if !noted {
                let forge_id = run.forge.as_ref().map_or("", |forge| forge.id.as_str());
                let same = known(&core.state, &run.source, forge_id, Some(run.attempt));
                let id = same.map(|same| same.run_id.clone());
                run.run_id = id.unwrap_or_else(|| core.state.next_run_id());
            }
            Ok(Some(Event::RunChanged { run: run.clone() }))
        })?;
        self.noted = true;
        Ok(())
    }

    /// Journals the run as its source describes it, before any of its files.
    pub(crate) fn begun(mut self) -> Result<Run, ServiceError> {
        let (before, run) = (self.before.take(), &self.run);
        let same =
            |before: &Run| before.status == run.status && before.conclusion == run.conclusion;
        if let Some(before) = before.filter(same) {
            return Ok(before);
        }
        self.note()?;
        Ok(self.run)
    }

    /// A job's chain has ended: what it gave is readable from now on.
    pub(crate) fn job(&mut self, pulled: &PulledJob) -> Result<(), ServiceError> {
        let cell = self.cell_of(&pulled.job);
        let job = job_of(cell, pulled);
        let id = pulled.job.id;
        let same = |known: &Job| known.forge.as_ref().is_some_and(|forge| forge.id == id);
        match self.run.jobs.iter_mut().find(|known| same(known)) {
            Some(known) => *known = job,
            None => self.run.jobs.push(job),
        }
        self.note()
    }

    /// The pull has ended.
    pub(crate) fn finish(
        mut self,
        pulled: &Pulled,
        whole_run: bool,
        report: attest::digest::Digest,
    ) -> Result<Run, ServiceError> {
        if whole_run {
            let listed = |job: &Job| {
                let id = job.forge.as_ref().map(|forge| forge.id);
                pulled.jobs.iter().any(|pulled| Some(pulled.job.id) == id)
            };
            self.run.jobs.retain(listed);
        }
        for artifact in &pulled.artifacts {
            self.artifact(artifact);
        }
        let run = &mut self.run;
        describe(run, &pulled.run);
        if let Some(forge) = &mut run.forge {
            forge.provisional.clone_from(&pulled.provisional);
            forge.report = Some(report);
        }
        self.note()?;
        Ok(self.run)
    }

    fn artifact(&mut self, pulled: &PulledArtifact) {
        let stored = StoredArtifact {
            id: pulled.artifact.id,
            name: pulled.artifact.name.clone(),
            blob: pulled.blob.clone(),
            bytes: pulled.bytes,
            why_empty: pulled.why_empty,
            logs: pulled
                .logs
                .iter()
                .map(|found| ArtifactLog {
                    name: found.name.clone(),
                    log: found.log.clone(),
                })
                .collect(),
        };
        let known = self
            .run
            .artifacts
            .iter_mut()
            .find(|known| known.id == stored.id);
        match known {
            Some(known) => *known = stored,
            None => self.run.artifacts.push(stored),
        }
        for found in &pulled.logs {
            self.outrank(found.cell.as_deref(), &found.log);
        }
    }

    /// The harness's own output takes the place of the log that the forge kept.
    fn outrank(&mut self, cell: Option<&str>, log: &LogRef) {
        let fits = |job: &Job| match cell {
            Some(cell) => {
                let name = job.forge.as_ref().map_or("", |forge| forge.name.as_str());
                job.cell == cell || names_cell(name, cell)
            }
            None => job.forge.is_some(),
        };
        let mut fitting = self.run.jobs.iter_mut().filter(|job| fits(job));
        let (Some(job), None) = (fitting.next(), fitting.next()) else {
            return;
        };
        if log.bytes == 0 || job.log.as_ref() == Some(log) {
            return;
        }
        if let Some(own) = job.log.replace(log.clone()) {
            job.outranked = vec![own];
        }
        job.why_empty = None;
    }

    /// The policy's cell that the job executes, else the job's own name.
    fn cell_of(&self, job: &WorkflowJob) -> String {
        let cells = self.policy.effective_cells(&self.run.scope);
        let stated = cells
            .iter()
            .find(|cell| cell.job.as_deref() == Some(job.name.as_str()));
        let named = || {
            let mut found = cells.iter().filter(|cell| {
                cell.job.is_none() && (cell.name == job.name || names_cell(&job.name, &cell.name))
            });
            found.next().filter(|_| found.next().is_none())
        };
        let cell = stated.or_else(named).map(|cell| cell.name.clone());
        let cell = cell.unwrap_or_else(|| shown(&job.name));
        let other = |known: &Job| {
            known.cell == cell && known.forge.as_ref().is_none_or(|forge| forge.id != job.id)
        };
        match self.run.jobs.iter().any(other) {
            true => format!("{cell} #{}", job.id),
            false => cell,
        }
    }
}

/// `gpu (noop-50, full)` names the cell `noop-50, full` as well as `noop-50`.
fn names_cell(job: &str, cell: &str) -> bool {
    let Some((_, inner)) = job.rsplit_once(" (") else {
        return false;
    };
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    inner == cell || inner.split(", ").any(|value| value == cell)
}

fn shown(name: &str) -> String {
    let plain = page::plain(name).replace(['\n', '\t'], " ");
    let short: String = plain.chars().take(NAME_CHARS).collect();
    match short.trim() {
        "" => "unnamed".into(),
        name => name.to_owned(),
    }
}

/// The run of that id at its source that was pulled, the newest attempt unless one is named.
pub(crate) fn known<'s>(
    state: &'s LoopState,
    source: &str,
    forge_id: &str,
    attempt: Option<u32>,
) -> Option<&'s Run> {
    let fits = |run: &&Run| {
        run.source == source
            && run.forge.as_ref().is_some_and(|forge| forge.id == forge_id)
            && attempt.is_none_or(|attempt| run.attempt == attempt)
    };
    state
        .runs
        .values()
        .filter(fits)
        .max_by_key(|run| run.attempt)
}

fn begin(
    run_id: RunId,
    source: &str,
    forge_id: &str,
    described: &WorkflowRun,
    placing: Placing,
    now_ms: i64,
) -> Run {
    let mut run = Run {
        run_id,
        source: source.to_owned(),
        scope: placing.scope,
        attempt: described.attempt(),
        head_sha: placing.commit,
        tree: placing.tree,
        trigger: placing.trigger,
        status: RunStatus::Queued,
        conclusion: None,
        jobs: Vec::new(),
        created_ms: now_ms,
        finished_ms: None,
        forge: Some(ForgeRun {
            id: forge_id.to_owned(),
            workflow: described.workflow_file().map(shown),
            event: described.event.as_deref().map(shown),
            branch: described.head_branch.as_deref().map(shown),
            provisional: Some(PULLING.to_owned()),
            report: None,
        }),
        artifacts: Vec::new(),
    };
    describe(&mut run, described);
    run
}

fn describe(run: &mut Run, described: &WorkflowRun) {
    let status = described
        .status
        .as_ref()
        .map_or(RunStatus::InProgress, model::Status::known);
    run.status = run.status.max(status);
    let began = match described.attempt() {
        1 => described
            .created_at
            .as_deref()
            .or(described.run_started_at.as_deref()),
        _ => described
            .run_started_at
            .as_deref()
            .or(described.created_at.as_deref()),
    };
    run.created_ms = millis(began).unwrap_or(run.created_ms);
    if run.status == RunStatus::Completed {
        let word = described.conclusion.as_deref().unwrap_or("unknown");
        run.conclusion = Some(model::conclusion(word));
        let ended = millis(described.updated_at.as_deref()).unwrap_or(run.created_ms);
        run.finished_ms = Some(ended.max(run.created_ms));
    }
}

fn job_of(cell: String, pulled: &PulledJob) -> Job {
    let job = &pulled.job;
    let steps = job.steps.iter().filter(|step| step.executed());
    Job {
        cell,
        status: job
            .status
            .as_ref()
            .map_or(RunStatus::InProgress, model::Status::known),
        conclusion: job.conclusion.as_deref().map(model::conclusion),
        steps: steps.map(|step| step_of(step, pulled.exit_code)).collect(),
        log: pulled.log.clone(),
        why_empty: pulled.why_empty.or_else(|| {
            // A log that could not be fetched this time is not there, whatever the reason.
            (pulled.log.is_none()).then_some(WhyEmpty::Missing)
        }),
        outranked: Vec::new(),
        forge: Some(ForgeJob {
            id: job.id,
            name: job.name.clone(),
            runner: job.runner_name.as_deref().map(shown),
            hosted: job.is_hosted(),
        }),
    }
}

/// The source says that a step failed; which code it was stands in the log, where it stands.
fn step_of(step: &model::WorkflowStep, exit_code: Option<i32>) -> Step {
    let exit = match step.conclusion.as_deref().map(model::conclusion) {
        Some(Conclusion::Failure) => {
            ProcessExit::Code(exit_code.filter(|code| *code != 0).unwrap_or(1))
        }
        Some(Conclusion::Cancelled) => ProcessExit::Cancelled,
        Some(Conclusion::TimedOut) => ProcessExit::TimedOut,
        Some(Conclusion::Unknown(_)) => ProcessExit::Code(exit_code.unwrap_or(0)),
        Some(Conclusion::Success) | None => ProcessExit::Code(0),
    };
    let (began, ended) = (
        millis(step.started_at.as_deref()),
        millis(step.completed_at.as_deref()),
    );
    let took = began
        .zip(ended)
        .map(|(began, ended)| ended.saturating_sub(began));
    Step {
        name: shown(&step.name),
        exit,
        duration_ms: took.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
    }
}

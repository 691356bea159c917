//! A run from its source into the evidence store.
//!
//! The attempt is pinned at the start and looked at again at the end. Each job's log is asked for
//! along the chain of [`Link`]s, and every answer is kept with its reason. A file is published
//! whole and proven, or marked as unproven, or not at all.

use std::io;
use std::path::Path;

use attest::digest::Digest;
use discipline::model::{LogRef, WhyEmpty};
use exec::Cancel;

use super::links::LinkResult;
use super::model::{Artifact, WorkflowJob, WorkflowRun};
use super::{Forge, ForgeError, HarnessPattern, Spool, StepSpan};
use crate::Sink;

mod artifacts;
mod attempt;
mod chain;

pub use artifacts::{HarnessLog, PulledArtifact, Unpacked, unpack};
use attempt::AttemptLogs;

/// What to take.
#[derive(Clone, Copy)]
pub struct PullWhat<'a> {
    /// The source's id of the run.
    pub run_id: &'a str,
    /// The attempt; the newest when absent.
    pub attempt: Option<u32>,
    /// Only the job of this name, and no artifacts.
    pub job: Option<&'a str>,
    /// Also the artifacts.
    pub artifacts: bool,
    /// Also which bytes are which step's; needs the attempt's archive.
    pub steps: bool,
    /// Artifacts that carry the harness's own output.
    pub harness: &'a [HarnessPattern],
}

/// A log that an earlier pull has stored.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The log.
    pub log: LogRef,
    /// Exit code that it states.
    pub exit_code: Option<i32>,
}

/// Where a pull stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// File that is being fetched; a name of the source, to be shown as data.
    pub file: String,
    /// Its index, from 0.
    pub index: usize,
    /// Files in all, as far as known.
    pub total: usize,
    /// Bytes of it so far.
    pub bytes: u64,
    /// Bytes of it in all, where known.
    pub of: Option<u64>,
}

/// Who is told what during a pull, and what is there already.
pub struct PullHooks<'a> {
    /// Ends the pull; whole files are kept.
    pub cancel: &'a Cancel,
    /// Folder for temporary files.
    pub spool: &'a Path,
    /// A job's log from an earlier pull, by the forge's id of the job.
    pub kept_job: &'a dyn Fn(u64) -> Option<Kept>,
    /// An artifact from an earlier pull.
    pub kept_artifact: &'a dyn Fn(&Artifact) -> Option<PulledArtifact>,
    /// Bytes arrived; may be called often.
    pub on_progress: &'a mut dyn FnMut(&PullProgress),
    /// A job's chain has ended; an error ends the pull.
    pub on_job: &'a mut dyn FnMut(&WorkflowRun, &PulledJob) -> io::Result<()>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Every byte that the source has, proven.
    ByteExact,
    /// Bytes are there; more may come, or their end is not proven.
    Provisional,
    /// There never were any bytes.
    Nothing,
    /// Not yet there.
    Pending,
    /// The source lost it or withholds it.
    Lost,
    /// It could not be fetched this time.
    Failed,
}

impl Fate {
    /// Stable snake_case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::ByteExact => "byte_exact",
            Fate::Provisional => "provisional",
            Fate::Nothing => "nothing",
            Fate::Pending => "pending",
            Fate::Lost => "lost",
            Fate::Failed => "failed",
        }
    }
}

/// One job after its chain.
#[derive(Debug, Clone)]
pub struct PulledJob {
    /// The job as the source describes it.
    pub job: WorkflowJob,
    /// What became of its log.
    pub fate: Fate,
    /// The log.
    pub log: Option<LogRef>,
    /// Why there are no bytes.
    pub why_empty: Option<WhyEmpty>,
    /// Every place that was asked.
    pub links: Vec<LinkResult>,
    /// The last exit code that the log states.
    pub exit_code: Option<i32>,
    /// Which bytes are which step's, where that is proven.
    pub steps: Option<Vec<StepSpan>>,
}

/// A pulled run.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The attempt as it was at the end.
    pub run: WorkflowRun,
    /// One per job, in the source's order.
    pub jobs: Vec<PulledJob>,
    /// One per artifact, when they were asked for.
    pub artifacts: Vec<PulledArtifact>,
    /// Why more may come; `None` for a run that has ended and did not change meanwhile.
    pub provisional: Option<String>,
    /// Findings about the run as a whole.
    pub notes: Vec<String>,
}

impl Pulled {
    /// True when nothing is missing, unproven or still to come.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let fates = self.jobs.iter().map(|job| job.fate);
        let artifacts = self.artifacts.iter().map(|artifact| artifact.fate);
        self.provisional.is_none()
            && fates
                .chain(artifacts)
                .all(|fate| matches!(fate, Fate::ByteExact | Fate::Nothing))
    }
}

/// Takes a run, or one attempt of it, into the store.
///
/// # Errors
/// The run does not exist, the source refuses or cannot be read, the store cannot be written, or
/// the pull was cancelled. A file that is missing or broken is an outcome.
pub fn pull(
    forge: &dyn Forge,
    what: &PullWhat<'_>,
    sink: &mut dyn Sink,
    hooks: &mut PullHooks<'_>,
) -> Result<Pulled, ForgeError> {
    let pinned = forge.run(what.run_id, what.attempt, hooks.cancel)?;
    let jobs = forge.jobs(what.run_id, pinned.attempt(), hooks.cancel)?;
    let listed = match what.artifacts && what.job.is_none() {
        true => forge.artifacts(what.run_id, hooks.cancel)?,
        false => Vec::new(),
    };
    let chosen = chosen(&jobs, what)?;
    let mut puller = Puller {
        forge,
        what,
        pinned: &pinned,
        all_jobs: &jobs,
        sink,
        hooks,
        attempt_logs: AttemptLogs::default(),
        index: 0,
        total: chosen.len() + listed.len(),
    };
    let mut pulled = Vec::with_capacity(chosen.len());
    for job in chosen {
        let job = puller.job(job)?;
        let told = (puller.hooks.on_job)(&pinned, &job);
        told.map_err(store_error(&job.job.name))?;
        pulled.push(job);
        puller.index += 1;
    }
    let artifacts = puller.artifacts(listed)?;
    let (run, provisional) = looked_at_again(forge, what, &pinned, hooks.cancel)?;
    Ok(Pulled {
        notes: notes(&run, &pulled, what),
        run,
        jobs: pulled,
        artifacts,
        provisional,
    })
}

fn chosen<'a>(
    jobs: &'a [WorkflowJob],
    what: &PullWhat<'_>,
) -> Result<Vec<&'a WorkflowJob>, ForgeError> {
    let Some(wanted) = what.job else {
        return Ok(jobs.iter().collect());
    };
    let found: Vec<&WorkflowJob> = jobs.iter().filter(|job| job.name == wanted).collect();
    if found.is_empty() {
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).take(20).collect();
        return Err(ForgeError::Settings {
            what: format!("run {} has no job `{}`", what.run_id, wanted.escape_debug()),
            remedy: format!("its jobs are: {}", names.join(", ").escape_debug()),
        });
    }
    Ok(found)
}

/// The pinned attempt as it is now, and why more may come.
fn looked_at_again(
    forge: &dyn Forge,
    what: &PullWhat<'_>,
    pinned: &WorkflowRun,
    cancel: &Cancel,
) -> Result<(WorkflowRun, Option<String>), ForgeError> {
    let newest = forge.run(what.run_id, None, cancel)?;
    let attempt = pinned.attempt();
    if newest.attempt() != attempt {
        let superseded = what.attempt.is_none();
        let again = forge.run(what.run_id, Some(attempt), cancel)?;
        let why = format!(
            "attempt {} began while attempt {attempt} was pulled",
            newest.attempt()
        );
        return Ok((again, superseded.then_some(why)));
    }
    let why = match newest.is_completed() {
        false => Some("the run has not ended".to_owned()),
        true if !pinned.is_completed() => Some("the run ended while it was pulled".to_owned()),
        true => None,
    };
    Ok((newest, why))
}

fn notes(run: &WorkflowRun, jobs: &[PulledJob], what: &PullWhat<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if jobs.is_empty() && run.is_completed() {
        notes.push("the run ended without a job: its workflow did not start".to_owned());
    }
    if what.job.is_none() && jobs.iter().any(|job| job.job.is_hosted()) {
        let hosted = jobs.iter().filter(|job| job.job.is_hosted()).count();
        notes.push(format!("{hosted} jobs ran on machines of the forge"));
    }
    notes
}

pub(super) fn store_error(what: &str) -> impl FnOnce(io::Error) -> ForgeError {
    let what = what.escape_debug().to_string();
    move |source| ForgeError::Store { what, source }
}

/// One pull at work.
struct Puller<'a, 'h> {
    forge: &'a dyn Forge,
    what: &'a PullWhat<'a>,
    pinned: &'a WorkflowRun,
    all_jobs: &'a [WorkflowJob],
    sink: &'a mut dyn Sink,
    hooks: &'a mut PullHooks<'h>,
    attempt_logs: AttemptLogs,
    index: usize,
    total: usize,
}

/// Copies a spooled file into the store as a log.
pub(super) fn publish(
    sink: &mut dyn Sink,
    name: &str,
    spool: &Spool,
    proven: bool,
) -> Result<LogRef, ForgeError> {
    let mut store = || -> io::Result<LogRef> {
        let mut log = sink.open(name)?;
        let copied = io::copy(&mut spool.reader()?, &mut log)?;
        if copied != spool.bytes() {
            return Err(io::Error::other("the temporary file changed its length"));
        }
        let stored = log.close(proven)?;
        match &stored.log_id == spool.sha256() {
            true => Ok(stored),
            false => Err(io::Error::other("the store has another digest")),
        }
    };
    store().map_err(store_error(name))
}

/// Copies a spooled file into the store as it is.
pub(super) fn publish_blob(
    sink: &mut dyn Sink,
    name: &str,
    spool: &Spool,
) -> Result<Digest, ForgeError> {
    let mut store = || -> io::Result<Digest> {
        let stored = sink.blob(&mut spool.reader()?)?;
        match &stored == spool.sha256() {
            true => Ok(stored),
            false => Err(io::Error::other("the store has another digest")),
        }
    };
    store().map_err(store_error(name))
}

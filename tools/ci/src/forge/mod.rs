//! What every source of finished runs has in common: a [`Forge`] answers in GitHub's shapes and
//! hands out files; [`pull`] takes a run from it into the evidence store, link by link.

mod error;
mod harness;
mod links;
mod log_text;
pub mod model;
mod pull;
mod runner;
mod signal;
mod spool;
mod steps;
mod workflow;

use std::path::Path;

use discipline::model::WhyEmpty;
use exec::Cancel;

pub use error::ForgeError;
pub use harness::{HarnessPattern, PatternError};
pub use links::{Link, LinkOutcome, LinkResult};
pub use pull::{
    Fate, HarnessLog, Kept, PullHooks, PullProgress, PullWhat, Pulled, PulledArtifact, PulledJob,
    Unpacked, pull, unpack,
};
pub use runner::RunnerState;
pub use signal::{LastSignal, Passed, last_signal, run_key};
pub use spool::Spool;
pub(crate) use spool::SpoolWriter;
pub use steps::StepSpan;
pub use workflow::{
    CancelInProgress, ConcurrencyRule, Group, MAX_WORKFLOW, PushContext, PushFilter,
    WorkflowConcurrency, WorkflowError,
};

use model::{Artifact, WorkflowJob, WorkflowRun};

/// A file that a forge keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Log of one job: the truth about it.
    JobLog {
        /// The forge's id of the run.
        run_id: String,
        /// The attempt whose listing names the job.
        attempt: u32,
        /// The forge's id of the job.
        job_id: u64,
    },
    /// Archive of an attempt's logs.
    AttemptLogs {
        /// The forge's id of the run.
        run_id: String,
        /// The attempt.
        attempt: u32,
    },
    /// An uploaded file, as it is kept.
    Artifact {
        /// The forge's id of the run.
        run_id: String,
        /// The forge's id of the artifact.
        artifact_id: u64,
        /// Its name.
        name: String,
    },
}

/// What came of asking for a file.
#[derive(Debug)]
pub enum Fetched {
    /// Every byte that the source has.
    Whole(Spool),
    /// Bytes whose end is not proven, and why.
    Unproven(Spool, String),
    /// No bytes, and why.
    Absent(WhyEmpty, String),
}

/// How a fetch is watched and ended.
pub struct FetchHooks<'a> {
    /// Ends the fetch.
    pub cancel: &'a Cancel,
    /// Folder for temporary files; they have no names there.
    pub spool: &'a Path,
    /// Bytes so far, and in all where known.
    pub on_bytes: &'a mut dyn FnMut(u64, Option<u64>),
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only of this workflow file, such as `gpu-tests.yml`.
    pub workflow: Option<String>,
    /// Only of this branch.
    pub branch: Option<String>,
    /// Only of this commit.
    pub head_sha: Option<String>,
    /// At most so many, newest first; 0 means all there are.
    pub most: usize,
}

/// A source of runs that were executed elsewhere.
pub trait Forge {
    /// `github` or `recorded`.
    fn label(&self) -> &'static str;

    /// A run as it is now, or one attempt of it.
    ///
    /// # Errors
    /// There is no such run or attempt, or the source cannot be read.
    fn run(
        &self,
        run_id: &str,
        attempt: Option<u32>,
        cancel: &Cancel,
    ) -> Result<WorkflowRun, ForgeError>;

    /// Every job of an attempt.
    ///
    /// # Errors
    /// The source cannot be read, or lists fewer jobs than it counts.
    fn jobs(
        &self,
        run_id: &str,
        attempt: u32,
        cancel: &Cancel,
    ) -> Result<Vec<WorkflowJob>, ForgeError>;

    /// Every artifact of a run.
    ///
    /// # Errors
    /// The source cannot be read, or lists fewer artifacts than it counts.
    fn artifacts(&self, run_id: &str, cancel: &Cancel) -> Result<Vec<Artifact>, ForgeError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// The source cannot be read.
    fn runs(&self, query: &RunQuery, cancel: &Cancel) -> Result<Vec<WorkflowRun>, ForgeError>;

    /// A file's bytes.
    ///
    /// # Errors
    /// The source cannot be read, after every retry; an absent file is an answer.
    fn fetch(&self, target: &Target, hooks: &mut FetchHooks<'_>) -> Result<Fetched, ForgeError>;
}

//! Runs, jobs and artifacts in the shapes of GitHub's REST API
//! (`/repos/{owner}/{repo}/actions/…`), as far as they are used here.
//!
//! Every field that its description calls nullable is an `Option`; one that is absent reads as
//! null. Words that are not known are kept as they came.

use discipline::model::{Conclusion, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a run, job or step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// Waits for a runner.
    Queued,
    /// Executes.
    InProgress,
    /// Has a conclusion.
    Completed,
    /// A word of a later API, or one of the many for waiting (`waiting`, `requested`, `pending`).
    Unknown(String),
}

impl From<String> for Status {
    fn from(text: String) -> Status {
        match text.as_str() {
            "queued" => Status::Queued,
            "in_progress" => Status::InProgress,
            "completed" => Status::Completed,
            _ => Status::Unknown(text),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> String {
        match status {
            Status::Queued => "queued".into(),
            Status::InProgress => "in_progress".into(),
            Status::Completed => "completed".into(),
            Status::Unknown(text) => text,
        }
    }
}

impl Status {
    /// As the loop keeps it: what is not known to have ended has not.
    #[must_use]
    pub fn known(&self) -> RunStatus {
        match self {
            Status::Completed => RunStatus::Completed,
            Status::InProgress => RunStatus::InProgress,
            Status::Queued => RunStatus::Queued,
            Status::Unknown(text) => match text.as_str() {
                "waiting" | "requested" | "pending" => RunStatus::Queued,
                _ => RunStatus::InProgress,
            },
        }
    }
}

/// A conclusion's word as the loop keeps it.
#[must_use]
pub fn conclusion(word: &str) -> Conclusion {
    match word {
        "success" => Conclusion::Success,
        "failure" => Conclusion::Failure,
        "cancelled" => Conclusion::Cancelled,
        "timed_out" => Conclusion::TimedOut,
        other => Conclusion::Unknown(other.to_owned()),
    }
}

/// One run of a workflow, at one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowRun {
    /// The forge's id; 0 where a recorded folder has none.
    pub id: u64,
    /// Name of the workflow.
    pub name: Option<String>,
    /// Its file, such as `.github/workflows/gpu-tests.yml`.
    pub path: Option<String>,
    /// What started it, such as `push`.
    pub event: Option<String>,
    /// How far it is.
    pub status: Option<Status>,
    /// How it ended.
    pub conclusion: Option<String>,
    /// Commit.
    pub head_sha: String,
    /// Branch; null for some events.
    pub head_branch: Option<String>,
    /// Numbered re-run, from 1.
    pub run_attempt: Option<u32>,
    /// When it was asked for, RFC 3339.
    pub created_at: Option<String>,
    /// When this attempt began.
    pub run_started_at: Option<String>,
    /// When it last changed; the end of a completed run.
    pub updated_at: Option<String>,
    /// The workflow's id; null once it was deleted.
    pub workflow_id: Option<u64>,
}

impl WorkflowRun {
    /// The attempt; 1 where the source does not number them.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.run_attempt.unwrap_or(1).max(1)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.status == Some(Status::Completed)
    }

    /// The workflow's file name, without folder and without `@ref`.
    #[must_use]
    pub fn workflow_file(&self) -> Option<&str> {
        let path = self.path.as_deref()?;
        let path = path.split('@').next().unwrap_or(path);
        path.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

/// One job of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowJob {
    /// The forge's id.
    pub id: u64,
    /// Name, with its matrix values.
    pub name: String,
    /// How far it is.
    pub status: Option<Status>,
    /// How it ended.
    pub conclusion: Option<String>,
    /// Runner; 0 or null while none was given to it.
    pub runner_id: Option<i64>,
    /// Name of the runner.
    pub runner_name: Option<String>,
    /// Labels it asks a runner for.
    pub labels: Vec<String>,
    /// What it executes; empty while nothing began.
    #[serde(deserialize_with = "null_is_empty")]
    pub steps: Vec<WorkflowStep>,
    /// Attempt it belongs to.
    pub run_attempt: Option<u32>,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended.
    pub completed_at: Option<String>,
}

impl WorkflowJob {
    /// Whether it has ended.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.status == Some(Status::Completed)
    }

    /// Whether a runner ever took it.
    #[must_use]
    pub fn was_dispatched(&self) -> bool {
        self.runner_id.is_some_and(|id| id > 0) || self.steps.iter().any(WorkflowStep::executed)
    }

    /// Whether it ran on a machine of the forge.
    #[must_use]
    pub fn is_hosted(&self) -> bool {
        let hosted = |name: &String| name.starts_with("GitHub Actions");
        self.runner_name.as_ref().is_some_and(hosted)
            && !self.labels.iter().any(|label| label == "self-hosted")
    }
}

/// One step of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowStep {
    /// Name.
    pub name: String,
    /// How far it is.
    pub status: Option<Status>,
    /// How it ended.
    pub conclusion: Option<String>,
    /// Position, from 1.
    pub number: u32,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended.
    pub completed_at: Option<String>,
}

impl WorkflowStep {
    /// Whether it did anything.
    #[must_use]
    pub fn executed(&self) -> bool {
        let ended = !matches!(self.conclusion.as_deref(), None | Some("skipped"));
        ended || self.status == Some(Status::InProgress)
    }
}

/// One uploaded file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifact {
    /// The forge's id.
    pub id: u64,
    /// Name; several artifacts may have had it.
    pub name: String,
    /// Size as the forge keeps it.
    pub size_in_bytes: u64,
    /// Whether the forge has deleted the bytes.
    pub expired: bool,
    /// `sha256:<hex>` of the bytes as the forge keeps them, where it says so.
    pub digest: Option<String>,
    /// When it was uploaded, RFC 3339.
    pub created_at: Option<String>,
    /// When the forge deletes it.
    pub expires_at: Option<String>,
}

/// A self-hosted runner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runner {
    /// The forge's id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Its system, such as `Windows`.
    pub os: String,
    /// `online` or `offline`.
    pub status: String,
    /// Whether it executes a job.
    pub busy: bool,
    /// What a job can ask for.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: Vec<RunnerLabel>,
}

/// A label of a runner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerLabel {
    /// The word in `runs-on`.
    pub name: String,
}

impl Runner {
    /// Whether it is connected to the forge.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.status == "online"
    }

    /// Whether it has every label, in any case.
    #[must_use]
    pub fn has_labels(&self, wanted: &[String]) -> bool {
        let has = |wanted: &String| {
            let mut labels = self.labels.iter();
            labels.any(|label| label.name.eq_ignore_ascii_case(wanted))
        };
        wanted.iter().all(has)
    }
}

/// A value read as one of these types. They are objects; serde alone would also take a list.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    match value {
        Value::Object(_) => serde_json::from_value(value).map_err(|error| error.to_string()),
        _ => Err("an object was expected".to_owned()),
    }
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Unix milliseconds of an RFC 3339 time; `None` where there is none or it cannot be read.
#[must_use]
pub fn millis(time: Option<&str>) -> Option<i64> {
    let parsed = chrono::DateTime::parse_from_rfc3339(time?).ok()?;
    Some(parsed.timestamp_millis())
}

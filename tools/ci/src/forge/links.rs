//! The chain of places where a job's log may be, and what each of them said.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place where a log may be, in the order they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The job's own log: the truth.
    JobLog,
    /// The archive of the attempt.
    AttemptLogs,
    /// The same execution under an earlier attempt.
    EarlierAttempt,
    /// An artifact in which the harness kept its own output.
    HarnessArtifact,
    /// The evidence store, from an earlier pull.
    Store,
}

/// What a place said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkOutcome {
    /// Every byte, proven.
    Whole,
    /// Bytes whose end is not proven.
    Unproven,
    /// No bytes.
    Absent,
    /// It could not be asked, or broke off.
    Failed,
    /// It does not say which bytes are this job's.
    Uncertain,
    /// Not asked, because the answer is known or not needed.
    Skipped,
}

/// One link of a job's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkResult {
    /// The place.
    pub link: Link,
    /// What it said.
    pub outcome: LinkOutcome,
    /// Why, in a few words of ours; never bytes of a log.
    pub detail: String,
}

impl LinkResult {
    pub(crate) fn new(link: Link, outcome: LinkOutcome, detail: impl Into<String>) -> LinkResult {
        LinkResult {
            link,
            outcome,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::JobLog => "job_log",
            Link::AttemptLogs => "attempt_logs",
            Link::EarlierAttempt => "earlier_attempt",
            Link::HarnessArtifact => "harness_artifact",
            Link::Store => "store",
        })
    }
}

impl fmt::Display for LinkOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkOutcome::Whole => "whole",
            LinkOutcome::Unproven => "unproven",
            LinkOutcome::Absent => "absent",
            LinkOutcome::Failed => "failed",
            LinkOutcome::Uncertain => "uncertain",
            LinkOutcome::Skipped => "skipped",
        })
    }
}

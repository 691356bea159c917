//! What a classification says.

use markers::{Observation, Span};
use serde::{Deserialize, Serialize};

use crate::{ClassName, Disposition, Group};

/// What a run is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The class that won.
    pub class: ClassName,
    /// Finer than the class, where a rule or the names of the failing tests say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// What to do about it.
    pub disposition: Disposition,
    /// The lines the class rests on; empty where it rests on facts alone.
    pub anchors: Vec<Anchor>,
    /// Every rule that holds, of all classes, in order of classes. The first ones are the winner's.
    pub hits: Vec<Hit>,
    /// Rules that would hold but for an exclusion.
    pub excluded: Vec<ExcludedHit>,
    /// Panics that nothing explains yet.
    pub unread_panics: Vec<Anchor>,
    /// Failing tests by signature.
    pub groups: Vec<Group>,
    /// Warnings about how the log is to be read.
    pub notes: Vec<String>,
    /// Digest of the playbooks.
    pub playbooks: String,
    /// Digest of the marker catalogue.
    pub catalogue: String,
}

/// One line of one cell's log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The cell.
    pub cell: String,
    /// 1-based line.
    pub line: u64,
    /// Raw bytes.
    pub span: Span,
    /// Marker that was read there.
    pub marker: String,
    /// The test that was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// One rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// Its class.
    pub class: ClassName,
    /// Its id within the class.
    pub rule: String,
    /// Sub-class it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Lines it rests on, at most 32.
    pub anchors: Vec<Anchor>,
    /// Facts it rests on, `conclusion = "cancelled"`.
    pub facts: Vec<String>,
}

/// A hit, or lines of one, that an exclusion beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludedHit {
    /// The class that does not hold because of it.
    pub class: ClassName,
    /// The rule.
    pub rule: String,
    /// The lines that do not count.
    pub anchors: Vec<Anchor>,
    /// Why not.
    pub reason: String,
}

pub(crate) fn anchor(cell: &str, row: &Observation) -> Anchor {
    Anchor {
        cell: cell.to_owned(),
        line: row.line,
        span: row.span,
        marker: row.kind.clone(),
        test: row.test.clone(),
    }
}

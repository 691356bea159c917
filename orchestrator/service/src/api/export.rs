//! Typed markers of whole runs, value by value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every value that a run's logs show, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportMarkersRequest {
    /// The run.
    pub run_id: String,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A page of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportMarkersAnswer {
    /// In order of cells and lines.
    pub rows: Vec<ExportRow>,
    /// Give it back for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Log text stands in it.
    pub untrusted: bool,
}

/// One value of one field of one observation. An observation without fields is one row without a field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportRow {
    /// Proof scope of the run.
    pub scope: String,
    /// Cell.
    pub cell: String,
    /// Commit that was executed.
    pub head_sha: String,
    /// When the run was asked for, unix milliseconds.
    pub created_ms: i64,
    /// How the run ended.
    pub conclusion: Option<String>,
    /// Its failure class.
    pub class: Option<String>,
    /// True when green with engagement proof.
    pub green: Option<bool>,
    /// The log.
    pub log_id: String,
    /// Whether nothing that an emitter printed is missing in it.
    pub complete: bool,
    /// Digest of the catalogue that read it.
    pub catalogue: String,
    /// Number of the observation in its log, from 0.
    pub observation: i64,
    /// Marker.
    pub kind: String,
    /// Line, 1-based.
    pub line: i64,
    /// First byte in the raw log.
    pub byte_start: i64,
    /// One past the last byte.
    pub byte_end: i64,
    /// Test that was running.
    pub test: Option<String>,
    /// Path that the observation belongs to.
    pub path: Option<String>,
    /// Phase that it belongs to.
    pub phase: Option<String>,
    /// Field.
    pub field: Option<String>,
    /// Part of it: index of a list, `NAME.count` or `NAME.us` of a histogram.
    pub part: Option<String>,
    /// The value as a number, where it is one; the text is exact.
    pub number: Option<f64>,
    /// The value as it was read.
    pub text: Option<String>,
    /// Unit of the number.
    pub unit: Option<String>,
}

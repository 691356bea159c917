//! Two runs, and two modes of the engine, side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RefusalView;

/// What moved between two runs?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareRunsRequest {
    /// Run that is compared with.
    pub base: String,
    /// Run that is compared.
    pub head: String,
    /// Only this cell.
    #[serde(default)]
    pub cell: Option<String>,
    /// Only these marker kinds.
    #[serde(default)]
    pub kinds: Option<Vec<String>>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Most differences in the answer, 1 to 200; 50 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// How far a number moved: head minus base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MarginView {
    /// The exact difference, decimal text.
    pub difference: String,
    /// Its magnitude in percent of the base; null for a base of zero.
    pub percent: Option<String>,
    /// Unit, where the field has one.
    pub unit: Option<String>,
}

/// The first element in which two vectors differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirstDifferenceView {
    /// Index from 0.
    pub index: u64,
    /// Element of the base; null past its end.
    pub base: Option<String>,
    /// Element of the head; null past its end.
    pub head: Option<String>,
    /// How far it moved, for numbers.
    pub margin: Option<MarginView>,
    /// Elements that differ in all.
    pub differing: u64,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeltaView {
    /// Cell.
    pub cell: String,
    /// Marker kind.
    pub kind: String,
    /// Which row: coordinate fields such as `path`, `phase` and `pass`, `test` where one was
    /// running, and `nth` of several.
    pub at: std::collections::BTreeMap<String, String>,
    /// Field, or `field[bucket].count` of a histogram; null when the whole row appeared or vanished.
    pub field: Option<String>,
    /// `appeared`, `vanished` or `moved`.
    pub change: String,
    /// Value of the base.
    pub base: Option<String>,
    /// Value of the head.
    pub head: Option<String>,
    /// How far a number moved.
    pub margin: Option<MarginView>,
    /// Where two vectors part.
    pub first_difference: Option<FirstDifferenceView>,
    /// Line of the base's log, 1-based.
    pub base_line: Option<u64>,
    /// Line of the head's log, 1-based.
    pub head_line: Option<u64>,
    /// False when the side without the row could not have shown it: evidence of nothing.
    pub observable: bool,
}

/// Everything that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompareRunsAnswer {
    /// The differences, by cell, marker and line.
    pub deltas: Vec<DeltaView>,
    /// How many there are in all.
    pub total: u64,
    /// Give it back for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Cells that only the base has.
    pub only_base: Vec<String>,
    /// Cells that only the head has.
    pub only_head: Vec<String>,
    /// Digest of the catalogue that read both.
    pub catalogue: String,
    /// Why they cannot be compared.
    pub refused: Vec<RefusalView>,
    /// Always true: values come out of logs.
    pub untrusted: bool,
}

/// In what do two recordings of one graph differ?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathDeltaRequest {
    /// GGUF file: a path inside the repository under care, or inside a folder that the machine's
    /// settings allow.
    pub model: String,
    /// First mode: `single_graph` or `legacy_multi_submit`.
    pub mode_a: String,
    /// Second mode.
    pub mode_b: String,
    /// Tokens of the pass, 1 to 4096; 1, a decode pass, when absent. More make a prefill pass.
    #[serde(default)]
    pub tokens: Option<u32>,
}

/// One aspect of the two streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathDeltaRow {
    /// `graph_construction`, `tensor_ids`, `command_buffer_boundaries`, `pending_writes`,
    /// `lifetimes` or `consumer_order`.
    pub aspect: String,
    /// True when both streams agree.
    pub same: bool,
    /// Lines that only the first stream has, at most 40.
    pub only_a: Vec<String>,
    /// Lines that only the second stream has, at most 40.
    pub only_b: Vec<String>,
    /// How many lines only the first stream has.
    pub count_a: u64,
    /// How many lines only the second stream has.
    pub count_b: u64,
}

/// The table of six rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathDeltaAnswer {
    /// One per aspect; empty when refused.
    pub rows: Vec<PathDeltaRow>,
    /// Why there is no table.
    pub refused: Vec<RefusalView>,
}

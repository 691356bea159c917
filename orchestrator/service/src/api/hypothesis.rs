//! The ledger of causes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CitationView, HypothesisView, RefusalView};

/// A quoted line of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotedSiteView {
    /// Path from the root.
    pub file: String,
    /// Line, 1-based.
    pub line: u32,
    /// The line's text; it must stand there.
    pub quote: String,
}

/// Write a cause into the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenHypothesisRequest {
    /// The loop.
    pub loop_id: String,
    /// Proof scope it explains.
    pub scope: String,
    /// One of: missing_barrier, skipped_work, wrong_lifetime, wrong_upload_path, stale_cache_key,
    /// unregistered_side_effect, wrong_constant, precision, wrong_reference, environment, other.
    pub mechanism: String,
    /// One sentence.
    pub statement: String,
    /// Lines that implement the mechanism.
    pub sites: Vec<QuotedSiteView>,
    /// Commit the sites are quoted from; the branch tip when absent.
    #[serde(default)]
    pub commit: Option<String>,
    /// Predicates that hold if it is true.
    #[serde(default)]
    pub predicts: Vec<String>,
    /// Predicates that cannot hold if it is true.
    #[serde(default)]
    pub forbids: Vec<String>,
    /// Ids of competing hypotheses.
    #[serde(default)]
    pub rivals: Vec<String>,
    /// Log bytes it rests on.
    #[serde(default)]
    pub evidence: Vec<CitationView>,
    /// Repeating the call with the same key answers with the same hypothesis.
    pub idempotency_key: String,
}

/// The ledger's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenHypothesisAnswer {
    /// The row, when it was opened.
    pub hypothesis: Option<HypothesisView>,
    /// Why it was not.
    pub refused: Vec<RefusalView>,
}

/// Kill a cause with evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FalsifyHypothesisRequest {
    /// The loop.
    pub loop_id: String,
    /// The hypothesis.
    pub hypothesis_id: String,
    /// Log bytes that contradict it.
    pub killer: Vec<CitationView>,
    /// Why they do.
    pub reason: String,
}

/// The ledger's row after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FalsifyHypothesisAnswer {
    /// The row.
    pub hypothesis: Option<HypothesisView>,
    /// Why it still lives.
    pub refused: Vec<RefusalView>,
}

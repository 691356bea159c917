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

/// What would a person sign to let a dead cause live again?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareRevivalRequest {
    /// The dead hypothesis.
    pub hypothesis_id: String,
    /// Why its newer evidence counts for more than what killed it.
    pub reason: String,
}

/// What is shown, and the bytes to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrepareRevivalAnswer {
    /// The ledger's row.
    pub hypothesis: HypothesisView,
    /// Observations from newer runs that contradict the killer.
    pub observations: Vec<String>,
    /// Canonical bytes to sign, as text.
    pub payload: Option<String>,
    /// SSH signature namespace to sign in.
    pub namespace: String,
    /// Why it stays dead.
    pub refused: Vec<RefusalView>,
}

/// Let a dead cause live again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviveHypothesisRequest {
    /// The dead hypothesis.
    pub hypothesis_id: String,
    /// The payload that was signed, byte for byte.
    pub payload: String,
    /// Armored SSH signature over it.
    pub signature: String,
}

/// The ledger's row after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviveHypothesisAnswer {
    /// The row.
    pub hypothesis: HypothesisView,
    /// Principal of the key that signed.
    pub signer: Option<String>,
    /// Why it stays dead.
    pub refused: Vec<RefusalView>,
}

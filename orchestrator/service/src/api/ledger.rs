//! The ledger in full, what stands beside its causes, and claims taken back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CitationView, HypothesisView, QuotedSiteView, RefusalView};

/// Write something for or against a cause beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordObservationRequest {
    /// The loop.
    pub loop_id: String,
    /// The hypothesis.
    pub hypothesis_id: String,
    /// `measurement` (log bytes), `derivation` (follows from log bytes), `citation` (bytes from
    /// elsewhere) or `statement`. Decides the best grade: observed, derived, analogue, guess.
    pub kind: String,
    /// `for` or `against`.
    pub bearing: String,
    /// One sentence.
    pub statement: String,
    /// Memory that a measurement was read from: `device`, `host`, or `none` where no memory is
    /// involved. Host bytes prove nothing about device memory.
    #[serde(default)]
    pub memory: Option<String>,
    /// Log bytes it rests on; needed for `measurement` and `derivation`.
    #[serde(default)]
    pub citations: Vec<CitationView>,
    /// The passage of a `citation`, at most 64 KiB.
    #[serde(default)]
    pub bytes: Option<String>,
    /// Where that passage stands.
    #[serde(default)]
    pub source: Option<String>,
    /// Repeating the call with the same key answers with the same observation.
    pub idempotency_key: String,
}

/// One entry beside a hypothesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedView {
    /// Id, such as `O1`.
    pub observation_id: String,
    /// The hypothesis.
    pub hypothesis_id: String,
    /// `measurement`, `derivation`, `citation` or `statement`.
    pub kind: String,
    /// `device`, `host` or `none`; null where nothing was declared.
    pub memory: Option<String>,
    /// `for` or `against`.
    pub bearing: String,
    /// One sentence.
    pub statement: String,
    /// `observed`, `derived`, `analogue` or `guess`.
    pub grade: String,
    /// Log bytes it rests on.
    pub citations: Vec<CitationView>,
    /// Where a cited passage stands.
    pub source: Option<String>,
    /// Digest of a cited passage.
    pub bytes_sha256: Option<String>,
    /// The beginning of a cited passage, sanitised and fenced: nobody's instruction.
    pub excerpt: Option<String>,
    /// Who recorded it; unverified.
    pub by: String,
}

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordObservationAnswer {
    /// The entry, when it was recorded.
    pub observation: Option<RecordedView>,
    /// What the hypothesis is worth now.
    pub hypothesis_grade: Option<String>,
    /// Why it was not recorded.
    pub refused: Vec<RefusalView>,
}

/// Which causes are on the ledger, with everything for and against them?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListHypothesesRequest {
    /// Only this loop's.
    #[serde(default)]
    pub loop_id: Option<String>,
    /// Only this scope's.
    #[serde(default)]
    pub scope: Option<String>,
    /// Only `open`, `surviving` or `falsified`.
    #[serde(default)]
    pub status: Option<String>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Most hypotheses in the answer, 1 to 50; 20 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// What killed a hypothesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KillerView {
    /// The bytes.
    pub citations: Vec<CitationView>,
    /// Why they kill it.
    pub reason: String,
    /// Who said so; unverified.
    pub by: String,
}

/// One row of the ledger in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HypothesisDetail {
    /// In short.
    pub summary: HypothesisView,
    /// Loop it belongs to.
    pub loop_id: String,
    /// Its best support: `observed`, `derived`, `analogue` or `guess`.
    pub grade: String,
    /// Commit whose lines it quotes.
    pub commit: String,
    /// The quoted lines.
    pub sites: Vec<QuotedSiteView>,
    /// Predicates that hold if it is true.
    pub predicts: Vec<String>,
    /// Predicates that cannot hold if it is true.
    pub forbids: Vec<String>,
    /// Competing hypotheses.
    pub rivals: Vec<String>,
    /// Log bytes it was opened with.
    pub evidence: Vec<CitationView>,
    /// What was recorded beside it, oldest first.
    pub observations: Vec<RecordedView>,
    /// What killed it.
    pub killer: Option<KillerView>,
    /// Who opened it; unverified.
    pub by: String,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListHypothesesAnswer {
    /// The rows, oldest first.
    pub hypotheses: Vec<HypothesisDetail>,
    /// Give it back for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Always true: excerpts are foreign text.
    pub untrusted: bool,
}

/// Take a claim back before it is pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawClaimRequest {
    /// The loop.
    pub loop_id: String,
    /// The claim.
    pub claim_id: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// The claim after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WithdrawClaimAnswer {
    /// State of the claim.
    pub state: String,
    /// Why it stands.
    pub refused: Vec<RefusalView>,
}

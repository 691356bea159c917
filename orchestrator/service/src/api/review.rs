//! A claim as a person reads it before signing, and the way back from one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AnchorView, ClaimSummary, OverrideView, RefusalView, VerdictView};

/// Show me everything about this claim that a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewClaimRequest {
    /// The claim.
    pub claim_id: String,
}

/// Everything on one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewClaimAnswer {
    /// In one line.
    pub summary: ClaimSummary,
    /// The card: the bound one once the claim is staged, else as it would be bound now.
    pub card: serde_json::Map<String, serde_json::Value>,
    /// True when the card is the one that the approval binds.
    pub bound: bool,
    /// Text of the law that fails.
    pub law_text: String,
    /// Tests and types that pin it.
    pub law_pins: Vec<String>,
    /// First divergence of the baseline run.
    pub first_divergence: Option<AnchorView>,
    /// The change, from the tree objects that would be pushed.
    pub diff: Vec<FileDiffView>,
    /// Hours that a signature made now would permit a push.
    pub expires_h: u32,
    /// What is missing before it can be pushed.
    pub missing: Vec<String>,
    /// Command that a person types to approve it.
    pub approval_command: Option<String>,
    /// Principal who approved it.
    pub approved_by: Option<String>,
    /// The outcome, once graded.
    pub verdict: Option<VerdictView>,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDiffView {
    /// Path from the root.
    pub path: String,
    /// What happened to it, such as `changed`, `new file`, `deleted`, `changed, mode regular → executable`.
    pub what: String,
    /// Lines with their context; empty for content that is not text.
    pub lines: Vec<DiffLineView>,
    /// Lines that are not listed, because the change is too long for a page.
    pub left_out: u32,
}

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffLineView {
    /// `context`, `removed`, `added` or `gap`, where unchanged lines are left out.
    pub kind: DiffLineKind,
    /// Line at base, 1-based.
    pub old_line: Option<u32>,
    /// Line of the change, 1-based.
    pub new_line: Option<u32>,
    /// Its text without the newline.
    pub text: String,
}

/// What a line of a diff is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiffLineKind {
    /// On both sides.
    Context,
    /// At base only.
    Removed,
    /// In the change only.
    Added,
    /// Unchanged lines stand here.
    Gap,
}

/// Prepare the way back from a pushed claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareRollbackRequest {
    /// The pushed claim.
    pub claim_id: String,
}

/// The rollback claim, or every reason against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrepareRollbackAnswer {
    /// The new claim; a refused one has an id too.
    pub claim_id: Option<String>,
    /// `checked` or `drafted`.
    pub state: Option<String>,
    /// What its run is predicted to show.
    pub predictions: Vec<String>,
    /// Every unmet rule.
    pub refused: Vec<RefusalView>,
}

/// Open a scope again that a due rollback has closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReopenScopeRequest {
    /// The scope.
    pub scope: String,
    /// Why pushes may go on; who audits one reads it.
    pub reason: String,
    /// For how long.
    pub hours: u32,
}

/// The opened scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReopenScopeAnswer {
    /// Why it is closed; null when nothing was opened.
    pub closed_because: Option<String>,
    /// The override that lets pushes pass; null when nothing was opened.
    pub granted: Option<OverrideView>,
    /// Why it stays as it is.
    pub refused: Vec<RefusalView>,
}

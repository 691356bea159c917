//! Claims: from draft to verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CitationView, ClaimSummary, GateView, OverrideView, RefusalView, VerdictView};

/// Where the change is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "`change` is either {repo_path, commit} or {patch, base}, and nothing else"
)]
pub enum ChangeView {
    /// A commit in a clone that the daemon can read; only its tree is taken.
    Commit {
        /// Path of the clone.
        repo_path: String,
        /// The commit.
        commit: String,
    },
    /// A patch on a base commit, as `git diff --binary` writes it.
    Patch {
        /// The patch.
        patch: String,
        /// Base commit.
        base: String,
    },
}

/// A place in the base tree that the change touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteView {
    /// Path from the root.
    pub file: String,
    /// Function that holds the lines.
    #[serde(default)]
    pub function: Option<String>,
    /// First line at base, 1-based; 0 for a new file.
    pub line_start: u32,
    /// Last line at base, inclusive; 0 for a new file.
    pub line_end: u32,
}

/// A predicate that must not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardView {
    /// Scope it is graded in.
    pub scope: String,
    /// The predicate.
    pub predicate: String,
}

/// The test that is red on base and green on head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PinnedTestView {
    /// Cargo package.
    pub package: String,
    /// Integration-test target.
    pub target: String,
    /// Name as libtest prints it.
    pub name: String,
    /// Files of the change that hold the test; empty when it stands on base.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What a diagnostic may show, and which hypotheses that kills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutcomeView {
    /// Predicate over the run.
    pub predicate: String,
    /// Hypotheses that cannot be true when it holds.
    pub kills: Vec<String>,
}

/// What the push may spend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetView {
    /// Minutes of the runner.
    pub runner_minutes: u32,
    /// Runs that the push starts.
    pub runs: u32,
    /// Runs that it would cancel, by id.
    #[serde(default)]
    pub cancels: Vec<String>,
}

/// A claim before it is checked. Missing parts are refused by name, all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimDraft {
    /// The change.
    pub change: ChangeView,
    /// `fix`, `baseline`, `diagnostic`, `policy_change` or `rollback`.
    pub kind: String,
    /// Scope whose run grades it.
    pub proof_scope: String,
    /// Law that fails today, such as `§4`.
    #[serde(default)]
    pub failing_invariant: Option<String>,
    /// Log bytes that show the failure.
    #[serde(default)]
    pub evidence: Vec<CitationView>,
    /// Run on which a prediction is false today.
    #[serde(default)]
    pub baseline_run: Option<String>,
    /// Every hunk lies in one of these.
    #[serde(default)]
    pub sites: Vec<SiteView>,
    /// Ties bug to fix.
    #[serde(default)]
    pub reasoning: String,
    /// The hypothesis it acts on.
    #[serde(default)]
    pub hypothesis_id: Option<String>,
    /// Predicates the run must satisfy.
    #[serde(default)]
    pub prediction: Vec<String>,
    /// For a diagnostic: what the run may show, and what each outcome kills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<OutcomeView>,
    /// Predicates that must not change.
    #[serde(default)]
    pub guards: Vec<GuardView>,
    /// Local gates by name.
    #[serde(default)]
    pub gates: Vec<String>,
    /// Red on base, green on head.
    #[serde(default)]
    pub pinned_test: Option<PinnedTestView>,
    /// Predicates any of which means revert.
    #[serde(default)]
    pub rollback_if: Vec<String>,
    /// What it may spend.
    #[serde(default)]
    pub budget: BudgetView,
    /// Commit message; the first line is the subject. No trailers.
    #[serde(default)]
    pub message: String,
}

/// Which rules would refuse this draft? Nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckClaimRequest {
    /// The loop.
    pub loop_id: String,
    /// The draft.
    pub draft: ClaimDraft,
}

/// Every unmet rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckClaimAnswer {
    /// Empty when it would be accepted.
    pub refused: Vec<RefusalView>,
    /// Rules that were asked, with `true` where they pass.
    pub rules: std::collections::BTreeMap<String, bool>,
    /// Changed lines that can change behaviour.
    pub behavioural_lines: u32,
    /// Changed lines that cannot.
    pub mechanical_lines: u32,
    /// Live runs that the push would meet, what it does to each, and the runner's state.
    #[serde(default)]
    pub forecast: Vec<String>,
}

/// Propose a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposeClaimRequest {
    /// The loop.
    pub loop_id: String,
    /// The draft.
    pub draft: ClaimDraft,
    /// Repeating the call with the same key answers with the same claim.
    pub idempotency_key: String,
}

/// The claim, or every reason against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProposeClaimAnswer {
    /// Its id; refused drafts have one too.
    pub claim_id: Option<String>,
    /// Digest of its canonical body.
    pub claim_digest: Option<String>,
    /// `checked` or `drafted`.
    pub state: String,
    /// Every unmet rule.
    pub refused: Vec<RefusalView>,
}

/// Run the gates of a checked claim, or attach to a run of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunGatesRequest {
    /// The loop.
    pub loop_id: String,
    /// The claim.
    pub claim_id: String,
    /// Longest wait in seconds, 0 to 3000; 50 when absent. The gates go on without the caller.
    #[serde(default)]
    pub max_wait_s: Option<u32>,
}

/// Gates so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunGatesAnswer {
    /// Id to come back with.
    pub gate_run_id: Option<String>,
    /// True when all have ended.
    pub done: bool,
    /// State of the claim: `gating`, `gated`, `staged` or `checked`.
    pub state: String,
    /// Each process that ended.
    pub results: Vec<GateView>,
    /// What the gates, taken together, refuse.
    pub refused: Vec<RefusalView>,
}

/// One claim in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetClaimRequest {
    /// The claim.
    pub claim_id: String,
}

/// Everything about a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GetClaimAnswer {
    /// In one line.
    pub summary: ClaimSummary,
    /// Its canonical body, as JSON.
    pub body: serde_json::Map<String, serde_json::Value>,
    /// Unmet rules of its draft, or of its gates.
    pub refused: Vec<RefusalView>,
    /// What is missing before it can be pushed.
    pub missing: Vec<String>,
    /// Gate processes.
    pub gates: Vec<GateView>,
    /// Command that a person types to approve it.
    pub approval_command: Option<String>,
    /// Principal who approved it.
    pub approved_by: Option<String>,
    /// The outcome, once graded.
    pub verdict: Option<VerdictView>,
    /// The card a person is shown, as JSON; also what `shown_digest` covers.
    pub card: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Spend the approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestPushRequest {
    /// The loop.
    pub loop_id: String,
    /// The claim.
    pub claim_id: String,
    /// Digest of the claim that is meant.
    pub claim_digest: String,
}

/// The push, or every reason against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestPushAnswer {
    /// Commit at the remote.
    pub pushed_commit: Option<String>,
    /// Ref that carries the attestation.
    pub attestation_ref: Option<String>,
    /// Run that the push started.
    pub run_id: Option<String>,
    /// State of the claim after it.
    pub state: String,
    /// Why nothing was pushed.
    pub refused: Vec<RefusalView>,
}

/// Grade a pushed claim; waits for its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyClaimRequest {
    /// The claim.
    pub claim_id: String,
    /// Longest wait in seconds, 0 to 3000.
    #[serde(default)]
    pub max_wait_s: u32,
}

/// The grading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyClaimAnswer {
    /// State of the claim.
    pub state: String,
    /// The outcome, once there is one.
    pub verdict: Option<VerdictView>,
    /// Why there is none.
    pub refused: Vec<RefusalView>,
}

/// Why was this push allowed?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainPushRequest {
    /// The commit, full or at least 7 digits.
    #[serde(default)]
    pub commit: Option<String>,
    /// Or the claim.
    #[serde(default)]
    pub claim_id: Option<String>,
}

/// One rule of a replayed decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleView {
    /// Its name.
    pub rule: String,
    /// `propose`, `gates` or `push`.
    pub stage: String,
    /// What it refused; empty when it passed.
    pub refused: Vec<RefusalView>,
    /// What it refused and a person passed over, each with the id of the override.
    #[serde(default)]
    pub overridden: Vec<String>,
}

/// The decision, replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainPushAnswer {
    /// The claim.
    pub claim: ClaimSummary,
    /// Law that failed, with its title.
    pub invariant: String,
    /// Rules in order.
    pub rules: Vec<RuleView>,
    /// True when replaying the decision gave the stored one.
    pub identical: bool,
    /// True when it allowed the push.
    pub allowed: bool,
    /// Who approved.
    pub approved_by: Option<String>,
    /// What the run then said.
    pub verdict: Option<VerdictView>,
    /// Rules of cost that a person passed over when the push was decided.
    #[serde(default)]
    pub overrides: Vec<OverrideView>,
    /// Ref that carries the attestation.
    pub attestation_ref: Option<String>,
}

//! Values that several answers share. Each mirrors a type of `discipline`, so that the wire format
//! is a choice of its own and carries a JSON schema.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why something is not allowed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalView {
    /// Stable snake_case code.
    pub code: String,
    /// Part of the request it is about.
    pub field: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Something one can type or do.
    pub remedy: String,
}

/// A stored log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogView {
    /// `sha256:<hex>` of the raw bytes.
    pub log_id: String,
    /// Length in bytes.
    pub total_bytes: u64,
    /// Number of lines.
    pub total_lines: u64,
    /// True when these are all the bytes the source will ever have.
    pub complete: bool,
}

/// One cell of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Cell id, such as `noop-0-full`.
    pub cell: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, `cancelled`, `timed_out` or the source's own word.
    pub conclusion: Option<String>,
    /// Its log.
    pub log: Option<LogView>,
    /// Why there is none, or an empty one.
    pub why_empty: Option<String>,
    /// Wall time of its steps.
    pub duration_ms: u64,
}

/// One execution of a proof scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunView {
    /// Id, such as `R1`.
    pub run_id: String,
    /// Run source.
    pub source: String,
    /// Proof scope.
    pub scope: String,
    /// Numbered re-run, from 1.
    pub attempt: u32,
    /// Commit it executed.
    pub head_sha: String,
    /// `manual` or `push`.
    pub trigger: String,
    /// Claim whose push started it.
    pub claim_id: Option<String>,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// Failure class, once classified.
    pub class: Option<String>,
    /// True when green with engagement proof.
    pub green: Option<bool>,
    /// One per cell.
    pub jobs: Vec<JobView>,
    /// When it was asked for, unix milliseconds.
    pub created_ms: i64,
    /// When it ended, unix milliseconds.
    pub finished_ms: Option<i64>,
}

/// State of a proof scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeView {
    /// Its name.
    pub scope: String,
    /// `green`, `green_unproven`, `red` or `no_signal`.
    pub signal: String,
    /// Run the signal comes from.
    pub run_id: Option<String>,
    /// Commit the signal belongs to.
    pub head_sha: Option<String>,
    /// Age of the signal in milliseconds.
    pub age_ms: Option<i64>,
    /// Why it is closed for pushes, if it is.
    pub closed: Option<String>,
    /// Runner minutes that a claim of it may still ask for today; null while no policy was read.
    #[serde(default)]
    pub minutes_left: Option<u32>,
}

/// A legal next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionView {
    /// Tool or command to call.
    pub tool: String,
    /// Why it is the next one.
    pub why: String,
}

/// Log bytes that something rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CitationView {
    /// `sha256:<hex>` of the log.
    pub log_id: String,
    /// First byte.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
    /// First line, 1-based.
    pub line_start: u64,
    /// Last line, inclusive.
    pub line_end: u64,
}

/// One observation of a marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationView {
    /// Catalogue name, such as `first_divergence`.
    pub kind: String,
    /// Typed fields, numbers as decimal text.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// Test that was running.
    pub test: Option<String>,
    /// Line, 1-based.
    pub line: u64,
    /// First byte in the raw log.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
}

/// A line that a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnchorView {
    /// Cell.
    pub cell: String,
    /// Log.
    pub log_id: String,
    /// Line, 1-based.
    pub line: u64,
    /// Marker kind on that line.
    pub kind: String,
    /// What it says, in the marker's own fields.
    pub summary: String,
}

/// One gate process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateView {
    /// Gate name, or `pinned`.
    pub gate: String,
    /// `pin_on_base`, `pin_on_head`, `gate` or `canary`.
    pub role: String,
    /// `passed`, `vacuous` or `refused`.
    pub verdict: String,
    /// Why it is not `passed`.
    pub refused: Vec<RefusalView>,
    /// Argument vector that ran.
    pub argv: Vec<String>,
    /// Tests passed.
    pub passed: u64,
    /// Tests failed.
    pub failed: u64,
    /// Names of failed tests.
    pub failed_tests: Vec<String>,
    /// Tests that its binaries list; null when they were not asked.
    #[serde(default)]
    pub listed: Option<u64>,
    /// Gate run whose result this is, when it was not run again.
    #[serde(default)]
    pub reused_from: Option<String>,
    /// Wall time.
    pub duration_ms: u64,
    /// Transcript in the evidence store.
    pub transcript: Option<LogView>,
}

/// One graded predicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GradeView {
    /// `prediction`, `guard`, `rollback_if` or `engage`.
    pub role: String,
    /// The predicate.
    pub predicate: String,
    /// `holds`, `fails` or `not_observable`.
    pub truth: String,
    /// What was observed, with its margin.
    pub observed: String,
}

/// The outcome of a pushed claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictView {
    /// `confirmed`, `refuted` or `inconclusive`.
    pub kind: String,
    /// Run that was graded.
    pub run_id: String,
    /// Pushed commit.
    pub commit: String,
    /// Every predicate.
    pub grades: Vec<GradeView>,
    /// True when a rollback condition holds or a guard broke.
    pub rollback_due: bool,
    /// One line per reason.
    pub reasons: Vec<String>,
    /// Guards of the other scopes that the claim guards, by scope; one that broke makes the rollback due.
    #[serde(default)]
    pub other_scopes: Vec<ScopeGuardsView>,
}

/// What another scope showed of the guards that a claim states for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeGuardsView {
    /// The scope.
    pub scope: String,
    /// Its run of the pushed commit; null where there was none to read.
    pub run_id: Option<String>,
    /// `held`, `broke`, `not_seen`, or `waiting` for its run.
    pub outcome: String,
    /// Every guard, then the scope's engagement proof.
    pub grades: Vec<GradeView>,
    /// One line per reason.
    pub reasons: Vec<String>,
}

impl ScopeGuardsView {
    /// One line: the scope, what became of its guards, where that was seen and why.
    #[must_use]
    pub fn sentence(&self) -> String {
        let outcome = self.outcome.replace('_', " ");
        let by = self.run_id.as_ref();
        let by = by.map_or_else(String::new, |run| format!(" by {run}"));
        let why = match self.reasons.is_empty() {
            true => String::new(),
            false => format!(": {}", self.reasons.join("; ")),
        };
        format!("guards of {} {outcome}{by}{why}", self.scope)
    }
}

/// Counters of both ways to fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountersView {
    /// Reads of evidence.
    pub reads: u64,
    /// Status calls without new bytes or commits.
    pub reorientations: u64,
    /// Claims proposed.
    pub proposals: u64,
    /// Gate runs.
    pub gate_runs: u64,
    /// Hypotheses opened.
    pub hypotheses_opened: u64,
    /// Hypotheses falsified.
    pub hypotheses_killed: u64,
    /// Pushes that reached the remote.
    pub pushes: u64,
    /// Milliseconds of the runner spent.
    pub runner_ms: u64,
    /// Turn ends refused.
    pub refused_ends: u64,
    /// Changed lines of the trees that were proposed.
    #[serde(default)]
    pub lines_written: u64,
    /// Test functions that those trees add.
    #[serde(default)]
    pub tests_added: u64,
}

/// One row of the spend ledger: a claim with its runs, or a run by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpendView {
    /// Proof scope that ran.
    pub scope: String,
    /// Loop that pays.
    pub loop_id: Option<String>,
    /// Claim whose push spends; null for a run by hand.
    pub claim_id: Option<String>,
    /// Runs it is bound to, oldest first.
    pub runs: Vec<String>,
    /// `reserved`, `bound` or `settled`.
    pub state: String,
    /// Minutes kept for it and not spent yet.
    pub reserved_minutes: u32,
    /// Milliseconds of the runner spent.
    pub spent_ms: u64,
    /// What that bought, once settled.
    pub bought: Option<String>,
    /// True when it bought nothing that was not known before.
    pub empty: bool,
}

/// How often an author's predictions came true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HitRateView {
    /// Who proposed the claims; self-declared.
    pub author: String,
    /// Claims whose run was graded.
    pub claims: u64,
    /// Predictions that held.
    pub hits: u64,
    /// Predictions that failed.
    pub misses: u64,
    /// Predictions that the run could not show.
    pub not_observable: u64,
    /// Hits of a hundred that could be seen; null when none could.
    pub percent: Option<u64>,
}

/// A person's word against a rule of cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OverrideView {
    /// Id, such as `V1`.
    pub override_id: String,
    /// Code of the refusal that it passes over.
    pub code: String,
    /// Scope whose claims it is for.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// Who granted it.
    pub by: String,
    /// When, unix milliseconds.
    pub granted_ms: i64,
    /// When it ends, unix milliseconds.
    pub expires_ms: i64,
    /// True while it counts.
    pub in_force: bool,
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HypothesisView {
    /// Id, such as `H1`.
    pub hypothesis_id: String,
    /// Scope it explains.
    pub scope: String,
    /// Mechanism, from the closed list.
    pub mechanism: String,
    /// One sentence.
    pub statement: String,
    /// `open`, `surviving` or `falsified`.
    pub status: String,
    /// Why it died.
    pub killed_because: Option<String>,
}

/// A claim in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimSummary {
    /// Id, such as `C1`.
    pub claim_id: String,
    /// Loop it belongs to.
    pub loop_id: String,
    /// State, such as `staged`.
    pub state: String,
    /// True when a run of its commit said that it has to be taken back, also under `confirmed`.
    #[serde(default)]
    pub regressed: bool,
    /// Scope it is about.
    pub scope: String,
    /// Subject of its commit message.
    pub subject: String,
    /// Digest of its body.
    pub claim_digest: String,
    /// Commit, once staged.
    pub commit: Option<String>,
}

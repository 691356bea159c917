//! The canonical body of a claim: what a person approves and an auditor replays.
//!
//! The body names parent, tree and diff digest; it does not name commit, gates or approval, so that
//! its digest can stand in the commit message without being circular. Predicates are carried as text
//! (their grammar lives in `markers`), invariants as ids.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Version of [`ClaimBody`]'s field set.
pub const CLAIM_SCHEMA: u32 = 1;

/// What a push is for; each kind has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A code change that makes a failing invariant hold.
    Fix,
    /// An unchanged tree, pushed only because no executed signal exists.
    Baseline,
    /// A budgeted observation that decides between live hypotheses.
    Diagnostic,
    /// A change of law, playbooks, markers, workflows or configuration, without code.
    PolicyChange,
    /// Reverts a pushed claim whose rollback condition holds.
    Rollback,
}

/// Bytes of a stored log that a claim rests on. Lines are 1-based and inclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citation {
    /// Digest of the log's raw bytes.
    pub log_id: Digest,
    /// First byte cited.
    pub byte_start: u64,
    /// One past the last byte cited.
    pub byte_end: u64,
    /// First line cited, 1-based.
    pub line_start: u64,
    /// Last line cited, inclusive.
    pub line_end: u64,
}

/// A place in the base tree that the change touches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Path from the repository root.
    pub file: String,
    /// Function that holds the lines, where the file has functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// First line at base, 1-based. A new file is declared with 0.
    pub line_start: u32,
    /// Last line at base, inclusive. A new file is declared with 0.
    pub line_end: u32,
}

/// "Must not change": a predicate that a scope reached by the change has to keep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Proof scope in which the predicate is graded.
    pub scope: String,
    /// Text of the predicate.
    pub predicate: String,
}

/// The test that is red on base and green on head.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedTest {
    /// Cargo package.
    pub package: String,
    /// Integration-test target (`--test TARGET`).
    pub target: String,
    /// Full name of the test function as libtest prints it.
    pub name: String,
    /// Files of head that are laid over the base tree for the base run; test code only. Empty when
    /// the test already stands on base.
    pub files: Vec<String>,
}

/// What a diagnostic run may show, and which causes that strikes out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Predicate over the run.
    pub predicate: String,
    /// Ids of the hypotheses that it kills when it holds.
    pub kills: Vec<String>,
}

/// What the push may spend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimBudget {
    /// Minutes of the runner.
    pub runner_minutes: u32,
    /// Runs that the push starts.
    pub runs: u32,
    /// Runs that the push would cancel, by id.
    pub cancels: Vec<String>,
}

/// Everything a claim asserts, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimBody {
    /// [`CLAIM_SCHEMA`].
    pub schema: u32,
    /// Identity of the repository: its root commit id, 40 hex digits.
    pub repo: String,
    /// Full name of the ref that the claim moves, such as `refs/heads/main`.
    pub ref_name: String,
    /// What the push is for.
    pub kind: ClaimKind,
    /// The one proof scope whose run grades the claim.
    pub proof_scope: String,
    /// Id of the law that fails today, such as `§4`; it stands in the base commit's law file.
    pub failing_invariant: String,
    /// Commit the change is made on (the ref's tip), 40 hex digits.
    pub parent: String,
    /// Tree that would be pushed, 40 hex digits.
    pub tree: String,
    /// Digest over the changed paths, modes and object ids.
    pub diff_digest: Digest,
    /// What the failure looks like, in complete logs of this scope.
    pub evidence: Vec<Citation>,
    /// Run on which at least one prediction is false today.
    pub baseline_run: String,
    /// Every hunk lies in one of these.
    pub sites: Vec<Site>,
    /// Ties bug to fix.
    pub reasoning: String,
    /// The open or surviving hypothesis that the fix acts on.
    pub hypothesis_id: String,
    /// Predicates that the run of the pushed commit must satisfy.
    pub predictions: Vec<String>,
    /// What a diagnostic may show, and what each outcome kills. Only for claims of that kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// Predicates that must not change, per scope.
    pub guards: Vec<Guard>,
    /// Names of the local gates.
    pub gates: Vec<String>,
    /// Red on base, green on head. Absent only for claims that change no code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_test: Option<PinnedTest>,
    /// Predicates any of which means revert.
    pub rollback_if: Vec<String>,
    /// What it may spend.
    pub budget: ClaimBudget,
    /// Commit message without trailers; the first line is the subject.
    pub message: String,
    /// Self-declared name of who proposes it; unverified.
    pub author: String,
}

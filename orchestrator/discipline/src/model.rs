//! Plain data that every decision reads: runs, jobs, logs, gates, refusals.
//!
//! Times are unix milliseconds handed in by the caller; object ids are 40 lower-case hex digits.

use std::collections::BTreeMap;

use attest::digest::Digest;
use serde::{Deserialize, Serialize};

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The `n`-th id of this kind, counted from 1.
            #[must_use]
            pub fn nth(n: usize) -> Self {
                Self(format!(concat!($prefix, "{}"), n))
            }
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

id_type!(/// One resumable investigation: `L1`, `L2`, …
    LoopId, "L");
id_type!(/// One execution of a proof scope: `R1`, `R2`, …
    RunId, "R");
id_type!(/// A cause with its falsifier: `H1`, `H2`, …
    HypothesisId, "H");
id_type!(/// Something on the ledger for or against a cause: `O1`, `O2`, …
    ObservationId, "O");
id_type!(/// A claim: `C1`, `C2`, …
    ClaimId, "C");
id_type!(/// One execution of a claim's gates: `G1`, `G2`, …
    GateRunId, "G");
id_type!(/// A person's word against a rule of cost: `V1`, `V2`, …
    OverrideId, "V");
id_type!(/// A person's order to a forge about a run: `T1`, `T2`, …
    OrderId, "T");

/// Why something is not allowed, as a value: what, where, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable snake_case code.
    pub code: String,
    /// The part of the request it is about, such as `prediction[1]` or `change`.
    pub field: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Something one can type or do.
    pub remedy: String,
}

impl Refusal {
    /// Builds a refusal from its four parts.
    pub fn new(
        code: &str,
        field: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            code: code.to_owned(),
            field: field.into(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trigger {
    /// A person or an agent asked for it by hand.
    Manual,
    /// A push of an approved claim.
    Push {
        /// The claim that was pushed.
        claim: ClaimId,
    },
}

/// How far a run or job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Waits for a runner or for the lease.
    Queued,
    /// Executes.
    InProgress,
    /// Has a conclusion.
    Completed,
}

/// How a run or job ended. Values a forge invents later are kept as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every step succeeded.
    Success,
    /// A step failed.
    Failure,
    /// Stopped before its end.
    Cancelled,
    /// Ran past its limit.
    TimedOut,
    /// Something this version does not know.
    Unknown(String),
}

impl Conclusion {
    /// The word a forge uses.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Unknown(text) => text,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessExit {
    /// Exit status.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Killed by us after its time limit.
    TimedOut,
    /// Killed by us because it was cancelled.
    Cancelled,
}

/// A stored log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRef {
    /// Digest of the raw bytes; also its address in the evidence store.
    pub log_id: Digest,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of lines; a last line without newline counts.
    pub lines: u64,
    /// True when these are all the bytes the source will ever have.
    pub complete: bool,
}

/// Why a log has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyEmpty {
    /// The job never started.
    NeverStarted,
    /// The job still runs.
    InProgress,
    /// Past the source's retention.
    Expired,
    /// The source has no such log.
    Missing,
    /// The source withheld it.
    Suppressed,
    /// It ran and wrote nothing.
    ZeroBytes,
    /// We may not read it.
    Forbidden,
}

/// One step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Name, such as `cargo test`.
    pub name: String,
    /// How it ended.
    pub exit: ProcessExit,
    /// Wall time.
    pub duration_ms: u64,
}

/// A job as the forge that executed it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgeJob {
    /// The forge's id.
    pub id: u64,
    /// The forge's name of it; data.
    pub name: String,
    /// Runner that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// True when it ran on a machine of the forge.
    #[serde(default)]
    pub hosted: bool,
}

/// A run as the forge that executed it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgeRun {
    /// The forge's id.
    pub id: String,
    /// Workflow file, such as `gpu-tests.yml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// What started it, such as `push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Why more may come; `None` once the source has nothing further to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional: Option<String>,
    /// Report of the last pull in the evidence store: every file, every link that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
}

/// An artifact of a run, in the evidence store or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredArtifact {
    /// The forge's id.
    pub id: u64,
    /// Its name; data, never a path.
    pub name: String,
    /// The bytes as the forge keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Digest>,
    /// How many.
    #[serde(default)]
    pub bytes: u64,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_empty: Option<WhyEmpty>,
    /// Logs that stood in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<ArtifactLog>,
}

/// A log that stood in an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactLog {
    /// Name of the entry; data, never a path.
    pub name: String,
    /// The log.
    pub log: LogRef,
}

/// One cell of a scope's matrix within a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Cell id, such as `noop-0-full`.
    pub cell: String,
    /// How far it is.
    pub status: RunStatus,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// What it executed, in order.
    pub steps: Vec<Step>,
    /// Its log, once it has one.
    pub log: Option<LogRef>,
    /// Why there is no log, or an empty one.
    pub why_empty: Option<WhyEmpty>,
    /// Other logs of the same execution, outranked by `log`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outranked: Vec<LogRef>,
    /// The job at the forge that executed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<ForgeJob>,
}

/// One execution of a proof scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Id within this state folder.
    pub run_id: RunId,
    /// Run source, such as `local`.
    pub source: String,
    /// Proof scope it executes.
    pub scope: String,
    /// Numbered re-run, from 1.
    pub attempt: u32,
    /// Commit it executes.
    pub head_sha: String,
    /// Tree of that commit.
    pub tree: String,
    /// What started it.
    pub trigger: Trigger,
    /// How far it is.
    pub status: RunStatus,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// One per cell.
    pub jobs: Vec<Job>,
    /// When it was asked for.
    pub created_ms: i64,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// The run at the forge that executed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<ForgeRun>,
    /// Its artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<StoredArtifact>,
}

impl Run {
    /// True when at least one step executed, so that the run carries a signal at all.
    #[must_use]
    pub fn executed(&self) -> bool {
        self.jobs.iter().any(|job| !job.steps.is_empty())
    }
}

/// Verdict of one gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// Ran, covered the change, and showed what its role demands (red for canary and pin on base).
    Passed,
    /// Decided nothing: no test ran, wrong features, change not compiled.
    Vacuous,
    /// Failed, or could not decide.
    Refused,
}

/// What a gate run asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateRole {
    /// The pinned test on the base tree: must be red.
    PinOnBase,
    /// The pinned test on the head tree: must be green.
    PinOnHead,
    /// The pinned test on the tree of an earlier attempt that failed: must be red.
    PinOnAttempt,
    /// A gate of the project on the head tree: must be green.
    Gate,
    /// The same gate on the parent of a commit that a rollback reverts: shows what was red before it.
    GateOnParent,
    /// The same gate with a test that must fail: must be red.
    Canary,
}

impl GateRole {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PinOnBase => "pin_on_base",
            Self::PinOnHead => "pin_on_head",
            Self::PinOnAttempt => "pin_on_attempt",
            Self::Gate => "gate",
            Self::GateOnParent => "gate_on_parent",
            Self::Canary => "canary",
        }
    }

    /// True when the process runs the claim's own test.
    #[must_use]
    pub fn is_pinned(self) -> bool {
        matches!(self, Self::PinOnBase | Self::PinOnHead | Self::PinOnAttempt)
    }

    /// True when the process runs on the claim's tree.
    #[must_use]
    pub fn on_head(self) -> bool {
        !matches!(
            self,
            Self::PinOnBase | Self::PinOnAttempt | Self::GateOnParent
        )
    }
}

/// Test counts that a gate printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were skipped by `#[ignore]`.
    pub ignored: u64,
    /// Tests that the filter left out.
    pub filtered_out: u64,
}

/// An item that nothing uses, by rustc's own word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadCode {
    /// File, relative to the root of the tree.
    pub file: String,
    /// Line, 1-based.
    pub line: u32,
    /// What it is, such as ``function `probe` ``.
    pub what: String,
}

/// One process of a gate run, as facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// Gate name, or `pinned` for the pinned test.
    pub gate: String,
    /// What was asked.
    pub role: GateRole,
    /// The verdict.
    pub verdict: GateVerdict,
    /// Why it is not `passed`; empty otherwise.
    pub refused: Vec<Refusal>,
    /// Argument vector that ran.
    pub argv: Vec<String>,
    /// Tree that was laid out for it, before the canary's file or the pinned test's files were added:
    /// the base tree for [`GateRole::PinOnBase`], the attempt's for [`GateRole::PinOnAttempt`], the
    /// claim's tree for every other role.
    pub tree: String,
    /// How the process ended.
    pub exit: ProcessExit,
    /// Counts it printed, summed over test binaries.
    pub tests: TestCounts,
    /// Names of failed tests, sorted.
    pub failed_tests: Vec<String>,
    /// True when the failure was a compile error rather than an assertion.
    pub compile_error: bool,
    /// Items that rustc says nothing uses, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_code: Vec<DeadCode>,
    /// Changed files that this gate compiled (from rustc's dep-info).
    pub covered: Vec<String>,
    /// Tests that its binaries list; `None` when they were not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<u64>,
    /// The gate run whose result this is, when it was not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<GateRunId>,
    /// Transcript in the evidence store.
    pub transcript: Option<LogRef>,
    /// Wall time.
    pub duration_ms: u64,
    /// Digest of the environment and toolchain it ran with.
    pub environment: Digest,
}

/// How a prediction, guard, rollback condition or engagement proof graded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// `prediction`, `guard`, `rollback_if` or `engage`.
    pub role: String,
    /// Text of the predicate.
    pub predicate: String,
    /// What the evaluator said.
    pub truth: markers::Truth,
    /// Observed values with their margin, or why it was not observable.
    pub observed: String,
    /// True for a guard that failed in the same cells before the push: the claim did not break it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed_before: bool,
}

impl Grade {
    /// True when something that must not change has changed for the worse.
    #[must_use]
    pub fn is_broken_guard(&self) -> bool {
        self.role == "guard" && self.truth == markers::Truth::Fails && !self.failed_before
    }
}

/// What became of the guards of one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardOutcome {
    /// Every guard holds, or fails as it did before.
    Held,
    /// A guard fails that did not fail before the push.
    Broke,
    /// No run could show them all.
    NotSeen,
}

impl GuardOutcome {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broke => "broke",
            Self::NotSeen => "not_seen",
        }
    }
}

/// What a scope other than the proof scope showed of the guards that a claim states for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeGuards {
    /// The scope.
    pub scope: String,
    /// Its run of the pushed commit; `None` where there was none to read.
    pub run_id: Option<RunId>,
    /// The outcome.
    pub outcome: GuardOutcome,
    /// Every guard of the scope, in claim order, then the scope's engagement proof.
    pub grades: Vec<Grade>,
    /// One line per reason.
    pub reasons: Vec<String>,
}

/// What the run of the pushed commit said about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Every prediction and guard holds, with engagement proof.
    Confirmed,
    /// A prediction fails.
    Refuted,
    /// No signal, engagement missing, or not observable.
    Inconclusive,
}

/// The graded outcome of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The run that was graded.
    pub run_id: RunId,
    /// Commit that was pushed.
    pub commit: String,
    /// The outcome.
    pub kind: VerdictKind,
    /// Every predicate, in claim order.
    pub grades: Vec<Grade>,
    /// True when a rollback condition holds or a guard broke.
    pub rollback_due: bool,
    /// One line per reason.
    pub reasons: Vec<String>,
    /// Guards of other scopes, by scope; complete in a verdict that is published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_scopes: Vec<ScopeGuards>,
}

/// Counters of both ways to fail; shown with every status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Reads of evidence.
    pub reads: u64,
    /// `loop_status` calls that met no new bytes or commits.
    pub reorientations: u64,
    /// Claims proposed, refused ones included.
    pub proposals: u64,
    /// Gate runs.
    pub gate_runs: u64,
    /// Hypotheses opened.
    pub hypotheses_opened: u64,
    /// Hypotheses falsified.
    pub hypotheses_killed: u64,
    /// Pushes that reached the remote.
    pub pushes: u64,
    /// Milliseconds of the runner spent by runs.
    pub runner_ms: u64,
    /// Turns that were refused an end.
    pub refused_ends: u64,
    /// Lines that proposed changes add or remove.
    #[serde(default)]
    pub lines_written: u64,
    /// Test functions that proposed changes add.
    #[serde(default)]
    pub tests_added: u64,
}

/// Environment of a cell or gate, sorted by name.
pub type Environment = BTreeMap<String, String>;

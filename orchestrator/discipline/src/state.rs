//! The whole journalled state of one repository under care: a fold over [`crate::event::Event`]s.

mod claim;
mod query;
mod table;
mod trial;

use attest::approval::RevivalSubject;
use attest::claim::Citation;
use attest::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::event::{Author, HypothesisBody, TurnEnd};
use crate::model::{
    ClaimId, Counters, GateResult, GateRunId, HypothesisId, LoopId, ObservationId, OrderId,
    OverrideId, Run, RunId,
};
use crate::observation::ObservationBody;
use crate::orders::GivenOrder;
use crate::overrides::Override;

pub use claim::{ApprovalRecord, Claim, ClaimPhase, PushRecord, guarded_scopes};
pub use query::{Operation, ReuseKey};
pub use table::Table;

/// Everything the journal says, after any number of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopState {
    /// Number of events folded.
    pub head_seq: u64,
    /// `head_seq` after the last event that brought new bytes, commits or decisions. Counters, turn
    /// ends and process groups leave it as it is, so that a re-orientation without news is noticed.
    pub news_seq: u64,
    /// What is under care; `None` before the first event.
    pub repository: Option<Repository>,
    /// Investigations.
    pub loops: Table<LoopId, Loop>,
    /// Newest value of every run.
    pub runs: Table<RunId, Run>,
    /// Newest classification of every classified run.
    pub classifications: Table<RunId, Classified>,
    /// The ledger.
    pub hypotheses: Table<HypothesisId, Hypothesis>,
    /// What was recorded for and against the causes of the ledger.
    #[serde(default)]
    pub observations: Table<ObservationId, RecordedObservation>,
    /// Claims, drafts included.
    pub claims: Table<ClaimId, Claim>,
    /// Executions of gates.
    pub gate_runs: Table<GateRunId, GateRun>,
    /// Scopes that wait for a rollback.
    pub closed_scopes: Table<String, ScopeClosure>,
    /// Every override that was ever granted.
    #[serde(default)]
    pub overrides: Table<OverrideId, Override>,
    /// Every order that a person gave the forge.
    #[serde(default)]
    pub orders: Table<OrderId, GivenOrder>,
    /// Process groups that were started and have not been seen to end.
    pub live_groups: Vec<ProcessGroup>,
    /// Callers' idempotency keys and the ids they stand for.
    pub idempotency: Table<String, String>,
    /// What a change on trial needs to be taken back.
    #[serde(skip)]
    held: Option<Box<trial::Held>>,
}

/// Repository under care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Root commit.
    pub root_commit: String,
    /// Remote it pushes to.
    pub remote: String,
}

/// One resumable investigation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// Its id.
    pub id: LoopId,
    /// What it is for.
    pub goal: String,
    /// Scopes it works on.
    pub scopes: Vec<String>,
    /// Counters of both ways to fail.
    pub counters: Counters,
    /// False once its goal was met.
    pub open: bool,
    /// The last accepted end of a turn.
    pub last_turn_end: Option<TurnEnd>,
    /// Who opened it.
    pub author: Author,
}

/// A run's class, under one catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classified {
    /// Class, disposition and the lines they rest on.
    pub classification: playbooks::Classification,
    /// True when conclusion, engagement proof and cells make it green.
    pub green: bool,
    /// Catalogue that read it.
    pub catalogue: Digest,
}

/// How a hypothesis stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HypothesisStatus {
    /// Nothing has killed it, nor any rival of it.
    Open,
    /// A rival of it died and it did not.
    Surviving,
    /// Dead, with its killer.
    Falsified,
}

impl HypothesisStatus {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Surviving => "surviving",
            Self::Falsified => "falsified",
        }
    }
}

/// What killed a hypothesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killer {
    /// The bytes.
    pub citations: Vec<Citation>,
    /// Why they kill it.
    pub reason: String,
    /// Who said so.
    pub author: Author,
}

/// How a dead hypothesis came to live again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revival {
    /// What had killed it.
    pub killer: Killer,
    /// What was signed.
    pub subject: RevivalSubject,
    /// Armored SSHSIG.
    pub signature: String,
    /// Principal of the signer.
    pub signer: String,
}

/// A cause with its falsifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// Its id.
    pub id: HypothesisId,
    /// Loop it belongs to.
    pub loop_id: LoopId,
    /// What it says.
    pub body: HypothesisBody,
    /// How it stands.
    pub status: HypothesisStatus,
    /// What killed it; `None` while it lives.
    pub killer: Option<Killer>,
    /// Its earlier deaths, each with what brought it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revivals: Vec<Revival>,
    /// Who opened it.
    pub author: Author,
}

/// An observation on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedObservation {
    /// Its id.
    pub id: ObservationId,
    /// Loop whose agent recorded it.
    pub loop_id: LoopId,
    /// What it says.
    pub body: ObservationBody,
    /// Who recorded it.
    pub author: Author,
}

/// How far a gate run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateRunStatus {
    /// Processes run, or ran when the daemon died.
    Live,
    /// All gates ended.
    Finished,
    /// Stopped before its end.
    Cancelled,
}

/// One execution of a claim's gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRun {
    /// Its id.
    pub id: GateRunId,
    /// The claim.
    pub claim_id: ClaimId,
    /// How far it is.
    pub status: GateRunStatus,
    /// What ended so far.
    pub results: Vec<GateResult>,
}

/// Why a scope takes no pushes but rollbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeClosure {
    /// The claim that caused it.
    pub claim_id: ClaimId,
    /// Why.
    pub reason: String,
}

/// A process group on this machine; the start time tells a reused id apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessGroup {
    /// Process group id.
    pub pgid: i32,
    /// Kernel start time of its leader, in clock ticks.
    pub start_ticks: u64,
    /// Session it was started in.
    pub session: u32,
    /// Boot that ids and ticks belong to.
    pub boot_id: String,
    /// What it does.
    pub purpose: String,
}

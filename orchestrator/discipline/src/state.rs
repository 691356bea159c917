//! The whole journalled state of one repository under care: a fold over [`crate::event::Event`]s.

use std::collections::BTreeMap;

use attest::approval::ApprovalSubject;
use attest::claim::{Citation, ClaimBody, ClaimKind};
use attest::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::event::{Author, HypothesisBody, TurnEnd};
use crate::model::{
    ClaimId, Counters, GateResult, GateRunId, HypothesisId, LoopId, Refusal, Run, RunId, RunStatus, Trigger, Verdict,
};

/// Milliseconds of a day; budgets are per UTC day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const MINUTE_MS: u64 = 60 * 1000;

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
    pub loops: BTreeMap<LoopId, Loop>,
    /// Newest value of every run.
    pub runs: BTreeMap<RunId, Run>,
    /// Newest classification of every classified run.
    pub classifications: BTreeMap<RunId, Classified>,
    /// The ledger.
    pub hypotheses: BTreeMap<HypothesisId, Hypothesis>,
    /// Claims, drafts included.
    pub claims: BTreeMap<ClaimId, Claim>,
    /// Executions of gates.
    pub gate_runs: BTreeMap<GateRunId, GateRun>,
    /// Scopes that wait for a rollback.
    pub closed_scopes: BTreeMap<String, ScopeClosure>,
    /// Process groups that were started and have not been seen to end.
    pub live_groups: Vec<ProcessGroup>,
    /// Callers' idempotency keys and the ids they stand for.
    pub idempotency: BTreeMap<String, String>,
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
    /// What killed it.
    pub killer: Option<Killer>,
    /// Who opened it.
    pub author: Author,
}

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPhase {
    /// Proposed with refusals.
    Drafted,
    /// Every rule of the propose stage passes.
    Checked,
    /// Gates run.
    Gating,
    /// Gates passed.
    Gated,
    /// The daemon made the commit; a person is asked.
    Staged,
    /// A person signed.
    Approved,
    /// A person said no.
    Rejected,
    /// Intent is recorded; the push may be on its way.
    PushIntent,
    /// The push's outcome is not known; only the remote knows.
    PushUnknown,
    /// Branch and attestation are at the remote.
    Pushed,
    /// The run of the pushed commit is graded.
    Verifying,
    /// Predictions and guards hold.
    Confirmed,
    /// A prediction failed.
    Refuted,
    /// No signal.
    Inconclusive,
    /// The approval grew too old.
    Expired,
    /// What it was checked against moved.
    Invalidated,
    /// Taken back by its author.
    Withdrawn,
}

impl ClaimPhase {
    /// Every phase.
    pub const ALL: [Self; 17] = [
        Self::Drafted,
        Self::Checked,
        Self::Gating,
        Self::Gated,
        Self::Staged,
        Self::Approved,
        Self::Rejected,
        Self::PushIntent,
        Self::PushUnknown,
        Self::Pushed,
        Self::Verifying,
        Self::Confirmed,
        Self::Refuted,
        Self::Inconclusive,
        Self::Expired,
        Self::Invalidated,
        Self::Withdrawn,
    ];

    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Checked => "checked",
            Self::Gating => "gating",
            Self::Gated => "gated",
            Self::Staged => "staged",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::PushIntent => "push_intent",
            Self::PushUnknown => "push_unknown",
            Self::Pushed => "pushed",
            Self::Verifying => "verifying",
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// True when no event can change it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Rejected
                | Self::Confirmed
                | Self::Refuted
                | Self::Inconclusive
                | Self::Expired
                | Self::Invalidated
                | Self::Withdrawn
        )
    }

    /// True from the first gate to the verdict: the claim holds its (ref, scope).
    #[must_use]
    pub fn holds_scope(self) -> bool {
        matches!(
            self,
            Self::Gating
                | Self::Gated
                | Self::Staged
                | Self::Approved
                | Self::PushIntent
                | Self::PushUnknown
                | Self::Pushed
                | Self::Verifying
        )
    }

    /// True while it may still be withdrawn or invalidated.
    #[must_use]
    pub fn before_push(self) -> bool {
        matches!(
            self,
            Self::Drafted | Self::Checked | Self::Gating | Self::Gated | Self::Staged | Self::Approved
        )
    }
}

impl std::fmt::Display for ClaimPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verified signature, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// What was signed.
    pub subject: ApprovalSubject,
    /// Armored SSHSIG.
    pub signature: String,
    /// Principal of the signer.
    pub signer: String,
}

/// The intent to push, recorded before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// Commit that is sent.
    pub commit: String,
    /// What the remote ref must be.
    pub old_tip: String,
    /// Attestation that goes with it.
    pub attestation: String,
    /// Digest of the decision that allowed it.
    pub decision: Digest,
    /// What the remote or the transport said last; `None` until settled.
    pub message: Option<String>,
}

/// A claim and everything that happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// Loop it belongs to.
    pub loop_id: LoopId,
    /// `head_seq` when it was proposed; orders claims by age.
    pub proposed_seq: u64,
    /// What it asserts.
    pub body: ClaimBody,
    /// Digest of the canonical body.
    pub digest: Digest,
    /// Where it stands.
    pub phase: ClaimPhase,
    /// Every unmet rule of the last judgement; empty when nothing stands in the way.
    pub refused: Vec<Refusal>,
    /// Its last gate run.
    pub gate_run_id: Option<GateRunId>,
    /// Results of the gate run that gated it.
    pub results: Vec<GateResult>,
    /// Digest over those results.
    pub gates_digest: Option<Digest>,
    /// The daemon's commit.
    pub commit: Option<String>,
    /// What the person is shown.
    pub shown_digest: Option<Digest>,
    /// The signature.
    pub approval: Option<ApprovalRecord>,
    /// The push.
    pub push: Option<PushRecord>,
    /// The run that grades it.
    pub verifying_run: Option<RunId>,
    /// How it was graded.
    pub verdict: Option<Verdict>,
    /// Object that the verdict ref names, once published.
    pub verdict_object: Option<String>,
    /// Why it was rejected, withdrawn or invalidated.
    pub closed_because: Option<String>,
    /// Who proposed it.
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

/// Calls that a caller may retry with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `open_loop`
    OpenLoop,
    /// `open_hypothesis` in this loop.
    OpenHypothesis(&'a LoopId),
    /// `propose_claim` in this loop.
    ProposeClaim(&'a LoopId),
}

impl Operation<'_> {
    /// Keys of different loops are different keys, so that two agents never get each other's ids.
    pub(crate) fn key(self, key: &str) -> String {
        match self {
            Self::OpenLoop => format!("open_loop:{key}"),
            Self::OpenHypothesis(id) => format!("open_hypothesis:{id}:{key}"),
            Self::ProposeClaim(id) => format!("propose_claim:{id}:{key}"),
        }
    }
}

fn next<'a>(prefix: &str, ids: impl Iterator<Item = &'a str>) -> usize {
    let numbers = ids.filter_map(|id| id.strip_prefix(prefix)?.parse::<usize>().ok());
    numbers.max().map_or(1, |n| n.saturating_add(1))
}

impl LoopState {
    /// The id the next loop gets.
    #[must_use]
    pub fn next_loop_id(&self) -> LoopId {
        LoopId::nth(next("L", self.loops.keys().map(LoopId::as_str)))
    }

    /// The id the next local run gets.
    #[must_use]
    pub fn next_run_id(&self) -> RunId {
        RunId::nth(next("R", self.runs.keys().map(RunId::as_str)))
    }

    /// The id the next hypothesis gets.
    #[must_use]
    pub fn next_hypothesis_id(&self) -> HypothesisId {
        HypothesisId::nth(next("H", self.hypotheses.keys().map(HypothesisId::as_str)))
    }

    /// The id the next claim gets.
    #[must_use]
    pub fn next_claim_id(&self) -> ClaimId {
        ClaimId::nth(next("C", self.claims.keys().map(ClaimId::as_str)))
    }

    /// The id the next gate run gets.
    #[must_use]
    pub fn next_gate_run_id(&self) -> GateRunId {
        GateRunId::nth(next("G", self.gate_runs.keys().map(GateRunId::as_str)))
    }

    /// The id that an earlier call with the same key made, if there was one.
    #[must_use]
    pub fn known(&self, operation: Operation<'_>, key: &str) -> Option<&str> {
        self.idempotency.get(&operation.key(key)).map(String::as_str)
    }

    /// Claims of a loop, oldest first.
    #[must_use]
    pub fn claims_of(&self, loop_id: &LoopId) -> Vec<&Claim> {
        let mut claims: Vec<_> = self.claims.values().filter(|claim| &claim.loop_id == loop_id).collect();
        claims.sort_by_key(|claim| claim.proposed_seq);
        claims
    }

    /// The claim whose commit this is.
    #[must_use]
    pub fn claim_of_commit(&self, commit: &str) -> Option<&Claim> {
        self.claims.values().find(|claim| claim.commit.as_deref() == Some(commit))
    }

    /// Another claim that holds the same ref and scope; it goes first.
    #[must_use]
    pub fn ahead_of(&self, body: &ClaimBody, own: Option<&ClaimId>) -> Option<&Claim> {
        self.claims.values().find(|other| {
            Some(&other.id) != own
                && other.phase.holds_scope()
                && other.body.ref_name == body.ref_name
                && other.body.proof_scope == body.proof_scope
        })
    }

    /// Runs of a scope, newest first.
    #[must_use]
    pub fn runs_of_scope(&self, scope: &str) -> Vec<&Run> {
        let mut runs: Vec<_> = self.runs.values().filter(|run| run.scope == scope).collect();
        runs.sort_by(|a, b| (b.created_ms, &b.run_id).cmp(&(a.created_ms, &a.run_id)));
        runs
    }

    /// Ids of runs that are queued or executing in a scope.
    #[must_use]
    pub fn live_runs(&self, scope: &str) -> Vec<RunId> {
        let live = self.runs_of_scope(scope).into_iter().filter(|run| run.status != RunStatus::Completed);
        live.map(|run| run.run_id.clone()).collect()
    }

    /// The last run of a scope that executed steps: the signal, however old.
    #[must_use]
    pub fn last_signal(&self, scope: &str) -> Option<&Run> {
        self.runs_of_scope(scope).into_iter().find(|run| run.status == RunStatus::Completed && run.executed())
    }

    /// True when a completed run executed steps on this commit in this scope.
    #[must_use]
    pub fn signal_exists(&self, scope: &str, commit: &str) -> bool {
        let mut runs = self.runs.values();
        runs.any(|run| {
            run.scope == scope && run.head_sha == commit && run.status == RunStatus::Completed && run.executed()
        })
    }

    /// Minutes that runs created on the UTC day of `now_ms` have cost, rounded up. Minutes of runs
    /// that are still live count up to `now_ms`.
    #[must_use]
    pub fn runner_minutes_today(&self, now_ms: i64) -> u32 {
        let today = now_ms.div_euclid(DAY_MS);
        let of_today = self.runs.values().filter(|run| run.created_ms.div_euclid(DAY_MS) == today);
        let spent: u64 = of_today
            .map(|run| run.finished_ms.unwrap_or(now_ms).saturating_sub(run.created_ms))
            .map(|ms| u64::try_from(ms).unwrap_or(0))
            .sum();
        u32::try_from(spent.div_ceil(MINUTE_MS)).unwrap_or(u32::MAX)
    }

    /// The loop that pays for a run: the pushed claim's, else the newest open one of its scope.
    #[must_use]
    pub fn loop_of_run(&self, run: &Run) -> Option<LoopId> {
        if let Trigger::Push { claim } = &run.trigger {
            return self.claims.get(claim).map(|claim| claim.loop_id.clone());
        }
        let of_scope = self.loops.values().filter(|l| l.open && l.scopes.contains(&run.scope));
        of_scope.map(|l| &l.id).max_by_key(|id| (id.as_str().len(), id.as_str())).cloned()
    }

    /// Why a scope takes no pushes; `None` when it is open. Rollbacks pass a closed scope.
    #[must_use]
    pub fn scope_closed_for(&self, scope: &str, kind: ClaimKind) -> Option<&ScopeClosure> {
        self.closed_scopes.get(scope).filter(|_| kind != ClaimKind::Rollback)
    }
}

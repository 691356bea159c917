//! What can happen to a loop. The journal holds nothing else; state is a fold over these.

use std::collections::BTreeMap;

use attest::approval::{ApprovalSubject, RevivalSubject};
use attest::claim::{Citation, ClaimBody};
use attest::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::model::{
    ClaimId, GateResult, GateRunId, HypothesisId, LoopId, ObservationId, OrderId, OverrideId,
    Refusal, Run, RunId, ScopeGuards, Verdict,
};
use crate::observation::ObservationBody;
use crate::orders::{Order, OrderOutcome};
use crate::overrides::Override;

/// Mechanism of a hypothesis: a closed list, so that a reworded dead theory is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A dependency between two accesses is not ordered.
    MissingBarrier,
    /// A dispatch, copy or call that should happen does not.
    SkippedWork,
    /// Bytes are reused or freed while still needed.
    WrongLifetime,
    /// Data reaches the device by the wrong way or not at all.
    WrongUploadPath,
    /// A cache answers for something else.
    StaleCacheKey,
    /// A write that the graph does not know of.
    UnregisteredSideEffect,
    /// A wrong number, size, index or unit.
    WrongConstant,
    /// Rounding or range.
    Precision,
    /// The reference side is wrong.
    WrongReference,
    /// Driver, machine or configuration.
    Environment,
    /// None of the above.
    Other,
}

/// A line of the tree that implements the mechanism, quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotedSite {
    /// Path from the root.
    pub file: String,
    /// Line, 1-based.
    pub line: u32,
    /// The line's text, trimmed; it must stand there.
    pub quote: String,
}

/// A cause with its falsifier, as proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HypothesisBody {
    /// Proof scope it explains.
    pub scope: String,
    /// Kind of cause.
    pub mechanism: Mechanism,
    /// One sentence.
    pub statement: String,
    /// Commit whose tree the sites are quoted from.
    pub commit: String,
    /// The quoted lines.
    pub sites: Vec<QuotedSite>,
    /// Predicates that hold if it is true.
    pub predicts: Vec<String>,
    /// Predicates that cannot hold if it is true.
    pub forbids: Vec<String>,
    /// Ids of the hypotheses it competes with.
    pub rivals: Vec<String>,
    /// Log bytes it rests on.
    pub evidence: Vec<Citation>,
}

/// Who caused an event; `uid` comes from the socket, `name` is self-declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Peer user id.
    pub uid: u32,
    /// Self-declared, unverified.
    pub name: String,
}

/// How a push ended, read from the remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PushOutcome {
    /// Branch and attestation are at the remote.
    Pushed,
    /// The remote refused; nothing moved.
    Refused {
        /// What the remote said, sanitised.
        message: String,
    },
    /// Not known; to be resolved by reading the remote.
    Unknown {
        /// Why it is not known.
        message: String,
    },
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum TurnEnd {
    /// A claim is staged and waits for a person.
    Staged,
    /// A named blocker outside the agent's reach.
    Blocked {
        /// What blocks.
        what: String,
        /// What would unblock it.
        unblocked_by: String,
    },
    /// The loop's scopes are green, with proof.
    Green,
}

/// One thing that happened. Ids are assigned by the writer before the event is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The state folder was made for this repository.
    StateCreated {
        /// Root commit of the repository.
        root_commit: String,
        /// Remote it pushes to.
        remote: String,
    },
    /// A loop was opened.
    LoopOpened {
        /// Its id.
        loop_id: LoopId,
        /// What it is for.
        goal: String,
        /// Scopes it works on.
        scopes: Vec<String>,
        /// Caller's key, so that a retry opens no second loop.
        idempotency_key: String,
        /// Who opened it.
        author: Author,
    },
    /// A run exists or changed; the newest value replaces the older.
    RunChanged {
        /// The run as it is now.
        run: Run,
    },
    /// A run was classified; observations are in the evidence store, by digest.
    RunClassified {
        /// The run.
        run_id: RunId,
        /// Class, disposition and the lines they rest on.
        classification: playbooks::Classification,
        /// True when conclusion, engagement proof and cells make it green.
        green: bool,
        /// Catalogue that read it.
        catalogue: Digest,
    },
    /// A hypothesis was opened.
    HypothesisOpened {
        /// Its id.
        hypothesis_id: HypothesisId,
        /// Loop it belongs to.
        loop_id: LoopId,
        /// What it says.
        body: HypothesisBody,
        /// Caller's key.
        idempotency_key: String,
        /// Who opened it.
        author: Author,
    },
    /// A hypothesis died.
    HypothesisFalsified {
        /// The hypothesis.
        hypothesis_id: HypothesisId,
        /// What killed it.
        killer: Vec<Citation>,
        /// Why that kills it.
        reason: String,
        /// Who falsified it.
        author: Author,
    },
    /// A dead hypothesis lives again, by newer evidence and a person's signature.
    HypothesisRevived {
        /// The hypothesis.
        hypothesis_id: HypothesisId,
        /// What was signed.
        subject: Box<RevivalSubject>,
        /// Armored SSHSIG.
        signature: String,
        /// Principal of the verified signer.
        signer: String,
    },
    /// Something for or against a hypothesis was written beside it.
    ObservationRecorded {
        /// Its id.
        observation_id: ObservationId,
        /// Loop whose agent recorded it.
        loop_id: LoopId,
        /// What it says.
        body: ObservationBody,
        /// Caller's key.
        idempotency_key: String,
        /// Who recorded it.
        author: Author,
    },
    /// A claim was proposed. With refusals it stays a draft.
    ClaimProposed {
        /// Its id.
        claim_id: ClaimId,
        /// Loop it belongs to.
        loop_id: LoopId,
        /// What it asserts.
        body: Box<ClaimBody>,
        /// Digest of the canonical body.
        claim_digest: Digest,
        /// Every unmet rule; empty when it is checked.
        refused: Vec<Refusal>,
        /// Caller's key.
        idempotency_key: String,
        /// Who proposed it.
        author: Author,
    },
    /// Gates of a claim began.
    GatesStarted {
        /// The claim.
        claim_id: ClaimId,
        /// This execution.
        gate_run_id: GateRunId,
    },
    /// One gate process ended.
    GateFinished {
        /// The execution.
        gate_run_id: GateRunId,
        /// What it found.
        result: Box<GateResult>,
    },
    /// All gates ended.
    GatesFinished {
        /// The execution.
        gate_run_id: GateRunId,
        /// Digest over all results.
        gates_digest: Digest,
        /// Every reason why the claim may not be staged; empty when gated.
        refused: Vec<Refusal>,
    },
    /// Gates were stopped before their end.
    GatesCancelled {
        /// The execution.
        gate_run_id: GateRunId,
        /// Why.
        reason: String,
    },
    /// The daemon made the commit.
    ClaimStaged {
        /// The claim.
        claim_id: ClaimId,
        /// The commit.
        commit: String,
        /// What a person would sign, but for nonce and expiry.
        shown_digest: Digest,
    },
    /// A person signed.
    ClaimApproved {
        /// The claim.
        claim_id: ClaimId,
        /// What was signed.
        subject: Box<ApprovalSubject>,
        /// Armored SSHSIG.
        signature: String,
        /// Principal of the verified signer.
        signer: String,
    },
    /// A person said no.
    ClaimRejected {
        /// The claim.
        claim_id: ClaimId,
        /// Why.
        reason: String,
        /// Who.
        author: Author,
    },
    /// The agent took it back.
    ClaimWithdrawn {
        /// The claim.
        claim_id: ClaimId,
        /// Why.
        reason: String,
    },
    /// Its approval is too old.
    ClaimExpired {
        /// The claim.
        claim_id: ClaimId,
    },
    /// What it was checked against has moved.
    ClaimInvalidated {
        /// The claim.
        claim_id: ClaimId,
        /// What moved.
        reason: String,
    },
    /// Recorded before anything is sent.
    PushIntended {
        /// The claim.
        claim_id: ClaimId,
        /// Commit that will be sent.
        commit: String,
        /// What the remote ref must be.
        old_tip: String,
        /// Attestation commit or tree that goes with it.
        attestation: String,
        /// Digest of the decision that allowed it.
        decision: Digest,
        /// Overrides that the decision passed over refusals by.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overrides: Vec<OverrideId>,
    },
    /// Recorded after, or when the remote was read.
    PushSettled {
        /// The claim.
        claim_id: ClaimId,
        /// What happened.
        outcome: PushOutcome,
    },
    /// The run of the pushed commit is being graded.
    VerificationStarted {
        /// The claim.
        claim_id: ClaimId,
        /// The run.
        run_id: RunId,
    },
    /// A pushed claim was graded.
    ClaimVerified {
        /// The claim.
        claim_id: ClaimId,
        /// The outcome.
        verdict: Box<Verdict>,
    },
    /// The guards of another scope were graded on its run of the pushed commit.
    GuardsGraded {
        /// The claim.
        claim_id: ClaimId,
        /// What the scope showed.
        guards: Box<ScopeGuards>,
    },
    /// The verdict reached the remote.
    VerdictPublished {
        /// The claim.
        claim_id: ClaimId,
        /// Object the verdict ref names.
        object: String,
    },
    /// A person passed over a rule of cost, for a while.
    OverrideGranted {
        /// The override.
        granted: Override,
    },
    /// A person told the forge to cancel a run or to run it again; recorded before it is sent.
    RunOrdered {
        /// The order.
        order: Order,
    },
    /// What became of an order, told by the forge or read from the run.
    RunOrderSettled {
        /// The order.
        order_id: OrderId,
        /// What happened.
        outcome: OrderOutcome,
    },
    /// An agent asked to end its turn.
    TurnEndAsked {
        /// The loop.
        loop_id: LoopId,
        /// How.
        end: TurnEnd,
        /// Why not; empty when accepted.
        refused: Vec<Refusal>,
        /// Who asked.
        author: Author,
    },
    /// A process group was started; reaped at the next start if it is still there.
    GroupStarted {
        /// Process group id.
        pgid: i32,
        /// Kernel start time of its leader, in clock ticks.
        start_ticks: u64,
        /// Session it was started in.
        session: u32,
        /// Boot that ids and ticks belong to.
        boot_id: String,
        /// What it does.
        purpose: String,
    },
    /// That process group is gone.
    GroupEnded {
        /// Process group id.
        pgid: i32,
        /// Kernel start time of its leader, in clock ticks.
        start_ticks: u64,
    },
    /// Counters of reads and re-orientations, journalled in batches with the next durable event.
    Counted {
        /// The loop.
        loop_id: LoopId,
        /// Name of a counter and how much it grew.
        grew: BTreeMap<String, u64>,
    },
}

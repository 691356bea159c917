//! Why an event cannot have happened.

use crate::model::RunStatus;
use crate::state::ClaimPhase;

/// Why an event cannot have happened in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// The first event was not `state_created`, or a second one was.
    #[error(
        "the journal does not begin with exactly one `state_created`; open the state folder of this repository"
    )]
    Beginning,
    /// It names something that the journal has not made.
    #[error("no {what} `{id}` exists; write the event that makes it first")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// The id it names.
        id: String,
    },
    /// It makes something that exists.
    #[error("{what} `{id}` exists already; take the state's next id")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// The id it reuses.
        id: String,
    },
    /// It moves a claim along a way that does not exist.
    #[error("claim {claim} is {from}; `{event}` does not apply there")]
    Transition {
        /// The claim.
        claim: String,
        /// Where it stands.
        from: ClaimPhase,
        /// The event.
        event: &'static str,
    },
    /// Two values that must be one are not.
    #[error(
        "{subject}: `{field}` is {found}, but {expected} is on record; re-read the state and decide again"
    )]
    Mismatch {
        /// The claim, run or gate run.
        subject: String,
        /// Which value.
        field: &'static str,
        /// What the state says.
        expected: String,
        /// What the event says.
        found: String,
    },
    /// A gate run ended as passed without results that say so.
    #[error("gate run {gate_run}: {reason}; run the gates again")]
    GatesProveNothing {
        /// The gate run.
        gate_run: String,
        /// What is missing.
        reason: String,
    },
    /// A gate run that has ended cannot continue.
    #[error("gate run {gate_run} has ended; start another")]
    GateRunEnded {
        /// The gate run.
        gate_run: String,
    },
    /// An idempotency key stands for another id already.
    #[error("idempotency key `{key}` stands for {id} already; answer with that id")]
    KeyUsed {
        /// The key.
        key: String,
        /// What it stands for.
        id: String,
    },
    /// A loop that reached its goal takes nothing new.
    #[error("loop {loop_id} has ended; open another")]
    LoopEnded {
        /// The loop.
        loop_id: String,
    },
    /// A run's status went back.
    #[error("run {run} went from {from:?} back to {to:?}; record a new attempt as a new run")]
    RunWentBack {
        /// The run.
        run: String,
        /// Status on record.
        from: RunStatus,
        /// Status of the event.
        to: RunStatus,
    },
    /// A dead hypothesis cannot die again, and none dies without a citation.
    #[error("hypothesis {hypothesis} cannot be falsified: {reason}")]
    NotFalsifiable {
        /// The hypothesis.
        hypothesis: String,
        /// Why not.
        reason: &'static str,
    },
    /// A push into a scope that waits for a rollback.
    #[error("scope `{scope}` is closed: {reason}; push the rollback or let a person reopen it")]
    ScopeClosed {
        /// The scope.
        scope: String,
        /// Why it is closed.
        reason: String,
    },
    /// A counter that does not exist, or is not counted this way.
    #[error(
        "`{name}` is no counter that grows by `counted`; use reads, reorientations, lines_written or tests_added"
    )]
    Counter {
        /// Its name.
        name: String,
    },
    /// A value has no canonical form.
    #[error("event cannot be digested: {0}")]
    Canonical(#[from] attest::AttestError),
}

//! What a person has done with a run: cancelled, here or at the forge, or run again there as its next attempt.
//!
//! An order spends the runner or throws away what it has spent, without a claim. It is therefore a
//! person's, is recorded before it is sent, and is sent once: what became of one whose answer was
//! lost is read from the run.

use serde::{Deserialize, Serialize};

use crate::event::Author;
use crate::model::{ClaimId, OrderId, Refusal, Run, RunId, RunStatus, Trigger};
use crate::state::{Claim, ClaimPhase, LoopState};

/// After so long an order that nothing shows did not arrive, milliseconds.
pub const ARRIVES_WITHIN_MS: i64 = 15 * 60 * 1000;
/// After so long nobody looks for the run of an order any more, milliseconds.
const FOLLOWED_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// End the run.
    Cancel,
    /// Run every job again.
    Rerun,
    /// Run the failed jobs again, and what depends on them.
    RerunFailed,
}

impl OrderKind {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Rerun => "rerun",
            Self::RerunFailed => "rerun_failed",
        }
    }
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OrderOutcome {
    /// The forge took it.
    Taken,
    /// The forge did not take it; the run is as it was.
    Refused {
        /// What it said, sanitised.
        message: String,
    },
    /// Not known; to be resolved by reading the run.
    Unknown {
        /// Why it is not known.
        message: String,
    },
}

/// One order, as given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What is to be done.
    pub kind: OrderKind,
    /// The run, at the attempt that it is about.
    pub run_id: RunId,
    /// Why.
    pub reason: String,
    /// The claim whose verdict it costs, which the person named.
    pub claim_id: Option<ClaimId>,
    /// When it was given, unix milliseconds.
    pub given_ms: i64,
    /// Who gave it.
    pub author: Author,
}

/// An order and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenOrder {
    /// As given.
    pub order: Order,
    /// `None` until the forge has answered or the run was read.
    pub outcome: Option<OrderOutcome>,
}

impl GivenOrder {
    /// True until it is known whether the forge took it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.outcome, None | Some(OrderOutcome::Unknown { .. }))
    }
}

/// What a person asks for, and what the forge says of the run just now.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What is to be done.
    pub kind: OrderKind,
    /// The newest attempt of the run.
    pub run: &'a Run,
    /// The claim whose verdict the person gives up, by name.
    pub claim: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
}

/// Every reason against an order that the state knows; what a day may cost is asked elsewhere.
#[must_use]
pub fn unmet(state: &LoopState, wanted: &Wanted<'_>) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if wanted.reason.split_whitespace().count() < 2 {
        refused.push(Refusal::new(
            "reason_missing",
            "reason",
            "who reads the ledger later will ask why the runner was told so",
            "say why, in one sentence: `--reason \"…\"`",
        ));
    }
    let event = wanted
        .run
        .forge
        .as_ref()
        .and_then(|run| run.event.as_deref());
    if wanted.kind != OrderKind::Cancel && event != Some("push") {
        refused.push(Refusal::new(
            "run_not_of_a_push",
            "run_id",
            format!(
                "{} was started by `{}`; only runs of a push execute a commit of the branch, so \
                 another attempt would buy no evidence",
                wanted.run.run_id,
                event.unwrap_or("nothing that the forge tells")
            ),
            "run a commit of the branch again: `greenloop runs --source` lists those of a push",
        ));
    }
    if let Some(claim) =
        graded_by(state, wanted.run).filter(|claim| wanted.claim != Some(claim.id.as_str()))
    {
        refused.push(grades_a_claim(wanted, claim));
    }
    if let Some(open) = state.open_order(wanted.run) {
        refused.push(Refusal::new(
            "order_open",
            "run_id",
            format!(
                "{} told the forge to {} {} and whether that arrived is not known yet",
                open.order.id,
                open.order.kind.as_str(),
                open.order.run_id
            ),
            "wait a quarter of an hour: the daemon reads from the run what became of it, and sends nothing twice",
        ));
    }
    refused
}

fn grades_a_claim(wanted: &Wanted<'_>, claim: &Claim) -> Refusal {
    let (run, id) = (&wanted.run.run_id, &claim.id);
    match wanted.kind {
        OrderKind::Cancel => Refusal::new(
            "run_grades_claim",
            "run_id",
            format!("{run} grades {id}; cancelled, it buys no verdict for what it has cost"),
            format!(
                "wait for it with `greenloop verify {id}`; to give its verdict up, name it: `--claim {id}`"
            ),
        ),
        OrderKind::Rerun | OrderKind::RerunFailed => Refusal::new(
            "run_grades_claim",
            "run_id",
            format!("{run} grades {id} and is not read to its end yet"),
            format!("wait for it with `greenloop verify {id}`, then order again"),
        ),
    }
}

/// The claim that the run grades or will grade.
fn graded_by<'s>(state: &'s LoopState, run: &Run) -> Option<&'s Claim> {
    let event = run.forge.as_ref().and_then(|run| run.event.as_deref());
    let waits = |claim: &&Claim| {
        let started = Trigger::Push {
            claim: claim.id.clone(),
        };
        let of_push = event == Some("push") || run.trigger == started;
        let commit = of_push && claim.commit.as_deref() == Some(run.head_sha.as_str());
        let own = match claim.phase {
            ClaimPhase::Pushed => commit && claim.body.proof_scope == run.scope,
            ClaimPhase::Verifying => claim.verifying_run.as_ref() == Some(&run.run_id),
            _ => false,
        };
        own || (commit && claim.ungraded_scopes().contains(&run.scope.as_str()))
    };
    state.claims.values().find(waits)
}

impl LoopState {
    /// The order about this run, at any attempt, of which nobody knows yet whether it arrived.
    #[must_use]
    pub fn open_order(&self, run: &Run) -> Option<&GivenOrder> {
        let about = |given: &&GivenOrder| {
            let ordered = self.runs.get(&given.order.run_id);
            given.is_open() && ordered.is_some_and(|ordered| same(ordered, run))
        };
        self.orders.values().find(about)
    }

    /// True when a person had the run ended, so that nobody begins it again by himself.
    #[must_use]
    pub fn was_ordered_to_end(&self, run: &Run) -> bool {
        self.orders.values().any(|given| {
            let refused = matches!(given.outcome, Some(OrderOutcome::Refused { .. }));
            given.order.kind == OrderKind::Cancel && given.order.run_id == run.run_id && !refused
        })
    }

    /// Orders whose run has not been seen to its end, each with the run as it was ordered.
    #[must_use]
    pub fn followed_orders(&self, now_ms: i64) -> Vec<(GivenOrder, Run)> {
        let mut followed = Vec::new();
        for given in self.orders.values() {
            let order = &given.order;
            let Some(run) = self.runs.get(&order.run_id) else {
                continue;
            };
            let refused = matches!(given.outcome, Some(OrderOutcome::Refused { .. }));
            let late = now_ms.saturating_sub(order.given_ms) > FOLLOWED_MS;
            if refused || late || (!given.is_open() && self.has_ended(order, run)) {
                continue;
            }
            followed.push((given.clone(), run.clone()));
        }
        followed
    }

    /// Whether a claim or an order waits for the run, so that it will be pulled when it has ended.
    #[must_use]
    pub fn is_followed(&self, run: &Run, now_ms: i64) -> bool {
        let grades = |claim: &Claim| {
            claim.phase == ClaimPhase::Verifying
                && claim.verifying_run.as_ref() == Some(&run.run_id)
        };
        let ordered = |(given, ordered): &(GivenOrder, Run)| match given.order.kind {
            OrderKind::Cancel => ordered.run_id == run.run_id,
            OrderKind::Rerun | OrderKind::RerunFailed => {
                same(ordered, run) && run.attempt > ordered.attempt
            }
        };
        self.claims.values().any(grades) || self.followed_orders(now_ms).iter().any(ordered)
    }

    /// Whether the run that an order is about, or the attempt that it made, was pulled to its end.
    fn has_ended(&self, order: &Order, ordered: &Run) -> bool {
        let ended = |run: &Run| {
            let forge = run.forge.as_ref();
            run.status == RunStatus::Completed
                && forge.is_none_or(|forge| forge.provisional.is_none())
        };
        match order.kind {
            OrderKind::Cancel => ended(ordered),
            OrderKind::Rerun | OrderKind::RerunFailed => self
                .runs
                .values()
                .any(|run| same(ordered, run) && run.attempt > ordered.attempt && ended(run)),
        }
    }
}

/// One run, at whatever attempt.
fn same(a: &Run, b: &Run) -> bool {
    let id = |run: &Run| run.forge.as_ref().map(|forge| forge.id.clone());
    a.run_id == b.run_id || (a.source == b.source && id(a).is_some() && id(a) == id(b))
}

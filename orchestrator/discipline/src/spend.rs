//! What runs cost and what each of them bought.
//!
//! The ledger is a view of the fold and no second truth: minutes of a claim are *reserved* from the
//! person's signature on, *bound* to the run that its push starts, and *settled* when that run is
//! graded, with what was learned. A run that a person starts by hand is bound at once and settled by
//! its class.

use std::collections::BTreeMap;

use attest::claim::ClaimKind;
use playbooks::Disposition;
use serde::{Deserialize, Serialize};

use crate::model::{ClaimId, Conclusion, LoopId, Run, RunId, RunStatus, Trigger, VerdictKind};
use crate::policy::Policy;
use crate::state::{Claim, ClaimPhase, LoopState};
use crate::verification::killed;

const MINUTE_MS: u64 = 60 * 1000;
/// Pushes in a row that told nothing, after which a person is asked once more.
pub const EMPTY_IN_A_ROW: usize = 2;

/// How far a row of the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpendState {
    /// Signed for, not spent yet.
    Reserved,
    /// A run is on its way.
    Bound,
    /// The run has ended and was read.
    Settled,
}

impl SpendState {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Bound => "bound",
            Self::Settled => "settled",
        }
    }
}

/// What minutes bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bought {
    /// True when nothing is known that was not known before.
    pub empty: bool,
    /// What was learned, or why nothing was, in one phrase.
    pub what: String,
}

/// One row: a claim with its runs, or a run by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Proof scope that ran.
    pub scope: String,
    /// Loop that pays.
    pub loop_id: Option<LoopId>,
    /// Claim whose push spends; `None` for a run by hand.
    pub claim_id: Option<ClaimId>,
    /// Runs that it is bound to, oldest first.
    pub runs: Vec<RunId>,
    /// How far it is.
    pub state: SpendState,
    /// Minutes that are kept for it and not spent yet.
    pub reserved_minutes: u32,
    /// Milliseconds of the runner that its runs have cost.
    pub spent_ms: u64,
    /// What that bought, once settled.
    pub bought: Option<Bought>,
}

/// A row before its words are made: cheap enough for ten thousand runs.
struct Entry<'a> {
    claim: Option<&'a Claim>,
    runs: Vec<&'a Run>,
    state: SpendState,
    /// Orders rows; what has no run yet comes last.
    at_ms: i64,
}

/// The newest rows of the ledger, newest first, at most `most`; of one loop, or of all.
#[must_use]
pub fn ledger(state: &LoopState, of_loop: Option<&LoopId>, now_ms: i64, most: usize) -> Vec<Spend> {
    let mut entries = entries(state, now_ms);
    entries.retain(|entry| of_loop.is_none_or(|id| entry.loop_id(state).as_ref() == Some(id)));
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.at_ms, entry.claim.is_some())));
    let newest = entries.iter().take(most);
    newest.map(|entry| entry.row(state, now_ms)).collect()
}

/// Minutes that signed claims keep and have not spent, but for `except`; of one scope, or of all.
#[must_use]
pub fn reserved_minutes(
    state: &LoopState,
    scope: Option<&str>,
    except: Option<&ClaimId>,
    now_ms: i64,
) -> u32 {
    let kept = entries(state, now_ms);
    let kept = kept.iter().filter(|entry| {
        let claim = entry.claim;
        claim.is_some_and(|claim| {
            Some(&claim.id) != except && scope.is_none_or(|scope| claim.body.proof_scope == scope)
        })
    });
    kept.fold(0_u32, |sum, entry| sum.saturating_add(entry.kept(now_ms)))
}

/// Minutes of the runner that a claim of this scope may still ask for today: what the day and the
/// scope have left, without what is spent or reserved for other claims.
#[must_use]
pub fn minutes_left(
    state: &LoopState,
    policy: &Policy,
    scope: &str,
    except: Option<&ClaimId>,
    now_ms: i64,
) -> u32 {
    let left = |allowed: u32, of: Option<&str>| {
        allowed
            .saturating_sub(state.runner_minutes_today(of, now_ms))
            .saturating_sub(reserved_minutes(state, of, except, now_ms))
    };
    let day = left(policy.budget.runner_minutes_per_day, None);
    let own = policy
        .scope
        .get(scope)
        .and_then(|found| found.runner_minutes_per_day);
    own.map_or(day, |allowed| day.min(left(allowed, Some(scope))))
}

/// The pushes at the end of a scope's history whose runs told nothing, newest first, each in one
/// sentence. A push that told something ends the row.
#[must_use]
pub fn empty_in_a_row(state: &LoopState, scope: &str) -> Vec<String> {
    let mut graded: Vec<(&Claim, i64)> = state
        .claims
        .values()
        .filter(|claim| claim.body.proof_scope == scope)
        .filter_map(|claim| {
            let verdict = claim.verdict.as_ref()?;
            Some((claim, state.runs.get(&verdict.run_id)?.created_ms))
        })
        .collect();
    graded.sort_by_key(|(claim, at_ms)| std::cmp::Reverse((*at_ms, claim.proposed_seq)));
    let row = graded.into_iter().map_while(|(claim, _)| {
        let verdict = claim.verdict.as_ref()?;
        let why = verdict.reasons.first().map_or("no reason", String::as_str);
        (verdict.kind == VerdictKind::Inconclusive)
            .then(|| format!("{} told nothing: {why}", claim.id))
    });
    row.collect()
}

fn entries(state: &LoopState, now_ms: i64) -> Vec<Entry<'_>> {
    let mut of_claims: BTreeMap<&ClaimId, Vec<&Run>> = BTreeMap::new();
    let mut entries = Vec::new();
    for run in state.runs.values() {
        match &run.trigger {
            Trigger::Push { claim } => of_claims.entry(claim).or_default().push(run),
            Trigger::Manual => entries.push(Entry {
                claim: None,
                runs: vec![run],
                state: match run.status {
                    RunStatus::Completed => SpendState::Settled,
                    RunStatus::Queued | RunStatus::InProgress => SpendState::Bound,
                },
                at_ms: run.created_ms,
            }),
        }
    }
    for claim in state.claims.values() {
        let Some(state) = state_of(claim, now_ms) else {
            continue;
        };
        let mut runs = of_claims.remove(&claim.id).unwrap_or_default();
        runs.sort_by_key(|run| run.created_ms);
        entries.push(Entry {
            claim: Some(claim),
            at_ms: runs.last().map_or(i64::MAX, |run| run.created_ms),
            runs,
            state,
        });
    }
    entries
}

/// Where a claim stands on the ledger; `None` before a signature and after a way out without a push.
fn state_of(claim: &Claim, now_ms: i64) -> Option<SpendState> {
    let in_time = || {
        let signed = claim.approval.as_ref();
        signed.is_some_and(|record| !record.subject.expired_at(now_ms))
    };
    match claim.phase {
        ClaimPhase::Approved => in_time().then_some(SpendState::Reserved),
        ClaimPhase::PushIntent | ClaimPhase::PushUnknown => Some(SpendState::Reserved),
        ClaimPhase::Pushed | ClaimPhase::Verifying => Some(SpendState::Bound),
        ClaimPhase::Confirmed | ClaimPhase::Refuted | ClaimPhase::Inconclusive => {
            Some(SpendState::Settled)
        }
        _ => None,
    }
}

/// Milliseconds that a run has cost; one that is live costs up to now.
pub(crate) fn cost_ms(run: &Run, now_ms: i64) -> u64 {
    let ended = run.finished_ms.unwrap_or(now_ms);
    u64::try_from(ended.saturating_sub(run.created_ms)).unwrap_or(0)
}

/// Whole minutes, rounded up.
pub(crate) fn minutes(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(MINUTE_MS)).unwrap_or(u32::MAX)
}

impl Entry<'_> {
    fn loop_id(&self, state: &LoopState) -> Option<LoopId> {
        match (self.claim, self.runs.first()) {
            (Some(claim), _) => Some(claim.loop_id.clone()),
            (None, Some(run)) => state.loop_of_run(run),
            (None, None) => None,
        }
    }

    fn spent_ms(&self, now_ms: i64) -> u64 {
        let costs = self.runs.iter().map(|run| cost_ms(run, now_ms));
        costs.fold(0, u64::saturating_add)
    }

    /// Minutes of its budget that are neither spent nor given back.
    fn kept(&self, now_ms: i64) -> u32 {
        match (self.claim, self.state) {
            (Some(claim), SpendState::Reserved | SpendState::Bound) => {
                let spent = minutes(self.spent_ms(now_ms));
                claim.body.budget.runner_minutes.saturating_sub(spent)
            }
            _ => 0,
        }
    }

    fn row(&self, state: &LoopState, now_ms: i64) -> Spend {
        let scope = match (self.claim, self.runs.first()) {
            (Some(claim), _) => claim.body.proof_scope.clone(),
            (None, Some(run)) => run.scope.clone(),
            (None, None) => String::new(),
        };
        Spend {
            scope,
            loop_id: self.loop_id(state),
            claim_id: self.claim.map(|claim| claim.id.clone()),
            runs: self.runs.iter().map(|run| run.run_id.clone()).collect(),
            state: self.state,
            reserved_minutes: self.kept(now_ms),
            spent_ms: self.spent_ms(now_ms),
            bought: self.bought(state),
        }
    }

    fn bought(&self, state: &LoopState) -> Option<Bought> {
        if self.state != SpendState::Settled {
            return None;
        }
        match (self.claim, self.runs.first()) {
            (Some(claim), _) => by_verdict(claim),
            (None, Some(run)) => by_class(state, run),
            (None, None) => None,
        }
    }
}

fn by_verdict(claim: &Claim) -> Option<Bought> {
    let verdict = claim.verdict.as_ref()?;
    let first = verdict.reasons.first().map_or("", String::as_str);
    let what = match (verdict.kind, claim.body.kind) {
        (VerdictKind::Inconclusive, _) => first.to_owned(),
        (VerdictKind::Refuted, _) => format!("refuted: {first}"),
        (VerdictKind::Confirmed, ClaimKind::Diagnostic) => {
            let dead = killed(&claim.body, &verdict.grades);
            let dead: Vec<&str> = dead.into_iter().map(|(id, _)| id).collect();
            format!("struck out {}", dead.join(", "))
        }
        (VerdictKind::Confirmed, _) => {
            format!(
                "confirmed: {} predictions held",
                claim.body.predictions.len()
            )
        }
    };
    Some(Bought {
        empty: verdict.kind == VerdictKind::Inconclusive,
        what,
    })
}

fn by_class(state: &LoopState, run: &Run) -> Option<Bought> {
    let empty = |what: String| Some(Bought { empty: true, what });
    if !run.executed() {
        return empty("executed no step".to_owned());
    }
    if run.conclusion == Some(Conclusion::Cancelled) {
        return empty("was cancelled".to_owned());
    }
    let found = state.classifications.get(&run.run_id)?;
    let class = &found.classification.class;
    if matches!(
        found.classification.disposition,
        Disposition::NoSignal | Disposition::FixEnvironment { .. }
    ) {
        return empty(format!("{class}, which says nothing about the tree"));
    }
    let same = |earlier: &&Run| {
        earlier.scope == run.scope
            && earlier.tree == run.tree
            && earlier.created_ms < run.created_ms
            && earlier.executed()
            && state
                .classifications
                .get(&earlier.run_id)
                .is_some_and(|known| {
                    known.green == found.green && known.classification.class == *class
                })
    };
    if let Some(earlier) = state.runs.values().find(same) {
        return empty(format!("nothing that {} had not shown", earlier.run_id));
    }
    Some(Bought {
        empty: false,
        what: match found.green {
            true => "green, with its engagement proof".to_owned(),
            false => format!("class {class}"),
        },
    })
}

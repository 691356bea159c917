//! Questions to the state: next ids, retries, runs, minutes, closed scopes.

use std::collections::BTreeSet;

use attest::claim::{ClaimBody, ClaimKind, Guard};
use attest::digest::Digest;
use markers::Truth;

use super::{Claim, LoopState, RecordedObservation, ScopeClosure};
use crate::decision::AttemptFact;
use crate::model::{
    ClaimId, GateResult, GateRole, GateRunId, GateVerdict, Grade, HypothesisId, LoopId,
    ObservationId, OrderId, OverrideId, Run, RunId, RunStatus, Trigger, VerdictKind,
};
use crate::spend::{cost_ms, minutes};

/// Earlier attempts that a claim has to answer for; each costs a run of the pinned test.
const MAX_ATTEMPTS: usize = 3;

/// Milliseconds of a day; budgets are per UTC day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Calls that a caller may retry with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `open_loop`
    OpenLoop,
    /// `open_hypothesis` in this loop.
    OpenHypothesis(&'a LoopId),
    /// `record_observation` in this loop.
    RecordObservation(&'a LoopId),
    /// `propose_claim` in this loop.
    ProposeClaim(&'a LoopId),
}

impl Operation<'_> {
    /// Keys of different loops are different keys, so that two agents never get each other's ids.
    pub(crate) fn key(self, key: &str) -> String {
        match self {
            Self::OpenLoop => format!("open_loop:{key}"),
            Self::OpenHypothesis(id) => format!("open_hypothesis:{id}:{key}"),
            Self::RecordObservation(id) => format!("record_observation:{id}:{key}"),
            Self::ProposeClaim(id) => format!("propose_claim:{id}:{key}"),
        }
    }
}

/// What a gate process depends on, besides the machine's own files.
#[derive(Debug, Clone, Copy)]
pub struct ReuseKey<'a> {
    /// The claim: its change and its pinned test count.
    pub body: &'a ClaimBody,
    /// Tree that is laid out.
    pub tree: &'a str,
    /// Gate, or the pinned test's name for one.
    pub gate: &'a str,
    /// What is asked.
    pub role: GateRole,
    /// Argument vector.
    pub argv: &'a [String],
    /// Digest of environment and toolchain.
    pub environment: &'a Digest,
}

impl ReuseKey<'_> {
    fn fits(&self, body: &ClaimBody, result: &GateResult) -> bool {
        result.verdict == GateVerdict::Passed
            && result.gate == self.gate
            && result.role == self.role
            && result.tree == self.tree
            && result.argv == self.argv
            && &result.environment == self.environment
            && body.tree == self.body.tree
            && body.diff_digest == self.body.diff_digest
            && body.pinned_test == self.body.pinned_test
    }
}

/// What an attempt that failed leaves behind.
fn attempt(claim: &Claim, changed: &BTreeSet<String>) -> AttemptFact {
    let graded = |wanted: fn(&Grade) -> bool| -> Vec<String> {
        let grades = claim.verdict.iter().flat_map(|verdict| &verdict.grades);
        let wanted = grades.filter(|grade| wanted(grade));
        wanted.map(|grade| grade.predicate.clone()).collect()
    };
    let elsewhere = claim.other_scopes.values().flat_map(|scope| {
        let broken = scope.grades.iter().filter(|grade| grade.is_broken_guard());
        broken.map(|grade| Guard {
            scope: scope.scope.clone(),
            predicate: grade.predicate.clone(),
        })
    });
    let mut sites = claim.body.sites.iter();
    AttemptFact {
        claim_id: claim.id.to_string(),
        tree: claim.body.tree.clone(),
        overlaps: sites.any(|site| changed.contains(&site.file)),
        predictions_held: {
            let grades = claim.verdict.iter().flat_map(|verdict| &verdict.grades);
            let mut predictions = grades.filter(|grade| grade.role == "prediction").peekable();
            predictions.peek().is_some() && predictions.all(|grade| grade.truth == Truth::Holds)
        },
        broken_guards: graded(Grade::is_broken_guard),
        held_rollbacks: graded(|grade| grade.role == "rollback_if" && grade.truth == Truth::Holds),
        broken_elsewhere: elsewhere.collect(),
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

    /// The id the next observation gets.
    #[must_use]
    pub fn next_observation_id(&self) -> ObservationId {
        ObservationId::nth(next(
            "O",
            self.observations.keys().map(ObservationId::as_str),
        ))
    }

    /// What was recorded beside a hypothesis, oldest first.
    #[must_use]
    pub fn observations_of(&self, id: &HypothesisId) -> Vec<&RecordedObservation> {
        let mut found: Vec<_> = self
            .observations
            .values()
            .filter(|observation| &observation.body.hypothesis_id == id)
            .collect();
        found.sort_by_key(|found| (found.id.as_str().len(), found.id.clone()));
        found
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

    /// The id the next override gets.
    #[must_use]
    pub fn next_override_id(&self) -> OverrideId {
        OverrideId::nth(next("V", self.overrides.keys().map(OverrideId::as_str)))
    }

    /// The id the next order gets.
    #[must_use]
    pub fn next_order_id(&self) -> OrderId {
        OrderId::nth(next("T", self.orders.keys().map(OrderId::as_str)))
    }

    /// The id that an earlier call with the same key made, if there was one.
    #[must_use]
    pub fn known(&self, operation: Operation<'_>, key: &str) -> Option<&str> {
        self.idempotency
            .get(&operation.key(key))
            .map(String::as_str)
    }

    /// Claims of a loop, oldest first.
    #[must_use]
    pub fn claims_of(&self, loop_id: &LoopId) -> Vec<&Claim> {
        let mut claims: Vec<_> = self
            .claims
            .values()
            .filter(|claim| &claim.loop_id == loop_id)
            .collect();
        claims.sort_by_key(|claim| claim.proposed_seq);
        claims
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

    /// Earlier fixes of the same invariant in the same scope that their run refuted or that meant
    /// rollback, newest first, at most three. `changed`: paths that the claim changes.
    #[must_use]
    pub fn failed_attempts(
        &self,
        body: &ClaimBody,
        changed: &BTreeSet<String>,
    ) -> Vec<AttemptFact> {
        let failed = |claim: &&Claim| {
            let verdict = claim.verdict.as_ref();
            let refuted = verdict.is_some_and(|verdict| verdict.kind == VerdictKind::Refuted);
            refuted || claim.rollback_due()
        };
        let mut earlier: Vec<&Claim> = self
            .claims
            .values()
            .filter(|claim| {
                claim.body.kind == ClaimKind::Fix
                    && claim.body.proof_scope == body.proof_scope
                    && claim.body.failing_invariant == body.failing_invariant
                    && claim.body != *body
            })
            .filter(failed)
            .collect();
        earlier.sort_by_key(|claim| std::cmp::Reverse(claim.proposed_seq));
        earlier.truncate(MAX_ATTEMPTS);
        earlier
            .into_iter()
            .map(|claim| attempt(claim, changed))
            .collect()
    }

    /// The run whose log this is: of a job, outranked, or out of an artifact.
    #[must_use]
    pub fn run_of_log(&self, log_id: &Digest) -> Option<&Run> {
        self.runs.values().find(|run| {
            let jobs = run.jobs.iter();
            let of_jobs = jobs.flat_map(|job| job.log.iter().chain(&job.outranked));
            let of_artifacts = run.artifacts.iter().flat_map(|artifact| &artifact.logs);
            of_jobs
                .chain(of_artifacts.map(|entry| &entry.log))
                .any(|log| &log.log_id == log_id)
        })
    }

    /// A result of an earlier gate run that a process would only repeat, marked with that run. Results
    /// that did not pass are never taken over: what failed by chance has to be seen passing.
    #[must_use]
    pub fn reusable_result(&self, key: &ReuseKey<'_>) -> Option<GateResult> {
        let found = self.gate_runs.values().find_map(|gate_run| {
            let body = &self.claims.get(&gate_run.claim_id)?.body;
            let mut results = gate_run.results.iter();
            let result = results.find(|result| key.fits(body, result))?;
            Some((gate_run.id.clone(), result.clone()))
        });
        found.map(|(id, result)| GateResult {
            reused_from: Some(result.reused_from.unwrap_or(id)),
            ..result
        })
    }

    /// Runs of a scope, newest first.
    #[must_use]
    pub fn runs_of_scope(&self, scope: &str) -> Vec<&Run> {
        let mut runs: Vec<_> = self
            .runs
            .values()
            .filter(|run| run.scope == scope)
            .collect();
        let order = |run: &Run| {
            (
                run.created_ms,
                run.run_id.as_str().len(),
                run.run_id.clone(),
            )
        };
        runs.sort_by_key(|run| std::cmp::Reverse(order(run)));
        runs
    }

    /// Ids of runs that are queued or executing in a scope.
    #[must_use]
    pub fn live_runs(&self, scope: &str) -> Vec<RunId> {
        let live = self
            .runs_of_scope(scope)
            .into_iter()
            .filter(|run| run.status != RunStatus::Completed);
        live.map(|run| run.run_id.clone()).collect()
    }

    /// The last run of a scope that executed steps: the signal, however old.
    #[must_use]
    pub fn last_signal(&self, scope: &str) -> Option<&Run> {
        self.runs_of_scope(scope)
            .into_iter()
            .find(|run| run.status == RunStatus::Completed && run.executed())
    }

    /// True when a completed run executed steps on this commit in this scope.
    #[must_use]
    pub fn signal_exists(&self, scope: &str, commit: &str) -> bool {
        let mut runs = self.runs.values();
        runs.any(|run| {
            run.scope == scope
                && run.head_sha == commit
                && run.status == RunStatus::Completed
                && run.executed()
        })
    }

    /// Minutes that runs created on the UTC day of `now_ms` have cost, rounded up; of one scope, or of
    /// all. Minutes of runs that are still live count up to `now_ms`. Runs of later days, which a
    /// clock that was set back leaves behind, count too.
    #[must_use]
    pub fn runner_minutes_today(&self, scope: Option<&str>, now_ms: i64) -> u32 {
        let today = now_ms.div_euclid(DAY_MS);
        let of_today = self.runs.values().filter(|run| {
            run.created_ms.div_euclid(DAY_MS) >= today
                && scope.is_none_or(|scope| run.scope == scope)
        });
        let spent = of_today.map(|run| cost_ms(run, now_ms));
        minutes(spent.fold(0, u64::saturating_add))
    }

    /// Runs of diagnostics created on the UTC day of `now_ms`.
    #[must_use]
    pub fn diagnostics_today(&self, now_ms: i64) -> u32 {
        let today = now_ms.div_euclid(DAY_MS);
        let of_diagnostic = |run: &&Run| {
            let Trigger::Push { claim } = &run.trigger else {
                return false;
            };
            let claim = self.claims.get(claim);
            claim.is_some_and(|claim| claim.body.kind == ClaimKind::Diagnostic)
        };
        let runs = self.runs.values().filter(of_diagnostic);
        let runs = runs.filter(|run| run.created_ms.div_euclid(DAY_MS) == today);
        u32::try_from(runs.count()).unwrap_or(u32::MAX)
    }

    /// The loop that pays for a run: the pushed claim's, else the newest open one of its scope.
    #[must_use]
    pub fn loop_of_run(&self, run: &Run) -> Option<LoopId> {
        if let Trigger::Push { claim } = &run.trigger {
            return self.claims.get(claim).map(|claim| claim.loop_id.clone());
        }
        let of_scope = self
            .loops
            .values()
            .filter(|l| l.open && l.scopes.contains(&run.scope));
        of_scope
            .map(|l| &l.id)
            .max_by_key(|id| (id.as_str().len(), id.as_str()))
            .cloned()
    }

    /// Why a scope takes no pushes; `None` when it is open. Rollbacks pass a closed scope.
    #[must_use]
    pub fn scope_closed_for(&self, scope: &str, kind: ClaimKind) -> Option<&ScopeClosure> {
        self.closed_scopes
            .get(scope)
            .filter(|_| kind != ClaimKind::Rollback)
    }
}

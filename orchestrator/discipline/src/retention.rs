//! Which stored bytes may go when there are too many: those of old runs that nothing rests on.

use std::collections::{BTreeMap, BTreeSet};

use attest::claim::Citation;
use attest::digest::Digest;

use crate::model::{LogRef, Run, RunId, RunStatus};
use crate::state::LoopState;

/// One stored file, as far as this question goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub digest: Digest,
    /// What it takes on disk.
    pub bytes: u64,
}

/// Files to drop, oldest run first, until the rest takes at most `budget` bytes or nothing more may go.
///
/// What stays whatever the budget: bytes that a claim, a hypothesis, an observation or a killer cites; every
/// byte of a run that a claim was made from or is graded by; of the newest run of each scope, and of one that
/// has not ended; transcripts of gates; and whatever no run names.
#[must_use]
pub fn plan(state: &LoopState, stored: &[Entry], budget: u64) -> Vec<Entry> {
    let kept = kept(state);
    let ages = ages(state);
    let mut total: u64 = stored.iter().map(|entry| entry.bytes).sum();
    let mut candidates: Vec<(i64, &Entry)> = stored
        .iter()
        .filter(|entry| !kept.contains(&entry.digest))
        .filter_map(|entry| Some((*ages.get(&entry.digest)?, entry)))
        .collect();
    candidates.sort_by_key(|(age, entry)| (*age, entry.digest.clone()));
    let mut dropped = Vec::new();
    for (_, entry) in candidates {
        if total <= budget {
            break;
        }
        total = total.saturating_sub(entry.bytes);
        dropped.push(entry.clone());
    }
    dropped
}

/// What something rests on.
fn kept(state: &LoopState) -> BTreeSet<Digest> {
    let mut kept: BTreeSet<Digest> = citations(state).map(|cited| cited.log_id.clone()).collect();
    let gates = state.gate_runs.values().flat_map(|run| &run.results);
    kept.extend(gates.filter_map(|gate| Some(gate.transcript.as_ref()?.log_id.clone())));
    let runs = relied_on(state);
    let relied = state
        .runs
        .values()
        .filter(|run| run.status != RunStatus::Completed || runs.contains(&run.run_id));
    kept.extend(relied.flat_map(bytes_of));
    kept
}

fn citations(state: &LoopState) -> impl Iterator<Item = &Citation> {
    let claims = state.claims.values().flat_map(|claim| &claim.body.evidence);
    let hypotheses = state.hypotheses.values().flat_map(|found| {
        let killer = found.killer.iter().flat_map(|killer| &killer.citations);
        found.body.evidence.iter().chain(killer)
    });
    let observations = state.observations.values();
    let observations = observations.flat_map(|recorded| &recorded.body.citations);
    claims.chain(hypotheses).chain(observations)
}

/// Runs of claims, and the newest of each scope.
fn relied_on(state: &LoopState) -> BTreeSet<RunId> {
    let of_claims = state.claims.values().flat_map(|claim| {
        let baseline = RunId::from(claim.body.baseline_run.as_str());
        let elsewhere = claim.other_scopes.values();
        let elsewhere = elsewhere.filter_map(|guards| guards.run_id.clone());
        let own = claim.verifying_run.clone().into_iter().chain([baseline]);
        own.chain(elsewhere)
    });
    let mut newest: BTreeMap<&str, &Run> = BTreeMap::new();
    for run in state.runs.values() {
        let known = newest.entry(&run.scope).or_insert(run);
        if run.created_ms > known.created_ms {
            *known = run;
        }
    }
    let newest = newest.into_values().map(|run| run.run_id.clone());
    of_claims.chain(newest).collect()
}

/// When the newest run that names it began, unix milliseconds.
fn ages(state: &LoopState) -> BTreeMap<Digest, i64> {
    let mut ages = BTreeMap::new();
    for run in state.runs.values() {
        for digest in bytes_of(run) {
            let age = ages.entry(digest).or_insert(run.created_ms);
            *age = run.created_ms.max(*age);
        }
    }
    ages
}

/// Logs and artifacts of a run. The report about its pull is small, and says what there was.
fn bytes_of(run: &Run) -> impl Iterator<Item = Digest> {
    let id = |log: &LogRef| log.log_id.clone();
    let jobs = run.jobs.iter().flat_map(move |job| {
        let logs = job.log.iter().chain(&job.outranked);
        logs.map(id)
    });
    let artifacts = run.artifacts.iter().flat_map(move |artifact| {
        let logs = artifact.logs.iter().map(move |found| id(&found.log));
        artifact.blob.clone().into_iter().chain(logs)
    });
    jobs.chain(artifacts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::fixtures::story;
    use crate::step::{fold, step};

    fn entry(digest: &Digest, bytes: u64) -> Entry {
        Entry {
            digest: digest.clone(),
            bytes,
        }
    }

    /// The story with an older run and one in between, of logs that nobody cites.
    fn state() -> (LoopState, Digest, Digest) {
        let mut state = fold(&story()).unwrap();
        let some = state.runs.values().next().unwrap().clone();
        let mut add = |number: usize, created_ms: i64| {
            let mut run = some.clone();
            let log_id = Digest::of(format!("log {number}").as_bytes());
            run.run_id = RunId::nth(number);
            run.created_ms = created_ms;
            run.status = RunStatus::Completed;
            for job in &mut run.jobs {
                job.log = job.log.take().map(|log| LogRef {
                    log_id: log_id.clone(),
                    ..log
                });
                job.outranked.clear();
            }
            step(&mut state, &Event::RunChanged { run }).unwrap();
            log_id
        };
        let (older, old) = (add(91, -2), add(92, -1));
        (state, older, old)
    }

    #[test]
    fn the_oldest_goes_first_and_only_as_much_as_must() {
        let (state, older, old) = state();
        let stored = [entry(&old, 10), entry(&older, 10)];
        assert_eq!(plan(&state, &stored, 20), []);
        assert_eq!(plan(&state, &stored, 19), [entry(&older, 10)]);
        assert_eq!(
            plan(&state, &stored, 0),
            [entry(&older, 10), entry(&old, 10)]
        );
    }

    #[test]
    fn what_something_rests_on_stays_whatever_the_budget() {
        let (mut state, older, _) = state();
        let cited: Vec<Digest> = citations(&state).map(|c| c.log_id.clone()).collect();
        assert!(!cited.is_empty());
        let relied = state
            .runs
            .values()
            .filter(|run| relied_on(&state).contains(&run.run_id));
        let relied: Vec<Digest> = relied.flat_map(bytes_of).collect();
        assert!(!relied.is_empty());
        let stranger = Digest::of(b"no run names it");
        let all = cited.iter().chain(&relied).chain([&stranger]);
        let stored: Vec<Entry> = all.map(|digest| entry(digest, 1_000)).collect();
        assert_eq!(plan(&state, &stored, 0), []);
        // A citation is enough to keep what would have gone.
        let stored = [entry(&older, 10)];
        assert_eq!(plan(&state, &stored, 0).len(), 1);
        let id = state.claims.keys().next().unwrap().clone();
        let mut claim = state.claims[&id].clone();
        claim.body.evidence[0].log_id = older.clone();
        state.claims.insert(id, claim);
        assert_eq!(plan(&state, &stored, 0), []);
    }
}

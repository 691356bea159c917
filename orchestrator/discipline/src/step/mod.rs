//! `step` folds one event into the state, or says why it cannot have happened.
//!
//! Every event is judged before anything changes, so a refused event leaves the state as it was.
//! The journal holds accepted events only; an illegal one is a bug of the writer or a forged journal.

mod claims;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::event::{Author, Event, HypothesisBody, TurnEnd};
use crate::model::{Counters, HypothesisId, LoopId, Refusal, Run, RunId, RunStatus};
use crate::state::{
    ClaimPhase, Classified, Hypothesis, HypothesisStatus, Killer, Loop, LoopState, Operation, ProcessGroup, Repository,
};

/// Why an event cannot have happened in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// The first event was not `state_created`, or a second one was.
    #[error("the journal does not begin with exactly one `state_created`; open the state folder of this repository")]
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
    #[error("{subject}: `{field}` is {found}, but {expected} is on record; re-read the state and decide again")]
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
    #[error("`{name}` is no counter that grows by `counted`; use reads, reorientations, lines_written or tests_added")]
    Counter {
        /// Its name.
        name: String,
    },
    /// A value has no canonical form.
    #[error("event cannot be digested: {0}")]
    Canonical(#[from] attest::AttestError),
}

/// Folds one event into the state.
///
/// # Errors
/// [`IllegalEvent`] says why the event cannot follow; the state is then unchanged.
pub fn step(state: &mut LoopState, event: &Event) -> Result<(), IllegalEvent> {
    let created = matches!(event, Event::StateCreated { .. });
    if created != state.repository.is_none() {
        return Err(IllegalEvent::Beginning);
    }
    apply(state, event)?;
    state.head_seq += 1;
    if brings_news(event) {
        state.news_seq = state.head_seq;
    }
    Ok(())
}

/// Folds events from the beginning.
///
/// # Errors
/// The first illegal event, with its number counted from 0.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<LoopState, (u64, IllegalEvent)> {
    let mut state = LoopState::default();
    for event in events {
        step(&mut state, event).map_err(|illegal| (state.head_seq, illegal))?;
    }
    Ok(state)
}

fn brings_news(event: &Event) -> bool {
    !matches!(
        event,
        Event::Counted { .. } | Event::TurnEndAsked { .. } | Event::GroupStarted { .. } | Event::GroupEnded { .. }
    )
}

fn apply(state: &mut LoopState, event: &Event) -> Result<(), IllegalEvent> {
    match event {
        Event::StateCreated { root_commit, remote } => {
            state.repository = Some(Repository { root_commit: root_commit.clone(), remote: remote.clone() });
            Ok(())
        }
        Event::LoopOpened { loop_id, goal, scopes, idempotency_key, author } => {
            open_loop(state, loop_id, goal, scopes, idempotency_key, author)
        }
        Event::RunChanged { run } => change_run(state, run),
        Event::RunClassified { run_id, classification, green, catalogue } => {
            known(&state.runs, run_id, "run", run_id.as_str())?;
            let classified =
                Classified { classification: classification.clone(), green: *green, catalogue: catalogue.clone() };
            state.classifications.insert(run_id.clone(), classified);
            Ok(())
        }
        Event::HypothesisOpened { hypothesis_id, loop_id, body, idempotency_key, author } => {
            open_hypothesis(state, hypothesis_id, loop_id, body, idempotency_key, author)
        }
        Event::HypothesisFalsified { hypothesis_id, killer, reason, author } => {
            let killer = Killer { citations: killer.clone(), reason: reason.clone(), author: author.clone() };
            falsify(state, hypothesis_id, killer)
        }
        Event::ScopeClosed { scope, claim_id, reason } => {
            known(&state.claims, claim_id, "claim", claim_id.as_str())?;
            claims::close_scope(state, scope, claim_id, reason);
            Ok(())
        }
        Event::ScopeReopened { scope, .. } => match state.closed_scopes.remove(scope) {
            Some(_) => Ok(()),
            None => Err(IllegalEvent::Unknown { what: "closed scope", id: scope.clone() }),
        },
        Event::TurnEndAsked { loop_id, end, refused, .. } => end_turn(state, loop_id, end, refused),
        Event::GroupStarted { pgid, start_ticks, session, boot_id, purpose } => {
            let group = ProcessGroup {
                pgid: *pgid,
                start_ticks: *start_ticks,
                session: *session,
                boot_id: boot_id.clone(),
                purpose: purpose.clone(),
            };
            start_group(state, group)
        }
        Event::GroupEnded { pgid, start_ticks } => end_group(state, *pgid, *start_ticks),
        Event::Counted { loop_id, grew } => count(state, loop_id, grew),
        claim_event => claims::apply(state, claim_event),
    }
}

fn known<'a, K: Ord, V>(map: &'a BTreeMap<K, V>, key: &K, what: &'static str, id: &str) -> Result<&'a V, IllegalEvent> {
    map.get(key).ok_or_else(|| IllegalEvent::Unknown { what, id: id.to_owned() })
}

fn fresh<K: Ord, V>(map: &BTreeMap<K, V>, key: &K, what: &'static str, id: &str) -> Result<(), IllegalEvent> {
    match map.contains_key(key) {
        false => Ok(()),
        true => Err(IllegalEvent::Exists { what, id: id.to_owned() }),
    }
}

fn fresh_key(state: &LoopState, operation: Operation<'_>, key: &str) -> Result<(), IllegalEvent> {
    match state.known(operation, key) {
        None => Ok(()),
        Some(id) => Err(IllegalEvent::KeyUsed { key: key.to_owned(), id: id.to_owned() }),
    }
}

fn open<'a>(state: &'a LoopState, loop_id: &LoopId) -> Result<&'a Loop, IllegalEvent> {
    let found = known(&state.loops, loop_id, "loop", loop_id.as_str())?;
    match found.open {
        true => Ok(found),
        false => Err(IllegalEvent::LoopEnded { loop_id: loop_id.to_string() }),
    }
}

fn counters<'a>(state: &'a mut LoopState, loop_id: &LoopId) -> Option<&'a mut Counters> {
    state.loops.get_mut(loop_id).map(|found| &mut found.counters)
}

fn open_loop(
    state: &mut LoopState,
    id: &LoopId,
    goal: &str,
    scopes: &[String],
    key: &str,
    author: &Author,
) -> Result<(), IllegalEvent> {
    fresh(&state.loops, id, "loop", id.as_str())?;
    fresh_key(state, Operation::OpenLoop, key)?;
    let opened = Loop {
        id: id.clone(),
        goal: goal.to_owned(),
        scopes: scopes.to_vec(),
        counters: Counters::default(),
        open: true,
        last_turn_end: None,
        author: author.clone(),
    };
    state.idempotency.insert(Operation::OpenLoop.key(key), id.to_string());
    state.loops.insert(id.clone(), opened);
    Ok(())
}

fn change_run(state: &mut LoopState, run: &Run) -> Result<(), IllegalEvent> {
    let before = state.runs.get(&run.run_id);
    if let Some(before) = before {
        same_run(before, run)?;
    }
    let ended_now =
        run.status == RunStatus::Completed && before.is_none_or(|before| before.status != RunStatus::Completed);
    if let Some(ended) = run.finished_ms.filter(|_| ended_now) {
        let spent = u64::try_from(ended.saturating_sub(run.created_ms)).unwrap_or(0);
        if let Some(counters) = state.loop_of_run(run).and_then(|id| counters(state, &id)) {
            counters.runner_ms = counters.runner_ms.saturating_add(spent);
        }
    }
    state.runs.insert(run.run_id.clone(), run.clone());
    Ok(())
}

fn same_run(before: &Run, after: &Run) -> Result<(), IllegalEvent> {
    let (attempt_before, attempt_after) = (before.attempt.to_string(), after.attempt.to_string());
    let fixed = [
        ("source", &before.source, &after.source),
        ("scope", &before.scope, &after.scope),
        ("head_sha", &before.head_sha, &after.head_sha),
        ("tree", &before.tree, &after.tree),
        ("attempt", &attempt_before, &attempt_after),
    ];
    for (field, expected, found) in fixed {
        equal(&format!("run {}", before.run_id), field, expected, found)?;
    }
    if after.status < before.status {
        let run = before.run_id.to_string();
        return Err(IllegalEvent::RunWentBack { run, from: before.status, to: after.status });
    }
    Ok(())
}

fn equal(
    subject: &str,
    field: &'static str,
    expected: &(impl ToString + ?Sized),
    found: &(impl ToString + ?Sized),
) -> Result<(), IllegalEvent> {
    let (expected, found) = (expected.to_string(), found.to_string());
    if expected == found {
        return Ok(());
    }
    Err(IllegalEvent::Mismatch { subject: subject.to_owned(), field, expected, found })
}

fn open_hypothesis(
    state: &mut LoopState,
    id: &HypothesisId,
    loop_id: &LoopId,
    body: &HypothesisBody,
    key: &str,
    author: &Author,
) -> Result<(), IllegalEvent> {
    open(state, loop_id)?;
    fresh(&state.hypotheses, id, "hypothesis", id.as_str())?;
    let operation = Operation::OpenHypothesis(loop_id);
    fresh_key(state, operation, key)?;
    let opened = Hypothesis {
        id: id.clone(),
        loop_id: loop_id.clone(),
        body: body.clone(),
        status: HypothesisStatus::Open,
        killer: None,
        author: author.clone(),
    };
    state.idempotency.insert(operation.key(key), id.to_string());
    state.hypotheses.insert(id.clone(), opened);
    if let Some(counters) = counters(state, loop_id) {
        counters.hypotheses_opened += 1;
    }
    Ok(())
}

fn falsify(state: &mut LoopState, id: &HypothesisId, killer: Killer) -> Result<(), IllegalEvent> {
    let dying = known(&state.hypotheses, id, "hypothesis", id.as_str())?;
    let refuse = |reason| IllegalEvent::NotFalsifiable { hypothesis: id.to_string(), reason };
    if dying.status == HypothesisStatus::Falsified {
        return Err(refuse("it is falsified already; its killer stays"));
    }
    if killer.citations.is_empty() {
        return Err(refuse("a killer cites bytes of a log; pass at least one citation"));
    }
    let (loop_id, rivals) = (dying.loop_id.clone(), dying.body.rivals.clone());
    for other in state.hypotheses.values_mut() {
        let rival = other.body.rivals.iter().any(|rival| rival == id.as_str()) || rivals.contains(&other.id.0);
        if rival && other.status == HypothesisStatus::Open {
            other.status = HypothesisStatus::Surviving;
        }
    }
    if let Some(dying) = state.hypotheses.get_mut(id) {
        dying.status = HypothesisStatus::Falsified;
        dying.killer = Some(killer);
    }
    if let Some(counters) = counters(state, &loop_id) {
        counters.hypotheses_killed += 1;
    }
    Ok(())
}

fn end_turn(state: &mut LoopState, id: &LoopId, end: &TurnEnd, refused: &[Refusal]) -> Result<(), IllegalEvent> {
    let asked =
        state.loops.get_mut(id).ok_or_else(|| IllegalEvent::Unknown { what: "loop", id: id.to_string() })?;
    if !refused.is_empty() {
        asked.counters.refused_ends += 1;
        return Ok(());
    }
    asked.last_turn_end = Some(end.clone());
    asked.open &= *end != TurnEnd::Green;
    Ok(())
}

fn start_group(state: &mut LoopState, group: ProcessGroup) -> Result<(), IllegalEvent> {
    let same = |g: &ProcessGroup| g.pgid == group.pgid && g.start_ticks == group.start_ticks;
    if state.live_groups.iter().any(same) {
        return Err(IllegalEvent::Exists { what: "process group", id: group.pgid.to_string() });
    }
    state.live_groups.push(group);
    Ok(())
}

fn end_group(state: &mut LoopState, pgid: i32, start_ticks: u64) -> Result<(), IllegalEvent> {
    let at = state.live_groups.iter().position(|g| g.pgid == pgid && g.start_ticks == start_ticks);
    let at = at.ok_or_else(|| IllegalEvent::Unknown { what: "process group", id: pgid.to_string() })?;
    state.live_groups.remove(at);
    Ok(())
}

fn count(state: &mut LoopState, loop_id: &LoopId, grew: &BTreeMap<String, u64>) -> Result<(), IllegalEvent> {
    let counted = known(&state.loops, loop_id, "loop", loop_id.as_str())?;
    let mut counters = counted.counters.clone();
    for (name, by) in grew {
        let counter = match name.as_str() {
            "reads" => &mut counters.reads,
            "reorientations" => &mut counters.reorientations,
            "lines_written" => &mut counters.lines_written,
            "tests_added" => &mut counters.tests_added,
            _ => return Err(IllegalEvent::Counter { name: name.clone() }),
        };
        *counter = counter.saturating_add(*by);
    }
    if let Some(counted) = state.loops.get_mut(loop_id) {
        counted.counters = counters;
    }
    Ok(())
}

/// The run a claim event names, or that it is unknown.
fn known_run<'a>(state: &'a LoopState, run_id: &RunId) -> Result<&'a Run, IllegalEvent> {
    known(&state.runs, run_id, "run", run_id.as_str())
}

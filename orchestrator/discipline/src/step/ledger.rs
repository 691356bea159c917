//! Events of loops, runs, hypotheses, turns, counters and process groups.

use std::collections::BTreeMap;

use attest::approval::RevivalSubject;

use super::{IllegalEvent, counters, equal, fresh, fresh_key, known, open};
use crate::event::{Author, HypothesisBody, TurnEnd};
use crate::hypothesis::killer_digest;
use crate::model::{
    Counters, HypothesisId, LoopId, ObservationId, OrderId, Refusal, Run, RunStatus,
};
use crate::orders::{GivenOrder, Order, OrderOutcome};
use crate::overrides::Override;
use crate::state::{
    Hypothesis, HypothesisStatus, Killer, Loop, LoopState, Operation, ProcessGroup,
    RecordedObservation, Revival,
};

pub(super) fn open_loop(
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
    state
        .idempotency
        .insert(Operation::OpenLoop.key(key), id.to_string());
    state.loops.insert(id.clone(), opened);
    Ok(())
}

pub(super) fn change_run(state: &mut LoopState, run: &Run) -> Result<(), IllegalEvent> {
    let before = state.runs.get(&run.run_id);
    if let Some(before) = before {
        same_run(before, run)?;
    }
    let ended_now = run.status == RunStatus::Completed
        && before.is_none_or(|before| before.status != RunStatus::Completed);
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
        return Err(IllegalEvent::RunWentBack {
            run,
            from: before.status,
            to: after.status,
        });
    }
    Ok(())
}

pub(super) fn open_hypothesis(
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
        revivals: Vec::new(),
        author: author.clone(),
    };
    state.idempotency.insert(operation.key(key), id.to_string());
    state.hypotheses.insert(id.clone(), opened);
    if let Some(counters) = counters(state, loop_id) {
        counters.hypotheses_opened += 1;
    }
    Ok(())
}

pub(super) fn record(
    state: &mut LoopState,
    recorded: RecordedObservation,
    key: &str,
) -> Result<(), IllegalEvent> {
    open(state, &recorded.loop_id)?;
    let about = &recorded.body.hypothesis_id;
    known(&state.hypotheses, about, "hypothesis", about.as_str())?;
    let id = recorded.id.clone();
    fresh(&state.observations, &id, "observation", id.as_str())?;
    let operation = Operation::RecordObservation(&recorded.loop_id);
    fresh_key(state, operation, key)?;
    state.idempotency.insert(operation.key(key), id.to_string());
    state.observations.insert(id, recorded);
    Ok(())
}

pub(super) fn falsify(
    state: &mut LoopState,
    id: &HypothesisId,
    killer: Killer,
) -> Result<(), IllegalEvent> {
    let dying = known(&state.hypotheses, id, "hypothesis", id.as_str())?;
    let refuse = |reason| IllegalEvent::NotFalsifiable {
        hypothesis: id.to_string(),
        reason,
    };
    if dying.status == HypothesisStatus::Falsified {
        return Err(refuse("it is falsified already; its killer stays"));
    }
    if killer.citations.is_empty() {
        return Err(refuse(
            "a killer cites bytes of a log; pass at least one citation",
        ));
    }
    let (loop_id, rivals) = (dying.loop_id.clone(), dying.body.rivals.clone());
    let is_rival = |other: &&Hypothesis| {
        let names_it = other.body.rivals.iter().any(|rival| rival == id.as_str());
        other.status == HypothesisStatus::Open && (names_it || rivals.contains(&other.id.0))
    };
    let others = state.hypotheses.values().filter(is_rival);
    let others: Vec<HypothesisId> = others.map(|other| other.id.clone()).collect();
    for other in &others {
        if let Some(other) = state.hypotheses.get_mut(other) {
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

pub(super) fn revive(
    state: &mut LoopState,
    id: &HypothesisId,
    subject: &RevivalSubject,
    signature: &str,
    signer: &str,
) -> Result<(), IllegalEvent> {
    let dead = known(&state.hypotheses, id, "hypothesis", id.as_str())?;
    let name = format!("hypothesis {id}");
    equal(&name, "revives", id.as_str(), &subject.revives)?;
    let Some(killer) = dead.killer.clone() else {
        return Err(IllegalEvent::NotFalsifiable {
            hypothesis: id.to_string(),
            reason: "it lives, so nothing can revive it",
        });
    };
    equal(
        &name,
        "killer_digest",
        &killer_digest(&killer)?,
        &subject.killer_digest,
    )?;
    let named = |observation: &&String| {
        let found = state
            .observations
            .get(&ObservationId((*observation).clone()));
        found.is_none_or(|found| &found.body.hypothesis_id != id)
    };
    if let Some(unknown) = subject.observations.iter().find(named) {
        return Err(IllegalEvent::Unknown {
            what: "observation",
            id: unknown.clone(),
        });
    }
    if let Some(revived) = state.hypotheses.get_mut(id) {
        revived.status = HypothesisStatus::Open;
        revived.killer = None;
        revived.revivals.push(Revival {
            killer,
            subject: subject.clone(),
            signature: signature.to_owned(),
            signer: signer.to_owned(),
        });
    }
    Ok(())
}

pub(super) fn end_turn(
    state: &mut LoopState,
    id: &LoopId,
    end: &TurnEnd,
    refused: &[Refusal],
) -> Result<(), IllegalEvent> {
    let asked = state
        .loops
        .get_mut(id)
        .ok_or_else(|| IllegalEvent::Unknown {
            what: "loop",
            id: id.to_string(),
        })?;
    if !refused.is_empty() {
        asked.counters.refused_ends += 1;
        return Ok(());
    }
    asked.last_turn_end = Some(end.clone());
    asked.open &= *end != TurnEnd::Green;
    Ok(())
}

pub(super) fn grant_override(
    state: &mut LoopState,
    granted: &Override,
) -> Result<(), IllegalEvent> {
    let id = &granted.id;
    fresh(&state.overrides, id, "override", id.as_str())?;
    state.overrides.insert(id.clone(), granted.clone());
    Ok(())
}

pub(super) fn give_order(state: &mut LoopState, order: &Order) -> Result<(), IllegalEvent> {
    let id = &order.id;
    fresh(&state.orders, id, "order", id.as_str())?;
    let run = known(&state.runs, &order.run_id, "run", order.run_id.as_str())?;
    if let Some(open) = state.open_order(run) {
        return Err(IllegalEvent::Exists {
            what: "open order",
            id: open.order.id.to_string(),
        });
    }
    let given = GivenOrder {
        order: order.clone(),
        outcome: None,
    };
    state.orders.insert(id.clone(), given);
    Ok(())
}

pub(super) fn settle_order(
    state: &mut LoopState,
    id: &OrderId,
    outcome: &OrderOutcome,
) -> Result<(), IllegalEvent> {
    let unknown = || IllegalEvent::Unknown {
        what: "open order",
        id: id.to_string(),
    };
    let given = state.orders.get_mut(id).ok_or_else(unknown)?;
    if !given.is_open() {
        return Err(unknown());
    }
    given.outcome = Some(outcome.clone());
    Ok(())
}

pub(super) fn start_group(state: &mut LoopState, group: ProcessGroup) -> Result<(), IllegalEvent> {
    let same = |g: &ProcessGroup| g.pgid == group.pgid && g.start_ticks == group.start_ticks;
    if state.live_groups.iter().any(same) {
        return Err(IllegalEvent::Exists {
            what: "process group",
            id: group.pgid.to_string(),
        });
    }
    state.live_groups.push(group);
    Ok(())
}

pub(super) fn end_group(
    state: &mut LoopState,
    pgid: i32,
    start_ticks: u64,
) -> Result<(), IllegalEvent> {
    let at = state
        .live_groups
        .iter()
        .position(|g| g.pgid == pgid && g.start_ticks == start_ticks);
    let at = at.ok_or_else(|| IllegalEvent::Unknown {
        what: "process group",
        id: pgid.to_string(),
    })?;
    state.live_groups.remove(at);
    Ok(())
}

pub(super) fn count(
    state: &mut LoopState,
    loop_id: &LoopId,
    grew: &BTreeMap<String, u64>,
) -> Result<(), IllegalEvent> {
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

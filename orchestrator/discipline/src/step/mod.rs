//! `step` folds one event into the state, or says why it cannot have happened.
//!
//! Every event is judged before anything changes, so a refused event leaves the state as it was.
//! The journal holds accepted events only; an illegal one is a bug of the writer or a forged journal.

mod claims;
mod error;
mod gates;
mod ledger;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::event::Event;
use crate::model::{Counters, LoopId, Run, RunId};
use crate::state::{
    Classified, Killer, Loop, LoopState, Operation, ProcessGroup, RecordedObservation, Repository,
};

pub use error::IllegalEvent;

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

/// Folds one event into the state when `make_durable` has kept it; when it has not, the state is as it
/// was. The price is that of what the event changes, however large the state.
///
/// # Errors
/// Why the event cannot follow, or why it was not kept; the state is then unchanged.
pub fn step_durably<T, E: From<IllegalEvent>>(
    state: &mut LoopState,
    event: &Event,
    make_durable: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    state.begin();
    let kept = step(state, event).map_err(E::from);
    let kept = kept.and_then(|()| make_durable());
    match &kept {
        Ok(_) => state.keep(),
        Err(_) => state.roll_back(),
    }
    kept
}

/// Folds events from the beginning.
///
/// # Errors
/// The first illegal event, with its number counted from 0.
pub fn fold<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<LoopState, (u64, IllegalEvent)> {
    let mut state = LoopState::default();
    for event in events {
        step(&mut state, event).map_err(|illegal| (state.head_seq, illegal))?;
    }
    Ok(state)
}

fn brings_news(event: &Event) -> bool {
    !matches!(
        event,
        Event::Counted { .. }
            | Event::TurnEndAsked { .. }
            | Event::GroupStarted { .. }
            | Event::GroupEnded { .. }
    )
}

fn apply(state: &mut LoopState, event: &Event) -> Result<(), IllegalEvent> {
    match event {
        Event::StateCreated {
            root_commit,
            remote,
        } => {
            state.repository = Some(Repository {
                root_commit: root_commit.clone(),
                remote: remote.clone(),
            });
            Ok(())
        }
        Event::LoopOpened {
            loop_id,
            goal,
            scopes,
            idempotency_key,
            author,
        } => ledger::open_loop(state, loop_id, goal, scopes, idempotency_key, author),
        Event::RunChanged { run } => ledger::change_run(state, run),
        Event::RunClassified {
            run_id,
            classification,
            green,
            catalogue,
        } => {
            known(&state.runs, run_id, "run", run_id.as_str())?;
            let classified = Classified {
                classification: classification.clone(),
                green: *green,
                catalogue: catalogue.clone(),
            };
            state.classifications.insert(run_id.clone(), classified);
            Ok(())
        }
        Event::HypothesisOpened {
            hypothesis_id,
            loop_id,
            body,
            idempotency_key,
            author,
        } => ledger::open_hypothesis(state, hypothesis_id, loop_id, body, idempotency_key, author),
        Event::HypothesisFalsified {
            hypothesis_id,
            killer,
            reason,
            author,
        } => {
            let killer = Killer {
                citations: killer.clone(),
                reason: reason.clone(),
                author: author.clone(),
            };
            ledger::falsify(state, hypothesis_id, killer)
        }
        Event::HypothesisRevived {
            hypothesis_id,
            subject,
            signature,
            signer,
        } => ledger::revive(state, hypothesis_id, subject, signature, signer),
        Event::ObservationRecorded {
            observation_id,
            loop_id,
            body,
            idempotency_key,
            author,
        } => {
            let recorded = RecordedObservation {
                id: observation_id.clone(),
                loop_id: loop_id.clone(),
                body: body.clone(),
                author: author.clone(),
            };
            ledger::record(state, recorded, idempotency_key)
        }
        Event::OverrideGranted { granted } => ledger::grant_override(state, granted),
        Event::RunOrdered { order } => ledger::give_order(state, order),
        Event::RunOrderSettled { order_id, outcome } => {
            ledger::settle_order(state, order_id, outcome)
        }
        Event::TurnEndAsked {
            loop_id,
            end,
            refused,
            ..
        } => ledger::end_turn(state, loop_id, end, refused),
        Event::GroupStarted {
            pgid,
            start_ticks,
            session,
            boot_id,
            purpose,
        } => {
            let group = ProcessGroup {
                pgid: *pgid,
                start_ticks: *start_ticks,
                session: *session,
                boot_id: boot_id.clone(),
                purpose: purpose.clone(),
            };
            ledger::start_group(state, group)
        }
        Event::GroupEnded { pgid, start_ticks } => ledger::end_group(state, *pgid, *start_ticks),
        Event::Counted { loop_id, grew } => ledger::count(state, loop_id, grew),
        claim_event => claims::apply(state, claim_event),
    }
}

fn known<'a, K: Ord, V>(
    map: &'a BTreeMap<K, V>,
    key: &K,
    what: &'static str,
    id: &str,
) -> Result<&'a V, IllegalEvent> {
    map.get(key).ok_or_else(|| IllegalEvent::Unknown {
        what,
        id: id.to_owned(),
    })
}

fn fresh<K: Ord, V>(
    map: &BTreeMap<K, V>,
    key: &K,
    what: &'static str,
    id: &str,
) -> Result<(), IllegalEvent> {
    match map.contains_key(key) {
        false => Ok(()),
        true => Err(IllegalEvent::Exists {
            what,
            id: id.to_owned(),
        }),
    }
}

fn fresh_key(state: &LoopState, operation: Operation<'_>, key: &str) -> Result<(), IllegalEvent> {
    match state.known(operation, key) {
        None => Ok(()),
        Some(id) => Err(IllegalEvent::KeyUsed {
            key: key.to_owned(),
            id: id.to_owned(),
        }),
    }
}

fn open<'a>(state: &'a LoopState, loop_id: &LoopId) -> Result<&'a Loop, IllegalEvent> {
    let found = known(&state.loops, loop_id, "loop", loop_id.as_str())?;
    match found.open {
        true => Ok(found),
        false => Err(IllegalEvent::LoopEnded {
            loop_id: loop_id.to_string(),
        }),
    }
}

fn counters<'a>(state: &'a mut LoopState, loop_id: &LoopId) -> Option<&'a mut Counters> {
    state
        .loops
        .get_mut(loop_id)
        .map(|found| &mut found.counters)
}

/// The run a claim event names, or that it is unknown.
fn known_run<'a>(state: &'a LoopState, run_id: &RunId) -> Result<&'a Run, IllegalEvent> {
    known(&state.runs, run_id, "run", run_id.as_str())
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
    Err(IllegalEvent::Mismatch {
        subject: subject.to_owned(),
        field,
        expected,
        found,
    })
}

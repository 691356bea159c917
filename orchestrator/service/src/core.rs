//! The one writer: journal, fold and index behind one lock.

use std::collections::BTreeMap;

use discipline::event::{Author, Event};
use discipline::model::{ClaimId, LoopId};
use discipline::state::LoopState;
use discipline::step::step;
use state::{Anchor, OpenOptions, Record, StateDir};

use crate::{ServiceConfig, ServiceError};

/// Journal and state. Everything that is acknowledged passes [`Core::append`].
pub(crate) struct Core {
    pub(crate) dir: StateDir,
    pub(crate) state: LoopState,
    /// When each claim's gates ended; the time of the commit that follows from them.
    pub(crate) gated_at: BTreeMap<ClaimId, i64>,
    /// Counters that wait for the next durable event.
    counted: BTreeMap<LoopId, BTreeMap<String, u64>>,
    /// What each caller saw last: `news_seq` by (caller, loop).
    pub(crate) seen: BTreeMap<(u32, String, LoopId), u64>,
}

impl Core {
    /// Opens the state folder and folds its journal.
    pub(crate) fn open(config: &ServiceConfig) -> Result<Core, ServiceError> {
        let now = (config.clock)();
        let dir = StateDir::open(&config.state_dir, &OpenOptions::new(now))?;
        let mut core = Core {
            dir,
            state: LoopState::default(),
            gated_at: BTreeMap::new(),
            counted: BTreeMap::new(),
            seen: BTreeMap::new(),
        };
        core.fold()?;
        let StateDir { index, journal, .. } = &mut core.dir;
        if let Err(error) = index.catch_up(journal, &mut |_| Vec::new()) {
            // The fold has just read the whole journal; the index can be had at a later start.
            tracing::warn!(%error, "index lags");
        }
        Ok(core)
    }

    fn fold(&mut self) -> Result<(), ServiceError> {
        for logged in self.dir.journal.iter() {
            let logged = logged?;
            let Some(event) = logged.record.as_event() else {
                continue;
            };
            let seq = logged.head.seq;
            step(&mut self.state, event).map_err(|illegal| {
                ServiceError::Internal(format!("record {seq} does not follow: {illegal}"))
            })?;
            note_gated(&mut self.gated_at, &self.state, event, logged.record.at_ms);
        }
        Ok(())
    }

    /// Checks that the event may follow, makes it durable, then lets it count.
    pub(crate) fn append(
        &mut self,
        now_ms: i64,
        author: &Author,
        event: Event,
    ) -> Result<(), ServiceError> {
        let mut next = self.state.clone();
        step(&mut next, &event).map_err(|illegal| ServiceError::Internal(illegal.to_string()))?;
        let anchor = anchor_of(&event);
        let record = Record::event(now_ms, author.uid, author.name.clone(), event.clone());
        let head = self.dir.journal.append(&record, anchor)?;
        self.state = next;
        note_gated(&mut self.gated_at, &self.state, &event, now_ms);
        if let Err(error) = self.dir.index.apply(head, []) {
            // Disposable: the next start builds it anew.
            tracing::warn!(%error, "index lags");
        }
        Ok(())
    }

    /// Counts a read or a re-orientation; it becomes durable with the next event.
    pub(crate) fn count(&mut self, loop_id: &LoopId, counter: &str) {
        let of_loop = self.counted.entry(loop_id.clone()).or_default();
        *of_loop.entry(counter.to_owned()).or_default() += 1;
    }

    /// Counts that are not journalled yet.
    pub(crate) fn pending(&self, loop_id: &LoopId, counter: &str) -> u64 {
        let of_loop = self.counted.get(loop_id);
        of_loop
            .and_then(|counters| counters.get(counter))
            .copied()
            .unwrap_or(0)
    }

    /// Journals the counters that wait.
    pub(crate) fn flush_counts(
        &mut self,
        now_ms: i64,
        author: &Author,
    ) -> Result<(), ServiceError> {
        for (loop_id, grew) in std::mem::take(&mut self.counted) {
            if self.state.loops.contains_key(&loop_id) {
                self.append(now_ms, author, Event::Counted { loop_id, grew })?;
            }
        }
        Ok(())
    }
}

/// A signature and whatever follows from it must not be lost to a cut tail.
fn anchor_of(event: &Event) -> Anchor {
    match event {
        Event::StateCreated { .. }
        | Event::ClaimStaged { .. }
        | Event::ClaimApproved { .. }
        | Event::PushIntended { .. }
        | Event::PushSettled { .. }
        | Event::ClaimVerified { .. } => Anchor::Now,
        _ => Anchor::Due,
    }
}

fn note_gated(gated_at: &mut BTreeMap<ClaimId, i64>, state: &LoopState, event: &Event, at_ms: i64) {
    if let Event::GatesFinished { gate_run_id, .. } = event
        && let Some(gate_run) = state.gate_runs.get(gate_run_id)
    {
        gated_at.insert(gate_run.claim_id.clone(), at_ms);
    }
}

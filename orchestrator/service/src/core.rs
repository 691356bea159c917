//! The one writer: journal, fold and index behind one lock.

use std::collections::BTreeMap;

use discipline::event::{Author, Event};
use discipline::model::{ClaimId, LoopId};
use discipline::state::LoopState;
use discipline::step::{step, step_durably};
use serde::{Deserialize, Serialize};
use state::{Anchor, Entry, Note, OpenOptions, Record, StateDir};

use crate::folded::{self, Folded, KEEP_EVERY};
use crate::shared::daemon;
use crate::{ServiceConfig, ServiceError};

/// Journal and state. Everything that is acknowledged passes [`Core::append`].
pub(crate) struct Core {
    pub(crate) dir: StateDir,
    pub(crate) state: LoopState,
    /// When and with what each claim's gates ended.
    pub(crate) gated: Gated,
    /// The record up to which the fold did not have to be made at this start.
    pub(crate) folded_from: u64,
    /// The record up to which a kept fold goes.
    kept_seq: u64,
    /// Counters that wait for the next durable event.
    counted: BTreeMap<LoopId, BTreeMap<String, u64>>,
    /// Toolchain of the daemon before it, when this start has changed it.
    pub(crate) toolchain_before: Option<String>,
    /// What each caller saw last: `news_seq` by (caller, loop).
    pub(crate) seen: BTreeMap<(u32, String, LoopId), u64>,
}

impl Core {
    /// Opens the state folder and folds its journal.
    pub(crate) fn open(config: &ServiceConfig) -> Result<Core, ServiceError> {
        let now = (config.clock)();
        let mut core = Core::of(StateDir::open(&config.state_dir, &OpenOptions::new(now))?)?;
        core.keep_fold_when_due(now, &daemon());
        Ok(core)
    }

    /// Folds the journal of an open state folder.
    pub(crate) fn of(dir: StateDir) -> Result<Core, ServiceError> {
        let (Folded { state, gated }, folded_from) = folded::load(&dir);
        let mut core = Core {
            dir,
            state,
            gated,
            folded_from,
            kept_seq: folded_from,
            counted: BTreeMap::new(),
            seen: BTreeMap::new(),
            toolchain_before: None,
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
        let Core {
            dir,
            state,
            gated,
            folded_from,
            ..
        } = self;
        for logged in dir.journal.iter_from(*folded_from + 1) {
            let logged = logged?;
            if let Entry::Note(Note::Started { toolchain, .. }) = &logged.record.entry {
                gated.toolchain = Some(toolchain.clone());
            }
            let Some(event) = logged.record.as_event() else {
                continue;
            };
            let seq = logged.head.seq;
            step(state, event).map_err(|illegal| {
                ServiceError::Internal(format!("record {seq} does not follow: {illegal}"))
            })?;
            gated.note(state, event, logged.record.at_ms);
        }
        Ok(())
    }

    /// Notes which toolchain this daemon builds with, when it is not the one of the daemon before.
    pub(crate) fn started(
        &mut self,
        now_ms: i64,
        author: &Author,
        toolchain: &str,
    ) -> Result<(), ServiceError> {
        if self.gated.toolchain.as_deref() == Some(toolchain) {
            return Ok(());
        }
        let record = Record {
            at_ms: now_ms,
            uid: author.uid,
            by: author.name.clone(),
            entry: Entry::Note(Note::Started {
                version: env!("CARGO_PKG_VERSION").into(),
                toolchain: toolchain.to_owned(),
            }),
        };
        self.dir.journal.append(&record, Anchor::Due)?;
        self.toolchain_before = self.gated.toolchain.replace(toolchain.to_owned());
        Ok(())
    }

    /// Checks that the event may follow, makes it durable, then lets it count.
    pub(crate) fn append(
        &mut self,
        now_ms: i64,
        author: &Author,
        event: Event,
    ) -> Result<(), ServiceError> {
        let anchor = anchor_of(&event);
        let record = Record::event(now_ms, author.uid, author.name.clone(), event.clone());
        let journal = &mut self.dir.journal;
        let head = step_durably(&mut self.state, &event, || {
            Ok::<_, ServiceError>(journal.append(&record, anchor)?)
        })?;
        self.gated.note(&self.state, &event, now_ms);
        if let Err(error) = self.dir.index.apply(head, []) {
            // Disposable: the next start builds it anew.
            tracing::warn!(%error, "index lags");
        }
        self.keep_fold_when_due(now_ms, author);
        Ok(())
    }

    /// Keeps the fold, so that the next start need not make it.
    pub(crate) fn keep_fold(&mut self, now_ms: i64, author: &Author) -> Result<(), ServiceError> {
        let seq = self.dir.journal.head().seq;
        folded::save(&mut self.dir, &self.state, &self.gated, now_ms, author)?;
        self.kept_seq = seq;
        Ok(())
    }

    fn keep_fold_when_due(&mut self, now_ms: i64, author: &Author) {
        let seq = self.dir.journal.head().seq;
        if seq - self.kept_seq < KEEP_EVERY {
            return;
        }
        if let Err(error) = self.keep_fold(now_ms, author) {
            // A start without it takes longer and says the same.
            self.kept_seq = seq;
            tracing::warn!(%error, "the fold is not kept");
        }
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

/// What is remembered of gates besides their results.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Gated {
    /// When each claim's gates ended; the time of the commit that follows from them.
    pub(crate) at_ms: BTreeMap<ClaimId, i64>,
    /// Toolchain that they were built with.
    pub(crate) with: BTreeMap<ClaimId, String>,
    /// The claim that was graded last, and when.
    pub(crate) graded: Option<(ClaimId, i64)>,
    /// Toolchain of the daemon that writes, as it was noted last.
    toolchain: Option<String>,
}

impl Gated {
    fn note(&mut self, state: &LoopState, event: &Event, at_ms: i64) {
        if let Event::GatesFinished { gate_run_id, .. } = event
            && let Some(gate_run) = state.gate_runs.get(gate_run_id)
        {
            let id = gate_run.claim_id.clone();
            if let Some(toolchain) = &self.toolchain {
                self.with.insert(id.clone(), toolchain.clone());
            }
            self.at_ms.insert(id, at_ms);
        }
        if let Event::ClaimVerified { claim_id, .. } = event {
            self.graded = Some((claim_id.clone(), at_ms));
        }
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

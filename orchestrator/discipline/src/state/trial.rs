//! A change of the state that is taken back unless it becomes durable.

use super::{LoopState, ProcessGroup, Repository};

/// What is small enough to be kept whole while a change is on trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    head_seq: u64,
    news_seq: u64,
    repository: Option<Repository>,
    live_groups: Vec<ProcessGroup>,
}

/// Calls a method of every table. Each field is named, so that a new one is not forgotten here.
macro_rules! each_table {
    ($state:expr, $call:ident) => {{
        let LoopState {
            head_seq: _,
            news_seq: _,
            repository: _,
            loops,
            runs,
            classifications,
            hypotheses,
            observations,
            claims,
            gate_runs,
            closed_scopes,
            overrides,
            orders,
            live_groups: _,
            idempotency,
            held: _,
        } = $state;
        loops.$call();
        runs.$call();
        classifications.$call();
        hypotheses.$call();
        observations.$call();
        claims.$call();
        gate_runs.$call();
        closed_scopes.$call();
        overrides.$call();
        orders.$call();
        idempotency.$call();
    }};
}

impl LoopState {
    /// From here on, remembers what changes. A change that is on trial already is taken back first.
    pub(crate) fn begin(&mut self) {
        self.roll_back();
        self.held = Some(Box::new(Held {
            head_seq: self.head_seq,
            news_seq: self.news_seq,
            repository: self.repository.clone(),
            live_groups: self.live_groups.clone(),
        }));
        each_table!(self, begin);
    }

    /// What changed stays.
    pub(crate) fn keep(&mut self) {
        self.held = None;
        each_table!(self, keep);
    }

    /// What changed since a trial began never did. Nothing, when none is under way: a writer that
    /// was interrupted within one is mended by this.
    pub fn roll_back(&mut self) {
        let Some(held) = self.held.take() else {
            return;
        };
        let held = *held;
        self.head_seq = held.head_seq;
        self.news_seq = held.news_seq;
        self.repository = held.repository;
        self.live_groups = held.live_groups;
        each_table!(self, roll_back);
    }
}

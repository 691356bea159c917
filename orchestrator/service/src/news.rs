//! What there is, and hearing that it changed: for front ends that list things and watch them.
//!
//! Ids are names, not capabilities; what they name is read by commands.

use std::sync::{Arc, PoisonError, Weak};

use attest::digest::Digest;
use discipline::model::{ClaimId, LoopId, RunId};
use discipline::state::LoopState;
use serde::Serialize;

use crate::service::Service;
use crate::shared::Shared;

/// Called after each journalled event, on the thread that wrote it; must return at once.
pub type Listener = dyn Fn() + Send + Sync;

/// Ids of everything that can be named, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// Loops, closed ones included.
    pub loops: Vec<String>,
    /// Runs.
    pub runs: Vec<String>,
    /// Claims, drafts included.
    pub claims: Vec<String>,
    /// Hypotheses.
    pub hypotheses: Vec<String>,
    /// Digests of the logs of runs.
    pub logs: Vec<String>,
    /// Commits of claims that reached the remote, or were on their way.
    pub pushed: Vec<String>,
}

/// Something whose content can change while its id stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A run with its class.
    Run(&'a str),
    /// A claim with its gates.
    Claim(&'a str),
    /// A loop with its claims and causes, and the runs of its scopes.
    Loop(&'a str),
    /// The law at the branch's tip.
    Law,
}

impl Service {
    /// Everything that can be named now.
    #[must_use]
    pub fn ids(&self) -> Ids {
        let core = self.shared().core();
        ids(&core.state)
    }

    /// Calls the listener after each event for as long as the caller keeps it.
    pub fn on_news(&self, listener: &Arc<Listener>) {
        let shared = self.shared();
        let mut listeners = shared
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|kept| kept.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    /// A digest that differs when the content of the subject does; `None` when there is no such
    /// thing.
    #[must_use]
    pub fn revision(&self, subject: Subject<'_>) -> Option<String> {
        let shared = self.shared();
        if subject == Subject::Law {
            return shared.last_target().map(|target| target.tip);
        }
        let core = shared.core();
        let state = &core.state;
        match subject {
            Subject::Run(id) => {
                let id = RunId::from(id);
                digest(&(state.runs.get(&id)?, state.classifications.get(&id)))
            }
            Subject::Claim(id) => {
                let claim = state.claims.get(&ClaimId::from(id))?;
                let gates = claim.gate_run_id.as_ref().map(|id| state.gate_runs.get(id));
                digest(&(claim, gates))
            }
            Subject::Loop(id) => of_loop(state, &LoopId::from(id)),
            Subject::Law => None,
        }
    }
}

impl Shared {
    /// Tells all listeners.
    pub(crate) fn tell_listeners(&self) {
        let listeners: Vec<Arc<Listener>> = {
            let kept = self
                .listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            kept.iter().filter_map(Weak::upgrade).collect()
        };
        for listener in listeners {
            listener();
        }
    }
}

fn digest<T: Serialize>(value: &T) -> Option<String> {
    let bytes = serde_json::to_vec(value).ok()?;
    Some(Digest::of(&bytes).to_string())
}

fn of_loop(state: &LoopState, id: &LoopId) -> Option<String> {
    let found = state.loops.get(id)?;
    let causes = state.hypotheses.values().filter(|h| &h.loop_id == id);
    let runs = state
        .runs
        .values()
        .filter(|run| found.scopes.contains(&run.scope));
    digest(&(
        found.open,
        state.claims_of(id),
        causes.collect::<Vec<_>>(),
        runs.collect::<Vec<_>>(),
    ))
}

fn ids(state: &LoopState) -> Ids {
    let sorted = |ids: Vec<&str>| {
        let mut ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        ids.sort_by_key(|id| (id.len(), id.clone()));
        ids
    };
    let jobs = state.runs.values().flat_map(|run| &run.jobs);
    let mut logs: Vec<String> = jobs
        .filter_map(|job| job.log.as_ref().map(|log| log.log_id.to_string()))
        .collect();
    logs.sort();
    logs.dedup();
    let pushed = state.claims.values().filter(|claim| claim.push.is_some());
    Ids {
        loops: sorted(state.loops.keys().map(LoopId::as_str).collect()),
        runs: sorted(state.runs.keys().map(RunId::as_str).collect()),
        claims: sorted(state.claims.keys().map(ClaimId::as_str).collect()),
        hypotheses: sorted(state.hypotheses.keys().map(|id| id.as_str()).collect()),
        logs,
        pushed: pushed.filter_map(|claim| claim.commit.clone()).collect(),
    }
}

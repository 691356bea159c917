//! Long work, one at a time: runs and gates share the machine, the room and the device.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use discipline::model::{ClaimId, RunId};

use crate::{Cancel, ServiceError};

/// One piece of long work. What is queued here is always derivable from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// Execute a queued run.
    Run(RunId),
    /// Execute the gates of a claim in `gating`, then stage it.
    Gates(ClaimId),
    /// Make the commit of a gated claim.
    Stage(ClaimId),
    /// Start, grade and publish what a pushed claim still needs.
    Follow(ClaimId),
}

/// What the worker does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Activity {
    /// In a few words; never text of a log.
    pub(crate) what: String,
    /// How much is done.
    pub(crate) done: u64,
    /// Of how much, where known.
    pub(crate) total: Option<u64>,
}

struct Inner {
    jobs: VecDeque<Job>,
    current: Option<(Job, Cancel)>,
    activity: Option<Activity>,
    stopping: bool,
}

/// The queue of the one worker.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Set once, when the service stops.
    pub(crate) stop: Cancel,
}

impl Queue {
    pub(crate) fn new() -> Result<Queue, ServiceError> {
        Ok(Queue {
            inner: Mutex::new(Inner {
                jobs: VecDeque::new(),
                current: None,
                activity: None,
                stopping: false,
            }),
            changed: Condvar::new(),
            stop: Cancel::new()?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job unless it is there already.
    pub(crate) fn add(&self, job: Job) {
        let mut inner = self.lock();
        if !inner.jobs.contains(&job) {
            inner.jobs.push_back(job);
        }
        self.changed.notify_all();
    }

    /// Takes the next job, waiting for one; `None` when the service stops.
    pub(crate) fn take(&self) -> Result<Option<(Job, Cancel)>, ServiceError> {
        let mut inner = self.lock();
        loop {
            if inner.stopping {
                return Ok(None);
            }
            if let Some(job) = inner.jobs.pop_front() {
                let cancel = Cancel::new()?;
                inner.current = Some((job.clone(), cancel.clone()));
                return Ok(Some((job, cancel)));
            }
            inner = self
                .changed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The current job is over.
    pub(crate) fn done(&self) {
        let mut inner = self.lock();
        inner.current = None;
        inner.activity = None;
    }

    /// Says what the worker does.
    pub(crate) fn set_activity(&self, what: String, done: u64, total: Option<u64>) {
        self.lock().activity = Some(Activity { what, done, total });
    }

    pub(crate) fn activity(&self) -> Option<Activity> {
        self.lock().activity.clone()
    }

    /// Cancels a job: takes it from the queue, or ends its process group. True when it was there.
    pub(crate) fn cancel(&self, job: &Job) -> bool {
        let mut inner = self.lock();
        let before = inner.jobs.len();
        inner.jobs.retain(|queued| queued != job);
        match &inner.current {
            Some((current, cancel)) if current == job => {
                cancel.cancel();
                true
            }
            _ => inner.jobs.len() < before,
        }
    }

    /// True while the worker executes this job.
    pub(crate) fn is_current(&self, job: &Job) -> bool {
        let inner = self.lock();
        inner
            .current
            .as_ref()
            .is_some_and(|(current, _)| current == job)
    }

    /// Jobs that execute or wait, in words.
    pub(crate) fn busy(&self) -> Vec<String> {
        let inner = self.lock();
        let current = inner.current.iter().map(|(job, _)| job.describe());
        let queued = inner
            .jobs
            .iter()
            .map(|job| format!("queued: {}", job.describe()));
        current.chain(queued).collect()
    }

    /// No further job begins; the current one is cancelled.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopping = true;
        self.stop.cancel();
        if let Some((_, cancel)) = &inner.current {
            cancel.cancel();
        }
        self.changed.notify_all();
    }

    /// True once [`Queue::stop`] was called.
    pub(crate) fn stopping(&self) -> bool {
        self.lock().stopping
    }
}

impl Job {
    fn describe(&self) -> String {
        match self {
            Self::Run(id) => format!("run {id}"),
            Self::Gates(id) => format!("gates of {id}"),
            Self::Stage(id) => format!("commit of {id}"),
            Self::Follow(id) => format!("verification of {id}"),
        }
    }
}

//! A worker whenever one is needed.

use super::client::{Worker, WorkerOptions};
use super::error::WorkerError;

/// A worker that is started when it is first needed, and anew after it went down.
#[derive(Debug)]
pub struct Supervisor {
    options: WorkerOptions,
    worker: Option<Worker>,
}

impl Supervisor {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(options: WorkerOptions) -> Self {
        Self {
            options,
            worker: None,
        }
    }

    /// The running worker, started if there is none that can be used.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn worker(&mut self) -> Result<&mut Worker, WorkerError> {
        if self.worker.as_ref().is_some_and(|w| !w.is_usable()) {
            self.worker = None;
        }
        match &mut self.worker {
            Some(worker) => Ok(worker),
            empty => Ok(empty.insert(Worker::start(self.options.clone())?)),
        }
    }
}

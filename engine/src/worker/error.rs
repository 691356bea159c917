//! What a parent can learn about its worker's failures.

use crate::telemetry::WorkerExit;

/// What can happen between a parent and its worker.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The process could not be started.
    #[error("cannot start the worker {program}: {message}; build it with `cargo build -p engine`")]
    Spawn {
        /// Program.
        program: String,
        /// The system's message.
        message: String,
    },
    /// The worker ended or was ended; `[WORKER EXIT]` has been printed.
    #[error("worker {} in {}: {detail}", exit.class, exit.step)]
    Down {
        /// How it ended.
        exit: WorkerExit,
        /// What the parent saw.
        detail: String,
    },
    /// The worker refuses the request and lives on.
    #[error("{code}: {message}")]
    Refused {
        /// Stable code.
        code: String,
        /// What to do.
        message: String,
    },
    /// The setup makes the result meaningless.
    #[error("invalidated ({reason_code}): {message}")]
    Invalidated {
        /// Stable code.
        reason_code: String,
        /// What to change.
        message: String,
    },
}

impl WorkerError {
    /// Class of the worker's end, when it ended.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Down { exit, .. } => Some(&exit.class),
            _ => None,
        }
    }
}

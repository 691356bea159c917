//! What can go wrong around a run, as opposed to inside it.

use std::io;

/// A run could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// The scope has no such cell.
    #[error("scope has no cell `{cell}`; cells: {}", .valid.join(", "))]
    UnknownCell {
        /// What was asked for.
        cell: String,
        /// Cells that exist.
        valid: Vec<String>,
    },
    /// An argument vector without a program.
    #[error("argv is empty; name a program in greenloop.toml")]
    EmptyArgv,
    /// The device is somebody else's.
    #[error("the device is held by {purpose}{}; wait for it or stop that process", pid_text(.pid))]
    LeaseHeld {
        /// What the holder says it is for.
        purpose: String,
        /// The holder.
        pid: Option<u32>,
    },
    /// Stopped before the first cell.
    #[error("cancelled before the first cell began")]
    Cancelled,
    /// The log could not be written.
    #[error("log of cell `{cell}` cannot be written: {source}")]
    Sink {
        /// The cell.
        cell: String,
        /// Why.
        source: io::Error,
    },
    /// A source of finished runs.
    #[error(transparent)]
    Forge(#[from] crate::forge::ForgeError),
    /// Starting or watching a process.
    #[error(transparent)]
    Exec(#[from] exec::Error),
}

fn pid_text(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

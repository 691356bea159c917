//! Run sources: where runs, jobs and logs come from: `local`, which plays the forge on this machine,
//! `recorded`, a folder in GitHub's layout, and [`github`].
//!
//! Flow of a finished run elsewhere: [`forge`] is what its sources share; it pulls job by job and
//! artifact by artifact into the caller's [`Sink`], and says of every byte that is not there why.
//! Archives are read within the bounds of [`archive`]. Flow of a local run: the caller prepares a clean room and hands over a [`ScopeRun`]; [`run_scope`] executes the
//! cells of the scope one by one under the device's lease, stamps every line as GitHub does into
//! the log that the caller's [`Sink`] opened, scans it in passing, and returns one [`CellOutcome`]
//! per cell in the same model that a forge's runs have.
//!
//! # Architecture invariants
//! - Bytes go to the sink as they arrive; nothing is kept in memory, cut or rewritten.
//! - A log is closed exactly once and says whether it is complete.
//! - What a process said is never judged here: conclusions come from exit statuses alone.
//! - A cell's environment is the listed one; nothing of the daemon's leaks into it.
//! - A credential goes to the machine's address of the API and to no redirect target.
//! - Async stays inside [`github`].
//! - No clock of its own: stamps come from the function passed in.

pub mod archive;
pub mod forge;
pub mod github;
mod recorded;

mod error;
mod local;

pub use error::CiError;
pub use local::run_scope;
pub use local::{
    CellOutcome, CellProgress, Hooks, LogSink, ScopeRun, Sink, Workplace, cells_of, command_line,
    environment_of,
};
pub use recorded::Recorded;

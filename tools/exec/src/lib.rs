//! Starts child processes and answers for all of their descendants.
//!
//! Flow: a [`Command`] (absolute program, listed environment, limits) is handed to [`run`]
//! together with a sink and a [`Supervision`]. The child leads a process group of its own; the
//! group's identity is reported through `on_spawn` before anything is waited for, so that the
//! caller can journal it and a later process can [`reap_group`] it; [`reap_marked`] finds what was
//! started and not recorded. Output is stamped per line,
//! hashed and written to the sink as it arrives. When the leader ends, or a limit or a [`Cancel`]
//! ends it, whatever is left of the group is ended too, and an [`Outcome`] says how.
//!
//! [`Lease`] is the machine-wide lock a group inherits, so that a busy device stays busy when only
//! the supervisor dies. [`Toolchain`] and [`clean_env`] describe what a gate may see of the
//! machine.
//!
//! # Architecture invariants
//! - Every process of the product starts here; nothing else calls `std::process`.
//! - The environment of a child is exactly what its [`Command`] lists. There is no "inherit".
//! - A command that did not pass is an [`Outcome`], not an [`Error`].
//! - Output is never shortened silently: reaching the cap ends the command with
//!   [`Exit::OutputLimit`].
//! - No clock is consulted for what is written: stamps come from the function passed in.
//! - Nothing here sleeps; waiting is `poll(2)` on pipes, pidfds and the cancellation's eventfd.

mod cancel;
mod command;
mod env;
mod error;
mod group;
mod lease;
mod output;
mod run;
mod spawn;
mod supervise;
mod toolchain;
mod transcript;

pub use cancel::Cancel;
pub use command::{Command, Limits, Streams};
pub use env::{CleanEnv, clean_env, find_program};
pub use error::Error;
pub use group::{Group, ReapOutcome, reap_group, reap_marked, reap_strays};
pub use lease::{Holder, Lease, TryLease};
pub use run::{Captured, Exit, OnSpawn, Outcome, Progress, Stream, Supervision, capture, run};
pub use toolchain::Toolchain;
pub use transcript::{TranscriptSummary, TranscriptWriter, format_stamp};

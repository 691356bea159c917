//! What the loop remembers, and proof that it is what was written.
//!
//! Flow: an event becomes a [`Record`], the record is chained to the one before it and synced in
//! the [`Journal`], then the [`Index`] learns of it, then it is acknowledged. Logs and artifacts go
//! into the [`EvidenceStore`] under the digest of their bytes, and events name those digests.
//! [`StateDir::open`] brings the parts of one state folder together: it verifies the chain, moves a
//! torn remainder to `quarantine/` and hands out the only writer.
//!
//! # Architecture invariants
//! - The journal and the evidence store are the truth. The index may be deleted at any time; sled
//!   promises nothing across a power cut, and nothing here relies on it.
//! - Nothing is acknowledged before it is synced. After a failed write or sync the writer refuses
//!   everything further; a failed sync is never tried again, because the kernel may have dropped
//!   the pages and report success.
//! - A journal that ends before its anchor is refused. There is no automatic way to forget;
//!   [`StateDir::accept_restore`] takes a person's reason and records it.
//! - Serialised types live in [`mod@format`] alone, and every version ever written stays readable.
//! - Every byte given out was compared with a digest since it was read from disk.
//! - No clock: times are arguments.

pub mod evidence;
pub mod format;
pub mod index;
pub mod journal;
pub mod storage;

mod dir;
mod error;
mod folded;
mod reserve;

pub use dir::{OpenOptions, StateDir, StatePaths};
pub use error::Error;
pub use evidence::{EvidenceStore, LogEntry, LogReader, LogWriter};
pub use folded::Kept;
pub use format::{Entry, Note, Record};
pub use index::{Change, Index, Snapshot};
pub use journal::{Anchor, Hash, Head, Journal, JournalReader, Logged};
pub use reserve::Reserve;

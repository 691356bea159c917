//! Why state cannot be opened, written or believed.

use std::io;
use std::path::{Path, PathBuf};

use attest::digest::Digest;

/// Everything that can go wrong with a state folder. Messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process writes this state.
    #[error("state `{}` is held by process {}; stop it with `greenloop stop`", path.display(), holder(*.pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder, when it said so.
        pid: Option<u32>,
    },
    /// The journal lacks records that an anchor proves were there.
    #[error(
        "journal ends at record {journal_seq}, but {anchor} proves record {anchor_seq}: it was cut or \
         restored from a backup; put the newer journal back, or go on from here with \
         `greenloop state accept-restore --reason TEXT`"
    )]
    AnchorAhead {
        /// Which anchor: `HEAD` or `the index`.
        anchor: &'static str,
        /// Last record the anchor saw.
        anchor_seq: u64,
        /// Last valid record of the journal.
        journal_seq: u64,
    },
    /// The journal holds the anchored record, but it is another one.
    #[error(
        "record {seq} of the journal is not the one {anchor} proves: its history was rewritten; put \
         the right journal back, or go on with this one with \
         `greenloop state accept-restore --reason TEXT`"
    )]
    Forked {
        /// Which anchor: `HEAD` or `the index`.
        anchor: &'static str,
        /// The record that differs.
        seq: u64,
    },
    /// A record that was acknowledged is damaged.
    #[error(
        "journal `{}` is damaged at byte {offset}, after record {seq} ({what}); restore it from a \
         backup, or keep records 1 to {seq} with `greenloop state accept-restore --reason TEXT`",
        path.display()
    )]
    Damaged {
        /// The journal file.
        path: PathBuf,
        /// Where the first damaged record begins.
        offset: u64,
        /// Last record before it.
        seq: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// `HEAD` is missing or does not verify.
    #[error(
        "anchor `{}` {what}; restore it from a backup, or anchor the journal anew with \
         `greenloop state accept-restore --reason TEXT`",
        path.display()
    )]
    Anchor {
        /// The anchor file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is nothing wrong that a person would have to accept.
    #[error("state opens as it is; there is nothing to accept")]
    NothingToAccept,
    /// The first bytes of the journal are not those of a journal.
    #[error("`{}` is not a journal ({what}); restore it from a backup", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// State was written by a newer version.
    #[error(
        "{what} has format {found}, this version reads up to {known}; install a newer greenloop"
    )]
    NewerFormat {
        /// The journal, a record or a log.
        what: String,
        /// Version found.
        found: u64,
        /// Newest version this build reads.
        known: u64,
    },
    /// A record's body does not parse although its digest holds.
    #[error("record {seq} cannot be read: {what}")]
    Body {
        /// The record.
        seq: u64,
        /// What does not fit.
        what: String,
    },
    /// A body larger than any reader accepts.
    #[error(
        "a record of {bytes} bytes is larger than {cap}; put the bytes into the evidence store and record their digest"
    )]
    TooLarge {
        /// Size of the body.
        bytes: usize,
        /// Largest allowed.
        cap: usize,
    },
    /// The disk is full; nothing was written and the writer is still good.
    #[error("no space left for state at `{}`; free some, then go on", path.display())]
    Full {
        /// Where it was to be written.
        path: PathBuf,
    },
    /// An earlier write failed, so this writer refuses.
    #[error(
        "journal is closed after a failed write ({first}); restart the daemon to verify and go on"
    )]
    Poisoned {
        /// The first failure.
        first: String,
    },
    /// No such evidence.
    #[error("no {kind} {digest} in the evidence store; pull it again")]
    NoEvidence {
        /// `log` or `blob`.
        kind: &'static str,
        /// What was asked for.
        digest: Digest,
    },
    /// Evidence does not match its digest.
    #[error("{kind} {digest} is damaged: {what}; pull it again or restore it from a backup")]
    EvidenceDamaged {
        /// `log` or `blob`.
        kind: &'static str,
        /// What was asked for.
        digest: Digest,
        /// What does not fit.
        what: String,
    },
    /// The index failed; it can be rebuilt.
    #[error("index: {what}; it is rebuilt from the journal at the next start")]
    Index {
        /// What failed.
        what: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io {
            doing,
            path,
            source,
        }
    }
}

//! What to do about a journal that does not end where it should.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::raw::{Chain, log_path};
use super::{Head, head, record};
use crate::storage::{Storage, StorageFile, is_full, publish, read_full};
use crate::{Error, Note, Reserve};

/// What opening a journal had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes that were no record and where they are now.
    pub quarantined: Option<Note>,
}

/// Compares the chain with the anchor in `HEAD`.
pub(super) fn check_anchor(
    root: &Path,
    chain: &Chain,
    fault: Option<&'static str>,
    anchor: Option<Head>,
) -> Result<(), Error> {
    let journal = chain.head();
    let Some(anchor) = anchor else {
        // Before the first record is written, the anchor is: a crash leaves no records without it.
        if journal.seq == 0 && fault.is_none() {
            return Ok(());
        }
        return Err(Error::Anchor {
            path: head::path(root),
            what: "is missing",
        });
    };
    match (chain.hash_at(anchor.seq), fault) {
        (Some(hash), _) if hash == anchor.hash => Ok(()),
        (Some(_), _) => Err(Error::Forked {
            anchor: "HEAD",
            seq: anchor.seq,
        }),
        (None, Some(what)) if !what.contains("cut short") => Err(damaged(root, chain, what)),
        (None, _) => Err(Error::AnchorAhead {
            anchor: "HEAD",
            anchor_seq: anchor.seq,
            journal_seq: journal.seq,
        }),
    }
}

pub(super) fn damaged(root: &Path, chain: &Chain, what: &'static str) -> Error {
    Error::Damaged {
        path: log_path(root),
        offset: chain.end,
        seq: chain.head().seq,
        what,
    }
}

/// Everything after the last valid record.
pub(super) fn remainder(
    file: &dyn StorageFile,
    chain: &Chain,
    root: &Path,
) -> Result<Vec<u8>, Error> {
    let path = log_path(root);
    let size = file.size().map_err(Error::io("measure", &path))?;
    let length = usize::try_from(size.saturating_sub(chain.end)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let count = read_full(file, chain.end, &mut bytes).map_err(Error::io("read", &path))?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Moves the remainder out of the journal: a copy is durable before the journal is shortened, and
/// doing it again after a crash between the two gives the same file.
pub(super) fn quarantine(
    storage: &dyn Storage,
    reserve: &Reserve,
    root: &Path,
    file: &mut dyn StorageFile,
    chain: &Chain,
    bytes: &[u8],
    reason: &str,
) -> Result<Recovery, Error> {
    let sha256 = hex::encode(Sha256::digest(bytes));
    let name = format!("journal-after-{}-{}.bytes", chain.head().seq, &sha256[..12]);
    let path = root.join("quarantine").join(&name);
    let mut published = publish(storage, &path, bytes);
    if published.as_ref().is_err_and(is_full) {
        // A torn record and a full disk come together; this is what the reserve is for.
        reserve.give_up();
        published = publish(storage, &path, bytes);
    }
    published.map_err(Error::io("quarantine into", &path))?;
    let log = log_path(root);
    // The caller syncs before anything is written after the cut.
    file.truncate(chain.end)
        .map_err(Error::io("shorten", &log))?;
    tracing::warn!(
        file = name,
        bytes = bytes.len(),
        reason,
        "journal remainder quarantined"
    );
    Ok(Recovery {
        quarantined: Some(Note::Quarantined {
            file: name,
            bytes: bytes.len() as u64,
            sha256,
            reason: reason.to_owned(),
        }),
    })
}

/// The head of an empty journal.
pub(super) fn genesis() -> Head {
    record::genesis()
}

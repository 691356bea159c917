//! The append-only, hash-chained record of everything that happened.
//!
//! [`RawJournal`] chains and syncs opaque bytes; [`Journal`] puts [`Record`]s into it and holds the
//! writer's lock; [`JournalReader`] reads along without one.

mod head;
mod lock;
mod raw;
mod reader;
mod record;
mod recover;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use lock::WriterLock;
pub use raw::RawJournal;
pub use reader::JournalReader;
pub use record::MAX_BODY;
pub use recover::Recovery;

use crate::format::{self, Entry, Note, Record, Unreadable};
use crate::storage::Storage;
use crate::{Error, Reserve};

/// SHA-256 of a record; prints as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Parses 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Hash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        (hex::encode(bytes) == text).then_some(Hash(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::from_hex(&text)
            .ok_or_else(|| serde::de::Error::custom("not 64 lower-case hex digits"))
    }
}

/// A place in the journal: the record's number, from 1, and its hash. Number 0 is the empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the record.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Whether an append also anchors the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Before it is acknowledged: staged, approved, push intended, every verdict.
    Now,
    /// When it is due, every 64 records.
    Due,
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Its place.
    pub head: Head,
    /// What it says.
    pub record: Record,
}

/// The journal of one state folder, open for writing.
#[derive(Debug)]
pub struct Journal {
    raw: RawJournal,
    recovery: Recovery,
    _lock: WriterLock,
}

/// Who opens a journal and when, for the records opening itself may write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opener<'a> {
    pub(crate) at_ms: i64,
    pub(crate) uid: u32,
    pub(crate) by: &'a str,
}

impl Opener<'_> {
    fn note(self, note: Note) -> Record {
        Record {
            at_ms: self.at_ms,
            uid: self.uid,
            by: self.by.to_owned(),
            entry: Entry::Note(note),
        }
    }
}

impl Journal {
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        reserve: Arc<Reserve>,
        root: &Path,
        lock: WriterLock,
        opener: Opener<'_>,
    ) -> Result<Journal, Error> {
        let (raw, recovery) = RawJournal::open(storage, reserve, root)?;
        let mut journal = Journal {
            raw,
            recovery,
            _lock: lock,
        };
        if let Some(note) = journal.recovery.quarantined.clone() {
            journal.append(&opener.note(note), Anchor::Now)?;
        }
        Ok(journal)
    }

    pub(crate) fn accept_restore(
        storage: Arc<dyn Storage>,
        reserve: Arc<Reserve>,
        root: &Path,
        lock: WriterLock,
        opener: Opener<'_>,
        reason: &str,
        refused: &Error,
    ) -> Result<Journal, Error> {
        let anchor = head::read(&*storage, root).ok().flatten();
        let (raw, recovery) = RawJournal::open_accepting(storage, reserve, root)?;
        let kept_seq = raw.head().seq;
        let mut journal = Journal {
            raw,
            recovery,
            _lock: lock,
        };
        let accepted = Note::RestoreAccepted {
            reason: reason.to_owned(),
            refused: refused.to_string(),
            anchor_seq: anchor.map(|head| head.seq),
            anchor_hash: anchor.map(|head| head.hash.to_string()),
            kept_seq,
        };
        let quarantined = journal.recovery.quarantined.clone();
        for note in quarantined.into_iter().chain([accepted]) {
            journal.append(&opener.note(note), Anchor::Now)?;
        }
        Ok(journal)
    }

    /// Appends a record; it is durable when this returns. See [`RawJournal::append`].
    pub fn append(&mut self, record: &Record, anchor: Anchor) -> Result<Head, Error> {
        let seq = self.raw.head().seq + 1;
        let body = format::encode(record).map_err(|error| Error::Body {
            seq,
            what: error.to_string(),
        })?;
        self.raw.append(&body, anchor)
    }

    /// Anchors the head now.
    pub fn anchor(&mut self) -> Result<(), Error> {
        self.raw.anchor()
    }

    /// The last record's place.
    pub fn head(&self) -> Head {
        self.raw.head()
    }

    /// The last place that `HEAD` proves.
    pub fn anchored(&self) -> Head {
        self.raw.anchored()
    }

    /// The hash of record `seq`, if there is one.
    pub fn hash_at(&self, seq: u64) -> Option<Hash> {
        self.raw.hash_at(seq)
    }

    /// What opening had to do.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// All records from the first.
    pub fn iter(&self) -> impl Iterator<Item = Result<Logged, Error>> + '_ {
        self.iter_from(1)
    }

    /// The records from number `seq` on, each verified as it is read.
    pub fn iter_from(&self, seq: u64) -> impl Iterator<Item = Result<Logged, Error>> + '_ {
        let source = self.raw.read_ahead();
        let read = move |seq| match self.raw.read_from(&source, seq) {
            Ok(Some((head, body))) => Some(decode(head, &body)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        };
        (seq.max(1)..=self.head().seq).filter_map(read)
    }

    /// Record `seq`; `None` past the head.
    pub fn read(&self, seq: u64) -> Result<Option<Logged>, Error> {
        let Some((head, body)) = self.raw.read(seq)? else {
            return Ok(None);
        };
        decode(head, &body).map(Some)
    }
}

fn decode(head: Head, body: &[u8]) -> Result<Logged, Error> {
    match format::decode(body) {
        Ok(record) => Ok(Logged { head, record }),
        Err(Unreadable::Newer { found }) => Err(Error::NewerFormat {
            what: format!("record {}", head.seq),
            found,
            known: format::VERSION,
        }),
        Err(Unreadable::Malformed(what)) => Err(Error::Body {
            seq: head.seq,
            what,
        }),
    }
}

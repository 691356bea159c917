//! The fold as of one record, kept so that a start folds only what came after it.
//!
//! The index holds the bytes, and the index is disposable; that they are what the journal folds to is said by a
//! record of the journal itself, the one after the last that was folded. Bytes that it does not name, or that
//! another build has folded, are not believed: everything is folded anew.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::{Anchor, Entry, Error, Note, Record, Snapshot, StateDir};

/// What is known without folding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// The fold.
    pub fold: T,
    /// The last record that is in it.
    pub seq: u64,
}

impl StateDir {
    /// The newest kept fold, if the journal vouches for it and `build` made it.
    pub fn kept_fold<T: DeserializeOwned>(&self, build: &str) -> Option<Kept<T>> {
        let snapshot = self.index.snapshot(&self.journal)?;
        let seq = snapshot.head.seq;
        let vouched = self.journal.read(seq + 1).ok()??;
        let Entry::Note(Note::Folded {
            build: by_build,
            sha256,
        }) = &vouched.record.entry
        else {
            return None;
        };
        if by_build != build || *sha256 != digest(&snapshot.bytes) {
            tracing::info!(
                seq,
                "the kept fold is another one, or another build's; all is folded anew"
            );
            return None;
        }
        let fold = serde_json::from_slice(&snapshot.bytes).ok()?;
        Some(Kept { fold, seq })
    }

    /// Keeps the fold of all records so far, with a record that vouches for it.
    ///
    /// # Errors
    /// It cannot be serialised, journalled or put into the index.
    pub fn keep_fold<T: Serialize>(
        &mut self,
        build: &str,
        at_ms: i64,
        by: (u32, &str),
        fold: &T,
    ) -> Result<(), Error> {
        let head = self.journal.head();
        let bytes = serde_json::to_vec(fold).map_err(|error| Error::Body {
            seq: head.seq,
            what: error.to_string(),
        })?;
        let record = Record {
            at_ms,
            uid: by.0,
            by: by.1.to_owned(),
            entry: Entry::Note(Note::Folded {
                build: build.to_owned(),
                sha256: digest(&bytes),
            }),
        };
        let vouched = self.journal.append(&record, Anchor::Due)?;
        self.index.save_snapshot(&Snapshot { head, bytes })?;
        self.index.apply(vouched, [])
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenOptions;

    fn open(root: &std::path::Path) -> StateDir {
        let mut options = OpenOptions::new(0);
        options.reserve_bytes = 1 << 20;
        StateDir::open(root, &options).unwrap()
    }

    #[test]
    fn bytes_that_the_journal_does_not_vouch_for_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let mut dir = open(&root);
        let words = vec!["green".to_owned()];
        assert_eq!(dir.kept_fold::<Vec<String>>("b1"), None);
        dir.keep_fold("b1", 0, (0, "t"), &words).unwrap();
        let kept = dir.kept_fold::<Vec<String>>("b1");
        assert_eq!(
            kept,
            Some(Kept {
                fold: words,
                seq: 0
            })
        );
        assert_eq!(dir.kept_fold::<Vec<String>>("b2"), None);
        // A fold that says something else, sealed as the index seals everything.
        let honest = dir.index.snapshot(&dir.journal).unwrap();
        let mut save = |head, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            dir.index.save_snapshot(&Snapshot { head, bytes }).unwrap();
            dir.kept_fold::<Vec<String>>("b1")
        };
        assert_eq!(save(honest.head, b"[\"greed\"]"), None);
        assert!(save(honest.head, &honest.bytes).is_some());
        drop(dir);
        // The right bytes at a record that no voucher follows.
        let mut dir = open(&root);
        let head = dir.journal.head();
        let bytes = honest.bytes;
        dir.index.save_snapshot(&Snapshot { head, bytes }).unwrap();
        assert_eq!(dir.kept_fold::<Vec<String>>("b1"), None);
    }
}

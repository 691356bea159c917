//! A disposable index of the journal: answers that would otherwise need a fold over all of it.
//!
//! sled keeps it, and sled promises nothing after a power cut and does not notice a flipped bit
//! (measured on 0.34.7), so each value carries a digest, and whatever is doubtful is set aside and
//! built anew from the journal.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::journal::{Hash, Head, Journal, Logged};

/// One change to a projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a value.
    Put {
        /// Name of the projection, without NUL.
        table: &'static str,
        /// Key within it.
        key: Vec<u8>,
        /// Value.
        value: Vec<u8>,
    },
    /// Removes a value.
    Remove {
        /// Name of the projection, without NUL.
        table: &'static str,
        /// Key within it.
        key: Vec<u8>,
    },
}

/// Serialised state as of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record folded into it.
    pub head: Head,
    /// The state, as the caller serialised it.
    pub bytes: Vec<u8>,
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What [`Index::catch_up`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaughtUp {
    /// Records projected.
    pub records: u64,
    /// Whether it began with the first record.
    pub rebuilt: bool,
}

/// The index of one state folder.
pub struct Index {
    // Empty only while it is being set aside.
    db: Option<sled::Db>,
    path: PathBuf,
    aside: PathBuf,
}

const HEAD: &[u8] = b"h";
const SNAPSHOT: &[u8] = b"s";
/// A sled that is damaged can take for ever to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Records projected between two writes.
const BATCH: usize = 1000;

impl Index {
    /// Opens the index at `path`. One that does not open is moved to `aside` and begun anew; where
    /// not even that is possible, as on a full disk, it stays closed and answers nothing.
    pub(crate) fn open(path: &Path, aside: &Path) -> Index {
        let mut index = Index {
            db: None,
            path: path.to_owned(),
            aside: aside.to_owned(),
        };
        match open_in_time(path) {
            Ok(db) => index.db = Some(db),
            Err(error) => {
                tracing::warn!(%error, "index set aside");
                if let Err(error) = index.reset() {
                    tracing::warn!(%error, "there is no index until the next start");
                }
            }
        }
        index
    }

    /// Sets the index aside and begins an empty one; [`Index::catch_up`] fills it.
    pub fn reset(&mut self) -> Result<(), Error> {
        // sled panics in its own destructor when its files are gone.
        let closed = self.db.take();
        let _closing = catch_unwind(AssertUnwindSafe(|| drop(closed)));
        if self.path.exists() {
            remove_whatever(&self.aside).map_err(Error::io("remove", &self.aside))?;
            std::fs::rename(&self.path, &self.aside).map_err(Error::io("set aside", &self.path))?;
        }
        self.db = Some(open_in_time(&self.path)?);
        Ok(())
    }

    /// The last record whose changes are in. `None` for an empty or doubtful index.
    pub fn applied(&self) -> Option<Head> {
        match self.load(HEAD) {
            Ok(Some(bytes)) => decode_head(&bytes),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "index does not say how far it is");
                None
            }
        }
    }

    /// Projects what the journal has and the index lacks; everything, when they do not fit.
    pub fn catch_up(
        &mut self,
        journal: &Journal,
        project: &mut dyn FnMut(&Logged) -> Vec<Change>,
    ) -> Result<CaughtUp, Error> {
        let applied = self.applied();
        let fits = applied.filter(|head| journal.hash_at(head.seq) == Some(head.hash));
        if fits.is_none() && !self.is_empty() {
            self.reset()?;
        }
        let from = fits.map_or(1, |head| head.seq + 1);
        let mut caught_up = CaughtUp {
            records: 0,
            rebuilt: fits.is_none(),
        };
        let mut changes = Vec::new();
        for logged in journal.iter_from(from) {
            let logged = logged?;
            changes.extend(project(&logged));
            caught_up.records += 1;
            if changes.len() >= BATCH {
                self.apply(logged.head, std::mem::take(&mut changes))?;
            }
        }
        if caught_up.records > 0 {
            self.apply(journal.head(), changes)?;
        }
        Ok(caught_up)
    }

    /// Makes changes and notes that they are those of the records up to `head`, both or neither.
    pub fn apply(
        &mut self,
        head: Head,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put { table, key, value } => {
                    let key = full_key(table, &key);
                    batch.insert(key.clone(), seal(&key, &value));
                }
                Change::Remove { table, key } => batch.remove(full_key(table, &key)),
            }
        }
        batch.insert(HEAD, seal(HEAD, &encode_head(head)));
        self.with(|db| db.apply_batch(batch))
    }

    /// A value of a projection.
    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.load(&full_key(table, key))
    }

    /// All keys and values of a projection whose keys begin with `prefix`, in order of the keys.
    pub fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<Pair>, Error> {
        let skip = full_key(table, b"").len();
        let found = self.with(|db| {
            db.scan_prefix(full_key(table, prefix))
                .collect::<Result<Vec<_>, _>>()
        })?;
        found
            .into_iter()
            .map(|(key, value)| Ok((key[skip..].to_vec(), unseal(&key, &value)?)))
            .collect()
    }

    /// Keeps the state as of `snapshot.head`, in place of an earlier one.
    pub fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        let mut value = encode_head(snapshot.head);
        value.extend_from_slice(&snapshot.bytes);
        self.with(|db| db.insert(SNAPSHOT, seal(SNAPSHOT, &value)))
            .map(drop)
    }

    /// The kept state, if its last record is in this journal.
    pub fn snapshot(&self, journal: &Journal) -> Option<Snapshot> {
        let value = self.load(SNAPSHOT).ok().flatten()?;
        let (front, bytes) = value.split_at_checked(HEAD_BYTES)?;
        let head = decode_head(front)?;
        let known = journal.hash_at(head.seq) == Some(head.hash);
        known.then(|| Snapshot {
            head,
            bytes: bytes.to_vec(),
        })
    }

    fn is_empty(&self) -> bool {
        self.with(|db| Ok(db.is_empty())).unwrap_or(false)
    }

    fn load(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.with(|db| db.get(key))? {
            Some(value) => unseal(key, &value).map(Some),
            None => Ok(None),
        }
    }

    /// Calls into sled; its panics are errors like any other.
    fn with<T>(&self, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, Error> {
        let Some(db) = &self.db else {
            return Err(failed("it is closed"));
        };
        match catch_unwind(AssertUnwindSafe(|| call(db))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed("sled panicked")),
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish()
    }
}

/// Whether the index has seen records the journal lacks: it is an anchor too.
pub(crate) fn check_anchor(index: &Index, journal: &Journal) -> Result<(), Error> {
    let Some(applied) = index.applied() else {
        return Ok(());
    };
    match journal.hash_at(applied.seq) {
        Some(hash) if hash == applied.hash => Ok(()),
        Some(_) => Err(Error::Forked {
            anchor: "the index",
            seq: applied.seq,
        }),
        None => Err(Error::AnchorAhead {
            anchor: "the index",
            anchor_seq: applied.seq,
            journal_seq: journal.head().seq,
        }),
    }
}

fn open_in_time(path: &Path) -> Result<sled::Db, Error> {
    let (sender, opened) = mpsc::channel();
    let path = path.to_owned();
    let open = move || {
        let result = catch_unwind(|| sled::Config::new().path(&path).open());
        // Nobody listens any more when it took too long.
        let _late = sender.send(result);
    };
    std::thread::Builder::new()
        .name("index-open".to_owned())
        .spawn(open)
        .map_err(failed)?;
    match opened.recv_timeout(OPEN_TIMEOUT) {
        Ok(Ok(Ok(db))) => Ok(db),
        Ok(Ok(Err(error))) => Err(failed(error)),
        Ok(Err(_)) => Err(failed("sled panicked while opening")),
        Err(_) => Err(failed("sled did not open in time")),
    }
}

/// Removes a folder, or whatever has come to stand in its place.
fn remove_whatever(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(what: impl fmt::Display) -> Error {
    Error::Index {
        what: what.to_string(),
    }
}

fn full_key(table: &str, key: &[u8]) -> Vec<u8> {
    [b"k", table.as_bytes(), b"\0", key].concat()
}

const SEAL: usize = 8;

fn seal_of(key: &[u8], value: &[u8]) -> [u8; SEAL] {
    let digest = Sha256::new()
        .chain_update(key)
        .chain_update(value)
        .finalize();
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&digest[..SEAL]);
    seal
}

fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&seal_of(key, value), value].concat()
}

fn unseal(key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    match sealed.split_first_chunk::<SEAL>() {
        Some((seal, value)) if *seal == seal_of(key, value) => Ok(value.to_vec()),
        _ => Err(failed("a value does not match its digest")),
    }
}

const HEAD_BYTES: usize = 8 + 32;

fn encode_head(head: Head) -> Vec<u8> {
    [&head.seq.to_le_bytes(), head.hash.0.as_slice()].concat()
}

fn decode_head(bytes: &[u8]) -> Option<Head> {
    let (seq, hash) = bytes.split_first_chunk::<8>()?;
    Some(Head {
        seq: u64::from_le_bytes(*seq),
        hash: Hash(hash.try_into().ok()?),
    })
}

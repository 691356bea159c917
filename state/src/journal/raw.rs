//! The chain of opaque bodies: opening, appending, anchoring.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{self, MAX_BODY, Next, ReadAhead, Source};
use super::recover::{self, Recovery};
use super::{Anchor, Hash, Head, head};
use crate::storage::{Access, Storage, StorageFile, is_full, publish, read_full, write_all};
use crate::{Error, Reserve};

/// Records between two anchors at most.
const ANCHOR_EVERY: u64 = 64;
/// Space is reserved in steps of this many bytes.
const ALLOCATE_STEP: u64 = 1 << 20;
/// Once the reserve is given up, only records up to this size are taken.
const SMALL: usize = 64 << 10;
/// Bytes rewritten at a time when a journal is opened.
const SETTLE_PIECE: usize = 1 << 20;

/// The journal as bytes. One handle writes; after its first failed write it never does again.
#[derive(Debug)]
pub struct RawJournal {
    storage: Arc<dyn Storage>,
    reserve: Arc<Reserve>,
    root: PathBuf,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    chain: Chain,
    anchored: Head,
    allocated: u64,
    poisoned: Option<String>,
}

/// Where each record begins and what it hashes to: record `n` at `n - 1`.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) offsets: Vec<u64>,
    pub(super) hashes: Vec<Hash>,
    /// Where the next record begins.
    pub(super) end: u64,
}

impl Chain {
    pub(super) fn head(&self) -> Head {
        match self.hashes.last() {
            Some(hash) => Head {
                seq: self.hashes.len() as u64,
                hash: *hash,
            },
            None => record::genesis(),
        }
    }

    pub(super) fn hash_at(&self, seq: u64) -> Option<Hash> {
        if seq == 0 {
            return Some(record::genesis().hash);
        }
        let at = usize::try_from(seq).ok()?.checked_sub(1)?;
        self.hashes.get(at).copied()
    }

    fn push(&mut self, hash: Hash, size: u64) {
        self.offsets.push(self.end);
        self.hashes.push(hash);
        self.end += size;
    }
}

pub(super) fn log_path(root: &Path) -> PathBuf {
    root.join("journal").join("log")
}

/// Reads records as long as they follow each other; says what stopped it, if not the end.
pub(super) fn scan(
    file: &dyn StorageFile,
    path: &Path,
) -> Result<(Chain, Option<&'static str>), Error> {
    record::check_header(file, path)?;
    let mut chain = Chain {
        end: record::HEADER as u64,
        ..Chain::default()
    };
    let source = ReadAhead::new(file);
    loop {
        let next =
            record::read(&source, chain.end, chain.head()).map_err(Error::io("read", path))?;
        match next {
            Next::Record(parsed) => chain.push(parsed.head.hash, parsed.size),
            Next::End => return Ok((chain, None)),
            Next::Fault(what) => return Ok((chain, Some(what))),
        }
    }
}

impl RawJournal {
    /// Opens the journal under `root`, making it if there is none. The caller holds the lock.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        reserve: Arc<Reserve>,
        root: &Path,
    ) -> Result<(RawJournal, Recovery), Error> {
        prepare(&*storage, root)?;
        let anchor = head::read(&*storage, root)?;
        let (mut file, chain, fault) = open_and_scan(&*storage, root)?;
        recover::check_anchor(root, &chain, fault, anchor)?;
        let recovery = match fault {
            Some(what) => {
                let found = recover::remainder(&*file, &chain, root)?;
                if record::holds_a_later_record(&found, chain.head().seq) {
                    return Err(recover::damaged(root, &chain, what));
                }
                recover::quarantine(&*storage, &reserve, root, &mut *file, &chain, &found, what)?
            }
            None => Recovery::default(),
        };
        let proven = anchor.map_or(0, |head| head.seq);
        let journal = RawJournal::start(storage, reserve, root, file, chain, proven)?;
        Ok((journal, recovery))
    }

    /// Opens whatever valid records there are, whatever an anchor says; everything after them goes
    /// to quarantine and the anchor starts anew.
    pub(crate) fn open_accepting(
        storage: Arc<dyn Storage>,
        reserve: Arc<Reserve>,
        root: &Path,
    ) -> Result<(RawJournal, Recovery), Error> {
        prepare(&*storage, root)?;
        replace_unreadable(&*storage, root)?;
        let (mut file, chain, fault) = open_and_scan(&*storage, root)?;
        let recovery = match fault {
            Some(what) => {
                let found = recover::remainder(&*file, &chain, root)?;
                recover::quarantine(&*storage, &reserve, root, &mut *file, &chain, &found, what)?
            }
            None => Recovery::default(),
        };
        let journal = RawJournal::start(storage, reserve, root, file, chain, 0)?;
        Ok((journal, recovery))
    }

    fn start(
        storage: Arc<dyn Storage>,
        reserve: Arc<Reserve>,
        root: &Path,
        mut file: Box<dyn StorageFile>,
        chain: Chain,
        proven: u64,
    ) -> Result<RawJournal, Error> {
        let path = log_path(root);
        settle(&mut *file, &chain, proven).map_err(Error::io("sync", &path))?;
        let anchored = chain.head();
        write_anchor(&*storage, &reserve, root, anchored)
            .map_err(Error::io("anchor", &head::path(root)))?;
        Ok(RawJournal {
            storage,
            reserve,
            root: root.to_owned(),
            path,
            file,
            chain,
            anchored,
            allocated: 0,
            poisoned: None,
        })
    }

    /// Appends a record and returns once it is durable. With [`Anchor::Now`] the head is anchored
    /// before this returns. After an error the record may or may not be found at the next opening,
    /// unless the error is [`Error::Full`] or [`Error::TooLarge`]: then it was not written.
    pub fn append(&mut self, body: &[u8], anchor: Anchor) -> Result<Head, Error> {
        if let Some(first) = &self.poisoned {
            let first = first.clone();
            return Err(Error::Poisoned { first });
        }
        if body.len() > MAX_BODY {
            let bytes = body.len();
            return Err(Error::TooLarge {
                bytes,
                cap: MAX_BODY,
            });
        }
        let (bytes, head) = record::encode(self.chain.head(), body);
        self.make_room(bytes.len())?;
        let written = write_all(&mut *self.file, &bytes).and_then(|()| self.file.sync());
        if let Err(error) = written {
            return Err(self.poison(Error::io("append to", &self.path)(error)));
        }
        self.chain.push(head.hash, bytes.len() as u64);
        if anchor == Anchor::Now || head.seq - self.anchored.seq >= ANCHOR_EVERY {
            self.anchor()?;
        }
        Ok(head)
    }

    /// Anchors the present head.
    pub fn anchor(&mut self) -> Result<(), Error> {
        if let Some(first) = &self.poisoned {
            let first = first.clone();
            return Err(Error::Poisoned { first });
        }
        let head = self.chain.head();
        if let Err(error) = write_anchor(&*self.storage, &self.reserve, &self.root, head) {
            let path = head::path(&self.root);
            return Err(self.poison(Error::io("anchor", &path)(error)));
        }
        self.anchored = head;
        Ok(())
    }

    /// The last record.
    pub fn head(&self) -> Head {
        self.chain.head()
    }

    /// The last record that `HEAD` proves.
    pub fn anchored(&self) -> Head {
        self.anchored
    }

    /// The hash of record `seq`; that of the header for 0.
    pub fn hash_at(&self, seq: u64) -> Option<Hash> {
        self.chain.hash_at(seq)
    }

    /// Reads record `seq` from disk and verifies it again; `None` past the head.
    pub fn read(&self, seq: u64) -> Result<Option<(Head, Vec<u8>)>, Error> {
        self.read_from(&*self.file, seq)
    }

    /// For records that are read one after the other.
    pub(super) fn read_ahead(&self) -> ReadAhead<'_> {
        ReadAhead::new(&*self.file)
    }

    /// As [`RawJournal::read`], through `source`.
    pub(super) fn read_from<S: Source + ?Sized>(
        &self,
        source: &S,
        seq: u64,
    ) -> Result<Option<(Head, Vec<u8>)>, Error> {
        let Some(at) = seq.checked_sub(1).and_then(|at| usize::try_from(at).ok()) else {
            return Ok(None);
        };
        let Some(offset) = self.chain.offsets.get(at).copied() else {
            return Ok(None);
        };
        let Some(hash) = self.chain.hash_at(seq - 1) else {
            return Ok(None);
        };
        let before = Head { seq: seq - 1, hash };
        let next = record::read(source, offset, before);
        let damaged = |what| Error::Damaged {
            path: self.path.clone(),
            offset,
            seq: before.seq,
            what,
        };
        match next.map_err(Error::io("read", &self.path))? {
            Next::Record(parsed) if Some(parsed.head.hash) == self.chain.hash_at(seq) => {
                Ok(Some((parsed.head, parsed.body)))
            }
            Next::Record(_) => Err(damaged("a record was replaced")),
            Next::End => Err(damaged("the file was cut")),
            Next::Fault(what) => Err(damaged(what)),
        }
    }

    fn poison(&mut self, error: Error) -> Error {
        self.poisoned = Some(error.to_string());
        error
    }

    /// Sees to it that a full disk is met here, where nothing has been written yet.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let needed = self.chain.end + bytes as u64;
        if needed <= self.allocated {
            return Ok(());
        }
        let ahead = needed.next_multiple_of(ALLOCATE_STEP);
        match self.file.allocate(ahead) {
            Ok(()) => self.allocated = ahead,
            Err(error) if is_full(&error) => {
                self.reserve.give_up();
                let full = || Error::Full {
                    path: self.path.clone(),
                };
                if bytes > SMALL {
                    return Err(full());
                }
                self.file.allocate(needed).map_err(|_| full())?;
                self.allocated = needed;
            }
            Err(error) => {
                let error = Error::io("make room in", &self.path)(error);
                return Err(self.poison(error));
            }
        }
        Ok(())
    }
}

/// Writes the anchor, on a full disk into what the reserve gives back. The anchor is a file of its
/// own that is made anew: no failed sync is tried again.
fn write_anchor(
    storage: &dyn Storage,
    reserve: &Reserve,
    root: &Path,
    head: Head,
) -> io::Result<()> {
    let written = head::write(storage, root, head);
    if written.as_ref().is_err_and(is_full) {
        reserve.give_up();
        return head::write(storage, root, head);
    }
    written
}

/// Makes the records after number `proven` durable before they are believed. A killed writer may
/// have left them in memory only; and when its sync failed, memory calls them clean, so that only
/// writing them again takes them to the disk.
fn settle(file: &mut dyn StorageFile, chain: &Chain, proven: u64) -> io::Result<()> {
    let first = usize::try_from(proven).unwrap_or(usize::MAX);
    let mut at = chain.offsets.get(first).copied().unwrap_or(chain.end);
    let mut piece = vec![0; SETTLE_PIECE];
    while at < chain.end {
        let left = usize::try_from(chain.end - at).unwrap_or(usize::MAX);
        let piece = &mut piece[..left.min(SETTLE_PIECE)];
        let count = read_full(file, at, piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.rewrite(at, &piece[..count])?;
        at += count as u64;
    }
    file.sync()
}

/// Makes what a journal needs, in an order that survives a crash between any two steps: a log file
/// exists only whole, and only before any anchor.
fn prepare(storage: &dyn Storage, root: &Path) -> Result<(), Error> {
    for name in ["journal", "quarantine"] {
        let folder = root.join(name);
        storage
            .create_dir(&folder)
            .map_err(Error::io("make", &folder))?;
    }
    storage.sync_dir(root).map_err(Error::io("sync", root))?;
    let log = log_path(root);
    let exists = |path: &Path| storage.exists(path).map_err(Error::io("look for", path));
    if !exists(&log)? && !exists(&head::path(root))? {
        publish(storage, &log, &record::header()).map_err(Error::io("make", &log))?;
        let head = record::genesis();
        head::write(storage, root, head).map_err(Error::io("anchor", &head::path(root)))?;
    }
    Ok(())
}

type Scanned = (Box<dyn StorageFile>, Chain, Option<&'static str>);

fn open_and_scan(storage: &dyn Storage, root: &Path) -> Result<Scanned, Error> {
    let path = log_path(root);
    if !storage
        .exists(&path)
        .map_err(Error::io("look for", &path))?
    {
        let anchor_seq = head::read(storage, root)?.map_or(0, |head| head.seq);
        return Err(Error::AnchorAhead {
            anchor: "HEAD",
            anchor_seq,
            journal_seq: 0,
        });
    }
    let file = storage
        .open(&path, Access::Append)
        .map_err(Error::io("open", &path))?;
    let (chain, fault) = scan(&*file, &path)?;
    Ok((file, chain, fault))
}

/// Puts an empty journal in the place of none, or of a file that is no journal and is kept.
fn replace_unreadable(storage: &dyn Storage, root: &Path) -> Result<(), Error> {
    let path = log_path(root);
    if storage
        .exists(&path)
        .map_err(Error::io("look for", &path))?
    {
        let file = storage
            .open(&path, Access::Read)
            .map_err(Error::io("open", &path))?;
        match record::check_header(&*file, &path) {
            Err(Error::NotAJournal { .. }) => {}
            result => return result,
        }
        let aside = root.join("quarantine").join("journal-unreadable.bytes");
        storage
            .rename(&path, &aside)
            .map_err(Error::io("set aside", &path))?;
    }
    publish(storage, &path, &record::header()).map_err(Error::io("make", &path))
}

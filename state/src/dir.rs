//! One state folder and everything in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::index::check_anchor;
use crate::journal::{Opener, WriterLock};
use crate::storage::{RealStorage, Storage};
use crate::{Error, EvidenceStore, Index, Journal, Reserve};

/// Where things are under a state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePaths {
    /// The folder itself.
    pub root: PathBuf,
    /// The journal's folder.
    pub journal: PathBuf,
    /// The anchor.
    pub head: PathBuf,
    /// The evidence store.
    pub evidence: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// The daemon's own bare repository.
    pub repository: PathBuf,
    /// Clean rooms.
    pub rooms: PathBuf,
    /// What was set aside.
    pub quarantine: PathBuf,
}

impl StatePaths {
    /// The layout under `root`.
    pub fn new(root: &Path) -> StatePaths {
        StatePaths {
            root: root.to_owned(),
            journal: root.join("journal"),
            head: root.join("HEAD"),
            evidence: root.join("evidence"),
            index: root.join("index"),
            repository: root.join("repo.git"),
            rooms: root.join("rooms"),
            quarantine: root.join("quarantine"),
        }
    }
}

/// Who opens the state, when, and how much space is kept free for bad days.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Unix time in milliseconds, for what opening itself records.
    pub at_ms: i64,
    /// User id, likewise.
    pub uid: u32,
    /// Name, likewise.
    pub by: String,
    /// Bytes of the reserve.
    pub reserve_bytes: u64,
}

impl OpenOptions {
    /// The daemon's options at `at_ms`: a reserve of 64 MiB, this process's user.
    pub fn new(at_ms: i64) -> OpenOptions {
        OpenOptions {
            at_ms,
            uid: rustix::process::getuid().as_raw(),
            by: "daemon".to_owned(),
            reserve_bytes: 64 << 20,
        }
    }

    fn opener(&self) -> Opener<'_> {
        Opener {
            at_ms: self.at_ms,
            uid: self.uid,
            by: &self.by,
        }
    }
}

/// The state of one repository's loops, open for its one writer.
#[derive(Debug)]
pub struct StateDir {
    /// Where things are.
    pub paths: StatePaths,
    /// What happened.
    pub journal: Journal,
    /// What was seen.
    pub evidence: EvidenceStore,
    /// Quick answers; see [`Index::catch_up`].
    pub index: Index,
    /// Space for bad days.
    pub reserve: Arc<Reserve>,
}

impl StateDir {
    /// Opens the state folder `root`, making it if there is none. Fails when another process holds
    /// it, when the journal is damaged, and when it ends before an anchor; messages say how to go
    /// on. The index may lag: call [`Index::catch_up`].
    pub fn open(root: &Path, options: &OpenOptions) -> Result<StateDir, Error> {
        let ground = Ground::prepare(root, options)?;
        let journal = Journal::open(
            Arc::clone(&ground.storage),
            Arc::clone(&ground.reserve),
            root,
            ground.lock,
            options.opener(),
        )?;
        let index = open_index(&ground.paths);
        check_anchor(&index, &journal)?;
        assemble(ground.paths, ground.storage, ground.reserve, journal, index)
    }

    /// Goes on with a journal that [`StateDir::open`] refuses, on a person's word: keeps its valid
    /// records, quarantines the rest, anchors anew and records `reason`. State that opens without
    /// it is refused with [`Error::NothingToAccept`].
    pub fn accept_restore(
        root: &Path,
        options: &OpenOptions,
        reason: &str,
    ) -> Result<StateDir, Error> {
        let refused = match StateDir::open(root, options) {
            Ok(_) => return Err(Error::NothingToAccept),
            Err(
                refused @ (Error::AnchorAhead { .. }
                | Error::Forked { .. }
                | Error::Damaged { .. }
                | Error::Anchor { .. }
                | Error::NotAJournal { .. }),
            ) => refused,
            Err(error) => return Err(error),
        };
        let ground = Ground::prepare(root, options)?;
        let journal = Journal::accept_restore(
            Arc::clone(&ground.storage),
            Arc::clone(&ground.reserve),
            root,
            ground.lock,
            options.opener(),
            reason,
            &refused,
        )?;
        let mut index = open_index(&ground.paths);
        index.reset()?;
        assemble(ground.paths, ground.storage, ground.reserve, journal, index)
    }
}

/// What must stand before the journal can be opened.
struct Ground {
    paths: StatePaths,
    storage: Arc<dyn Storage>,
    reserve: Arc<Reserve>,
    lock: WriterLock,
}

impl Ground {
    fn prepare(root: &Path, options: &OpenOptions) -> Result<Ground, Error> {
        let paths = StatePaths::new(root);
        if let Some(parent) = root.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        }
        let storage: Arc<dyn Storage> = Arc::new(RealStorage);
        let made = [root, &paths.journal, &paths.rooms, &paths.quarantine];
        for folder in made {
            storage
                .create_dir(folder)
                .map_err(Error::io("make", folder))?;
        }
        if let Some(parent) = root
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            storage
                .sync_dir(parent)
                .map_err(Error::io("sync", parent))?;
        }
        let lock = WriterLock::acquire(&paths.journal.join("lock"))?;
        let reserve = Reserve::open(
            Arc::clone(&storage),
            &paths.journal.join("reserve"),
            options.reserve_bytes,
        )?;
        Ok(Ground {
            paths,
            storage,
            reserve,
            lock,
        })
    }
}

fn open_index(paths: &StatePaths) -> Index {
    Index::open(&paths.index, &paths.quarantine.join("index"))
}

fn assemble(
    paths: StatePaths,
    storage: Arc<dyn Storage>,
    reserve: Arc<Reserve>,
    journal: Journal,
    index: Index,
) -> Result<StateDir, Error> {
    let evidence = EvidenceStore::open(storage, &paths.evidence, Arc::clone(&reserve))?;
    Ok(StateDir {
        paths,
        journal,
        evidence,
        index,
        reserve,
    })
}

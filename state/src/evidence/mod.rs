//! Bytes kept under the digest of their content, so that an address is a proof.
//!
//! `evidence/<first 2 hex>/<64 hex>.log` is a log in compressed blocks with a line index (see
//! `container`), `….blob` is an artifact as it is. A file appears under its name only whole and
//! synced; what was being written when the process died stays under `evidence/tmp` and is removed
//! at the next start.

mod blob;
mod container;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attest::digest::Digest;
use serde::{Deserialize, Serialize};

pub use blob::BlobWriter;
pub use reader::{Lines, LogReader};
pub use writer::{LogEntry, LogWriter};

use crate::storage::{Access, Storage, StorageFile};
use crate::{Error, Reserve};

/// What a file of the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Blocks with a line index.
    Log,
    /// As it came.
    Blob,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Log => "log",
            Kind::Blob => "blob",
        }
    }
}

/// One file of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Digest of the content.
    pub digest: Digest,
    /// Log or blob.
    pub kind: Kind,
}

/// What [`EvidenceStore::verify_all`] found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Files whose content has the digest they are named by.
    pub intact: usize,
    /// What is wrong with the others.
    pub damaged: Vec<Error>,
}

/// The store of one state folder. Clones share it.
#[derive(Clone, Debug)]
pub struct EvidenceStore {
    storage: Arc<dyn Storage>,
    root: PathBuf,
    // Only the writer of the state has one; without it the store is only read.
    reserve: Option<Arc<Reserve>>,
    temporaries: Arc<AtomicU64>,
}

impl EvidenceStore {
    /// The store at `root`, for the writer of the state: removes what a killed writer left.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        root: &Path,
        reserve: Arc<Reserve>,
    ) -> Result<EvidenceStore, Error> {
        let store = EvidenceStore {
            storage,
            root: root.to_owned(),
            reserve: Some(reserve),
            temporaries: Arc::default(),
        };
        let temporary = store.temporary_folder();
        for folder in [root, &temporary] {
            let made = store.storage.create_dir(folder);
            made.map_err(Error::io("make", folder))?;
        }
        // The folder's own name must outlive a crash, or everything in it goes with it.
        for folder in root.parent().into_iter().chain([root]) {
            let synced = store.storage.sync_dir(folder);
            synced.map_err(Error::io("sync", folder))?;
        }
        let left = store.storage.list(&temporary);
        for path in left.map_err(Error::io("list", &temporary))? {
            let removed = store.storage.remove(&path);
            removed.map_err(Error::io("remove", &path))?;
        }
        Ok(store)
    }

    /// The store at `root` for a reader beside the writer.
    pub fn read_only(root: &Path) -> EvidenceStore {
        EvidenceStore {
            storage: Arc::new(crate::storage::RealStorage),
            root: root.to_owned(),
            reserve: None,
            temporaries: Arc::default(),
        }
    }

    /// Begins a log. It appears in the store when the writer is finished, and not before.
    pub fn log_writer(&self) -> Result<LogWriter, Error> {
        LogWriter::new(self.draft()?)
    }

    /// Stores a whole log.
    pub fn put_log(&self, bytes: &[u8]) -> Result<LogEntry, Error> {
        let mut writer = self.log_writer()?;
        writer.append(bytes)?;
        writer.finish()
    }

    /// Opens a log; its index is verified, its blocks are as they are read.
    pub fn open_log(&self, digest: &Digest) -> Result<LogReader, Error> {
        let file = self.open_stored(digest, Kind::Log)?;
        LogReader::open(file, digest.clone())
    }

    /// Begins a blob.
    pub fn blob_writer(&self) -> Result<BlobWriter, Error> {
        Ok(BlobWriter::new(self.draft()?))
    }

    /// Stores bytes as they are.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let mut writer = self.blob_writer()?;
        writer.append(bytes)?;
        writer.finish()
    }

    /// The bytes with this digest, verified.
    pub fn get_blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let file = self.open_stored(digest, Kind::Blob)?;
        blob::read(&*file, digest)
    }

    /// Copies the bytes with this digest to `out`. They are verified when this succeeds, and not
    /// before.
    pub fn copy_blob(&self, digest: &Digest, out: &mut dyn std::io::Write) -> Result<u64, Error> {
        let file = self.open_stored(digest, Kind::Blob)?;
        blob::copy(&*file, digest, out)
    }

    /// Whether there is a file of this digest and kind.
    pub fn has(&self, digest: &Digest, kind: Kind) -> Result<bool, Error> {
        let path = self.path(digest, kind);
        let exists = self.storage.exists(&path);
        exists.map_err(Error::io("look for", &path))
    }

    /// Every file, ordered by digest. Names that are none of the store's are passed over.
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        let list = |path: &Path| self.storage.list(path).map_err(Error::io("list", path));
        let mut stored = Vec::new();
        for folder in list(&self.root)? {
            let prefix = folder.file_name().and_then(|name| name.to_str());
            if prefix.is_none_or(|name| name.len() != 2) {
                continue;
            }
            stored.extend(list(&folder)?.iter().filter_map(|path| parse_name(path)));
        }
        stored.sort();
        Ok(stored)
    }

    /// What a file takes on disk, bytes.
    pub fn size(&self, stored: &Stored) -> Result<u64, Error> {
        let path = self.path(&stored.digest, stored.kind);
        let file = self.open_stored(&stored.digest, stored.kind)?;
        file.size().map_err(Error::io("measure", &path))
    }

    /// Removes a file. Who calls has made sure that nothing rests on it.
    pub fn remove(&self, stored: &Stored) -> Result<(), Error> {
        let path = self.path(&stored.digest, stored.kind);
        let removed = self.storage.remove(&path);
        removed.map_err(Error::io("remove", &path))?;
        let folder = path.parent().unwrap_or(&self.root);
        let synced = self.storage.sync_dir(folder);
        synced.map_err(Error::io("sync", folder))
    }

    /// Reads everything and compares it with its name.
    pub fn verify_all(&self) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        for stored in self.list()? {
            let result = match stored.kind {
                Kind::Log => self.open_log(&stored.digest).and_then(|log| log.verify()),
                Kind::Blob => self
                    .copy_blob(&stored.digest, &mut std::io::sink())
                    .map(drop),
            };
            match result {
                Ok(()) => verified.intact += 1,
                Err(error) => verified.damaged.push(error),
            }
        }
        Ok(verified)
    }

    fn temporary_folder(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn path(&self, digest: &Digest, kind: Kind) -> PathBuf {
        let hex = digest.to_hex();
        let name = format!("{hex}.{}", kind.name());
        self.root.join(&hex[..2]).join(name)
    }

    fn open_stored(&self, digest: &Digest, kind: Kind) -> Result<Box<dyn StorageFile>, Error> {
        let path = self.path(digest, kind);
        match self.storage.open(&path, Access::Read) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NoEvidence {
                kind: kind.name(),
                digest: digest.clone(),
            }),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }

    /// A new file that has no name in the store yet.
    fn draft(&self) -> Result<Draft, Error> {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let path = self.temporary_folder().join(format!("{number}"));
        self.check_space()?;
        let file = self
            .storage
            .open(&path, Access::Create)
            .map_err(Error::io("make", &path))?;
        Ok(Draft {
            store: self.clone(),
            path,
            file,
            published: false,
        })
    }

    /// Evidence is taken only while the reserve stands; it is set aside again once there is room.
    fn check_space(&self) -> Result<(), Error> {
        if let Some(reserve) = &self.reserve
            && (reserve.is_held() || reserve.refill()?)
        {
            return Ok(());
        }
        Err(Error::Full {
            path: self.root.clone(),
        })
    }
}

fn parse_name(path: &Path) -> Option<Stored> {
    let (hex, kind) = path.file_name()?.to_str()?.split_once('.')?;
    let kind = [Kind::Log, Kind::Blob]
        .into_iter()
        .find(|known| known.name() == kind)?;
    let digest = format!("sha256:{hex}").parse().ok()?;
    Some(Stored { digest, kind })
}

/// A file on its way into the store; dropped unpublished, it is removed.
#[derive(Debug)]
struct Draft {
    store: EvidenceStore,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    published: bool,
}

impl Draft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.store.check_space()?;
        match crate::storage::write_all(&mut *self.file, bytes) {
            Ok(()) => Ok(()),
            Err(error) if crate::storage::is_full(&error) => Err(Error::Full {
                path: self.path.clone(),
            }),
            Err(error) => Err(Error::io("write", &self.path)(error)),
        }
    }

    /// Syncs the file and gives it its name. One that has the name already is replaced: its content
    /// is the same, unless it was damaged, and then this mends it.
    fn publish(mut self, digest: &Digest, kind: Kind) -> Result<(), Error> {
        let storage = Arc::clone(&self.store.storage);
        let root = &self.store.root;
        self.file.sync().map_err(Error::io("sync", &self.path))?;
        let path = self.store.path(digest, kind);
        let folder = path.parent().unwrap_or(root);
        let exists = storage.exists(folder);
        if !exists.map_err(Error::io("look for", folder))? {
            storage
                .create_dir(folder)
                .map_err(Error::io("make", folder))?;
        }
        storage.sync_dir(root).map_err(Error::io("sync", root))?;
        storage
            .rename(&self.path, &path)
            .map_err(Error::io("publish", &path))?;
        self.published = true;
        storage.sync_dir(folder).map_err(Error::io("sync", folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.store.storage.remove(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "draft stays until the next start");
        }
    }
}

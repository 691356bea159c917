//! Artifacts as they are.

use std::io;

use attest::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::{Draft, Kind};
use crate::Error;
use crate::storage::{StorageFile, read_full};

/// Takes the bytes of a blob.
#[derive(Debug)]
pub struct BlobWriter {
    draft: Draft,
    hash: Sha256,
    failed: bool,
}

impl BlobWriter {
    pub(super) fn new(draft: Draft) -> BlobWriter {
        BlobWriter {
            draft,
            hash: Sha256::new(),
            failed: false,
        }
    }

    /// Appends bytes. After an error the writer is of no more use.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        let result = self.draft.write(bytes);
        self.failed |= result.is_err();
        result
    }

    /// Publishes the blob under its digest, durably.
    pub fn finish(self) -> Result<Digest, Error> {
        if self.failed {
            return Err(unfinished(&self.draft));
        }
        let digest = Digest::from_bytes(self.hash.finalize().into());
        self.draft.publish(&digest, Kind::Blob)?;
        Ok(digest)
    }
}

impl io::Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io_error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn unfinished(draft: &Draft) -> Error {
    Error::io("publish", &draft.path)(io::Error::other("an earlier write failed"))
}

/// The error as `io::Write` can carry it; a full disk keeps its kind.
pub(super) fn io_error(error: Error) -> io::Error {
    match error {
        Error::Full { .. } => io::Error::new(io::ErrorKind::StorageFull, error),
        Error::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

pub(super) fn read(file: &dyn StorageFile, digest: &Digest) -> Result<Vec<u8>, Error> {
    let damaged = |what: String| Error::EvidenceDamaged {
        kind: Kind::Blob.name(),
        digest: digest.clone(),
        what,
    };
    let read = || -> io::Result<Vec<u8>> {
        let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        let count = read_full(file, 0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    };
    let bytes = read().map_err(|error| damaged(error.to_string()))?;
    if Digest::of(&bytes) != *digest {
        return Err(damaged("content has another digest".to_owned()));
    }
    Ok(bytes)
}

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

pub(super) fn copy(
    file: &dyn StorageFile,
    digest: &Digest,
    out: &mut dyn io::Write,
) -> Result<u64, Error> {
    let damaged = |what: String| Error::EvidenceDamaged {
        kind: Kind::Blob.name(),
        digest: digest.clone(),
        what,
    };
    let mut piece = vec![0; PIECE];
    let mut hash = Sha256::new();
    let mut at = 0;
    loop {
        let count = read_full(file, at, &mut piece).map_err(|error| damaged(error.to_string()))?;
        let now = piece.get(..count).unwrap_or_default();
        hash.update(now);
        out.write_all(now).map_err(Error::io(
            "copy evidence to",
            std::path::Path::new("its reader"),
        ))?;
        at += count as u64;
        if count < PIECE {
            break;
        }
    }
    if Digest::from_bytes(hash.finalize().into()) != *digest {
        return Err(damaged("content has another digest".to_owned()));
    }
    Ok(at)
}

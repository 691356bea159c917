//! Bytes on their way: a file without a name, hashed while it is written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use attest::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::ForgeError;

/// A fetched file. It has no name in any folder, so that nothing is left of it when it is dropped
/// or the process dies.
#[derive(Debug)]
pub struct Spool {
    file: File,
    bytes: u64,
    sha256: Digest,
}

/// A spool that is being written.
pub(crate) struct SpoolWriter {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl SpoolWriter {
    /// Begins one in `folder`, which must exist.
    pub(crate) fn new(folder: &Path) -> Result<SpoolWriter, ForgeError> {
        let file = tempfile::tempfile_in(folder).map_err(ForgeError::io(format!(
            "make a temporary file in {}",
            folder.display()
        )))?;
        Ok(SpoolWriter {
            file,
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn finish(self) -> Spool {
        Spool {
            file: self.file,
            bytes: self.bytes,
            sha256: Digest::from_bytes(self.hash.finalize().into()),
        }
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Spool {
    /// Length.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Digest of the bytes.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }

    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Reads from the start.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn reader(&self) -> io::Result<impl Read + Seek + '_> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

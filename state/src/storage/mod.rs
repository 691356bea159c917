//! The few things the truth asks of a disk, as a trait, so that a test can be the disk.

mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

pub use real::RealStorage;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading, must exist.
    Read,
    /// For reading and appending, must exist.
    Append,
    /// New and empty, for reading and appending; replaces what was there.
    Create,
}

/// A file system as far as the truth needs one. Names become durable with `sync_dir` of their
/// folder, contents with `sync` of their file, and nothing becomes durable otherwise.
pub trait Storage: Debug + Send + Sync {
    /// Makes a folder; one that exists is fine. Its parent must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether a file or folder is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// The files and folders in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>>;
    /// Gives a file another name, atomically replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Debug + Send {
    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Reads at `offset`; 0 bytes mean the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Appends some of `bytes` and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Writes bytes that stand at `offset` already once more, so that the next `sync` has to take
    /// them to the disk even if an earlier one failed and the kernel called them clean.
    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes length and contents durable (fdatasync).
    fn sync(&mut self) -> io::Result<()>;
    /// Shortens the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Reserves space for `length` bytes in all without changing the length.
    fn allocate(&mut self, length: u64) -> io::Result<()>;
}

/// Appends all of `bytes`.
pub(crate) fn write_all(file: &mut dyn StorageFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `buffer` from `offset`; the result is shorter only at the end of the file.
pub(crate) fn read_full(
    file: &dyn StorageFile,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(offset + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Publishes `bytes` under `path` so that after any crash either all of them are there or what was
/// there before: temporary file, sync, rename, sync of the folder.
pub(crate) fn publish(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = storage.open(&temporary, Access::Create)?;
    write_all(&mut *file, bytes)?;
    file.sync()?;
    drop(file);
    storage.rename(&temporary, path)?;
    storage.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

//! Zip archives from outside, read within bounds.
//!
//! Names of entries are data and never paths: nothing here touches a file system. The archive as a
//! whole is refused when its directory is ambiguous (two entries with one name, entries that share
//! bytes) or larger than the limits; a single entry that is damaged, encrypted or packed by an
//! unknown method fails alone. An entry's bytes are right only when [`Archive::copy`] returned
//! `Ok`, so whoever publishes them does so afterwards.

mod found;
mod names;

#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek, Write};

use attest::digest::Digest;
use sha2::{Digest as _, Sha256};
use zip::read::Config;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipArchive};

pub use found::{Found, sniff};
pub use names::{Attribution, JobEntries, Uncertain, attribute};

/// What an archive may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive itself.
    pub archive_bytes: u64,
    /// Entries.
    pub entries: usize,
    /// Unpacked bytes of one entry.
    pub entry_bytes: u64,
    /// Unpacked bytes of all entries together.
    pub total_bytes: u64,
    /// Unpacked bytes per packed byte of an entry, once it is larger than [`RATIO_FREE`].
    pub ratio: u64,
}

/// Entries up to this size may be packed as tightly as they like.
pub const RATIO_FREE: u64 = 16 << 20;

impl Default for Limits {
    /// Room for a log of several gigabytes; deflate itself cannot pack tighter than 1:1032.
    fn default() -> Limits {
        Limits {
            archive_bytes: 4 << 30,
            entries: 20_000,
            entry_bytes: 8 << 30,
            total_bytes: 16 << 30,
            ratio: 600,
        }
    }
}

/// Why an archive is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes are something else.
    #[error("not a zip archive but {found}")]
    NotAnArchive {
        /// What they look like.
        found: Found,
    },
    /// Larger than the limit.
    #[error("the archive has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// More entries than the limit.
    #[error("the archive has {entries} entries; at most {limit} are read")]
    TooManyEntries {
        /// How many it declares.
        entries: usize,
        /// The limit.
        limit: usize,
    },
    /// Two entries have one name, so that a name says nothing.
    #[error("two entries of the archive have one name")]
    DuplicateNames,
    /// Two entries share bytes.
    #[error("entries of the archive overlap")]
    Overlap,
    /// Its directory cannot be read.
    #[error("the archive is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// The file it stands in cannot be read.
    #[error("the archive cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Why one entry was not copied, while the others still can be.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The checksum does not hold.
    #[error("its checksum does not hold")]
    Checksum,
    /// It is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// It is packed by a method that is not read.
    #[error("it is packed by the method {method}, which is not read")]
    Method {
        /// Name or number of the method.
        method: String,
    },
    /// It unpacks to more than the limit.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It is packed tighter than any log.
    #[error("it unpacks to more than {limit} times its packed size")]
    Ratio {
        /// The limit.
        limit: u64,
    },
    /// Its size is not the declared one, or its data does not unpack.
    #[error("it is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// The bytes could not be written where they were to go.
    #[error("it cannot be written: {0}")]
    Write(io::Error),
}

/// One entry, as the archive's directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the directory.
    pub index: usize,
    /// Name, for comparing and showing; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Declared unpacked size.
    pub bytes: u64,
    /// A folder has no bytes.
    pub is_folder: bool,
}

/// What an entry turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Unpacked bytes.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// An archive whose directory was read and found unambiguous.
pub struct Archive<R> {
    zip: ZipArchive<R>,
    entries: Vec<Entry>,
    limits: Limits,
    unpacked: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory; no entry is unpacked.
    ///
    /// # Errors
    /// The bytes are no zip archive, its directory is damaged or ambiguous, or it exceeds `limits`.
    pub fn open(mut reader: R, limits: Limits) -> Result<Archive<R>, ArchiveError> {
        let bytes = reader.seek(io::SeekFrom::End(0))?;
        if bytes > limits.archive_bytes {
            return Err(ArchiveError::TooLarge {
                bytes,
                limit: limits.archive_bytes,
            });
        }
        let found = sniff(&mut reader)?;
        if found != Found::Zip {
            return Err(ArchiveError::NotAnArchive { found });
        }
        let entries = ZipIterable::try_new(&mut reader, Config::default())
            .map_err(damaged)?
            .len();
        if entries > limits.entries {
            return Err(ArchiveError::TooManyEntries {
                entries,
                limit: limits.entries,
            });
        }
        let mut zip = ZipArchive::new(reader).map_err(damaged)?;
        if zip.len() > limits.entries {
            return Err(ArchiveError::TooManyEntries {
                entries: zip.len(),
                limit: limits.entries,
            });
        }
        if zip.has_duplicate_names() {
            return Err(ArchiveError::DuplicateNames);
        }
        if zip.has_overlapping_entries().map_err(damaged)? {
            return Err(ArchiveError::Overlap);
        }
        let entries = directory(&zip)?;
        Ok(Archive {
            zip,
            entries,
            limits,
            unpacked: 0,
        })
    }

    /// The entries, in the directory's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Unpacks one entry into `out`. The bytes in `out` are worth nothing unless this succeeds.
    ///
    /// # Errors
    /// This entry cannot be unpacked, or `out` cannot be written; other entries are not affected.
    pub fn copy(&mut self, index: usize, out: &mut dyn Write) -> Result<Copied, EntryError> {
        let left = self.limits.total_bytes.saturating_sub(self.unpacked);
        let cap = self.limits.entry_bytes.min(left);
        let ratio = self.limits.ratio;
        let mut entry = self.zip.by_index(index).map_err(entry_error)?;
        let method = entry.compression();
        if !matches!(
            method,
            CompressionMethod::Stored | CompressionMethod::Deflated
        ) {
            return Err(EntryError::Method {
                method: method.to_string(),
            });
        }
        let (packed, declared) = (entry.compressed_size(), entry.size());
        let tight = RATIO_FREE.max(packed.saturating_mul(ratio));
        let mut hash = Sha256::new();
        let mut bytes: u64 = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(read_error(&error)),
            };
            bytes += count as u64;
            if bytes > cap {
                return Err(EntryError::TooLarge { limit: cap });
            }
            if bytes > tight {
                return Err(EntryError::Ratio { limit: ratio });
            }
            let now = buffer.get(..count).unwrap_or_default();
            hash.update(now);
            out.write_all(now).map_err(EntryError::Write)?;
        }
        drop(entry);
        if bytes != declared {
            return Err(EntryError::Damaged {
                what: format!("{bytes} bytes came out, {declared} were declared"),
            });
        }
        self.unpacked += bytes;
        Ok(Copied {
            bytes,
            sha256: Digest::from_bytes(hash.finalize().into()),
        })
    }
}

fn directory<R: Read + Seek>(zip: &ZipArchive<R>) -> Result<Vec<Entry>, ArchiveError> {
    let mut entries = Vec::with_capacity(zip.len());
    for index in 0..zip.len() {
        let data = zip.by_index_data(index).map_err(damaged)?;
        entries.push(Entry {
            index,
            name: String::from_utf8_lossy(data.name_raw()).into_owned(),
            bytes: data.size(),
            is_folder: data.name_raw().ends_with(b"/"),
        });
    }
    Ok(entries)
}

fn damaged(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            ArchiveError::Io(error)
        }
        error => ArchiveError::Damaged {
            what: error.to_string(),
        },
    }
}

fn entry_error(error: ZipError) -> EntryError {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword => {
            EntryError::Encrypted
        }
        ZipError::CompressionMethodNotSupported(number) => EntryError::Method {
            method: number.to_string(),
        },
        error => EntryError::Damaged {
            what: error.to_string(),
        },
    }
}

/// The library reports a checksum as text of an error; everything else is damage of another kind.
fn read_error(error: &io::Error) -> EntryError {
    match error.to_string() {
        text if text == "Invalid checksum" => EntryError::Checksum,
        what => EntryError::Damaged { what },
    }
}

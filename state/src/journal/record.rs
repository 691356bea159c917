//! Bytes of one record, and the scan that believes a journal.
//!
//! Record, little-endian: `len u32 | seq u64 | prev 32 | body (len bytes) | sha256 32`, the digest
//! over everything before it. `prev` is the digest of the record before, or of the file's header.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Hash, Head};
use crate::Error;
use crate::storage::{StorageFile, read_full};

/// Largest body. A reader never allocates more on a length field's word.
pub const MAX_BODY: usize = 16 << 20;

/// `len`, `seq` and `prev`.
const FRONT: usize = 4 + 8 + 32;
const DIGEST: usize = 32;

const MAGIC: &[u8; 16] = b"greenloop journ\n";
/// Version of the record framing; bodies have their own.
const VERSION: u32 = 1;
/// Magic, version, and 12 bytes of their digest.
pub(super) const HEADER: usize = 32;

/// What a journal file begins with.
pub(super) fn header() -> [u8; HEADER] {
    header_of(VERSION)
}

fn header_of(version: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(MAGIC);
    header[16..20].copy_from_slice(&version.to_le_bytes());
    let digest = Sha256::digest(&header[..20]);
    header[20..].copy_from_slice(&digest[..12]);
    header
}

/// What stands before the first record: sequence number 0 and the digest of the header.
pub(super) fn genesis() -> Head {
    Head {
        seq: 0,
        hash: Hash(Sha256::digest(header()).into()),
    }
}

pub(super) fn check_header(file: &dyn StorageFile, path: &Path) -> Result<(), Error> {
    let mut found = [0; HEADER];
    let count = read_full(file, 0, &mut found).map_err(Error::io("read", path))?;
    let not = |what| Error::NotAJournal {
        path: path.to_owned(),
        what,
    };
    if count < HEADER || found[..16] != *MAGIC {
        return Err(not("no journal header"));
    }
    let version = u32::from_le_bytes([found[16], found[17], found[18], found[19]]);
    if found != header_of(version) {
        return Err(not("the header's digest does not match"));
    }
    if version > VERSION {
        return Err(Error::NewerFormat {
            what: format!("journal `{}`", path.display()),
            found: version.into(),
            known: VERSION.into(),
        });
    }
    Ok(())
}

/// The record that follows `head`, and the new head.
pub(super) fn encode(head: Head, body: &[u8]) -> (Vec<u8>, Head) {
    let seq = head.seq + 1;
    let mut bytes = Vec::with_capacity(FRONT + body.len() + DIGEST);
    // The caller has compared the length with MAX_BODY, which fits.
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&head.hash.0);
    bytes.extend_from_slice(body);
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&hash);
    let hash = Hash(hash);
    (bytes, Head { seq, hash })
}

pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    pub(super) size: u64,
}

/// What stands where a record should.
pub(super) enum Next {
    Record(Parsed),
    End,
    Fault(&'static str),
}

/// Where records are read from.
pub(super) trait Source {
    /// Reads at `offset`; 0 bytes mean the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Source for dyn StorageFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        StorageFile::read_at(self, offset, buffer)
    }
}

/// Bytes read at once where records are read one after the other.
const AHEAD: usize = 256 << 10;

/// A file whose records are read one after the other: a call into the kernel for each would cost more than their
/// hashing.
pub(super) struct ReadAhead<'f> {
    file: &'f dyn StorageFile,
    /// Offset and bytes.
    held: RefCell<(u64, Vec<u8>)>,
}

impl<'f> ReadAhead<'f> {
    pub(super) fn new(file: &'f dyn StorageFile) -> Self {
        Self {
            file,
            held: RefCell::default(),
        }
    }
}

impl Source for ReadAhead<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut held = self.held.borrow_mut();
        let (start, bytes) = &mut *held;
        let known = *start..*start + bytes.len() as u64;
        if !known.contains(&offset) {
            bytes.resize(AHEAD, 0);
            let count = read_full(self.file, offset, bytes);
            bytes.truncate(*count.as_ref().unwrap_or(&0));
            *start = offset;
            count?;
        }
        let from = usize::try_from(offset - *start).unwrap_or(usize::MAX);
        let found = bytes.get(from..).unwrap_or(&[]);
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        Ok(count)
    }
}

/// Fills `buffer` from `offset`; the result is shorter only at the end.
fn fill<S: Source + ?Sized>(source: &S, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_at(offset + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads the record at `offset` that must follow `head`.
pub(super) fn read<S: Source + ?Sized>(source: &S, offset: u64, head: Head) -> io::Result<Next> {
    let mut front = [0; FRONT];
    let count = fill(source, offset, &mut front)?;
    if count == 0 {
        return Ok(Next::End);
    }
    if count < FRONT {
        return Ok(Next::Fault("a record is cut short"));
    }
    let Some((len, seq, prev)) = parse_front(&front) else {
        return Ok(Next::Fault("a record has an impossible length"));
    };
    let mut rest = vec![0; len + DIGEST];
    if fill(source, offset + FRONT as u64, &mut rest)? < rest.len() {
        return Ok(Next::Fault("a record is cut short"));
    }
    let stored = rest.split_off(len);
    let body = rest;
    let hash: [u8; 32] = Sha256::new()
        .chain_update(front)
        .chain_update(&body)
        .finalize()
        .into();
    if stored != hash {
        return Ok(Next::Fault("a record's digest does not match"));
    }
    if seq != head.seq + 1 || prev != head.hash {
        return Ok(Next::Fault("a record does not follow the one before"));
    }
    let size = (FRONT + len + DIGEST) as u64;
    let hash = Hash(hash);
    Ok(Next::Record(Parsed {
        head: Head { seq, hash },
        body,
        size,
    }))
}

fn parse_front(front: &[u8; FRONT]) -> Option<(usize, u64, Hash)> {
    let (len, rest) = front.split_first_chunk::<4>()?;
    let (seq, prev) = rest.split_first_chunk::<8>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let prev = Hash(prev.try_into().ok()?);
    (len <= MAX_BODY).then_some((len, u64::from_le_bytes(*seq), prev))
}

/// Whether a whole record newer than `seq` stands anywhere in `bytes`. Each append is synced before
/// the next begins, so only the last record can be torn: anything whole after a fault was
/// acknowledged, and the fault is damage.
pub(super) fn holds_a_later_record(bytes: &[u8], seq: u64) -> bool {
    let plausible = seq + 1..=seq + 1 + bytes.len() as u64;
    (0..bytes.len()).any(|start| {
        let rest = &bytes[start..];
        let Some(front) = rest.first_chunk::<FRONT>() else {
            return false;
        };
        let Some((len, found, _)) = parse_front(front) else {
            return false;
        };
        let end = FRONT + len;
        plausible.contains(&found)
            && rest.len() >= end + DIGEST
            && Sha256::digest(&rest[..end]).as_slice() == &rest[end..end + DIGEST]
    })
}

#[cfg(test)]
pub(super) fn header_of_version(version: u32) -> [u8; HEADER] {
    header_of(version)
}

//! Reading a log by bytes and by lines.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use attest::digest::Digest;
use sha2::{Digest as _, Sha256};
use zstd::bulk::Decompressor;

use super::Kind;
use super::container::{self, BLOCK, BlockIndex, MAGIC, TRAILER, VERSION};
use crate::Error;
use crate::storage::{StorageFile, read_full};

/// Whole lines of a log with their place, as a citation wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// First byte.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
    /// First line, from 1.
    pub line_start: u64,
    /// Last line, inclusive; one less than `line_start` when there are none.
    pub line_end: u64,
    /// The raw bytes, newlines included.
    pub bytes: Vec<u8>,
}

/// An open log. Offsets count raw bytes from 0, lines count from 1.
#[derive(Debug)]
pub struct LogReader {
    file: Box<dyn StorageFile>,
    digest: Digest,
    index: BlockIndex,
    /// Per block, and once more for the end: where its stored bytes begin.
    stored_at: Vec<u64>,
    /// Per block, and once more for the end: newlines before it.
    newlines_at: Vec<u64>,
    desk: Mutex<Desk>,
}

/// Blocks at hand: a page that crosses from one into the next needs both, more than once.
const AT_HAND: usize = 2;

/// What decoding needs, kept from block to block: making it anew costs about as much as a block.
#[derive(Default)]
struct Desk {
    decompressor: Option<Decompressor<'static>>,
    stored: Vec<u8>,
    /// The last used at the end.
    at_hand: Vec<(usize, Arc<Vec<u8>>)>,
}

impl Desk {
    /// The block, if it is at hand; it counts as the last used then.
    fn find(&mut self, number: usize) -> Option<Arc<Vec<u8>>> {
        let place = self.at_hand.iter().position(|(kept, _)| *kept == number)?;
        let found = self.at_hand.remove(place);
        let raw = Arc::clone(&found.1);
        self.at_hand.push(found);
        Some(raw)
    }

    /// Memory for a block's raw bytes: that of the one used longest ago, if nobody reads it.
    fn room(&mut self) -> Vec<u8> {
        let oldest = (self.at_hand.len() >= AT_HAND).then(|| self.at_hand.remove(0));
        let free = oldest.and_then(|(_, raw)| Arc::try_unwrap(raw).ok());
        free.unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.at_hand.iter().map(|(number, _)| number);
        f.debug_list().entries(numbers).finish()
    }
}

impl LogReader {
    pub(super) fn open(file: Box<dyn StorageFile>, digest: Digest) -> Result<LogReader, Error> {
        let damaged = |what: String| Error::EvidenceDamaged {
            kind: Kind::Log.name(),
            digest: digest.clone(),
            what,
        };
        let version = read_version(&*file).map_err(|error| damaged(error.to_string()))?;
        match version {
            Some(version) if version > VERSION => {
                return Err(Error::NewerFormat {
                    what: format!("log {digest}"),
                    found: version.into(),
                    known: VERSION.into(),
                });
            }
            Some(VERSION) => {}
            _ => return Err(damaged("it is no log file".to_owned())),
        }
        let index = read_index(&*file)
            .map_err(|error| damaged(error.to_string()))?
            .map_err(|what| damaged(what.to_owned()))?;
        if index.digest != digest {
            return Err(damaged("it is another log".to_owned()));
        }
        let sums = |start: u64, part: fn(&container::Block) -> u32| {
            let mut sum = start;
            let mut sums = vec![sum];
            sums.extend(index.blocks.iter().map(|block| {
                sum += u64::from(part(block));
                sum
            }));
            sums
        };
        Ok(LogReader {
            stored_at: sums(MAGIC.len() as u64, |block| block.stored),
            newlines_at: sums(0, |block| block.newlines),
            file,
            digest,
            index,
            desk: Mutex::default(),
        })
    }

    /// Digest of the raw bytes.
    pub fn sha256(&self) -> &Digest {
        &self.digest
    }

    /// Raw bytes in all.
    pub fn total_bytes(&self) -> u64 {
        self.index.bytes
    }

    /// Lines in all; an unfinished last one counts.
    pub fn total_lines(&self) -> u64 {
        self.index.lines
    }

    /// At most `length` raw bytes from `offset`; fewer only at the end.
    pub fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        let start = offset.min(self.index.bytes);
        let end = offset.saturating_add(length).min(self.index.bytes);
        let mut bytes = Vec::with_capacity(to_usize(end - start));
        let mut at = start;
        while at < end {
            let (block, within) = place(at);
            let raw = self.block(block)?;
            let until = to_usize(end - at).saturating_add(within).min(raw.len());
            bytes.extend_from_slice(&raw[within..until]);
            at += (until - within) as u64;
        }
        Ok(bytes)
    }

    /// Where line `line` begins; `None` past the last line and for 0.
    pub fn line_to_offset(&self, line: u64) -> Result<Option<u64>, Error> {
        match line {
            0 => Ok(None),
            _ if line > self.index.lines => Ok(None),
            1 => Ok(Some(0)),
            _ => self.after_newline(line - 1).map(Some),
        }
    }

    /// The line that holds the byte at `offset`; `None` past the last byte.
    pub fn offset_to_line(&self, offset: u64) -> Result<Option<u64>, Error> {
        if offset >= self.index.bytes {
            return Ok(None);
        }
        let (block, within) = place(offset);
        let raw = self.block(block)?;
        let newlines = memchr::memchr_iter(b'\n', &raw[..within]).count() as u64;
        Ok(Some(self.newlines_at[block] + newlines + 1))
    }

    /// `count` whole lines from line `first`; fewer only at the end.
    pub fn read_lines(&self, first: u64, count: u64) -> Result<Lines, Error> {
        let line_start = first.max(1);
        let after = line_start.saturating_add(count).min(self.index.lines + 1);
        let offset_of = |line| match self.line_to_offset(line) {
            Ok(offset) => Ok(offset.unwrap_or(self.index.bytes)),
            Err(error) => Err(error),
        };
        let byte_start = offset_of(line_start)?;
        let byte_end = offset_of(after)?.max(byte_start);
        Ok(Lines {
            byte_start,
            byte_end,
            line_start,
            line_end: after.max(line_start) - 1,
            bytes: self.read_range(byte_start, byte_end - byte_start)?,
        })
    }

    /// Reads everything and compares it with the digest.
    pub fn verify(&self) -> Result<(), Error> {
        let mut hash = Sha256::new();
        for block in 0..self.index.blocks.len() {
            hash.update(&*self.block(block)?);
        }
        if Digest::from_bytes(hash.finalize().into()) != self.digest {
            return Err(self.damaged("content has another digest".to_owned()));
        }
        Ok(())
    }

    /// The offset after newline number `number` (from 1), which exists.
    fn after_newline(&self, number: u64) -> Result<u64, Error> {
        // The last block with fewer newlines before it holds this one.
        let block = self.newlines_at.partition_point(|before| *before < number) - 1;
        let raw = self.block(block)?;
        let within = to_usize(number - self.newlines_at[block]) - 1;
        let newline = memchr::memchr_iter(b'\n', &raw).nth(within);
        let newline = newline.ok_or_else(|| self.damaged("its lines are miscounted".to_owned()))?;
        Ok(block as u64 * BLOCK as u64 + newline as u64 + 1)
    }

    /// The raw bytes of a block, verified; the last ones stay at hand.
    fn block(&self, number: usize) -> Result<Arc<Vec<u8>>, Error> {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(raw) = desk.find(number) {
            return Ok(raw);
        }
        let raw = Arc::new(self.load(number, &mut desk)?);
        desk.at_hand.push((number, Arc::clone(&raw)));
        Ok(raw)
    }

    fn load(&self, number: usize, desk: &mut Desk) -> Result<Vec<u8>, Error> {
        let block = &self.index.blocks[number];
        let mut raw = desk.room();
        desk.stored.resize(block.stored as usize, 0);
        let read = read_full(&*self.file, self.stored_at[number], &mut desk.stored);
        let count = read.map_err(|error| self.damaged(error.to_string()))?;
        if count < desk.stored.len() || Sha256::digest(&desk.stored).as_slice() != block.sha256 {
            return Err(self.damaged(format!("block {number} does not match its digest")));
        }
        let broken = |error: io::Error| self.damaged(format!("block {number}: {error}"));
        let decompressor = match &mut desk.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().map_err(broken)?),
        };
        raw.clear();
        let decoded = decompressor.decompress_to_buffer(&desk.stored, &mut raw);
        decoded.map_err(broken)?;
        if raw.len() != block.raw as usize {
            return Err(self.damaged(format!("block {number} has another length")));
        }
        Ok(raw)
    }

    fn damaged(&self, what: String) -> Error {
        Error::EvidenceDamaged {
            kind: Kind::Log.name(),
            digest: self.digest.clone(),
            what,
        }
    }
}

/// Block and offset within it.
fn place(offset: u64) -> (usize, usize) {
    let block = BLOCK as u64;
    (to_usize(offset / block), to_usize(offset % block))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The version, unless the file does not begin as a log.
fn read_version(file: &dyn StorageFile) -> io::Result<Option<u8>> {
    let mut magic = [0; MAGIC.len()];
    let count = read_full(file, 0, &mut magic)?;
    let (version, name) = (magic[7], &magic[..7]);
    Ok((count == magic.len() && *name == MAGIC[..7]).then_some(version))
}

fn read_index(file: &dyn StorageFile) -> io::Result<Result<BlockIndex, &'static str>> {
    let size = file.size()?;
    let Some(trailer_at) = size.checked_sub(TRAILER as u64) else {
        return Ok(Err("it is cut short"));
    };
    let mut trailer = [0; TRAILER];
    read_full(file, trailer_at, &mut trailer)?;
    let length = match container::index_length(&trailer, size) {
        Ok(length) => length,
        Err(what) => return Ok(Err(what)),
    };
    let mut bytes = vec![0; length];
    read_full(file, trailer_at - length as u64, &mut bytes)?;
    Ok(container::decode(&bytes, &trailer, size))
}

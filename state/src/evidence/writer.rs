//! Streaming a log into the store.

use std::io;

use attest::digest::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::blob::{io_error, unfinished};
use super::container::{self, BLOCK, Block, BlockIndex, MAGIC};
use super::{Draft, Kind};
use crate::Error;

/// What a log turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Digest of the raw bytes: the log's id.
    pub digest: Digest,
    /// Raw bytes.
    pub bytes: u64,
    /// Lines; an unfinished last one counts.
    pub lines: u64,
}

/// Takes the raw bytes of a log, in pieces of any size. Dropped unfinished, it leaves nothing.
pub struct LogWriter {
    draft: Draft,
    compressor: zstd::bulk::Compressor<'static>,
    hash: Sha256,
    block: Vec<u8>,
    blocks: Vec<Block>,
    bytes: u64,
    newlines: u64,
    ends_with_newline: bool,
    failed: bool,
}

/// zstd's own default: logs shrink to a tenth and the disk stays the bottleneck.
const LEVEL: i32 = 3;

impl LogWriter {
    pub(super) fn new(mut draft: Draft) -> Result<LogWriter, Error> {
        let compressor =
            zstd::bulk::Compressor::new(LEVEL).map_err(Error::io("compress", &draft.path))?;
        draft.write(MAGIC)?;
        Ok(LogWriter {
            draft,
            compressor,
            hash: Sha256::new(),
            block: Vec::with_capacity(BLOCK),
            blocks: Vec::new(),
            bytes: 0,
            newlines: 0,
            ends_with_newline: true,
            failed: false,
        })
    }

    /// Appends raw bytes. After an error the writer is of no more use.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let result = self.try_append(bytes);
        self.failed |= result.is_err();
        result
    }

    /// Raw bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Publishes the log under its digest, durably.
    pub fn finish(mut self) -> Result<LogEntry, Error> {
        if self.failed {
            return Err(unfinished(&self.draft));
        }
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let entry = LogEntry {
            digest: Digest::from_bytes(self.hash.finalize().into()),
            bytes: self.bytes,
            lines: self.newlines + u64::from(!self.ends_with_newline),
        };
        let index = BlockIndex {
            digest: entry.digest.clone(),
            bytes: entry.bytes,
            lines: entry.lines,
            blocks: self.blocks,
        };
        self.draft.write(&container::encode(&index))?;
        self.draft.publish(&entry.digest, Kind::Log)?;
        Ok(entry)
    }

    fn try_append(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.ends_with_newline = *last == b'\n';
        }
        while !bytes.is_empty() {
            let room = BLOCK - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), Error> {
        let compressed = self.compressor.compress(&self.block);
        let stored = compressed.map_err(Error::io("compress", &self.draft.path))?;
        self.draft.write(&stored)?;
        let newlines = memchr::memchr_iter(b'\n', &self.block).count();
        self.newlines += newlines as u64;
        // All three are at most STORED_CAP.
        self.blocks.push(Block {
            stored: stored.len() as u32,
            raw: self.block.len() as u32,
            newlines: newlines as u32,
            sha256: Sha256::digest(&stored).into(),
        });
        self.block.clear();
        Ok(())
    }
}

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io_error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The file of a log: compressed blocks, then an index of them.
//!
//! `MAGIC | blocks | index | index length u64 | sha256 of the index | END`, little-endian. The
//! index is `digest of the raw bytes | raw bytes u64 | lines u64 | blocks u32`, then per block
//! `stored u32 | raw u32 | newlines u32 | sha256 of the stored bytes`. Blocks hold 1 MiB of raw
//! bytes each (the last one less) as one zstd frame.

use attest::digest::Digest;
use sha2::{Digest as _, Sha256};

/// Raw bytes of a block.
pub(super) const BLOCK: usize = 1 << 20;
/// Stored bytes of a block at most: incompressible input grows a little.
pub(super) const STORED_CAP: u32 = (BLOCK + BLOCK / 8) as u32;
/// The last byte is the version.
pub(super) const MAGIC: &[u8; 8] = b"gl-log\0\x01";
const END: &[u8; 8] = b"gl-end\0\x01";
/// Newest version.
pub(super) const VERSION: u8 = 1;
/// Index length, digest and END.
pub(super) const TRAILER: usize = 8 + 32 + 8;
const FRONT: usize = 32 + 8 + 8 + 4;
const PER_BLOCK: usize = 4 + 4 + 4 + 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stored: u32,
    pub(super) raw: u32,
    pub(super) newlines: u32,
    pub(super) sha256: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockIndex {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) blocks: Vec<Block>,
}

/// Index and trailer, ready to be appended.
pub(super) fn encode(index: &BlockIndex) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRONT + index.blocks.len() * PER_BLOCK + TRAILER);
    bytes.extend_from_slice(index.digest.as_bytes());
    bytes.extend_from_slice(&index.bytes.to_le_bytes());
    bytes.extend_from_slice(&index.lines.to_le_bytes());
    // 2^32 blocks are 4 PiB of log.
    bytes.extend_from_slice(&(index.blocks.len() as u32).to_le_bytes());
    for block in &index.blocks {
        bytes.extend_from_slice(&block.stored.to_le_bytes());
        bytes.extend_from_slice(&block.raw.to_le_bytes());
        bytes.extend_from_slice(&block.newlines.to_le_bytes());
        bytes.extend_from_slice(&block.sha256);
    }
    let sum = Sha256::digest(&bytes);
    let length = bytes.len() as u64;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&sum);
    bytes.extend_from_slice(END);
    bytes
}

/// The length of the index, from the trailer of a file of `size` bytes.
pub(super) fn index_length(trailer: &[u8; TRAILER], size: u64) -> Result<usize, &'static str> {
    let (length, rest) = trailer.split_first_chunk::<8>().ok_or("no trailer")?;
    if rest[32..] != *END {
        return Err("it has no end mark");
    }
    let length = u64::from_le_bytes(*length);
    if length > size.saturating_sub((MAGIC.len() + TRAILER) as u64) {
        return Err("its index is longer than the file");
    }
    usize::try_from(length).map_err(|_| "its index is too long")
}

/// Reads and checks the index that stands before `trailer`.
pub(super) fn decode(
    bytes: &[u8],
    trailer: &[u8; TRAILER],
    size: u64,
) -> Result<BlockIndex, &'static str> {
    if Sha256::digest(bytes).as_slice() != &trailer[8..40] {
        return Err("its index does not match its digest");
    }
    let cut = "its index is cut short";
    let (digest, rest) = bytes.split_first_chunk::<32>().ok_or(cut)?;
    let (total, rest) = rest.split_first_chunk::<8>().ok_or(cut)?;
    let (lines, rest) = rest.split_first_chunk::<8>().ok_or(cut)?;
    let (count, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
    let (entries, odd) = rest.as_chunks::<PER_BLOCK>();
    if !odd.is_empty() || entries.len() as u64 != u64::from(u32::from_le_bytes(*count)) {
        return Err(cut);
    }
    let index = BlockIndex {
        digest: Digest::from_bytes(*digest),
        bytes: u64::from_le_bytes(*total),
        lines: u64::from_le_bytes(*lines),
        blocks: entries.iter().map(decode_block).collect(),
    };
    let around = (bytes.len() + MAGIC.len() + TRAILER) as u64;
    check_sums(&index, size.checked_sub(around).ok_or(cut)?)?;
    Ok(index)
}

fn decode_block(entry: &[u8; PER_BLOCK]) -> Block {
    let word =
        |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(&entry[12..]);
    Block {
        stored: word(0),
        raw: word(4),
        newlines: word(8),
        sha256,
    }
}

/// Every block but the last is full, and the parts add up.
fn check_sums(index: &BlockIndex, stored: u64) -> Result<(), &'static str> {
    let last = index.blocks.len().saturating_sub(1);
    let full = index.blocks.iter().take(last);
    let sizes_hold = full.clone().all(|block| block.raw as usize == BLOCK)
        && index.blocks.iter().all(|block| {
            (1..=BLOCK).contains(&(block.raw as usize))
                && block.stored <= STORED_CAP
                && block.newlines <= block.raw
        });
    let sum = |part: fn(&Block) -> u32| {
        index
            .blocks
            .iter()
            .map(|block| u64::from(part(block)))
            .sum::<u64>()
    };
    let newlines = sum(|block| block.newlines);
    let lines_hold = index.lines == newlines || index.lines == newlines + 1;
    if sizes_hold
        && lines_hold
        && sum(|block| block.raw) == index.bytes
        && sum(|block| block.stored) == stored
    {
        Ok(())
    } else {
        Err("its index does not add up")
    }
}

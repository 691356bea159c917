//! Bytes of the simulated regions.

use std::collections::BTreeMap;

use super::seen::Write;
use crate::ir::{ByteRange, Region, RegionSize};

/// What every region holds when no stream is being played.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(BTreeMap<Region, Vec<u8>>);

impl Memory {
    /// Gives regions at least these sizes; new bytes are zero.
    pub(super) fn grow(&mut self, sizes: &[RegionSize]) {
        for size in sizes {
            let bytes = self.0.entry(size.region).or_default();
            if (bytes.len() as u64) < size.bytes {
                bytes.resize(size.bytes as usize, 0);
            }
        }
    }

    /// Bytes of a range; zeros where the region is smaller.
    pub(super) fn read(&self, range: &ByteRange) -> Vec<u8> {
        let held = self.0.get(&range.region).map_or(&[][..], Vec::as_slice);
        let held = held.get(range.offset as usize..).unwrap_or_default();
        let mut bytes = held[..held.len().min(range.len as usize)].to_vec();
        bytes.resize(range.len as usize, 0);
        bytes
    }

    /// Writes the parts of `bytes`, which start at `offset` of a region.
    pub(super) fn write(&mut self, region: Region, parts: &[ByteRange], offset: u64, bytes: &[u8]) {
        let held = self.0.entry(region).or_default();
        for part in parts {
            let from = (part.offset - offset) as usize;
            let target = held.get_mut(part.offset as usize..part.end() as usize);
            let source = bytes.get(from..from + part.len as usize);
            if let (Some(target), Some(source)) = (target, source) {
                target.copy_from_slice(source);
            }
        }
    }
}

/// Lays the bytes of a write, inside `part`, over the bytes of `range`.
pub(super) fn overlay(
    bytes: &mut [u8],
    range: &ByteRange,
    part: &ByteRange,
    write: &Write,
    written: &[u8],
) {
    for kept in &write.kept {
        let start = kept.offset.max(part.offset).max(range.offset);
        let end = kept.end().min(part.end()).min(range.end());
        if start >= end {
            continue;
        }
        let to = (start - range.offset) as usize..(end - range.offset) as usize;
        let from = (start - write.range.offset) as usize..(end - write.range.offset) as usize;
        if let (Some(to), Some(from)) = (bytes.get_mut(to), written.get(from)) {
            to.copy_from_slice(from);
        }
    }
}

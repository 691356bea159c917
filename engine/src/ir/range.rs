//! Buffers and byte ranges.

use serde::Serialize;

/// Every placement starts on a multiple of this many bytes, the largest
/// `minStorageBufferOffsetAlignment` that Vulkan allows a device to ask for.
pub const ALIGNMENT: u64 = 256;

/// Rounds `bytes` up to [`ALIGNMENT`]; `None` on overflow.
pub fn align_up(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(ALIGNMENT)
}

/// A buffer of the device, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Chunk of model weights, at most 128 MiB, never written after upload.
    Weights(u16),
    /// Activations and input leaves, placed by the planner.
    Arena,
    /// What lives from pass to pass: key and value caches.
    State,
    /// Host-visible memory that the host writes and copies read.
    Staging,
    /// Host-visible memory that copies write and the host reads.
    Readback,
    /// Private target of noop dispatches.
    Dummy,
}

impl Region {
    /// Name in markers and dumps, without the chunk number.
    pub const fn name(self) -> &'static str {
        match self {
            Region::Weights(_) => "weights",
            Region::Arena => "arena",
            Region::State => "state",
            Region::Staging => "staging",
            Region::Readback => "readback",
            Region::Dummy => "dummy",
        }
    }
}

/// Half-open range of bytes in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ByteRange {
    /// Buffer.
    pub region: Region,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl ByteRange {
    /// A range of `len` bytes from `offset`.
    pub const fn new(region: Region, offset: u64, len: u64) -> Self {
        ByteRange {
            region,
            offset,
            len,
        }
    }

    /// First byte behind the range.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Whether the ranges share at least one byte.
    pub fn overlaps(&self, other: &ByteRange) -> bool {
        self.region == other.region && self.offset < other.end() && other.offset < self.end()
    }

    /// Whether every byte of `other` lies in this range.
    pub fn contains(&self, other: &ByteRange) -> bool {
        self.region == other.region && self.offset <= other.offset && other.end() <= self.end()
    }
}

impl std::fmt::Display for ByteRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.region {
            Region::Weights(chunk) => write!(f, "weights{chunk}")?,
            region => f.write_str(region.name())?,
        }
        write!(f, "[{}..{}]", self.offset, self.end())
    }
}

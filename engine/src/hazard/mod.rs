//! Judges a command stream without a device.
//!
//! [`check`] follows every byte range through the stream with Vulkan's rules of execution and memory dependencies
//! (Vulkan 1.2, chapter 7), semaphores between queues included, and reports accesses that nothing orders, host accesses that race the device, and reads
//! of bytes that another tensor, or nobody, has written last. It shares no code with the recorder's barrier placement.

mod contents;
mod ordering;
mod queues;

use serde::Serialize;

use crate::ir::{ByteRange, CommandIr};

use contents::Contents;
use ordering::Ordering;

/// What is wrong between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HazardKind {
    /// A read that may see memory before an earlier write.
    ReadAfterWrite,
    /// A write that may overtake an earlier read.
    WriteAfterRead,
    /// Writes that may end in either order.
    WriteAfterWrite,
    /// The host touches bytes that the device may still use.
    HostAccessInFlight,
    /// The host reads device writes that no barrier showed to it.
    NotVisibleToHost,
    /// A read finds bytes of another tensor.
    Clobbered,
    /// A read of arena bytes that nothing has written.
    Unwritten,
    /// A command that no submit follows.
    NeverSubmitted,
}

impl HazardKind {
    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            HazardKind::ReadAfterWrite => "read_after_write",
            HazardKind::WriteAfterRead => "write_after_read",
            HazardKind::WriteAfterWrite => "write_after_write",
            HazardKind::HostAccessInFlight => "host_access_in_flight",
            HazardKind::NotVisibleToHost => "not_visible_to_host",
            HazardKind::Clobbered => "clobbered",
            HazardKind::Unwritten => "unwritten",
            HazardKind::NeverSubmitted => "never_submitted",
        }
    }
}

/// A command of the judged stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct CommandRef {
    /// Index in the stream.
    pub index: usize,
    /// Its name.
    pub name: String,
}

/// Something wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// What.
    pub kind: HazardKind,
    /// Earlier command; `None` when there is none.
    pub first: Option<CommandRef>,
    /// Later command.
    pub second: CommandRef,
    /// Bytes that both touch.
    pub range: ByteRange,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.first.as_ref().map_or("none", |first| &first.name);
        write!(
            f,
            "{}: {first} and {} on {}",
            self.kind.name(),
            self.second.name,
            self.range
        )
    }
}

/// All findings, in stream order.
pub fn check(ir: &CommandIr) -> Vec<Finding> {
    let mut ordering = Ordering::new(ir);
    let mut contents = Contents::default();
    let mut found = Vec::new();
    for (index, command) in ir.commands.iter().enumerate() {
        let raw = ordering
            .step(index, command)
            .into_iter()
            .chain(contents.step(index, command));
        found.extend(raw.map(|raw| raw.finding(ir)));
    }
    found.extend(ordering.finish().into_iter().map(|raw| raw.finding(ir)));
    found
}

/// A finding before its commands are named.
#[derive(Debug, Clone, Copy)]
struct Raw {
    kind: HazardKind,
    first: Option<usize>,
    second: usize,
    range: ByteRange,
}

impl Raw {
    fn finding(self, ir: &CommandIr) -> Finding {
        let name = |index: usize| CommandRef {
            index,
            name: ir.commands[index].name(),
        };
        Finding {
            kind: self.kind,
            first: self.first.map(name),
            second: name(self.second),
            range: self.range,
        }
    }
}

/// The bytes that two overlapping ranges share.
fn shared(a: &ByteRange, b: &ByteRange) -> ByteRange {
    let offset = a.offset.max(b.offset);
    ByteRange::new(
        a.region,
        offset,
        a.end().min(b.end()).saturating_sub(offset),
    )
}

/// The parts of `range` outside `hole`.
fn without(range: &ByteRange, hole: &ByteRange) -> Vec<ByteRange> {
    let before = ByteRange::new(
        range.region,
        range.offset,
        hole.offset.saturating_sub(range.offset).min(range.len),
    );
    let start = hole.end().clamp(range.offset, range.end());
    let after = ByteRange::new(range.region, start, range.end() - start);
    [before, after]
        .into_iter()
        .filter(|part| part.len > 0)
        .collect()
}

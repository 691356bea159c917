//! One pass over the raw bytes of a log.
//!
//! Bytes → lines (stamp, byte order mark, ANSI and CR taken off, offsets kept) → echoed scripts skipped → libtest's
//! own lines told apart from a test's output → tags, line starts and phrases looked up → typed rows.
//!
//! Most lines are noise. Whole lines are therefore read where they stand: one search for phrases over all of them,
//! one look at the first byte of each message, and only what can be a row goes further.

mod clean;
mod libtest;
mod lines;
mod reader;
mod report;
mod row;
mod rows;
mod streams;

pub use report::{Diagnostic, Scan};
pub use row::RowRef;

use crate::{Catalogue, Observation};
use reader::Reader;
use row::{Each, Sink};

/// Bytes of a line that are held at once; a longer line is read in overlapping segments.
const SEGMENT: usize = 1 << 20;
/// Bytes that two segments share, so that no phrase is cut.
const OVERLAP: usize = 8 << 10;

/// Scans a whole log.
#[must_use]
pub fn scan(catalogue: &Catalogue, log: &[u8]) -> Scan {
    let mut scanner = Scanner::new(catalogue);
    scanner.push(log);
    scanner.finish()
}

/// A scan in progress. Feed it chunks of any size; what it yields does not depend on where they are cut.
#[derive(Debug)]
pub struct Scanner<'c> {
    reader: Reader<'c>,
    /// Bytes of the open line that are not read yet.
    buffer: Vec<u8>,
    /// Raw offset of `buffer`'s first byte.
    buffer_start: u64,
    /// Segments of the open line that were read already.
    segments: u64,
    /// Raw offset of the open line.
    line_start: u64,
}

impl<'c> Scanner<'c> {
    /// A scanner for a log from its first byte.
    #[must_use]
    pub fn new(catalogue: &'c Catalogue) -> Self {
        Self::at(catalogue, 0, 1, false)
    }

    /// A scanner for the end of a log, from the start of line `line` (1-based) at raw offset `offset`.
    /// What may stand inside an echoed script that began before the window is not believed, and telemetry that
    /// began before the window is no gap.
    #[must_use]
    pub fn window(catalogue: &'c Catalogue, offset: u64, line: u64) -> Self {
        Self::at(catalogue, offset, line, true)
    }

    fn at(catalogue: &'c Catalogue, offset: u64, line: u64, window: bool) -> Self {
        Self {
            reader: Reader::new(catalogue, line, window),
            buffer: Vec::new(),
            buffer_start: offset,
            segments: 0,
            line_start: offset,
        }
    }

    /// Reads the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rows = std::mem::take(&mut self.reader.out.observations);
        self.read(bytes, &mut rows);
        self.reader.out.observations = rows;
    }

    /// Reads the next bytes and calls `each` with every row instead of keeping it, which costs no memory.
    /// For whole logs: rows that a window later disowns were given out by then.
    pub fn push_each(&mut self, bytes: &[u8], each: impl FnMut(&RowRef<'_>)) {
        self.read(bytes, &mut Each(each));
    }

    /// 1-based number of the line that the next byte belongs to.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.reader.line_number()
    }

    /// Takes the observations made so far, in log order, so that a long log needs little memory.
    #[must_use]
    pub fn take_observations(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.reader.out.observations)
    }

    /// Ends the log. Observations already taken are not repeated.
    #[must_use]
    pub fn finish(mut self) -> Scan {
        let mut rows = std::mem::take(&mut self.reader.out.observations);
        self.end(&mut rows);
        self.reader.out.observations = rows;
        self.reader.finish()
    }

    /// Ends the log and calls `each` with the rows of a last line without a newline.
    #[must_use]
    pub fn finish_each(mut self, each: impl FnMut(&RowRef<'_>)) -> Scan {
        self.end(&mut Each(each));
        self.reader.finish()
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        if !self.buffer.is_empty() || self.segments > 0 {
            self.end_line(0, sink);
        }
    }

    fn read(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        self.reader.out.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.buffer.is_empty() && self.segments == 0 {
                bytes = self.whole_lines(bytes, sink);
                if bytes.is_empty() {
                    return;
                }
            }
            bytes = self.part(bytes, sink);
        }
    }

    /// Reads the lines that stand in `bytes` as a whole and returns what follows them.
    fn whole_lines<'b>(&mut self, bytes: &'b [u8], sink: &mut dyn Sink) -> &'b [u8] {
        let end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let block = bytes.get(..end).unwrap_or(&[]);
        let read = lines::read(&mut self.reader, block, self.line_start, sink);
        self.line_start += read as u64;
        self.buffer_start = self.line_start;
        bytes.get(read..).unwrap_or(&[])
    }

    /// Adds to the open line, up to its end or to the end of a segment, and returns what follows.
    fn part<'b>(&mut self, bytes: &'b [u8], sink: &mut dyn Sink) -> &'b [u8] {
        let room = SEGMENT - self.buffer.len();
        let reach = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        let newline = memchr::memchr(b'\n', reach);
        let (taken, rest) = bytes.split_at(newline.unwrap_or(reach.len()));
        self.buffer.extend_from_slice(taken);
        if newline.is_some() {
            self.end_line(1, sink);
            return rest.get(1..).unwrap_or(&[]);
        }
        if self.buffer.len() == SEGMENT {
            self.end_segment(sink);
        }
        rest
    }

    fn end_line(&mut self, newline: u64, sink: &mut dyn Sink) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let end = self.buffer_start + buffer.len() as u64;
        if self.segments > 0 {
            let bytes = end - self.line_start;
            self.reader.long_line(bytes);
            self.reader
                .continuation(&buffer, self.buffer_start, buffer.len(), sink);
        } else {
            self.reader.line(&buffer, self.buffer_start, false, sink);
        }
        buffer.clear();
        self.buffer = buffer;
        self.segments = 0;
        self.reader.end_line();
        self.line_start = end + newline;
        self.buffer_start = self.line_start;
    }

    fn end_segment(&mut self, sink: &mut dyn Sink) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let keep = buffer.len() - OVERLAP;
        if self.segments == 0 {
            self.reader.line(&buffer, self.buffer_start, true, sink);
        } else {
            self.reader
                .continuation(&buffer, self.buffer_start, keep, sink);
        }
        buffer.drain(..keep);
        self.buffer = buffer;
        self.buffer_start += keep as u64;
        self.segments += 1;
    }
}

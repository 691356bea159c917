//! Whole lines, read where they stand.

use super::SEGMENT;
use super::clean;
use super::reader::{Noise, Reader};
use super::row::Sink;
use crate::catalogue::Index;

/// Bytes whose phrases are looked for at once; they stay in the processor's cache until their lines are read.
const WINDOW: usize = 64 << 10;
/// Bytes beyond a line that are searched for phrases at first, where the line before was searched too.
const AHEAD: usize = 512;
const ESC: u8 = 0x1b;

/// Reads the lines of `block`, which ends with a newline and begins at raw offset `start`. Returns the bytes read:
/// all, or those before a line that is too long to be held.
pub(super) fn read(
    reader: &mut Reader<'_>,
    block: &[u8],
    start: u64,
    sink: &mut dyn Sink,
) -> usize {
    let mut at = 0;
    while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
        let reach = rest.get(..WINDOW.min(rest.len())).unwrap_or(rest);
        let end = memchr::memrchr(b'\n', reach).or_else(|| memchr::memchr(b'\n', rest));
        let Some(end) = end.filter(|end| *end < SEGMENT || reach.contains(&b'\n')) else {
            return at;
        };
        let window = rest.get(..=end).unwrap_or(rest);
        lines(reader, window, start + at as u64, sink);
        at += window.len();
    }
    at
}

/// The first escape sequence or CR at or after the line that is read.
struct Odd {
    at: usize,
}

impl Odd {
    /// Whether there is one in `from..to`.
    fn is_in(&mut self, window: &[u8], from: usize, to: usize) -> bool {
        if self.at < from {
            self.at = Self::find(window, from);
        }
        self.at < to
    }

    fn find(window: &[u8], from: usize) -> usize {
        let rest = window.get(from..).unwrap_or(&[]);
        memchr::memchr2(ESC, b'\r', rest).map_or(usize::MAX, |at| from + at)
    }
}

/// Where phrases stand in a window, looked for no further than lines ask.
///
/// Where nearly every line is noise, one search runs over all of them; where nearly every line is a row, which holds
/// no phrase, none is searched but the others.
pub(super) struct Phrases<'w> {
    index: &'w Index,
    window: &'w [u8],
    /// The first needle at or after the last line asked for, if it stands before `until`.
    at: Option<usize>,
    /// How far was searched.
    until: usize,
    /// How far the next search goes beyond its line.
    ahead: usize,
}

impl<'w> Phrases<'w> {
    fn new(index: &'w Index, window: &'w [u8]) -> Self {
        Self {
            index,
            window,
            at: None,
            until: 0,
            ahead: 0,
        }
    }

    /// Whether a phrase's needle begins in `from..to`. Lines are asked for in order.
    pub(super) fn stand_in(&mut self, from: usize, to: usize) -> bool {
        if self.at.is_some_and(|at| at >= from) {
            return self.at < Some(to);
        }
        if to <= self.until && self.at.is_none() {
            return false;
        }
        self.ahead = if from <= self.until {
            (self.ahead * 2).clamp(AHEAD, WINDOW)
        } else {
            0
        };
        let reach = (to + self.ahead).min(self.window.len());
        self.at = self.index.next_needle(self.window, from, reach);
        self.until = reach;
        self.at.is_some_and(|at| at < to)
    }
}

fn lines(reader: &mut Reader<'_>, window: &[u8], start: u64, sink: &mut dyn Sink) {
    let mut phrases = Phrases::new(reader.index(), window);
    let mut odd = Odd {
        at: Odd::find(window, 0),
    };
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', window) {
        let line = window.get(from..end).unwrap_or(&[]);
        let crlf = |at: usize| at + 1 == end && line.ends_with(b"\r");
        if odd.is_in(window, from, end) && !crlf(odd.at) {
            reader.line(line, start + from as u64, false, sink);
        } else if let Some(piece) = clean::one(line, start + from as u64) {
            let first = piece.bytes().first();
            if first.is_some_and(|first| reader.can_matter(*first)) {
                reader.message(&piece, Noise::Ask(&mut phrases, from, end), sink);
            } else if phrases.stand_in(from, end) {
                reader.message(&piece, Noise::No, sink);
            }
        }
        reader.end_line();
        from = end + 1;
    }
}

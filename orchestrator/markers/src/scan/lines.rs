//! Whole lines, read where they stand.

use super::SEGMENT;
use super::clean;
use super::reader::{Noise, Reader};
use super::row::Sink;

/// Bytes whose phrases are looked for at once; they stay in the processor's cache until their lines are read.
const WINDOW: usize = 64 << 10;
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

/// Next place of something at or after a line, looked for only when the place before it is passed.
struct Next {
    at: usize,
}

impl Next {
    /// Whether there is one in `from..to`; `find` looks for the first at or after an offset.
    fn is_in(&mut self, from: usize, to: usize, find: impl FnOnce(usize) -> Option<usize>) -> bool {
        if self.at < from {
            self.at = find(from).unwrap_or(usize::MAX);
        }
        self.at < to
    }
}

fn lines(reader: &mut Reader<'_>, window: &[u8], start: u64, sink: &mut dyn Sink) {
    let index = reader.index();
    let first = |find: Option<usize>| Next {
        at: find.unwrap_or(usize::MAX),
    };
    let mut needle = first(index.next_needle(window, 0));
    let odd_from = |from: usize| {
        let rest = window.get(from..)?;
        Some(from + memchr::memchr2(ESC, b'\r', rest)?)
    };
    let mut odd = first(odd_from(0));
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', window) {
        let line = window.get(from..end).unwrap_or(&[]);
        let odd = odd.is_in(from, end, odd_from);
        let needle = needle.is_in(from, end, |at| index.next_needle(window, at));
        if odd || needle || can_matter(reader, line) {
            let offset = start + from as u64;
            let crlf = || {
                let first = memchr::memchr2(ESC, b'\r', line).map(|at| at + 1);
                first == Some(line.len()) && line.ends_with(b"\r")
            };
            let plain = !odd || crlf();
            let noise = if needle { Noise::No } else { Noise::Phraseless };
            match clean::one(line, offset).filter(|_| plain) {
                Some(piece) => reader.message(&piece, noise, sink),
                None => reader.line(line, offset, false, sink),
            }
        }
        reader.end_line();
        from = end + 1;
    }
}

/// Whether the line, taken without its stamp, can be anything but noise.
fn can_matter(reader: &Reader<'_>, line: &[u8]) -> bool {
    let Some(first) = line.first() else {
        return false;
    };
    if first.is_ascii_digit() {
        return match clean::stamp_len(line) {
            Some(stamp) => line
                .get(stamp)
                .is_some_and(|first| reader.can_matter(*first)),
            None => reader.can_matter(*first),
        };
    }
    reader.can_matter(*first)
}

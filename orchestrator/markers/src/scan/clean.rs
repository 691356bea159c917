//! A raw line as messages: forge stamp, byte order marks, ANSI sequences and CR taken off, raw offsets kept.
//!
//! Stamp: `YYYY-MM-DDTHH:MM:SS.fffffffZ ` as GitHub writes it before each write of a job's log.

use std::borrow::Cow;

use crate::words::{has_shape, load};

const BOM: &[u8] = b"\xEF\xBB\xBF";
const ESC: u8 = 0x1b;

/// One message and where its bytes stand in the raw log.
#[derive(Debug)]
pub(super) struct Piece<'b> {
    bytes: Cow<'b, [u8]>,
    /// Raw offset of the first byte.
    start: u64,
    /// Raw offset of the end.
    end: u64,
    /// Distance of each byte from `start`, kept only where sequences were taken out.
    map: Option<Vec<u32>>,
}

impl Piece<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        // Nearly every message is valid, and saying so is far cheaper than looking for what is not.
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.bytes),
        }
    }

    pub(super) fn raw_offset(&self, at: usize) -> u64 {
        let distance = match &self.map {
            Some(map) => map.get(at).map_or(self.end - self.start, |d| u64::from(*d)),
            None => at as u64,
        };
        self.start + distance
    }

    pub(super) fn raw_end(&self) -> u64 {
        self.end
    }

    /// The rest of the message from byte `at`.
    pub(super) fn from(&self, at: usize) -> Piece<'_> {
        let at = at.min(self.bytes.len());
        let start = self.raw_offset(at);
        let skipped = u32::try_from(start - self.start).unwrap_or(u32::MAX);
        Piece {
            bytes: Cow::Borrowed(self.bytes.get(at..).unwrap_or(&[])),
            start,
            end: self.end,
            map: self.map.as_ref().map(|map| {
                map.get(at..)
                    .unwrap_or(&[])
                    .iter()
                    .map(|d| d.saturating_sub(skipped))
                    .collect()
            }),
        }
    }
}

/// The message of a raw line that holds no escape sequence and no CR but at its end. `None` for an empty one.
pub(super) fn one(raw: &[u8], start: u64) -> Option<Piece<'_>> {
    let body = message_of(raw);
    let skipped = raw.len() - body.len();
    let end = body.iter().rposition(|b| *b != b'\r')? + 1;
    Some(self::raw(body.get(..end)?, start + skipped as u64))
}

/// The messages of one raw line. A bare CR inside a line starts another, as on a terminal.
pub(super) fn pieces(raw: &[u8], start: u64) -> Vec<Piece<'_>> {
    let body = message_of(raw);
    let skipped = raw.len() - body.len();
    let mut at = start + skipped as u64;
    let mut pieces = Vec::new();
    let mut rest = Some(body);
    while let Some(body) = rest {
        let cut = memchr::memchr(b'\r', body);
        let part = body.get(..cut.unwrap_or(body.len())).unwrap_or(&[]);
        rest = cut.and_then(|cut| body.get(cut + 1..));
        if !part.is_empty() {
            pieces.push(plain(part, at));
        }
        at += part.len() as u64 + 1;
    }
    pieces
}

/// A raw line without byte order marks and stamp.
#[inline]
fn message_of(raw: &[u8]) -> &[u8] {
    let mut body = raw;
    strip_marks(&mut body);
    if let Some(stamp) = stamp_len(body) {
        body = body.get(stamp..).unwrap_or(&[]);
    }
    strip_marks(&mut body);
    body
}

/// Bytes as they are, for the later parts of a long line.
pub(super) fn raw(bytes: &[u8], start: u64) -> Piece<'_> {
    Piece {
        bytes: Cow::Borrowed(bytes),
        start,
        end: start + bytes.len() as u64,
        map: None,
    }
}

fn plain(part: &[u8], start: u64) -> Piece<'_> {
    if memchr::memchr(ESC, part).is_none() {
        return raw(part, start);
    }
    let (mut bytes, mut map, mut at) = (
        Vec::with_capacity(part.len()),
        Vec::with_capacity(part.len()),
        0,
    );
    while let Some(byte) = part.get(at) {
        match part.get(at..).and_then(escape_len) {
            Some(len) => at += len,
            None => {
                bytes.push(*byte);
                map.push(u32::try_from(at).unwrap_or(u32::MAX));
                at += 1;
            }
        }
    }
    Piece {
        bytes: Cow::Owned(bytes),
        start,
        end: start + part.len() as u64,
        map: Some(map),
    }
}

/// Length of the escape sequence that begins `bytes`: CSI, OSC, or ESC and one byte.
fn escape_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&ESC) {
        return None;
    }
    let end = match bytes.get(1) {
        Some(b'[') => bytes
            .iter()
            .skip(2)
            .position(|b| (0x40..=0x7e).contains(b))
            .map(|at| at + 3),
        Some(b']') => bytes
            .iter()
            .skip(2)
            .position(|b| *b == 0x07 || *b == b'\\')
            .map(|at| at + 3),
        Some(_) => Some(2),
        None => Some(1),
    };
    Some(end.unwrap_or(1))
}

fn strip_marks(body: &mut &[u8]) {
    while let Some(rest) = body.strip_prefix(BOM) {
        *body = rest;
    }
}

/// Length of the stamp at the start of `line`, its space included.
fn stamp_len(line: &[u8]) -> Option<usize> {
    let word = |at: usize| load(line, at);
    if !has_shape(word(0), *b"dddd-dd-") || !has_shape(word(8), *b"ddTdd:dd") {
        return None;
    }
    // GitHub writes seven digits of a second.
    if has_shape(word(16), *b":dd.dddd") && has_shape(word(21), *b"ddddddZ ") {
        return Some(29);
    }
    if !matches!(line.get(16..19)?, [b':', ten, one] if ten.is_ascii_digit() && one.is_ascii_digit())
    {
        return None;
    }
    let mut at = 19;
    if let Some((b'.', fraction)) = line.get(at..)?.split_first() {
        at += 1 + fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    }
    match line.get(at..)? {
        [b'Z', b' ', ..] => Some(at + 2),
        [b'Z'] => Some(at + 1),
        _ => None,
    }
}

//! One pass over the raw bytes of a log.
//!
//! Bytes → lines (stamp, byte order mark, ANSI and CR taken off, offsets kept) → echoed scripts skipped → libtest's
//! own lines told apart from a test's output → tags, line starts and phrases looked up → typed rows.

mod clean;
mod libtest;
mod report;
mod rows;
mod streams;

pub use report::{Diagnostic, Scan};

use crate::{Catalogue, Observation, Span};
use clean::Piece;
use libtest::{Libtest, Reading};
use streams::Streams;

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
    catalogue: &'c Catalogue,
    /// Bytes of the open line that are not read yet.
    buffer: Vec<u8>,
    /// Raw offset of `buffer`'s first byte.
    buffer_start: u64,
    /// Segments of the open line that were read already.
    segments: u64,
    /// Raw offset of the open line.
    line_start: u64,
    /// 1-based number of the open line.
    line: u64,
    window: bool,
    group: Group,
    libtest: Libtest,
    streams: Streams,
    out: Scan,
}

/// Where the open line stands among the forge's log groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// No group line seen yet.
    Unseen,
    /// Outside of an echoed script.
    Output,
    /// Inside `##[group]Run …`: the script itself, which is not telemetry.
    Echo,
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
            catalogue,
            buffer: Vec::new(),
            buffer_start: offset,
            segments: 0,
            line_start: offset,
            line,
            window,
            group: Group::Unseen,
            libtest: if window {
                Libtest::window()
            } else {
                Libtest::default()
            },
            streams: Streams::new(window),
            out: Scan::new(catalogue.digest()),
        }
    }

    /// Reads the next bytes of the log.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.out.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = SEGMENT - self.buffer.len();
            let end = memchr::memchr(b'\n', bytes.get(..room.min(bytes.len())).unwrap_or(bytes));
            let (taken, rest) = bytes.split_at(end.unwrap_or_else(|| room.min(bytes.len())));
            self.buffer.extend_from_slice(taken);
            bytes = rest;
            if end.is_some() {
                bytes = bytes.get(1..).unwrap_or(&[]);
                self.end_line(1);
            } else if self.buffer.len() == SEGMENT {
                self.end_segment();
            }
        }
    }

    /// Takes the observations made so far, in log order, so that a long log needs little memory.
    #[must_use]
    pub fn take_observations(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.out.observations)
    }

    /// Ends the log. Observations already taken are not repeated.
    #[must_use]
    pub fn finish(mut self) -> Scan {
        if !self.buffer.is_empty() || self.segments > 0 {
            self.end_line(0);
        }
        if let Some(test) = self.libtest.unfinished() {
            self.out.diagnose(Diagnostic::NoOutcome {
                test,
                line: self.line.saturating_sub(1),
            });
        }
        self.streams.finish(&mut self.out);
        self.out
    }

    fn end_line(&mut self, newline: u64) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let end = self.buffer_start + buffer.len() as u64;
        if self.segments > 0 {
            self.out.diagnose(Diagnostic::LongLine {
                line: self.line,
                bytes: end - self.line_start,
            });
            self.read_continuation(&buffer, buffer.len());
        } else {
            for piece in clean::pieces(&buffer, self.buffer_start) {
                self.message(&piece, false);
            }
        }
        buffer.clear();
        self.buffer = buffer;
        self.segments = 0;
        self.line += 1;
        self.out.lines += 1;
        self.line_start = end + newline;
        self.buffer_start = self.line_start;
    }

    fn end_segment(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let keep = buffer.len() - OVERLAP;
        if self.segments == 0 {
            for piece in clean::pieces(&buffer, self.buffer_start) {
                self.message(&piece, true);
            }
        } else {
            self.read_continuation(&buffer, keep);
        }
        buffer.drain(..keep);
        self.buffer = buffer;
        self.buffer_start += keep as u64;
        self.segments += 1;
    }

    /// A later part of a long line: only phrases can stand there. Those past `until` belong to the next part.
    fn read_continuation(&mut self, bytes: &[u8], until: usize) {
        if self.group == Group::Echo {
            return;
        }
        let piece = clean::raw(bytes, self.buffer_start);
        for row in rows::phrases(self.catalogue, &piece, until) {
            self.emit(row, &piece);
        }
    }

    fn message(&mut self, piece: &Piece<'_>, cut: bool) {
        if let Some(rest) = piece.bytes().strip_prefix(b"##[") {
            self.group_line(rest);
        }
        if self.group == Group::Echo {
            return;
        }
        match self.libtest.read(self.catalogue, piece) {
            Reading::Plain => self.rows(piece, cut),
            Reading::Prose => {}
            Reading::Outcome(row) => self.emit(row, piece),
            Reading::Opened {
                output_at,
                unfinished,
            } => {
                if let Some(test) = unfinished {
                    self.out.diagnose(Diagnostic::NoOutcome {
                        test,
                        line: self.line,
                    });
                }
                let output = piece.from(output_at);
                if !output.bytes().is_empty() {
                    self.rows(&output, cut);
                }
            }
        }
    }

    fn group_line(&mut self, rest: &[u8]) {
        if rest.starts_with(b"group]") {
            let echo = rest.starts_with(b"group]Run ");
            self.group = if echo { Group::Echo } else { Group::Output };
        } else if rest.starts_with(b"endgroup]") {
            if self.window && self.group == Group::Unseen {
                self.discard();
            }
            self.group = Group::Output;
        }
    }

    /// The window began inside a group whose kind is unknown: nothing seen so far can be believed.
    fn discard(&mut self) {
        let dropped = self.out.discard();
        if dropped > 0 {
            self.out.diagnose(Diagnostic::WindowInGroup {
                line: self.line,
                rows: dropped,
            });
        }
        self.libtest = Libtest::window();
        self.streams = Streams::new(self.window);
    }

    fn rows(&mut self, piece: &Piece<'_>, cut: bool) {
        let until = if cut {
            piece.bytes().len().saturating_sub(OVERLAP)
        } else {
            piece.bytes().len()
        };
        match rows::tagged(self.catalogue, piece, cut) {
            Some(Ok(row)) => self.emit(row, piece),
            Some(Err((marker, reason))) => {
                let kind = self
                    .catalogue
                    .markers()
                    .get(marker)
                    .map_or_else(String::new, |m| m.name.clone());
                let span = self.span(piece, 0);
                self.out.diagnose(Diagnostic::BadGrammar {
                    kind,
                    line: self.line,
                    span,
                    reason,
                });
            }
            None => {
                let starts = if cut {
                    Vec::new()
                } else {
                    rows::starts(self.catalogue, &piece.text())
                };
                for row in starts
                    .into_iter()
                    .chain(rows::phrases(self.catalogue, piece, until))
                {
                    self.emit(row, piece);
                }
            }
        }
    }

    fn span(&self, piece: &Piece<'_>, at: usize) -> Span {
        Span {
            start: piece.raw_offset(at),
            end: piece.raw_end(),
        }
    }

    fn emit(&mut self, row: rows::Row, piece: &Piece<'_>) {
        let Some(marker) = self.catalogue.markers().get(row.marker) else {
            return;
        };
        let observation = Observation {
            kind: marker.name.clone(),
            fields: row.fields,
            span: self.span(piece, row.at),
            line: self.line,
            test: row.test.or_else(|| self.libtest.current()),
        };
        for key in row.unknown {
            self.out.diagnose(Diagnostic::UnknownField {
                kind: marker.name.clone(),
                field: key,
                line: self.line,
            });
        }
        self.streams.note(marker, &observation, &mut self.out);
        self.out.observe(observation);
    }
}

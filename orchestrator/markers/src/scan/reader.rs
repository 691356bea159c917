//! Messages in log order, and what has to be remembered between them.

use std::collections::BTreeMap;

use super::OVERLAP;
use super::clean::{self, Piece};
use super::libtest::{Libtest, Reading};
use super::lines::Phrases;
use super::report::{Diagnostic, Scan};
use super::row::{Fields, RowRef, Sink};
use super::rows::{self, Row};
use super::streams::{Line, Streams};
use crate::catalogue::{Index, Opened, Scratch, first_word};
use crate::{Catalogue, Marker, Span, Value};

/// Longest name of a block that is kept.
const MAX_BLOCK: usize = 512;

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

/// What is known of a message before it is read.
pub(super) enum Noise<'p, 'w> {
    /// Nothing.
    No,
    /// Phrases may stand in it if they stand in these bytes of the window.
    Ask(&'p mut Phrases<'w>, usize, usize),
    /// It is the beginning of a line that is longer than a segment.
    Cut,
}

#[derive(Debug)]
pub(super) struct Reader<'c> {
    catalogue: &'c Catalogue,
    /// 1-based number of the open line.
    line: u64,
    window: bool,
    group: Group,
    libtest: Libtest,
    streams: Streams,
    /// Block keys that delimiters have set.
    blocks: BTreeMap<String, String>,
    /// Taken while a row is read.
    scratch: Option<Box<Scratch>>,
    /// Which markers' tags began a line, by position.
    claimed: Vec<bool>,
    /// Rows by position of their marker.
    counts: Vec<u64>,
    pub(super) out: Scan,
}

impl<'c> Reader<'c> {
    pub(super) fn new(catalogue: &'c Catalogue, line: u64, window: bool) -> Self {
        Self {
            catalogue,
            line,
            window,
            group: Group::Unseen,
            libtest: if window {
                Libtest::window()
            } else {
                Libtest::default()
            },
            streams: Streams::new(window),
            blocks: BTreeMap::new(),
            scratch: None,
            claimed: vec![false; catalogue.markers().len()],
            counts: vec![0; catalogue.markers().len()],
            out: Scan::new(catalogue),
        }
    }

    pub(super) fn index(&self) -> &'c Index {
        &self.catalogue.index
    }

    /// Whether a message that begins with this byte can be anything but noise, phrases apart.
    pub(super) fn can_matter(&self, first: u8) -> bool {
        if self.group == Group::Echo {
            return first == b'#' || first == 0xEF;
        }
        self.index().can_begin(first)
            || (self.libtest.is_running() && self.index().can_be_outcome(&[first]))
    }

    pub(super) fn finish(mut self) -> Scan {
        if let Some(test) = self.libtest.unfinished() {
            self.out.diagnose(Diagnostic::NoOutcome {
                test,
                line: self.line.saturating_sub(1),
            });
        }
        self.streams.finish(&mut self.out);
        self.out.count(self.catalogue, &self.counts);
        let claimed = self.catalogue.markers().iter().zip(&self.claimed);
        for tag in claimed.filter_map(|(marker, claimed)| marker.tag.as_ref().filter(|_| *claimed))
        {
            let word = tag.find(']').and_then(|end| tag.get(..=end));
            word.into_iter().for_each(|word| self.out.tag(word));
        }
        self.out
    }

    pub(super) fn line_number(&self) -> u64 {
        self.line
    }

    pub(super) fn end_line(&mut self) {
        self.line += 1;
        self.out.lines += 1;
    }

    pub(super) fn long_line(&mut self, bytes: u64) {
        self.out.diagnose(Diagnostic::LongLine {
            line: self.line,
            bytes,
        });
    }

    /// A line, or the beginning of one that is longer than a segment.
    pub(super) fn line(&mut self, raw: &[u8], start: u64, cut: bool, sink: &mut dyn Sink) {
        for piece in clean::pieces(raw, start) {
            let noise = if cut { Noise::Cut } else { Noise::No };
            self.message(&piece, noise, sink);
        }
    }

    /// A later part of a long line: only phrases can stand there. Those past `until` belong to the next part.
    pub(super) fn continuation(
        &mut self,
        bytes: &[u8],
        start: u64,
        until: usize,
        sink: &mut dyn Sink,
    ) {
        if self.group == Group::Echo {
            return;
        }
        let piece = clean::raw(bytes, start);
        for row in rows::phrases(self.catalogue, &piece, until) {
            self.emit(row, &piece, sink);
        }
    }

    pub(super) fn message(&mut self, piece: &Piece<'_>, noise: Noise<'_, '_>, sink: &mut dyn Sink) {
        if let Some(rest) = piece.bytes().strip_prefix(b"##[") {
            self.group_line(rest, sink);
        }
        if self.group == Group::Echo {
            return;
        }
        match self.libtest.read(self.catalogue, piece) {
            Reading::Plain => self.rows(piece, noise, sink),
            Reading::Prose => {}
            Reading::Outcome(row) => {
                self.emit(row, piece, sink);
                self.blocks.clear();
            }
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
                self.blocks.clear();
                let output = piece.from(output_at);
                if !output.bytes().is_empty() {
                    self.rows(&output, noise, sink);
                }
            }
        }
    }

    fn group_line(&mut self, rest: &[u8], sink: &mut dyn Sink) {
        if rest.starts_with(b"group]") {
            let echo = rest.starts_with(b"group]Run ");
            self.group = if echo { Group::Echo } else { Group::Output };
        } else if rest.starts_with(b"endgroup]") {
            if self.window && self.group == Group::Unseen {
                self.discard(sink);
            }
            self.group = Group::Output;
        }
    }

    /// The window began inside a group whose kind is unknown: nothing seen so far can be believed.
    fn discard(&mut self, sink: &mut dyn Sink) {
        sink.forget();
        let dropped = self.counts.iter().sum();
        self.counts.fill(0);
        self.out.discard();
        if dropped > 0 {
            self.out.diagnose(Diagnostic::WindowInGroup {
                line: self.line,
                rows: dropped,
            });
        }
        self.libtest = Libtest::window();
        self.streams = Streams::new(self.window);
        self.blocks.clear();
    }

    fn rows(&mut self, piece: &Piece<'_>, noise: Noise<'_, '_>, sink: &mut dyn Sink) {
        let text = piece.text();
        let cut = matches!(noise, Noise::Cut);
        if self.tagged(&text, piece, cut, sink) {
            return;
        }
        let mut found = if cut {
            Vec::new()
        } else {
            rows::starts(self.catalogue, &text)
        };
        if found.is_empty() && !cut {
            self.strange(&text);
        }
        let phrases = match noise {
            Noise::Ask(phrases, from, to) => phrases.stand_in(from, to),
            Noise::No | Noise::Cut => true,
        };
        if phrases {
            let until = piece.bytes().len()
                - if cut {
                    OVERLAP.min(piece.bytes().len())
                } else {
                    0
                };
            found.extend(rows::phrases(self.catalogue, piece, until));
        }
        for row in found {
            self.emit(row, piece, sink);
        }
    }

    /// Whether the message begins with a marker's tag; its row, if it is one, is given out.
    fn tagged(&mut self, text: &str, piece: &Piece<'_>, cut: bool, sink: &mut dyn Sink) -> bool {
        let mut scratch = self.scratch.take().unwrap_or_default();
        let tagged = rows::tagged(self.catalogue, text, cut, &mut scratch);
        match &tagged {
            Some((index, marker, Ok(()))) => {
                self.claim(*index);
                self.tally(*index);
                self.pairs(marker, &scratch, text, piece, sink);
            }
            Some((index, marker, Err(reason))) => {
                self.claim(*index);
                self.out.diagnose(Diagnostic::BadGrammar {
                    kind: marker.name.clone(),
                    line: self.line,
                    span: self.span(piece, 0),
                    reason: reason.clone(),
                });
            }
            None => self.bracket(text),
        }
        self.scratch = Some(scratch);
        tagged.is_some()
    }

    fn tally(&mut self, index: usize) {
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
    }

    /// A line begins with the tag of this marker.
    fn claim(&mut self, index: usize) {
        if let Some(claimed) = self.claimed.get_mut(index) {
            *claimed = true;
        }
    }

    /// A line begins with a bracket that no marker claims.
    fn bracket(&mut self, text: &str) {
        if text.starts_with('[') {
            let word = first_word(text.as_bytes()).and_then(|end| text.get(..end));
            word.into_iter().for_each(|word| self.out.tag(word));
        }
    }

    /// A line of a kind that the catalogue does not know still takes its emitter's next number.
    fn strange(&mut self, text: &str) {
        let Some((run, seq)) = envelope_of(text) else {
            return;
        };
        let line = Line {
            kind: "",
            line: self.line,
            test: self.libtest.current(),
        };
        self.streams.note(run, seq, None, &line, &mut self.out);
    }

    fn span(&self, piece: &Piece<'_>, at: usize) -> Span {
        Span {
            start: piece.raw_offset(at),
            end: piece.raw_end(),
        }
    }

    /// A row of pairs.
    fn pairs(
        &mut self,
        marker: &Marker,
        scratch: &Scratch,
        message: &str,
        piece: &Piece<'_>,
        sink: &mut dyn Sink,
    ) {
        for key in &scratch.unknown {
            self.out.diagnose(Diagnostic::UnknownField {
                kind: marker.name.clone(),
                field: key.clone(),
                line: self.line,
            });
        }
        let line = Line {
            kind: &marker.name,
            line: self.line,
            test: self.libtest.current(),
        };
        if let Some([_, run, seq]) = marker.envelope {
            let run = match scratch.slot(run) {
                crate::catalogue::Slot::Text(piece) => Some(scratch.text(message, piece)),
                _ => None,
            };
            match (run, scratch.slot(seq).to_u64()) {
                (Some(run), Some(seq)) => {
                    let ends = marker.trailer.then(|| {
                        let lines = marker.fields.iter().position(|f| f.name == "lines");
                        lines.and_then(|at| scratch.slot(at).to_u64())
                    });
                    self.streams.note(run, seq, ends, &line, &mut self.out);
                }
                _ if marker.enveloped => self.out.diagnose(Diagnostic::NoSequence {
                    kind: marker.name.clone(),
                    line: self.line,
                }),
                _ => {}
            }
        }
        if let Some((field, values)) = &marker.death {
            let at = marker.fields.iter().position(|f| f.name == *field);
            let value = at.and_then(|at| scratch.value(message, scratch.slot(at)));
            if matches!(value, Some(Value::Text(text)) if values.contains(&text)) {
                self.streams.death(&line);
            }
        }
        let opens = |at: usize| scratch.value(message, scratch.slot(at));
        open_blocks(&mut self.blocks, marker, opens);
        let span = self.span(piece, 0);
        sink.row(&RowRef {
            marker,
            fields: Fields::Pairs(scratch, message),
            span,
            line: self.line,
            test: self.libtest.current(),
            blocks: &self.blocks,
        });
    }

    /// A row of a form.
    fn emit(&mut self, row: Row, piece: &Piece<'_>, sink: &mut dyn Sink) {
        let catalogue = self.catalogue;
        let Some(marker) = catalogue.markers().get(row.marker) else {
            return;
        };
        let test = row.test.as_deref().or_else(|| self.libtest.current());
        let line = Line {
            kind: &marker.name,
            line: self.line,
            test,
        };
        if let (Some(Value::Text(run)), Some(Value::Number(seq))) =
            (row.fields.get("run"), row.fields.get("seq"))
            && let (Some(_), Some(seq)) = (marker.envelope, seq.to_u64())
        {
            self.streams.note(run, seq, None, &line, &mut self.out);
        }
        if let Some((field, values)) = &marker.death
            && matches!(row.fields.get(field), Some(Value::Text(text)) if values.contains(text))
        {
            self.streams.death(&line);
        }
        let opens = |at: usize| row.fields.get(&marker.fields.get(at)?.name).cloned();
        open_blocks(&mut self.blocks, marker, opens);
        let span = self.span(piece, row.at);
        self.counts
            .get_mut(row.marker)
            .into_iter()
            .for_each(|count| *count += 1);
        sink.row(&RowRef {
            marker,
            fields: Fields::Captured(&row.fields),
            span,
            line: self.line,
            test,
            blocks: &self.blocks,
        });
    }
}

fn open_blocks(
    blocks: &mut BTreeMap<String, String>,
    marker: &Marker,
    value: impl Fn(usize) -> Option<Value>,
) {
    for (key, opened) in &marker.opens {
        let text = match opened {
            Opened::Text(text) => Some(text.clone()),
            Opened::Field(at) => value(*at).map(|value| value.to_string()),
        };
        match text.filter(|text| text.len() <= MAX_BLOCK) {
            Some(text) => blocks.insert(key.clone(), text),
            None => blocks.remove(key),
        };
    }
}

/// `run` and `seq` of `[ANY TAG] v=1 run=R seq=N …`.
fn envelope_of(text: &str) -> Option<(&str, u64)> {
    let tagged = text.strip_prefix('[')?;
    let (_, pairs) = tagged.split_once("] v=1 run=")?;
    let (run, rest) = pairs.split_once(" seq=")?;
    let seq = rest.split(' ').next()?;
    let plain = !run.is_empty() && run.bytes().all(|b| b.is_ascii_alphanumeric());
    let number = seq.parse().ok()?;
    plain.then_some((run, number))
}

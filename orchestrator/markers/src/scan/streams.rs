//! Whether every emitter's lines all arrived: `seq` without gaps, and a trailer.

use std::collections::HashMap;

use super::report::{Diagnostic, Scan};
use crate::{Decimal, Marker, Observation, Value};

/// Emitters that are followed; a log with more is not complete.
const MAX_STREAMS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Streams {
    /// Emitters by run id. A run id that starts again at 0 is another process of the same run.
    runs: HashMap<String, Vec<Stream>>,
    count: usize,
    deaths: Vec<(Option<String>, u64)>,
    /// The log began in the middle, so an emitter's first line may be any.
    window: bool,
}

#[derive(Debug)]
struct Stream {
    next: u64,
    last_line: u64,
    test: Option<String>,
    closed: bool,
}

impl Streams {
    pub(super) fn new(window: bool) -> Self {
        Self {
            runs: HashMap::new(),
            count: 0,
            deaths: Vec::new(),
            window,
        }
    }

    pub(super) fn note(&mut self, marker: &Marker, row: &Observation, out: &mut Scan) {
        if let Some((field, values)) = &marker.death
            && row
                .text(field)
                .is_some_and(|text| values.iter().any(|value| value == text))
            && self.deaths.len() < MAX_STREAMS
        {
            self.deaths.push((row.test.clone(), row.line));
        }
        if !marker.enveloped {
            return;
        }
        let (Some(run), Some(seq)) = (row.text("run"), row.number("seq").and_then(Decimal::to_u64))
        else {
            out.diagnose(Diagnostic::NoSequence {
                kind: row.kind.clone(),
                line: row.line,
            });
            return;
        };
        let stream = self.stream(run, seq, row, out);
        if let Some(stream) = stream.filter(|_| marker.trailer) {
            stream.closed = true;
            let stated = match row.fields.get("lines") {
                Some(Value::Number(lines)) => lines.to_u64(),
                _ => None,
            };
            if stated != Some(seq) {
                let run = run.to_owned();
                out.diagnose(Diagnostic::TrailerCount {
                    run,
                    stated,
                    seen: seq,
                    line: row.line,
                });
            }
        }
    }

    /// The emitter that this line continues or starts.
    fn stream(
        &mut self,
        run: &str,
        seq: u64,
        row: &Observation,
        out: &mut Scan,
    ) -> Option<&mut Stream> {
        let streams = self.runs.entry(run.to_owned()).or_default();
        let at = streams
            .iter()
            .position(|stream| !stream.closed && stream.next == seq);
        let at = match at {
            Some(at) => at,
            None => {
                let open = streams.iter().rposition(|stream| !stream.closed);
                let expected = open
                    .and_then(|at| streams.get(at))
                    .map_or(0, |stream| stream.next);
                let starts = seq == 0 || (self.window && streams.is_empty());
                if !starts {
                    out.diagnose(Diagnostic::SeqGap {
                        run: run.to_owned(),
                        expected,
                        found: seq,
                        line: row.line,
                    });
                }
                match open.filter(|_| !starts) {
                    Some(at) => at,
                    None if self.count >= MAX_STREAMS => {
                        out.diagnose(Diagnostic::NoSequence {
                            kind: row.kind.clone(),
                            line: row.line,
                        });
                        return None;
                    }
                    None => {
                        self.count += 1;
                        streams.push(Stream {
                            next: seq,
                            last_line: row.line,
                            test: None,
                            closed: false,
                        });
                        streams.len() - 1
                    }
                }
            }
        };
        let stream = streams.get_mut(at)?;
        stream.next = seq.saturating_add(1);
        stream.last_line = row.line;
        stream.test.clone_from(&row.test);
        Some(stream)
    }

    pub(super) fn finish(&self, out: &mut Scan) {
        let mut open: Vec<(&String, &Stream)> = self
            .runs
            .iter()
            .flat_map(|(run, streams)| streams.iter().map(move |stream| (run, stream)))
            .collect();
        open.retain(|(_, stream)| !stream.closed);
        open.sort_unstable_by_key(|(run, stream)| (stream.last_line, *run));
        for (run, stream) in open {
            let explains = |(test, line): &&(Option<String>, u64)| {
                *line >= stream.last_line
                    && (*test == stream.test || test.is_none() || stream.test.is_none())
            };
            let explained_by = self.deaths.iter().find(explains).map(|(_, line)| *line);
            let (run, last_line) = (run.clone(), stream.last_line);
            out.diagnose(Diagnostic::MissingTrailer {
                run,
                last_line,
                explained_by,
            });
        }
    }
}

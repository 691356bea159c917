//! Whether every emitter's lines all arrived: `seq` without gaps, and a trailer.

use std::collections::HashMap;

use super::report::{Diagnostic, Scan};

/// Emitters that are followed at once; a log with more is not complete.
const MAX_STREAMS: usize = 100_000;
/// Emitters with one run id that are followed at once: each of its lines is held against all of them.
const MAX_PROCESSES: usize = 1_000;

#[derive(Debug)]
pub(super) struct Streams {
    /// Emitters whose trailer is awaited. In a window also those whose trailer came: what comes first of a run that
    /// is not known there may have any number.
    all: Vec<Stream>,
    /// Places in `all` that are free.
    free: Vec<usize>,
    /// Emitters by run id, in order of their first lines. A run id that starts again at 0 is another process of the
    /// same run.
    runs: HashMap<String, Vec<usize>>,
    /// The emitter of the line before, which mostly prints the next one too.
    last: usize,
    deaths: Vec<(Option<String>, u64)>,
    /// The log began in the middle, so an emitter's first line may be any.
    window: bool,
}

#[derive(Debug)]
struct Stream {
    run: String,
    next: u64,
    last_line: u64,
    test: Option<String>,
    closed: bool,
}

/// The line that speaks.
pub(super) struct Line<'l> {
    /// Marker.
    pub(super) kind: &'l str,
    /// 1-based number.
    pub(super) line: u64,
    /// The test that was running.
    pub(super) test: Option<&'l str>,
}

impl Streams {
    pub(super) fn new(window: bool) -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            runs: HashMap::new(),
            last: usize::MAX,
            deaths: Vec::new(),
            window,
        }
    }

    /// A line that says that a process died.
    pub(super) fn death(&mut self, line: &Line<'_>) {
        if self.deaths.len() < MAX_STREAMS {
            self.deaths.push((line.test.map(str::to_owned), line.line));
        }
    }

    /// A numbered line. `trailer` is what a trailer states as its number of lines.
    pub(super) fn note(
        &mut self,
        run: &str,
        seq: u64,
        trailer: Option<Option<u64>>,
        line: &Line<'_>,
        out: &mut Scan,
    ) {
        let Some(at) = self.stream(run, seq, line, out) else {
            return;
        };
        let Some(stream) = self.all.get_mut(at) else {
            return;
        };
        stream.next = seq.saturating_add(1);
        stream.last_line = line.line;
        match (&mut stream.test, line.test) {
            (Some(known), Some(test)) if known == test => {}
            (known, test) => *known = test.map(str::to_owned),
        }
        if let Some(stated) = trailer {
            stream.closed = true;
            if stated != Some(seq) {
                out.diagnose(Diagnostic::TrailerCount {
                    run: run.to_owned(),
                    stated,
                    seen: seq,
                    line: line.line,
                });
            }
            if !self.window {
                self.forget(at, run);
            }
        }
    }

    /// A stream whose trailer came needs nothing more.
    fn forget(&mut self, at: usize, run: &str) {
        self.free.push(at);
        if let Some(of_run) = self.runs.get_mut(run) {
            of_run.retain(|other| *other != at);
            if of_run.is_empty() {
                self.runs.remove(run);
            }
        }
    }

    fn awaits(&self, at: usize, seq: u64) -> bool {
        let stream = self.all.get(at);
        stream.is_some_and(|stream| !stream.closed && stream.next == seq)
    }

    /// The emitter that this line continues or starts.
    fn stream(&mut self, run: &str, seq: u64, line: &Line<'_>, out: &mut Scan) -> Option<usize> {
        if self.awaits(self.last, seq) && self.all.get(self.last).is_some_and(|s| s.run == run) {
            return Some(self.last);
        }
        let of_run = self.runs.get(run).map_or(&[][..], Vec::as_slice);
        let found = of_run.iter().copied().find(|at| self.awaits(*at, seq));
        let at = match found {
            Some(at) => at,
            None => self.unexpected(run, seq, line, out)?,
        };
        self.last = at;
        Some(at)
    }

    /// No emitter awaits this number: another process of the run begins, or lines are missing.
    fn unexpected(
        &mut self,
        run: &str,
        seq: u64,
        line: &Line<'_>,
        out: &mut Scan,
    ) -> Option<usize> {
        let of_run = self.runs.get(run).map_or(&[][..], Vec::as_slice);
        let is_open = |at: &&usize| self.all.get(**at).is_some_and(|stream| !stream.closed);
        let open = of_run.iter().rev().find(is_open).copied();
        let starts = seq == 0 || (self.window && of_run.is_empty());
        if !starts {
            let expected = open.and_then(|at| self.all.get(at)).map_or(0, |s| s.next);
            out.diagnose(Diagnostic::SeqGap {
                run: run.to_owned(),
                expected,
                found: seq,
                line: line.line,
            });
            if open.is_some() {
                return open;
            }
        }
        let full = self.all.len() >= MAX_STREAMS && self.free.is_empty();
        if full || of_run.len() >= MAX_PROCESSES {
            out.diagnose(Diagnostic::NoSequence {
                kind: line.kind.to_owned(),
                line: line.line,
            });
            return None;
        }
        let stream = Stream {
            run: run.to_owned(),
            next: seq,
            last_line: line.line,
            test: None,
            closed: false,
        };
        let at = self.free.pop().unwrap_or(self.all.len());
        match self.all.get_mut(at) {
            Some(free) => *free = stream,
            None => self.all.push(stream),
        }
        self.runs.entry(run.to_owned()).or_default().push(at);
        Some(at)
    }

    pub(super) fn finish(&self, out: &mut Scan) {
        let mut open: Vec<&Stream> = self.all.iter().filter(|stream| !stream.closed).collect();
        open.sort_unstable_by_key(|stream| (stream.last_line, stream.run.as_str()));
        for stream in open {
            let explains = |(test, line): &&(Option<String>, u64)| {
                *line >= stream.last_line
                    && (*test == stream.test || test.is_none() || stream.test.is_none())
            };
            let explained_by = self.deaths.iter().find(explains).map(|(_, line)| *line);
            out.diagnose(Diagnostic::MissingTrailer {
                run: stream.run.clone(),
                last_line: stream.last_line,
                explained_by,
            });
        }
    }
}

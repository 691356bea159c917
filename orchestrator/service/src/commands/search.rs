//! `search_log`: lines of a log by a regular expression, within bounds.

use regex::bytes::{Regex, RegexBuilder};
use state::LogReader;

use super::logs::{count_read, known_log, nonce};
use crate::api::{HitView, SearchLogAnswer, SearchLogRequest};
use crate::shared::{Ctx, Shared};
use crate::{ServiceError, Update, observe, page};

/// Most characters of a pattern.
const PATTERN_CHARS: usize = 1000;
/// Most bytes that a compiled pattern, and its automaton at work, may take.
const PATTERN_BYTES: usize = 1 << 20;
/// Bytes of the log read at a time. A longer line is searched in pieces that overlap.
const CHUNK: u64 = 1 << 20;
const OVERLAP: u64 = 4 << 10;
/// Most bytes searched by one call.
const SEARCHED: u64 = 256 << 20;
/// Most bytes of one shown line.
const SHOWN_LINE: u64 = 400;
/// Bytes of a long line that are shown before its match.
const BEFORE_MATCH: u64 = 120;
/// Most bytes of shown lines in one answer.
const SHOWN: usize = 24 << 10;
const MAX_CONTEXT: u32 = 10;

/// Finds matching lines from the cursor on.
pub(super) fn search_log(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &SearchLogRequest,
) -> Result<SearchLogAnswer, ServiceError> {
    let digest = known_log(shared, &request.log_id)?;
    let pattern = compile(&request.pattern)?;
    let reader = shared.evidence.open_log(&digest)?;
    let start = start(request, &reader)?;
    let limit = usize::try_from(request.limit.unwrap_or(20).clamp(1, 100)).unwrap_or(20);
    let mut search = Search {
        reader: &reader,
        pattern: &pattern,
        hits: Vec::new(),
        limit,
        at: start,
    };
    search.run(ctx)?;
    let (mut hits, mut next) = (search.hits, search.at);
    let context = u64::from(request.context.unwrap_or(0).min(MAX_CONTEXT));
    let (data, shown) = show(&reader, &hits, context)?;
    if shown < hits.len() {
        hits.truncate(shown);
        next = hits.last().map_or(next, |hit| hit.byte_end);
    }
    if let Some(origin) = observe::origin(shared, &digest) {
        count_read(shared, &origin.run.scope);
    }
    let total = reader.total_bytes();
    Ok(SearchLogAnswer {
        log_id: digest.to_string(),
        total_bytes: total,
        hits,
        data: page::fenced(data.as_bytes(), &nonce()?),
        next_cursor: (next < total).then(|| next.to_string()),
        searched_bytes: next.saturating_sub(start),
        lossy: true,
        untrusted: true,
    })
}

fn compile(pattern: &str) -> Result<Regex, ServiceError> {
    let bad = |reason: String| {
        ServiceError::BadArgument {
        field: "pattern",
        reason,
        remedy: "pass a regular expression of at most 1000 characters in the syntax of Rust's `regex` crate; escape literal text".into(),
    }
    };
    if pattern.is_empty() || pattern.chars().count() > PATTERN_CHARS {
        return Err(bad("it is empty or too long".into()));
    }
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => bad("it is too large once compiled".into()),
            _ => bad("it is not one".into()),
        })
}

fn start(request: &SearchLogRequest, reader: &LogReader) -> Result<u64, ServiceError> {
    let start = super::cursor(request.cursor.as_deref())?;
    let start = u64::try_from(start).unwrap_or(u64::MAX);
    if start <= reader.total_bytes() {
        return Ok(start);
    }
    Err(ServiceError::BadArgument {
        field: "cursor",
        reason: format!("{start} is past the end"),
        remedy: "pass `next_cursor` of the page before, or nothing for the first page".into(),
    })
}

struct Search<'a> {
    reader: &'a LogReader,
    pattern: &'a Regex,
    hits: Vec<HitView>,
    limit: usize,
    at: u64,
}

impl Search<'_> {
    /// Searches until the hits, the bounds or the log end; `at` is where the next call goes on.
    fn run(&mut self, ctx: Ctx<'_>) -> Result<(), ServiceError> {
        let (start, total) = (self.at, self.reader.total_bytes());
        while self.at < total && self.at - start < SEARCHED {
            if ctx.cancel.is_cancelled() {
                return Err(ServiceError::Cancelled);
            }
            let bytes = self.reader.read_range(self.at, CHUNK)?;
            let whole = self.at + bytes.len() as u64 == total;
            let after_lines = bytes.iter().rposition(|b| *b == b'\n').map(|at| at + 1);
            let (usable, step) = match after_lines {
                _ if whole => (bytes.len(), bytes.len() as u64),
                Some(end) => (end, end as u64),
                None => (
                    bytes.len(),
                    (bytes.len() as u64).saturating_sub(OVERLAP).max(1),
                ),
            };
            if self.chunk(bytes.get(..usable).unwrap_or_default())? {
                return Ok(());
            }
            self.at += step;
            ctx.progress.report(Update {
                done: self.at,
                total: Some(total),
                message: "searching".into(),
            });
        }
        Ok(())
    }

    /// True when there are hits enough; `at` then stands after the line of the last one.
    fn chunk(&mut self, bytes: &[u8]) -> Result<bool, ServiceError> {
        let mut offset = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if let Some(found) = self.pattern.find(text) {
                let line_at = self.at + offset;
                self.hit(line_at + found.start() as u64, line_at + found.end() as u64)?;
            }
            offset += line.len() as u64;
            if self.hits.len() == self.limit {
                let end = self.hits.last().map_or(0, |hit| hit.byte_end);
                self.at = (self.at + offset).max(end);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes a match; further matches of the same line are the same hit.
    fn hit(&mut self, match_start: u64, match_end: u64) -> Result<(), ServiceError> {
        // An empty match at the end of the log stands on its last line.
        let at = match_start.min(self.reader.total_bytes().saturating_sub(1));
        let line = self.reader.offset_to_line(at)?.unwrap_or(1);
        if self.hits.last().is_some_and(|hit| hit.line == line) {
            return Ok(());
        }
        let (byte_start, byte_end) = line_span(self.reader, line)?;
        self.hits.push(HitView {
            line,
            byte_start,
            byte_end,
            match_start,
            match_end,
        });
        Ok(())
    }
}

/// First byte of a line and one past its last, the line end left out.
fn line_span(reader: &LogReader, line: u64) -> Result<(u64, u64), ServiceError> {
    let total = reader.total_bytes();
    let start = reader.line_to_offset(line)?.unwrap_or(total);
    let after = reader.line_to_offset(line + 1)?.unwrap_or(total);
    let tail = reader.read_range(after.saturating_sub(2).max(start), 2)?;
    let tail = tail.get(..usize::try_from(after - after.saturating_sub(2).max(start)).unwrap_or(0));
    let ends = match tail.unwrap_or_default() {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    Ok((start, after - ends))
}

/// The hits with their context as numbered lines, and how many hits of them fit.
fn show(
    reader: &LogReader,
    hits: &[HitView],
    context: u64,
) -> Result<(String, usize), ServiceError> {
    let (mut out, mut shown_to) = (String::new(), 0);
    for (index, hit) in hits.iter().enumerate() {
        if index > 0 && out.len() >= SHOWN {
            return Ok((out, index));
        }
        let first = hit.line.saturating_sub(context).max(shown_to + 1);
        if context > 0 && index > 0 && first > shown_to + 1 {
            out.push_str("--\n");
        }
        let next_hit = hits.get(index + 1).map_or(u64::MAX, |next| next.line);
        let last = (hit.line + context)
            .min(next_hit - 1)
            .min(reader.total_lines());
        for line in first..=last.max(hit.line) {
            let own = (line == hit.line).then_some(hit);
            out.push_str(&shown_line(reader, line, own)?);
        }
        shown_to = last.max(hit.line);
    }
    Ok((out, hits.len()))
}

fn shown_line(
    reader: &LogReader,
    line: u64,
    hit: Option<&HitView>,
) -> Result<String, ServiceError> {
    let (start, end) = match hit {
        Some(hit) => (hit.byte_start, hit.byte_end),
        None => line_span(reader, line)?,
    };
    let from = match hit {
        Some(hit) if end - start > SHOWN_LINE => {
            hit.match_start.saturating_sub(BEFORE_MATCH).max(start)
        }
        _ => start,
    };
    let length = (end - from).min(SHOWN_LINE);
    let bytes = reader.read_range(from, length)?;
    let text = page::plain(&String::from_utf8_lossy(&bytes)).replace('\n', " ");
    let (mark, before, after) = (
        if hit.is_some() { '>' } else { ' ' },
        if from > start { "…" } else { "" },
        if from + length < end { "…" } else { "" },
    );
    Ok(format!("{mark}{line}: {before}{text}{after}\n"))
}

//! Any two hundred lines of a stored log.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::time::{ClockId, clock_gettime};
use state::{OpenOptions, StateDir};

use crate::table::{Row, within, within_memory};
use crate::tool::anonymous_memory;

/// Lines of a page, as a person or an agent asks for them.
const PAGE: u64 = 200;
/// Places asked for.
const PLACES: u64 = 301;
const BOUND: Duration = Duration::from_millis(2);
/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// Times of one way to ask, all places.
#[derive(Default)]
struct Times {
    /// Of the processor, which what else the machine does hardly changes.
    processor: Vec<Duration>,
    wall: Vec<Duration>,
}

impl Times {
    fn of<T>(&mut self, ask: impl FnOnce() -> Result<T, state::Error>) -> anyhow::Result<T> {
        let (began, start) = (Instant::now(), processor_time());
        let answer = ask()?;
        self.processor.push(processor_time().saturating_sub(start));
        self.wall.push(began.elapsed());
        Ok(answer)
    }

    fn rows(mut self, what: &str, rows: &mut Vec<Row>) {
        self.processor.sort_unstable();
        self.wall.sort_unstable();
        let at = |times: &[Duration], tenths: usize| {
            let last = times.len().saturating_sub(1);
            times.get(last * tenths / 10).copied().unwrap_or_default()
        };
        for (name, tenths) in [("median", 5), ("9 of 10", 9), ("slowest", 10)] {
            let time = at(&self.processor, tenths);
            rows.push(within(format!("{what}, {name}, processor"), time, BOUND));
        }
        let wall = at(&self.wall, 5);
        rows.push(within(format!("{what}, median, wall"), wall, BOUND));
    }
}

/// Processor time of this thread so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

pub(crate) fn run(
    title: &str,
    file: &Path,
    folder: &Path,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let root = folder.join("state");
    let mut options = OpenOptions::new(0);
    options.reserve_bytes = 1 << 20;
    let dir = StateDir::open(&root, &options)?;
    let mut memory = anonymous_memory()?;
    let mut writer = dir.evidence.log_writer()?;
    let (mut input, mut chunk) = (File::open(file)?, vec![0; CHUNK]);
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        writer.write_all(&chunk[..count])?;
        if writer.bytes() % (1 << 23) < CHUNK as u64 {
            memory = memory.max(anonymous_memory()?);
        }
    }
    let entry = writer.finish()?;
    let (mut open, mut cold) = (Times::default(), Times::default());
    let reader = dir.evidence.open_log(&entry.digest)?;
    for place in 0..PLACES {
        let first = 1 + (entry.lines.saturating_sub(PAGE)) / PLACES * place;
        let lines = open.of(|| reader.read_lines(first, PAGE))?;
        ensure!(lines.line_end == first + PAGE - 1 && lines.bytes.ends_with(b"\n"));
        let again = cold.of(|| {
            let reader = dir.evidence.open_log(&entry.digest)?;
            reader.read_lines(first, PAGE)
        })?;
        ensure!(again == lines);
        memory = memory.max(anonymous_memory()?);
    }
    std::fs::remove_dir_all(&root)?;
    open.rows(&format!("{title}: {PAGE} lines anywhere, open log"), rows);
    cold.rows(
        &format!("{title}: {PAGE} lines anywhere, opened for it"),
        rows,
    );
    rows.push(within_memory(
        format!("{title}: anonymous memory of keeping it and reading pages"),
        memory,
    ));
    Ok(())
}

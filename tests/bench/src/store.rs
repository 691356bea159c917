//! Any two hundred lines of a stored log.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use state::{OpenOptions, StateDir};

use crate::table::{Row, within};

/// Lines of a page, as a person or an agent asks for them.
const PAGE: u64 = 200;
/// Places asked for.
const PLACES: u64 = 101;
const BOUND: Duration = Duration::from_millis(2);

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
    let mut writer = dir.evidence.log_writer()?;
    std::io::copy(&mut File::open(file)?, &mut writer)?;
    let entry = writer.finish()?;
    let (mut open, mut cold) = (Vec::new(), Vec::new());
    let reader = dir.evidence.open_log(&entry.digest)?;
    for place in 0..PLACES {
        let first = 1 + (entry.lines.saturating_sub(PAGE)) / PLACES * place;
        let start = Instant::now();
        let lines = reader.read_lines(first, PAGE)?;
        open.push(start.elapsed());
        ensure!(lines.line_end == first + PAGE - 1 && lines.bytes.ends_with(b"\n"));
        let start = Instant::now();
        let again = dir
            .evidence
            .open_log(&entry.digest)?
            .read_lines(first, PAGE)?;
        cold.push(start.elapsed());
        ensure!(again == lines);
    }
    std::fs::remove_dir_all(&root)?;
    for (what, mut times) in [("open log", open), ("opened for it", cold)] {
        times.sort_unstable();
        rows.push(within(
            format!("{title}: {PAGE} lines anywhere, {what}, median"),
            times[times.len() / 2],
            BOUND,
        ));
        rows.push(within(
            format!("{title}: {PAGE} lines anywhere, {what}, 9 of 10"),
            times[times.len() * 9 / 10],
            BOUND,
        ));
    }
    Ok(())
}

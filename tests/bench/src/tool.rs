//! One log, written or read once.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use bench::{Log, Seen, Style, Truth, Year};
use markers::{Catalogue, Scan, Scanner};

use crate::kinds;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

pub(crate) fn style(name: &str) -> anyhow::Result<Style> {
    match name {
        "dense" => Ok(Style::Dense),
        "sparse" => Ok(Style::Sparse),
        other => bail!("unknown style {other}; say dense or sparse"),
    }
}

pub(crate) fn write(style: Style, megabytes: u64, file: &Path) -> anyhow::Result<Truth> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let truth = Log::new(style, 0x5eed).write(megabytes * 1_000_000, &mut out)?;
    out.flush()?;
    Ok(truth)
}

pub(crate) fn generate(name: &str, megabytes: u64, file: &Path) -> anyhow::Result<()> {
    let truth = write(style(name)?, megabytes, file)?;
    let text = format!(
        "rows={} digest={:016x} lines={} bytes={}\n",
        truth.total(),
        truth.digest,
        truth.lines,
        truth.bytes
    );
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

pub(crate) fn year(folder: &Path) -> anyhow::Result<()> {
    let year = Year::new(export::Format::Parquet, 0x5eed)?;
    for file in &year.files {
        let path = folder.join(&file.place);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, &file.bytes)?;
    }
    writeln!(std::io::stdout(), "{}", year.answers())?;
    Ok(())
}

/// What one reading of a file gives: rows, typed fields, line numbers, and where every megabyte's first line is.
struct Reading {
    scan: Scan,
    seen: Seen,
    index: Vec<(u64, u64)>,
    anonymous_kib: u64,
}

fn read(catalogue: &Catalogue, file: &Path) -> anyhow::Result<Reading> {
    let mut input = File::open(file).with_context(|| file.display().to_string())?;
    let mut chunk = vec![0; CHUNK];
    let (mut scanner, mut seen) = (Scanner::new(catalogue), Seen::default());
    let (mut index, mut offset, mut anonymous_kib) = (Vec::new(), 0_u64, 0);
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        scanner.push_each(&chunk[..count], |row| seen.row(row));
        offset += count as u64;
        if offset >> 20 >= index.len() as u64 {
            index.push((offset, scanner.line()));
        }
        if offset % (1 << 23) < CHUNK as u64 {
            anonymous_kib = anonymous_kib.max(anonymous_memory()?);
        }
    }
    let scan = scanner.finish_each(|row| seen.row(row));
    Ok(Reading {
        scan,
        seen,
        index,
        anonymous_kib,
    })
}

/// Anonymous memory of this process, KiB.
pub(crate) fn anonymous_memory() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.context("no RssAnon")?.trim().parse()?)
}

pub(crate) fn scan(file: &Path, kinds: Option<usize>) -> anyhow::Result<()> {
    let catalogue = match kinds {
        Some(count) => kinds::catalogue(count)?,
        None => Catalogue::builtin()?,
    };
    let reading = read(&catalogue, file)?;
    let text = format!(
        "rows={} digest={:016x} lines={} bytes={} index={} anonymous_kib={}\n",
        reading.seen.rows,
        reading.seen.digest,
        reading.scan.lines,
        reading.scan.bytes,
        reading.index.len(),
        reading.anonymous_kib
    );
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

//! From a zip to typed markers, against the same library inflating it for nobody.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bench::{Seen, Truth};
use markers::{Catalogue, Scanner};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::table::{Row, at_most, fastest};

/// Bytes that one thread hands to the other, and how many pieces may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;
const BOUND: f64 = 1.2;

pub(crate) fn run(
    title: &str,
    file: &Path,
    truth: &Truth,
    folder: &Path,
    rounds: usize,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let packed = folder.join("log.zip");
    let mut writer = ZipWriter::new(File::create(&packed)?);
    writer.start_file("0_job.txt", SimpleFileOptions::default())?;
    std::io::copy(&mut File::open(file)?, &mut writer)?;
    writer.finish()?;
    let catalogue = Catalogue::builtin()?;
    let (mut bare, mut typed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(inflate(&packed, |_| Ok(()))?);
        let (time, seen) = markers(&packed, &catalogue)?;
        ensure!(
            (seen.rows, seen.digest) == (truth.total(), truth.digest),
            "{title}: rows are not those of the log"
        );
        typed.push(time);
    }
    std::fs::remove_file(&packed)?;
    rows.push(at_most(
        format!("{title}: zip to typed markers on two threads / inflate alone"),
        fastest(&typed).as_secs_f64() / fastest(&bare).as_secs_f64().max(1e-3),
        BOUND,
    ));
    Ok(())
}

/// Inflates the one entry to its end, where its checksum is compared.
fn inflate(
    packed: &Path,
    mut each: impl FnMut(Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut archive = ZipArchive::new(File::open(packed)?)?;
    let mut entry = archive.by_index(0)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut entry).take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(start.elapsed());
        }
        each(piece)?;
    }
}

/// One thread inflates, this one reads rows.
fn markers(packed: &Path, catalogue: &Catalogue) -> anyhow::Result<(Duration, Seen)> {
    let start = Instant::now();
    let (sender, pieces) = sync_channel::<Vec<u8>>(WAITING);
    let mut seen = Seen::default();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let inflating = scope
            .spawn(move || inflate(packed, |piece| sender.send(piece).context("nobody reads")));
        let mut scanner = Scanner::new(catalogue);
        for piece in pieces {
            scanner.push_each(&piece, |row| seen.row(row));
        }
        drop(scanner.finish_each(|row| seen.row(row)));
        let inflated = inflating.join();
        inflated.map_err(|_| anyhow::anyhow!("inflating panicked"))??;
        Ok(())
    })?;
    Ok((start.elapsed(), seen))
}

//! Scanner and store against ripgrep over the same file, in turn.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bench::{Style, Truth};

use crate::table::{Row, at_least, at_most, fastest, print, within_memory};
#[cfg(feature = "store")]
use crate::{archive, store};
use crate::{kinds, peer, tool};

/// Megabytes of a log that is also read out of an archive.
#[cfg(feature = "store")]
const MOST_PACKED: u64 = 200;

pub(crate) fn run(megabytes: &[u64], rounds: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for size in megabytes {
        for (name, style) in [("dense", Style::Dense), ("sparse", Style::Sparse)] {
            let file = folder.path().join(format!("{name}-{size}.log"));
            let truth = tool::write(style, *size, &file)?;
            let title = format!("{name} {size} MB");
            scanner(&title, &file, &truth, folder.path(), rounds, &mut rows)?;
            // An archive of a log is at most tens of megabytes.
            #[cfg(feature = "store")]
            if *size <= MOST_PACKED {
                archive::run(&title, &file, &truth, folder.path(), rounds, &mut rows)?;
            }
            #[cfg(feature = "store")]
            store::run(&title, &file, folder.path(), &mut rows)?;
            std::fs::remove_file(&file)?;
        }
    }
    let missed = print(&rows, &mut std::io::stdout())?;
    ensure!(missed == 0, "{missed} of {} bounds are missed", rows.len());
    Ok(())
}

/// The store alone: a log kept in it, and pages of it.
#[cfg(feature = "store")]
pub(crate) fn pages(megabytes: &[u64], folder: Option<&Path>) -> anyhow::Result<()> {
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let mut rows = Vec::new();
    for size in megabytes {
        for (name, style) in [("dense", Style::Dense), ("sparse", Style::Sparse)] {
            let file = folder.path().join(format!("{name}-{size}.log"));
            tool::write(style, *size, &file)?;
            let title = format!("{name} {size} MB");
            store::run(&title, &file, folder.path(), &mut rows)?;
            std::fs::remove_file(&file)?;
        }
    }
    let missed = print(&rows, &mut std::io::stdout())?;
    ensure!(missed == 0, "{missed} of {} bounds are missed", rows.len());
    Ok(())
}

/// A scan, and what it printed.
struct Ours {
    time: Duration,
    said: String,
}

/// Both sides are processes of their own, and what their start costs is taken off both.
fn scanner(
    title: &str,
    file: &Path,
    truth: &Truth,
    folder: &Path,
    rounds: usize,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let (tags, anchors) = (folder.join("tags"), folder.join("anchors"));
    std::fs::write(&tags, kinds::patterns(false)?)?;
    std::fs::write(&anchors, kinds::patterns(true)?)?;
    let empty = folder.join("empty");
    std::fs::write(&empty, "")?;
    let program = std::env::current_exe()?;
    let ours = |file: &Path, kinds: Option<&str>| -> anyhow::Result<Ours> {
        let mut command = vec![program.as_os_str(), "scan".as_ref(), file.as_os_str()];
        if let Some(kinds) = kinds {
            command.extend(["--kinds".as_ref(), OsStr::new(kinds)]);
        }
        let output = folder.join("said");
        let time = peer::time(&command, &output)?;
        Ok(Ours {
            time,
            said: std::fs::read_to_string(output)?,
        })
    };
    let checked = |kinds: Option<&str>| -> anyhow::Result<Ours> {
        let ours = ours(file, kinds)?;
        let expected = format!(
            "rows={} digest={:016x} lines={} bytes={} ",
            truth.total(),
            truth.digest,
            truth.lines,
            truth.bytes
        );
        let said = &ours.said;
        ensure!(
            said.starts_with(&expected),
            "{title}: {said} is not {expected}"
        );
        Ok(ours)
    };
    let mut times: [Vec<Duration>; 9] = Default::default();
    let mut memory = 0;
    for _ in 0..rounds {
        let all = checked(None)?;
        memory = memory.max(anonymous_kib(&all.said)?);
        times[0].push(all.time);
        times[1].push(peer::count(&tags, file, folder)?);
        times[2].push(peer::lines(&tags, file, folder)?);
        times[3].push(checked(Some("32"))?.time);
        times[4].push(checked(Some("200"))?.time);
        times[5].push(peer::count(&tags, &empty, folder)?);
        times[6].push(peer::count(&anchors, file, folder)?);
        times[7].push(ours(&empty, None)?.time);
        times[8].push(ours(&empty, Some("200"))?.time);
    }
    let [
        all,
        count,
        lines,
        few,
        many,
        peer_start,
        every,
        start,
        many_start,
    ] = times.map(|times| fastest(&times));
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-3);
    let (all, few) = (all.saturating_sub(start), few.saturating_sub(start));
    let many = many.saturating_sub(many_start);
    let bare = |time: Duration| time.saturating_sub(peer_start);
    let speed = truth.bytes as f64 / 1e6 / all.as_secs_f64().max(1e-3);
    rows.push(at_least(
        format!("{title}: all kinds, lines, index ({speed:.0} MB/s) / rg -c, tags"),
        ratio(bare(count), all),
        1.0,
    ));
    rows.push(at_least(
        format!("{title}: the same / rg -c, tags and phrases"),
        ratio(bare(every), all),
        1.0,
    ));
    rows.push(at_least(
        format!("{title}: typed fields / rg -n, tags"),
        ratio(bare(lines), all),
        1.0,
    ));
    rows.push(at_most(
        format!("{title}: time of 200 kinds / of 32"),
        ratio(many, few),
        1.1,
    ));
    rows.push(within_memory(format!("{title}: anonymous memory"), memory));
    Ok(())
}

fn anonymous_kib(said: &str) -> anyhow::Result<u64> {
    let pair = said
        .split_whitespace()
        .find_map(|pair| pair.strip_prefix("anonymous_kib="));
    Ok(pair
        .with_context(|| format!("no memory in {said}"))?
        .parse()?)
}

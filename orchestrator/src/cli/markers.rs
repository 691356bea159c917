//! `greenloop markers`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use service::api::{
    ExportMarkersRequest, ExtractMarkersRequest, ListRunsRequest, PullFullLogRequest, RunView,
};

use super::Context;
use crate::client::Client;
use crate::exit::Exit;

/// Typed markers of a log, or counts per cell of a run
///
/// With `--format` every value of every marker becomes a row of one table, in a file per run below a folder per day:
/// `day=2026-01-31/run=R12/markers.parquet`. `docs/queries.md` shows what to ask.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Log id (`sha256:…`) or run id (`R1`); with `--format` a run id, or nothing for every run
    of: Option<String>,
    /// Only these kinds
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Write files for a query engine
    #[arg(long, value_enum, requires = "out")]
    format: Option<FileFormat>,
    /// Folder to write them to; files of runs that stand there already are replaced
    #[arg(long, value_name = "DIR", requires = "format")]
    out: Option<PathBuf>,
}

/// Form of the files.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FileFormat {
    /// Apache Parquet
    Parquet,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated, with a header
    Csv,
}

impl FileFormat {
    fn of(self) -> export::Format {
        match self {
            Self::Parquet => export::Format::Parquet,
            Self::Jsonl => export::Format::Jsonl,
            Self::Csv => export::Format::Csv,
        }
    }
}

/// What an export wrote.
#[derive(Debug, Serialize)]
struct Exported {
    /// Folder.
    out: String,
    /// Runs with at least one row.
    runs: u64,
    /// Rows.
    rows: u64,
    /// Bytes.
    bytes: u64,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut client = context.client()?;
    if let (Some(format), Some(out)) = (args.format, &args.out) {
        let done = export_runs(&mut client, args, format.of(), out)?;
        context.output.answer(&done, |done| {
            format!(
                "{} rows of {} runs in {} ({} bytes)\n",
                done.rows, done.runs, done.out, done.bytes
            )
        })?;
        return Ok(Exit::Done);
    }
    let Some(of) = args.of.clone() else {
        bail!("name a log or a run, or write every run with `--format parquet --out DIR`");
    };
    if !of.starts_with("sha256:") {
        let request = PullFullLogRequest {
            run_id: of,
            ..Default::default()
        };
        let answer = client.ask(request)?;
        context.output.answer(&answer, |answer| {
            let cell = |log: &service::api::PulledLog| {
                let id = log.log.as_ref().map_or("no log", |log| log.log_id.as_str());
                let counts: String = log
                    .marker_counts
                    .iter()
                    .map(|(kind, count)| format!("  {count:>7} {kind}\n"))
                    .collect();
                format!("{} {id}\n{counts}", log.job)
            };
            answer.logs.iter().map(cell).collect()
        })?;
        return Ok(Exit::Done);
    }
    let mut cursor = None;
    loop {
        let request = ExtractMarkersRequest {
            log_id: of.clone(),
            kinds: (!args.kinds.is_empty()).then(|| args.kinds.clone()),
            r#where: None,
            cursor,
            limit: Some(500),
        };
        let answer = client.ask(request)?;
        context.output.answer(&answer, |answer| {
            let seen = answer.observations.iter().map(|o| {
                let fields: String = o
                    .fields
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"))
                    .collect();
                format!("{:>7} {}{fields}\n", o.line, o.kind)
            });
            let unread = answer
                .unparsed
                .iter()
                .map(|u| format!("{:>7} unparsed: {}\n", u.line, u.reason));
            seen.chain(unread).collect()
        })?;
        cursor = answer.next_cursor;
        if cursor.is_none() {
            return Ok(Exit::Done);
        }
    }
}

fn export_runs(
    client: &mut Client,
    args: &Args,
    format: export::Format,
    out: &Path,
) -> Result<Exported> {
    let mut done = Exported {
        out: out.display().to_string(),
        runs: 0,
        rows: 0,
        bytes: 0,
    };
    for run in wanted(client, args.of.as_deref())? {
        let rows = rows_of(client, &run.run_id, &args.kinds)?;
        if rows.is_empty() {
            continue;
        }
        let bytes = export::encode(format, &rows)?;
        let file = out.join(export::place(format, &run.run_id, run.created_ms));
        write_whole(&file, &bytes)?;
        done.runs += 1;
        done.rows += rows.len() as u64;
        done.bytes += bytes.len() as u64;
    }
    Ok(done)
}

/// The run that was named, or all of them.
fn wanted(client: &mut Client, of: Option<&str>) -> Result<Vec<RunView>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let answer = client.ask(ListRunsRequest {
            cursor,
            limit: Some(100),
            ..ListRunsRequest::default()
        })?;
        let meant = |run: &RunView| of.is_none_or(|of| run.run_id == of);
        found.extend(answer.runs.into_iter().filter(meant));
        cursor = answer.next_cursor;
        if cursor.is_none() || of.is_some() && !found.is_empty() {
            break;
        }
    }
    match of {
        Some(of) if found.is_empty() => {
            bail!("no run {of}; `greenloop runs` lists them, and logs are not exported one by one")
        }
        _ => Ok(found),
    }
}

fn rows_of(client: &mut Client, run_id: &str, kinds: &[String]) -> Result<Vec<export::Row>> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let answer = client.ask(ExportMarkersRequest {
            run_id: run_id.to_owned(),
            cursor,
        })?;
        for row in answer.rows {
            if !kinds.is_empty() && !kinds.contains(&row.kind) {
                continue;
            }
            match serde_json::to_value(row)? {
                serde_json::Value::Object(row) => rows.push(row),
                other => bail!("a row is no object: {other}"),
            }
        }
        cursor = answer.next_cursor;
        if cursor.is_none() {
            return Ok(rows);
        }
    }
}

/// A reader never sees half a file.
fn write_whole(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().context("the file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let draft = file.with_extension("part");
    std::fs::write(&draft, bytes).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, file).with_context(|| format!("cannot write {}", file.display()))
}

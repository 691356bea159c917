//! `greenloop runs`

use std::fmt::Write;

use anyhow::Result;
use service::api::{ListRunsRequest, RunView};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::page::short;
use crate::times::{Times, took};

/// List runs, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this scope
    #[arg(long)]
    scope: Option<String>,
    /// Most runs to list
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let request = ListRunsRequest {
        scope: args.scope.clone(),
        limit: Some(args.limit),
        ..Default::default()
    };
    let answer = context.client()?.ask(request)?;
    let output = context.output;
    output.answer(&answer, |answer| {
        if answer.runs.is_empty() {
            return "no runs yet; start one with `greenloop run SCOPE`".into();
        }
        answer
            .runs
            .iter()
            .map(|run| run_block(output, run))
            .collect()
    })?;
    Ok(Exit::Done)
}

/// A run with its cells.
pub(super) fn run_block(output: Output, run: &RunView) -> String {
    let tone = match run.green {
        Some(true) => Tone::Good,
        Some(false) => Tone::Bad,
        None => Tone::Warn,
    };
    let verdict = run
        .class
        .as_deref()
        .or(run.conclusion.as_deref())
        .unwrap_or(&run.status);
    let mut text = format!(
        "{} {} {} at {} ({}), {}\n",
        run.run_id,
        run.scope,
        output.paint(tone, verdict),
        short(&run.head_sha),
        run.trigger,
        Times::here().when(run.finished_ms.unwrap_or(run.created_ms))
    );
    for job in &run.jobs {
        let ended = job.conclusion.as_deref().unwrap_or(&job.status);
        let took = took(job.duration_ms);
        let log = match (&job.log, &job.why_empty) {
            (Some(log), _) => format!(
                "{} bytes, {} lines, {}",
                log.total_bytes, log.total_lines, log.log_id
            ),
            (None, Some(why)) => format!("no log: {why}"),
            (None, None) => "no log yet".into(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<18} {ended:<9} {took:>6}  {log}", job.cell);
    }
    text
}

//! `greenloop runs`

use std::fmt::Write;

use anyhow::Result;
use service::api::{ListRunsRequest, RunView, SourceRunView};

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
    /// Also list what the source has, pulled or not
    #[arg(long)]
    source: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let request = ListRunsRequest {
        scope: args.scope.clone(),
        limit: Some(args.limit),
        source: args.source,
        ..Default::default()
    };
    let answer = context.client()?.ask(request)?;
    let output = context.output;
    output.answer(&answer, |answer| {
        if answer.runs.is_empty() && answer.of_source.is_empty() {
            return "no runs yet; start one with `greenloop run SCOPE`, or see what a source has with \
                    `greenloop runs --source`"
                .into();
        }
        let known = answer.runs.iter().map(|run| run_block(output, run));
        let of_source = answer.of_source.iter().map(source_line);
        known.chain(of_source).collect()
    })?;
    Ok(Exit::Done)
}

/// A run that the source has, with what pulls it.
fn source_line(run: &SourceRunView) -> String {
    let id = &run.source_run_id;
    let here = match &run.run_id {
        Some(here) => format!("pulled as {here}"),
        None => format!("greenloop pull {id}"),
    };
    let word = run.conclusion.as_deref().unwrap_or(&run.status);
    let workflow = run.workflow.as_deref().unwrap_or("unknown workflow");
    format!(
        "source {id} attempt {} {workflow} {word} at {}: {here}\n",
        run.attempt,
        short(&run.head_sha)
    )
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

//! `greenloop pull`

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use service::api::{ArtifactView, PullFullLogAnswer, PullFullLogRequest, PulledLog};

use super::Context;
use crate::client::Canceller;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::page::short;

/// Take a run's logs and artifacts from the source into the evidence store
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run: its id at the source, its id here (`R1`), or `latest` for the newest that executed
    /// anything
    #[arg(value_name = "RUN")]
    of: String,
    /// Attempt; the newest when absent
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Only this cell, and no artifacts
    #[arg(long)]
    cell: Option<String>,
    /// Scope it belongs to, where the run's workflow does not tell
    #[arg(long)]
    scope: Option<String>,
    /// Commit it executed, where the source does not tell
    #[arg(long)]
    commit: Option<String>,
    /// Leave the artifacts where they are
    #[arg(long)]
    no_artifacts: bool,
    /// Also tell which bytes are which step's
    #[arg(long)]
    steps: bool,
    /// Ask the source again although the run was pulled
    #[arg(long)]
    refresh: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let request = PullFullLogRequest {
        run_id: args.of.clone(),
        job: args.cell.clone(),
        attempt: args.attempt,
        scope: args.scope.clone(),
        commit: args.commit.clone(),
        artifacts: !args.no_artifacts && args.cell.is_none(),
        steps: args.steps,
        refresh: args.refresh,
    };
    let output = context.output;
    let mut client = context.client()?;
    let interrupted = cancel_on_interrupt(client.canceller()?);
    let mut progress = output.progress();
    let answer = client.call(request, &mut |done, _, message| {
        progress.bytes(done, message);
    });
    drop(progress);
    if answer.is_err() && interrupted.load(Ordering::Acquire) {
        output.note("stopped; whole files are kept, the same command goes on with the others");
        std::process::exit(INTERRUPTED);
    }
    let answer = answer?;
    output.answer(&answer, |answer| report(output, answer))?;
    Ok(match answer.complete {
        true => Exit::Done,
        false => Exit::NoSignal,
    })
}

/// What a shell reports for a process that ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// On Ctrl-C the daemon is asked to stop the pull, which then answers that it did.
fn cancel_on_interrupt(mut cancel: Canceller) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            seen.store(true, Ordering::Release);
            if cancel.cancel().is_err() {
                // The daemon is gone, so nothing is left to stop.
                std::process::exit(INTERRUPTED);
            }
        }
    });
    interrupted
}

/// What is byte-exact, what the source lost and why, what is provisional.
fn report(output: Output, answer: &PullFullLogAnswer) -> String {
    let of = match &answer.source_run_id {
        Some(id) => format!("{} run {id}, attempt {}", answer.source, answer.attempt),
        None => answer.source.clone(),
    };
    let mut text = format!(
        "{} {} at {} ({of})\n",
        answer.run_id,
        answer.scope,
        short(&answer.head_sha)
    );
    for log in &answer.logs {
        text.push_str(&log_block(output, log));
    }
    for artifact in &answer.artifacts {
        text.push_str(&artifact_block(output, artifact));
    }
    // Writing to a string cannot fail.
    if let Some(why) = &answer.provisional {
        let _ = writeln!(text, "{}: {why}", output.paint(Tone::Warn, "provisional"));
    }
    for note in &answer.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let verdict = match answer.complete {
        true => output.paint(Tone::Good, "full: every byte that the source keeps is here"),
        false => output.paint(
            Tone::Bad,
            "not full: see what is lost, failed or still to come",
        ),
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn log_block(output: Output, log: &PulledLog) -> String {
    let what = match (&log.log, &log.why_empty) {
        (Some(log), _) => format!(
            "{} bytes, {} lines, {}",
            log.total_bytes, log.total_lines, log.log_id
        ),
        (None, Some(why)) => format!("no log: {why}"),
        (None, None) => "no log".into(),
    };
    let mut text = format!("  {} {:<28} {what}\n", fate(output, &log.fate), log.job);
    for other in &log.outranked {
        let _ = writeln!(
            text,
            "{:15}{:<28} outranked: {} bytes, {}",
            "", "", other.total_bytes, other.log_id
        );
    }
    // How a log was found is of interest where it was not found at once.
    if log.fate != "byte_exact" || log.links.len() > 1 {
        for link in &log.links {
            let _ = writeln!(
                text,
                "{:15}{} {}: {}",
                "", link.link, link.outcome, link.detail
            );
        }
    }
    for step in &log.steps {
        let _ = writeln!(
            text,
            "{:15}step {} {}: bytes {} to {}",
            "", step.number, step.name, step.byte_start, step.byte_end
        );
    }
    text
}

fn artifact_block(output: Output, artifact: &ArtifactView) -> String {
    let digest = artifact.sha256.as_deref().unwrap_or("no bytes");
    let mut text = format!(
        "  {} {:<28} artifact, {} bytes, {digest}\n",
        fate(output, &artifact.fate),
        artifact.name,
        artifact.bytes
    );
    if !artifact.detail.is_empty() {
        let _ = writeln!(text, "{:15}{}", "", artifact.detail);
    }
    for entry in &artifact.logs {
        let id = entry.log.as_ref().map_or("", |log| log.log_id.as_str());
        let _ = writeln!(text, "{:15}{} {id}", "", entry.name);
    }
    text
}

fn fate(output: Output, fate: &str) -> String {
    let tone = match fate {
        "byte_exact" | "nothing" => Tone::Good,
        "provisional" | "pending" => Tone::Warn,
        _ => Tone::Bad,
    };
    output.paint(tone, &format!("{fate:<12}"))
}

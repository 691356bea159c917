//! `greenloop run`

use std::sync::{Arc, Mutex};

use anyhow::Result;
use service::api::{RunView, StartRunRequest};

use super::Context;
use super::runs::run_block;
use crate::exit::Exit;
use crate::output::refusals;

/// Run a proof scope here, under the GPU lease
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scope, as greenloop.toml names it
    scope: String,
    /// Only this cell
    #[arg(long)]
    cell: Option<String>,
    /// Commit; the tip of the remote's branch when absent
    #[arg(long)]
    commit: Option<String>,
    /// Queue it and return at once
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let request = StartRunRequest {
        scope: args.scope.clone(),
        cell: args.cell.clone(),
        commit: args.commit.clone(),
        wait: !args.no_wait,
    };
    let output = context.output;
    let mut client = context.client()?;
    // Which run it became is known from what the daemon says it does.
    let started = Arc::new(Mutex::new(None));
    let known = Arc::clone(&started);
    on_interrupt(output, move || {
        goes_on(known.lock().ok().and_then(|id| id.clone()))
    });
    let mut progress = output.progress();
    let answer = client.call(request, &mut |done, total, message| {
        if let (Some(id), Ok(mut known)) = (run_id(message), started.lock()) {
            *known = Some(id.to_owned());
        }
        progress.update(done, total, message);
    })?;
    drop(progress);
    output.answer(&answer, |answer| match &answer.run {
        Some(run) => run_block(output, run),
        None => refusals(output, &answer.refused),
    })?;
    Ok(answer.run.as_ref().map_or(Exit::Refused, exit))
}

/// What a run means for a script.
pub(super) fn exit(run: &RunView) -> Exit {
    match (run.status.as_str(), run.green, run.class.as_deref()) {
        ("completed", Some(true), _) => Exit::Done,
        ("completed", _, Some("no_signal") | None) => Exit::NoSignal,
        ("completed", _, Some("infra" | "vulkan_init")) => Exit::Environment,
        ("completed", _, Some("green_unproven")) => Exit::NoSignal,
        ("completed", ..) => Exit::Red,
        _ => Exit::Done,
    }
}

/// The id of a run in what the daemon says it does, such as `run R1 of sums: cell default`.
fn run_id(message: &str) -> Option<&str> {
    let number = |word: &str| {
        word.strip_prefix('R')
            .is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    message.split_whitespace().find(|word| number(word))
}

fn goes_on(run: Option<String>) -> String {
    match run {
        Some(run) => format!(
            "{run} goes on in the daemon; `greenloop wait {run}` waits for it again, `greenloop stop` stops it"
        ),
        None => "what was started goes on in the daemon; `greenloop runs` shows it".into(),
    }
}

/// On Ctrl-C, says what happens to the work and how to go on, and ends this process with 130; the
/// daemon is not touched.
pub(super) fn on_interrupt(
    output: crate::output::Output,
    what_goes_on: impl FnOnce() -> String + Send + 'static,
) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            output.note(&format!("\n{}", what_goes_on()));
            std::process::exit(130);
        }
    });
}

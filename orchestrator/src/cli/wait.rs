//! `greenloop wait`

use anyhow::Result;
use service::api::WaitForRunRequest;

use super::Context;
use super::run::{exit, on_interrupt};
use super::runs::run_block;
use crate::exit::Exit;

/// Longest wait of one call, seconds.
const STEP_S: u32 = 50;

/// Wait for a run that was started before
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run id, such as R1
    run: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    let mut client = context.client()?;
    let again = format!(
        "the run goes on in the daemon; `greenloop wait {}` waits for it again",
        args.run
    );
    on_interrupt(output, move || again.clone());
    let mut progress = output.progress();
    let ended = loop {
        let request = WaitForRunRequest {
            run_id: args.run.clone(),
            max_wait_s: STEP_S,
        };
        let answer = client.call(request, &mut |done, total, message| {
            progress.update(done, total, message)
        })?;
        if answer.done {
            break answer;
        }
    };
    drop(progress);
    output.answer(&ended, |ended| run_block(output, &ended.run))?;
    Ok(exit(&ended.run))
}

//! `greenloop gates`

use anyhow::Result;
use service::api::{GetClaimRequest, RunGatesAnswer, RunGatesRequest};

use super::Context;
use super::claim::gate_line;
use super::run::on_interrupt;
use crate::exit::Exit;
use crate::output::{Output, refusals};

/// Longest wait of one call, seconds.
const STEP_S: u32 = 50;

/// Run the gates of a checked claim, or wait for those that run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Claim id, such as C1
    id: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    let mut client = context.client()?;
    let claim = client.ask(GetClaimRequest {
        claim_id: args.id.clone(),
    })?;
    let again = format!(
        "the gates go on in the daemon; `greenloop gates {}` waits for them again",
        args.id
    );
    on_interrupt(output, move || again);
    let mut progress = output.progress();
    let ended = loop {
        let request = RunGatesRequest {
            loop_id: claim.summary.loop_id.clone(),
            claim_id: args.id.clone(),
            max_wait_s: Some(STEP_S),
        };
        let answer = client.call(request, &mut |done, total, message| {
            progress.update(done, total, message)
        })?;
        if answer.done || !answer.refused.is_empty() {
            break answer;
        }
    };
    drop(progress);
    output.answer(&ended, |ended| text(output, &args.id, ended))?;
    Ok(match (ended.refused.is_empty(), ended.state.as_str()) {
        (true, "staged") => Exit::AwaitsApproval,
        (true, _) => Exit::Done,
        (false, _) => Exit::Refused,
    })
}

fn text(output: Output, id: &str, answer: &RunGatesAnswer) -> String {
    let mut text = format!("{id} {}\n", answer.state);
    for gate in &answer.results {
        text.push_str(&gate_line(output, gate));
    }
    text.push_str(&refusals(output, &answer.refused));
    if answer.state == "staged" {
        text.push_str(&format!("next: greenloop review {id}\n"));
    }
    text
}

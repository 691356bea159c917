//! `greenloop verify`

use anyhow::Result;
use service::api::VerifyClaimRequest;

use super::Context;
use super::claim::verdict_block;
use super::run::on_interrupt;
use crate::exit::Exit;
use crate::output::refusals;

/// Grade a pushed claim by the run of its commit
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Claim id, such as C1
    id: String,
    /// Longest wait for the run, seconds
    #[arg(long, default_value_t = 1800)]
    wait: u32,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    let mut client = context.client()?;
    let again = format!(
        "the run and its grading go on in the daemon; `greenloop verify {0}` waits again, `greenloop review {0}` shows them",
        args.id
    );
    on_interrupt(output, move || again);
    let mut progress = output.progress();
    let request = VerifyClaimRequest {
        claim_id: args.id.clone(),
        max_wait_s: args.wait,
    };
    let answer = client.call(request, &mut |done, total, message| {
        progress.update(done, total, message)
    })?;
    drop(progress);
    output.answer(&answer, |answer| match &answer.verdict {
        Some(verdict) => format!(
            "{} {}\n{}",
            args.id,
            answer.state,
            verdict_block(output, verdict)
        ),
        None => refusals(output, &answer.refused),
    })?;
    Ok(match &answer.verdict {
        // Under `confirmed` as well: something else broke.
        Some(verdict) if verdict.rollback_due => Exit::Red,
        Some(verdict) => match verdict.kind.as_str() {
            "confirmed" => Exit::Done,
            "refuted" => Exit::Red,
            _ => Exit::NoSignal,
        },
        None => Exit::Refused,
    })
}

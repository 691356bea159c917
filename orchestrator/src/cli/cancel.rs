//! `greenloop cancel`

use anyhow::Result;
use service::api::CancelRunRequest;

use super::Context;
use super::rerun::{exit_of, report};
use crate::exit::Exit;

/// Cancel a run, here or at the forge, on your own word
///
/// For a run that cannot buy anything any more, such as one of a pull request. The order is recorded with
/// its reason; one to the forge is sent once. A run that grades a claim is cancelled only when the claim is named.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run: its id at the forge or its id here (`R1`)
    #[arg(value_name = "RUN")]
    of: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Claim that the run grades, whose verdict you give up
    #[arg(long, value_name = "ID")]
    claim: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(CancelRunRequest {
        run_id: args.of.clone(),
        reason: args.reason.clone(),
        claim_id: args.claim.clone(),
    })?;
    let output = context.output;
    output.answer(&answer, |answer| report(output, answer))?;
    Ok(exit_of(&answer))
}

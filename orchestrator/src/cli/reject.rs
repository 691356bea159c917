//! `greenloop reject`

use anyhow::Result;
use service::api::RejectClaimRequest;

use super::Context;
use crate::exit::Exit;
use crate::output::refusals;

/// Reject a claim, with the reason its author will read
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Claim id, such as C1
    id: String,
    /// Why
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let request = RejectClaimRequest {
        claim_id: args.id.clone(),
        reason: args.reason.clone(),
    };
    let answer = context.client()?.ask(request)?;
    let output = context.output;
    output.answer(&answer, |answer| match answer.refused.as_slice() {
        [] => format!("{} {}", args.id, answer.state),
        refused => refusals(output, refused),
    })?;
    Ok(if answer.refused.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

//! `greenloop review`

use anyhow::Result;
use service::api::{LoopStatusRequest, ReviewClaimRequest};

use super::Context;
use crate::card::{Layout, render};
use crate::exit::Exit;

/// The claim card: everything a person decides on, on one page
///
/// Who claims what, what fails, the diff, what the telemetry will show, gates, cost, risk, the ledger,
/// and what a signature would bind, with the command to give it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Claim id, such as C1; the claim that waits for approval when absent
    id: Option<String>,
    /// Show the whole diff
    #[arg(long)]
    diff: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut client = context.client()?;
    let claim_id = match &args.id {
        Some(id) => id.clone(),
        None => {
            let claims = client.ask(LoopStatusRequest::default())?.claims;
            let staged = claims.into_iter().find(|claim| claim.state == "staged");
            match staged {
                Some(claim) => claim.claim_id,
                None => anyhow::bail!(
                    "no claim waits for approval; name one, `greenloop claims` lists them"
                ),
            }
        }
    };
    let review = client.ask(ReviewClaimRequest { claim_id })?;
    let layout = Layout {
        whole_diff: args.diff,
        ..Layout::of_terminal(context.output)
    };
    let text = render(&review, layout)?;
    context.output.answer(&review, |_| text)?;
    Ok(match review.summary.state.as_str() {
        "staged" => Exit::AwaitsApproval,
        _ => Exit::Done,
    })
}

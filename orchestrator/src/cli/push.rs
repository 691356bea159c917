//! `greenloop push`

use anyhow::Result;
use service::api::{GetClaimRequest, RequestPushRequest};

use super::Context;
use super::run::on_interrupt;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Output, refusals};
use crate::page::short;

/// Spend the approval of a claim: push it with its attestation, atomically
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Claim id, such as C1
    id: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    push(&args.id, &mut context.client()?, context.output)
}

/// Pushes and prints what happened.
pub(super) fn push(id: &str, client: &mut Client, output: Output) -> Result<Exit> {
    let summary = client
        .ask(GetClaimRequest {
            claim_id: id.to_owned(),
        })?
        .summary;
    let request = RequestPushRequest {
        loop_id: summary.loop_id,
        claim_id: summary.claim_id,
        claim_digest: summary.claim_digest,
    };
    let again = format!(
        "the daemon finishes what it sent and records what became of it; `greenloop push {id}` again tells, and sends nothing twice"
    );
    on_interrupt(output, move || again);
    let mut progress = output.progress();
    let answer = client.call(request, &mut |done, total, message| {
        progress.update(done, total, message)
    })?;
    drop(progress);
    output.answer(&answer, |answer| match &answer.pushed_commit {
        Some(commit) => {
            let run = answer
                .run_id
                .as_deref()
                .map(|run| format!("; {run} grades it"))
                .unwrap_or_default();
            format!(
                "{id} {}: {} is at the remote{run}",
                answer.state,
                short(commit)
            )
        }
        None => refusals(output, &answer.refused),
    })?;
    Ok(if answer.pushed_commit.is_some() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

//! `greenloop approve`

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use service::api::{ApproveClaimRequest, PrepareApprovalRequest, ReviewClaimRequest};

use super::{Context, push};
use crate::card::{Layout, render};
use crate::exit::Exit;
use crate::output::refusals;
use crate::sign::sign;

/// Sign a staged claim
///
/// Shows what is signed, then has `ssh-keygen` sign it. Approving records; `--push` also spends.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Claim id, such as C1
    id: String,
    /// SSH key to sign with (`ssh-keygen -f`)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Push at once
    #[arg(long)]
    push: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    let mut client = context.client()?;
    let prepared = client.ask(PrepareApprovalRequest {
        claim_id: args.id.clone(),
    })?;
    if !prepared.refused.is_empty() {
        output.answer(&prepared, |prepared| refusals(output, &prepared.refused))?;
        return Ok(Exit::Refused);
    }
    let review = client.ask(ReviewClaimRequest {
        claim_id: args.id.clone(),
    })?;
    // What is bound is what is shown: the card of the answer to sign, not a newer one.
    if prepared.card.as_ref() != Some(&review.card) {
        bail!("the claim changed meanwhile; ask again");
    }
    output.note(&render(&review, Layout::of_terminal(output))?);
    let payload = prepared
        .payload
        .context("the daemon prepared nothing to sign")?;
    let signature = sign(&args.key, &prepared.namespace, &payload)?;
    let request = ApproveClaimRequest {
        claim_id: args.id.clone(),
        payload,
        signature,
    };
    let answer = client.ask(request)?;
    output.answer(&answer, |answer| match &answer.signer {
        Some(signer) => format!("{} {} by {signer}", args.id, answer.state),
        None => refusals(output, &answer.refused),
    })?;
    if !answer.refused.is_empty() {
        return Ok(Exit::Refused);
    }
    if args.push {
        push::push(&args.id, &mut client, output)
    } else {
        Ok(Exit::Done)
    }
}

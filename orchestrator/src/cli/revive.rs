//! `greenloop revive`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use service::api::{PrepareRevivalRequest, ReviveHypothesisRequest};

use super::Context;
use crate::exit::Exit;
use crate::output::refusals;
use crate::sign::sign;

/// Let a dead hypothesis live again, by evidence newer than what killed it and your signature
///
/// An agent records what a newer run shows; whether that contradicts the killer is evaluated here.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Hypothesis id, such as H3
    id: String,
    /// Why the newer evidence counts for more
    #[arg(long)]
    reason: String,
    /// SSH key to sign with (`ssh-keygen -f`)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    let mut client = context.client()?;
    let prepared = client.ask(PrepareRevivalRequest {
        hypothesis_id: args.id.clone(),
        reason: args.reason.clone(),
    })?;
    if !prepared.refused.is_empty() {
        output.answer(&prepared, |prepared| refusals(output, &prepared.refused))?;
        return Ok(Exit::Refused);
    }
    let killer = prepared.hypothesis.killed_because.as_deref();
    output.note(&format!(
        "{}: {}\ndied of: {}\nshown since by: {}\n",
        args.id,
        prepared.hypothesis.statement,
        killer.unwrap_or("no recorded killer"),
        prepared.observations.join(", ")
    ));
    let payload = prepared
        .payload
        .context("the daemon prepared nothing to sign")?;
    let signature = sign(&args.key, &prepared.namespace, &payload)?;
    let answer = client.ask(ReviveHypothesisRequest {
        hypothesis_id: args.id.clone(),
        payload,
        signature,
    })?;
    output.answer(&answer, |answer| match &answer.signer {
        Some(signer) => format!("{} {} by {signer}", args.id, answer.hypothesis.status),
        None => refusals(output, &answer.refused),
    })?;
    Ok(match answer.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    })
}

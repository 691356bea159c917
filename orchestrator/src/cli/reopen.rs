//! `greenloop reopen`

use anyhow::Result;
use service::api::ReopenScopeRequest;

use super::{Context, overrides};
use crate::exit::Exit;
use crate::output::refusals;
use crate::times::Times;

/// Let pushes into a scope pass that a due rollback has closed, on your own word, for some hours
///
/// The other way is to push the rollback that `greenloop revert` prepares. This is an override like any other: it is
/// recorded for ever and stands in the attestation of every push that it lets pass. Afterwards the scope is closed
/// again until the rollback has landed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scope, as greenloop.toml names it
    scope: String,
    /// Why pushes may go on although the rollback has not landed
    #[arg(long)]
    reason: String,
    /// How long it counts
    #[arg(long, default_value_t = 4)]
    hours: u32,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(ReopenScopeRequest {
        scope: args.scope.clone(),
        reason: args.reason.clone(),
        hours: args.hours,
    })?;
    let output = context.output;
    output.answer(&answer, |answer| {
        match (&answer.granted, &answer.closed_because) {
            (Some(granted), Some(why)) => format!(
                "{} takes pushes for a while, although it is closed because {why}\n{}",
                args.scope,
                overrides::line(granted, Times::here())
            ),
            _ => refusals(output, &answer.refused),
        }
    })?;
    Ok(match answer.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    })
}

//! `greenloop reopen`

use anyhow::Result;
use service::api::ReopenScopeRequest;

use super::Context;
use crate::exit::Exit;
use crate::output::refusals;

/// Open a scope again that a due rollback has closed, on your own word
///
/// The other way is to push the rollback that `greenloop revert` prepares. The reason is recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scope, as greenloop.toml names it
    scope: String,
    /// Why pushes may go on although the rollback has not landed
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(ReopenScopeRequest {
        scope: args.scope.clone(),
        reason: args.reason.clone(),
    })?;
    let output = context.output;
    output.answer(&answer, |answer| match &answer.was_closed_because {
        Some(why) => format!(
            "{} takes pushes again; it was closed because {why}",
            args.scope
        ),
        None => refusals(output, &answer.refused),
    })?;
    Ok(match answer.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    })
}

//! `greenloop rerun`

use anyhow::Result;
use service::api::{OrderAnswer, RerunRequest};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, refusals};

/// Run a run of the forge again as its next attempt, on your own word
///
/// For a run that was lost or is flaky. It spends the runner without a claim: its minutes count against
/// the day, and the order is recorded with its reason and sent once. The new attempt is followed and
/// pulled like any other run; a verdict that stands keeps the attempt it was given on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run: its id at the forge or its id here (`R1`)
    #[arg(value_name = "RUN")]
    of: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Only the failed jobs, and what depends on them
    #[arg(long)]
    failed: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(RerunRequest {
        run_id: args.of.clone(),
        reason: args.reason.clone(),
        failed_only: args.failed,
    })?;
    let output = context.output;
    output.answer(&answer, |answer| report(output, answer))?;
    Ok(exit_of(&answer))
}

/// What became of an order.
pub(super) fn report(output: Output, answer: &OrderAnswer) -> String {
    if !answer.refused.is_empty() {
        return refusals(output, &answer.refused);
    }
    if answer.had_ended {
        return "it had ended already; nothing was done".into();
    }
    let order = answer.order_id.as_deref().unwrap_or("the order");
    if let Some(run) = answer.run.as_ref().filter(|run| run.source == "local") {
        let now = run.conclusion.as_deref().unwrap_or("is being ended");
        return format!("{order}: {} {now}", run.run_id);
    }
    let run = answer.run.as_ref().map(|run| {
        format!(
            "; {} is attempt {} of it, {}",
            run.run_id, run.attempt, run.status
        )
    });
    format!("{order}: the forge took it{}", run.unwrap_or_default())
}

/// As every verb that can be refused.
pub(super) fn exit_of(answer: &OrderAnswer) -> Exit {
    match answer.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

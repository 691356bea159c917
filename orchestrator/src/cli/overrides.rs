//! `greenloop override`

use anyhow::Result;
use clap::Subcommand;
use service::api::{ListOverridesAnswer, ListOverridesRequest, OverrideRuleRequest, OverrideView};

use super::Context;
use crate::exit::Exit;
use crate::output::refusals;
use crate::page::printable;
use crate::times::Times;

/// Pass over a rule of cost on your own word, for some hours
///
/// Only refusals of cost can be passed over: what a push may spend, and where; and the wait for a
/// rollback, as `greenloop reopen` does. The reason is recorded for ever and goes into the attestation of
/// every push that it lets pass; `greenloop why` and `greenloop audit` show it.
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Code of the refusal to pass over, such as budget_exceeded
    #[arg(required = true)]
    code: Option<String>,
    /// Scope whose claims it is for, as greenloop.toml names it
    #[arg(required = true)]
    scope: Option<String>,
    /// Why
    #[arg(long, required = true)]
    reason: Option<String>,
    /// How long it counts
    #[arg(long, default_value_t = 4)]
    hours: u32,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every override that was ever granted, and what can be overridden
    List,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut client = context.client()?;
    let output = context.output;
    let times = Times::here();
    if let Some(Action::List) = &args.action {
        let answer = client.ask(ListOverridesRequest {})?;
        output.answer(&answer, |answer| list(answer, times))?;
        return Ok(Exit::Done);
    }
    let answer = client.ask(OverrideRuleRequest {
        code: args.code.clone().unwrap_or_default(),
        scope: args.scope.clone().unwrap_or_default(),
        reason: args.reason.clone().unwrap_or_default(),
        hours: args.hours,
    })?;
    output.answer(&answer, |answer| match &answer.granted {
        Some(granted) => line(granted, times),
        None => refusals(output, &answer.refused),
    })?;
    Ok(match answer.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    })
}

fn list(answer: &ListOverridesAnswer, times: Times) -> String {
    let mut text: String = answer
        .overrides
        .iter()
        .map(|granted| line(granted, times))
        .collect();
    text.push_str(&format!(
        "can be passed over: {}\n",
        answer.overridable.join(", ")
    ));
    text
}

pub(super) fn line(granted: &OverrideView, times: Times) -> String {
    let word = match granted.in_force {
        true => "counts until",
        false => "ended",
    };
    format!(
        "{} {} in {} {word} {}: {} ({})\n",
        granted.override_id,
        granted.code,
        granted.scope,
        times.at(granted.expires_ms),
        printable(&granted.reason),
        printable(&granted.by)
    )
}

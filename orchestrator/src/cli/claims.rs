//! `greenloop claims`

use anyhow::Result;
use service::api::{ClaimSummary, HitRateView, ListClaimsAnswer, ListClaimsRequest};

use super::Context;
use super::status::state_words;
use crate::exit::Exit;
use crate::page::{clip, pad, printable, terminal_width};

/// List claims, newest first, and how often predictions came true
#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Loop whose claims to list; the newest open one when absent
    #[arg(long, value_name = "LOOP", conflicts_with = "all")]
    r#loop: Option<String>,
    /// List the claims of every loop, closed ones included
    #[arg(long)]
    all: bool,
}

/// Prints every claim in one line, and the hit rate of each author.
pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(ListClaimsRequest {
        loop_id: args.r#loop.clone(),
        all: args.all,
    })?;
    let width = terminal_width();
    context
        .output
        .answer(&answer, |answer| text(answer, width))?;
    Ok(Exit::Done)
}

fn text(answer: &ListClaimsAnswer, width: usize) -> String {
    if answer.claims.is_empty() {
        return "no claims yet; an agent proposes them, `greenloop status` says what comes next; \
                `greenloop claims --all` lists those of other loops\n"
            .into();
    }
    let rows = answer.claims.iter().map(|claim| row(claim, width));
    let rates = answer.hit_rates.iter().map(|rate| {
        let line = format!("{}: {}", printable(&rate.author), hit_rate(rate));
        format!("{}\n", clip(&line, width))
    });
    rows.chain(rates).collect()
}

fn row(claim: &ClaimSummary, width: usize) -> String {
    let line = format!(
        "{} {} {} {}  {}",
        pad(&claim.claim_id, 4),
        pad(&claim.loop_id, 3),
        pad(&state_words(claim), 12),
        claim.scope,
        printable(&claim.subject)
    );
    format!("{}\n", clip(&line, width))
}

/// How often an author's predictions came true, in words.
pub(super) fn hit_rate(rate: &HitRateView) -> String {
    let share = match rate.percent {
        Some(percent) => format!(" ({percent} %)"),
        None => String::new(),
    };
    format!(
        "{} of {} predictions held{share}, {} not observable, in {} graded claims",
        rate.hits,
        rate.hits.saturating_add(rate.misses),
        rate.not_observable,
        rate.claims
    )
}

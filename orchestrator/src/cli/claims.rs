//! `greenloop claims`

use anyhow::Result;
use serde::Serialize;
use service::api::{ClaimSummary, LoopStatusRequest};

use super::Context;
use crate::exit::Exit;
use crate::page::{clip, pad, printable, terminal_width};

/// List claims, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listed {
    claims: Vec<ClaimSummary>,
}

pub(super) fn run(_args: &Args, context: &Context<'_>) -> Result<Exit> {
    list(context)
}

/// Prints every claim in one line.
pub(super) fn list(context: &Context<'_>) -> Result<Exit> {
    let claims = context.client()?.ask(LoopStatusRequest::default())?.claims;
    let width = terminal_width();
    context.output.answer(&Listed { claims }, |listed| {
        if listed.claims.is_empty() {
            return "no claims yet; an agent proposes them, `greenloop status` says what comes next"
                .into();
        }
        listed
            .claims
            .iter()
            .map(|claim| row(claim, width))
            .collect()
    })?;
    Ok(Exit::Done)
}

fn row(claim: &ClaimSummary, width: usize) -> String {
    let line = format!(
        "{} {} {}  {}",
        pad(&claim.claim_id, 4),
        pad(&claim.state, 12),
        claim.scope,
        printable(&claim.subject)
    );
    format!("{}\n", clip(&line, width))
}

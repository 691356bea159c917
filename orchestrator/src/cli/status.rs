//! `greenloop status`

use std::fmt::Write;

use anyhow::Result;
use service::api::{LoopStatusAnswer, LoopStatusRequest, ScopeView};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, Tone, duration};

/// One screen: scopes, loop, claims, ledger, counters, next legal actions
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Loop to show; the newest open one when absent
    #[arg(long)]
    r#loop: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(LoopStatusRequest {
        loop_id: args.r#loop.clone(),
    })?;
    context
        .output
        .answer(&answer, |answer| screen(context.output, answer))?;
    Ok(exit(&answer))
}

fn exit(answer: &LoopStatusAnswer) -> Exit {
    let any = |signal: &str| answer.scopes.iter().any(|scope| scope.signal == signal);
    if answer.phase == "awaiting_approval" {
        Exit::AwaitsApproval
    } else if any("red") {
        Exit::Red
    } else if any("no_signal") || any("green_unproven") || answer.scopes.is_empty() {
        Exit::NoSignal
    } else {
        Exit::Done
    }
}

fn screen(output: Output, answer: &LoopStatusAnswer) -> String {
    let mut text = String::new();
    let mut line = |head: &str, body: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{head:<9} {body}");
    };
    match &answer.r#loop {
        Some(view) => line(
            "loop",
            format!("{} {} ({})", view.loop_id, view.goal, answer.phase),
        ),
        None => line("loop", format!("none open ({})", answer.phase)),
    }
    for scope in &answer.scopes {
        line("scope", scope_line(output, scope));
    }
    let (drafts, claims): (Vec<_>, Vec<_>) = answer
        .claims
        .iter()
        .partition(|claim| claim.state == "drafted");
    for claim in claims {
        let digest = short(&claim.claim_digest);
        line(
            "claim",
            format!(
                "{} {:<12} {} [{digest}]",
                claim.claim_id, claim.state, claim.subject
            ),
        );
    }
    if !drafts.is_empty() {
        line(
            "drafts",
            format!("{} refused; `greenloop claim` lists them", drafts.len()),
        );
    }
    for row in &answer.hypotheses {
        let killed = row
            .killed_because
            .as_deref()
            .map(|why| format!("; killed: {why}"))
            .unwrap_or_default();
        line(
            "theory",
            format!(
                "{} {:<10} {} ({}){killed}",
                row.hypothesis_id, row.status, row.statement, row.mechanism
            ),
        );
    }
    if let Some(view) = &answer.r#loop {
        let counters = &view.counters;
        line(
            "counters",
            format!(
                "{} reads, {} idle re-orientations, {} proposals, {} gate runs, {} pushes, {} of runner, {} refused ends",
                counters.reads,
                counters.reorientations,
                counters.proposals,
                counters.gate_runs,
                counters.pushes,
                duration(counters.runner_ms.try_into().unwrap_or(i64::MAX)),
                counters.refused_ends
            ),
        );
    }
    for drift in &answer.drift {
        line("drift", output.paint(Tone::Warn, drift));
    }
    for action in &answer.next_actions {
        line("next", format!("{}: {}", action.tool, action.why));
    }
    line(
        "journal",
        format!(
            "record {} {}",
            answer.journal_seq,
            short(&answer.journal_head)
        ),
    );
    line("state", answer.state_dir.clone());
    text
}

fn scope_line(output: Output, scope: &ScopeView) -> String {
    let tone = match scope.signal.as_str() {
        "green" => Tone::Good,
        "red" => Tone::Bad,
        _ => Tone::Warn,
    };
    let age = scope
        .age_ms
        .map(|age| format!(", {} ago", duration(age)))
        .unwrap_or_default();
    let run = scope
        .run_id
        .as_deref()
        .map(|run| format!(" by {run}{age}"))
        .unwrap_or_default();
    let commit = scope
        .head_sha
        .as_deref()
        .map(|sha| format!(" at {}", short(sha)))
        .unwrap_or_default();
    let closed = scope
        .closed
        .as_deref()
        .map(|why| format!("; closed: {why}"))
        .unwrap_or_default();
    format!(
        "{} {}{run}{commit}{closed}",
        scope.scope,
        output.paint(tone, &scope.signal)
    )
}

/// The first digits of a digest or object id.
pub(super) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

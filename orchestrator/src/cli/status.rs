//! `greenloop status`

use anyhow::Result;
use service::api::{
    ClaimSummary, LoopStatusAnswer, LoopStatusRequest, LoopView, ScopeView, SpendView,
};

use super::Context;
use crate::exit::Exit;
use crate::output::Tone;
use crate::page::{Page, pad, short, terminal_width};
use crate::times::{Times, took};

/// Claims and theories that fit on one screen.
const ROWS: usize = 6;
/// Rows of spending on one screen.
const SPENDING: usize = 3;

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
    let (output, width) = (context.output, terminal_width());
    output.answer(&answer, |answer| {
        screen(answer, Page::new(width, output), Times::here())
    })?;
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

fn screen(answer: &LoopStatusAnswer, mut page: Page, times: Times) -> String {
    let phase = answer.phase.replace('_', " ");
    match &answer.r#loop {
        Some(found) => page.rule(&format!("{} · {phase} · {}", found.loop_id, found.goal)),
        None => page.rule(&format!("no loop is open · {phase}")),
    }
    scopes(&mut page, answer, times);
    claims(&mut page, answer);
    ledger(&mut page, answer);
    if let Some(found) = &answer.r#loop {
        counters(&mut page, found);
    }
    spending(&mut page, answer);
    for drift in &answer.drift {
        page.toned("drift", drift, Tone::Warn);
    }
    next(&mut page, answer);
    page.rule("");
    page.field(
        "journal",
        &format!(
            "record {} {}",
            answer.journal_seq,
            short(&answer.journal_head)
        ),
    );
    page.field("state", &answer.state_dir);
    page.finish()
}

fn scopes(page: &mut Page, answer: &LoopStatusAnswer, times: Times) {
    let mut label = "scopes";
    if answer.scopes.is_empty() {
        page.toned(
            label,
            "no signal yet; start one with `greenloop run SCOPE`",
            Tone::Warn,
        );
    }
    for scope in &answer.scopes {
        let tone = match scope.signal.as_str() {
            "green" => Tone::Good,
            "red" => Tone::Bad,
            _ => Tone::Warn,
        };
        page.toned(label, &scope_line(scope, times), tone);
        if let Some(why) = &scope.closed {
            page.toned("", &format!("closed for pushes: {why}"), Tone::Bad);
        }
        label = "";
    }
}

fn scope_line(scope: &ScopeView, times: Times) -> String {
    let mut line = format!("{} {}", scope.scope, scope.signal.replace('_', " "));
    if let Some(run) = &scope.run_id {
        line.push_str(&format!(" by {run}"));
    }
    if let Some(commit) = &scope.head_sha {
        line.push_str(&format!(" at {}", short(commit)));
    }
    if let Some(age) = scope.age_ms {
        line.push_str(&format!(", {}", times.ago(age)));
    }
    if let Some(minutes) = scope.minutes_left {
        line.push_str(&format!(", {minutes} runner minutes left today"));
    }
    line
}

fn claims(page: &mut Page, answer: &LoopStatusAnswer) {
    let (drafts, claims): (Vec<_>, Vec<_>) = answer
        .claims
        .iter()
        .partition(|claim| claim.state == "drafted");
    let mut label = "claims";
    for claim in claims.iter().take(ROWS) {
        page.toned(label, &claim_line(claim), claim_tone(claim));
        label = "";
    }
    let more = claims.len().saturating_sub(ROWS);
    if more + drafts.len() > 0 {
        page.field(
            label,
            &format!(
                "{more} more, {} refused drafts; `greenloop claims` lists them",
                drafts.len()
            ),
        );
    }
}

/// Where a claim stands, in words.
pub(super) fn state_words(claim: &ClaimSummary) -> String {
    let state = claim.state.replace('_', " ");
    match claim.regressed {
        true => format!("{state}, regressed"),
        false => state,
    }
}

fn claim_line(claim: &ClaimSummary) -> String {
    format!(
        "{} {} {} [{}]",
        pad(&claim.claim_id, 3),
        pad(&state_words(claim), 12),
        claim.subject,
        short(&claim.claim_digest)
    )
}

fn claim_tone(claim: &ClaimSummary) -> Tone {
    match claim.state.as_str() {
        _ if claim.regressed => Tone::Bad,
        "confirmed" => Tone::Good,
        "refuted" | "rejected" | "invalidated" | "expired" => Tone::Bad,
        _ => Tone::Warn,
    }
}

fn ledger(page: &mut Page, answer: &LoopStatusAnswer) {
    let mut label = "ledger";
    let (dead, alive): (Vec<_>, Vec<_>) = answer
        .hypotheses
        .iter()
        .partition(|row| row.status == "falsified");
    for row in alive.iter().chain(&dead).take(ROWS) {
        let killed = match &row.killed_because {
            Some(why) => format!("; killed: {why}"),
            None => String::new(),
        };
        page.field(
            label,
            &format!(
                "{} {} {}{killed}",
                row.hypothesis_id, row.status, row.statement
            ),
        );
        label = "";
    }
    let more = answer.hypotheses.len().saturating_sub(ROWS);
    if more > 0 {
        page.field(
            "",
            &format!("{more} more; `greenloop hypotheses` lists them"),
        );
    }
}

/// Both ways to fail, side by side: reading without acting, and pushing without knowing.
fn counters(page: &mut Page, found: &LoopView) {
    let counters = &found.counters;
    page.field(
        "stalling",
        &format!(
            "{} reads, {} looks without news, {} refused ends",
            counters.reads, counters.reorientations, counters.refused_ends
        ),
    );
    page.field(
        "acting",
        &format!(
            "{} lines, {} tests, {} proposals, {} gate runs, {} theories opened, {} killed",
            counters.lines_written,
            counters.tests_added,
            counters.proposals,
            counters.gate_runs,
            counters.hypotheses_opened,
            counters.hypotheses_killed
        ),
    );
    page.field(
        "spending",
        &format!(
            "{} pushes, {} of runner",
            counters.pushes,
            took(counters.runner_ms)
        ),
    );
}

/// What the last runs cost and bought, whose predictions came true, and what a person passes over.
fn spending(page: &mut Page, answer: &LoopStatusAnswer) {
    let mut label = "bought";
    for row in answer.spending.iter().take(SPENDING) {
        let tone = match (row.empty, row.state.as_str()) {
            (true, _) => Tone::Bad,
            (false, "settled") => Tone::Good,
            (false, _) => Tone::Warn,
        };
        page.toned(label, &spend_line(row), tone);
        label = "";
    }
    let mut label = "hit rate";
    for rate in answer.hit_rates.iter().take(SPENDING) {
        page.field(
            label,
            &format!("{}: {}", rate.author, super::claims::hit_rate(rate)),
        );
        label = "";
    }
    for granted in &answer.overrides {
        page.toned(
            "override",
            &format!(
                "{} {} in {}: {} ({})",
                granted.override_id, granted.code, granted.scope, granted.reason, granted.by
            ),
            Tone::Warn,
        );
    }
}

fn spend_line(row: &SpendView) -> String {
    let who = row.claim_id.as_deref().unwrap_or("by hand");
    let runs = row.runs.join(", ");
    let bought = match (&row.bought, row.state.as_str()) {
        (Some(what), _) if row.empty => format!("nothing: {what}"),
        (Some(what), _) => what.clone(),
        (None, "reserved") => format!("{} minutes reserved", row.reserved_minutes),
        (None, "bound") => "on its way".to_owned(),
        (None, _) => "not read yet".to_owned(),
    };
    format!(
        "{} {who} {runs} {}: {bought}",
        row.scope,
        took(row.spent_ms)
    )
}

/// What a person does first, then what an agent may.
fn next(page: &mut Page, answer: &LoopStatusAnswer) {
    for claim in &answer.claims {
        match claim.state.as_str() {
            "staged" => page.command("you", &format!("greenloop review {}", claim.claim_id)),
            "approved" => page.command("you", &format!("greenloop push {}", claim.claim_id)),
            _ => {}
        }
    }
    let mut label = "next";
    for action in answer.next_actions.iter().take(ROWS) {
        page.field(label, &format!("{}: {}", action.tool, action.why));
        label = "";
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::output::Output;

    // 2026-11-25 00:30 UTC.
    const NOW: i64 = 1_795_566_600_000;

    fn answer() -> LoopStatusAnswer {
        serde_json::from_str(include_str!("status.json")).unwrap()
    }

    fn shown(answer: &LoopStatusAnswer, width: usize) -> String {
        let text = screen(
            answer,
            Page::new(width, Output::plain()),
            Times::fixed(NOW, 1),
        );
        for line in text.lines() {
            assert!(line.width() <= width, "{} columns: {line}", line.width());
        }
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
        text
    }

    #[test]
    fn a_busy_loop_at_80_columns() {
        let text = shown(&answer(), 80);
        assert!(text.lines().count() <= 40, "more than one screen");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_busy_loop_at_120_columns() {
        insta::assert_snapshot!(shown(&answer(), 120));
    }

    #[test]
    fn nothing_yet() {
        let empty = LoopStatusAnswer {
            r#loop: None,
            phase: "idle".into(),
            scopes: Vec::new(),
            claims: Vec::new(),
            hypotheses: Vec::new(),
            drift: Vec::new(),
            spending: Vec::new(),
            hit_rates: Vec::new(),
            overrides: Vec::new(),
            ..answer()
        };
        insta::assert_snapshot!(shown(&empty, 80));
        assert_eq!(exit(&empty), Exit::NoSignal);
    }
}

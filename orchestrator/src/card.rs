//! The claim card in the terminal: what a person reads before signing.
//!
//! In this order: who claims what, what fails, what changes, what the telemetry will show, what the
//! gates did, what it costs and risks, which theories live, and what the signature binds.

use anyhow::{Context, Result};
use discipline::model::{GateRole, GateVerdict};
use discipline::shown::{ClaimCard, ShownGate, ShownHypothesis, ShownPredicate};
use markers::Truth;
use service::api::{DiffLineKind, DiffLineView, FileDiffView, GradeView, ReviewClaimAnswer};

use crate::output::{Output, Tone};
use crate::page::{Page, short, terminal_width};
use crate::times::took;

/// Lines of the diff that the card shows before it points to `--diff`.
const DIFF_LINES: usize = 40;
/// Columns before a line of the diff: two line numbers and the sign.
const DIFF_INDENT: usize = 14;

/// How a card is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Columns.
    pub width: usize,
    /// Colour or not.
    pub output: Output,
    /// The whole diff, however long.
    pub whole_diff: bool,
}

impl Layout {
    /// The card as the terminal takes it, with a long diff cut.
    pub(crate) fn of_terminal(output: Output) -> Self {
        Self {
            width: terminal_width(),
            output,
            whole_diff: false,
        }
    }
}

/// The card as text.
///
/// # Errors
/// The daemon is of another version and sends another card.
pub(crate) fn render(review: &ReviewClaimAnswer, layout: Layout) -> Result<String> {
    let card: ClaimCard = serde_json::from_value(serde_json::Value::Object(review.card.clone()))
        .context("the daemon sent a card of another version; `greenloop stop`, then ask again")?;
    let mut page = Page::new(layout.width, layout.output);
    head(&mut page, review, &card);
    failure(&mut page, review, &card);
    change(&mut page, review, &card, layout);
    telemetry(&mut page, review, &card);
    gates(&mut page, &card);
    cost_and_risk(&mut page, &card);
    ledger(&mut page, &card);
    binding(&mut page, review, &card);
    Ok(page.finish())
}

fn head(page: &mut Page, review: &ReviewClaimAnswer, card: &ClaimCard) {
    page.rule(&format!(
        "{} · {} · {}",
        card.claim_id,
        word(&card.kind),
        review.summary.state
    ));
    page.field("message", card.message.lines().next().unwrap_or_default());
    page.field(
        "who",
        &format!(
            "{} (uid {}; the name is unverified)",
            card.author, card.author_uid
        ),
    );
    page.field("scope", &card.proof_scope);
    page.field(
        "law",
        &format!("{} {}", card.failing_invariant, card.invariant_title),
    );
    page.field("", &review.law_text);
    for pin in &review.law_pins {
        page.field("", &format!("pinned by {pin}"));
    }
    for refusal in &card.refused {
        page.toned(
            "REFUSED",
            &format!("{} ({}): {}", refusal.code, refusal.field, refusal.reason),
            Tone::Bad,
        );
    }
    for label in &card.labels {
        page.toned("note", label, Tone::Warn);
    }
}

fn failure(page: &mut Page, review: &ReviewClaimAnswer, card: &ClaimCard) {
    page.rule("what fails today");
    if let Some(first) = &review.first_divergence {
        page.field(
            "diverges",
            &format!(
                "cell {}, line {}: {}",
                first.cell, first.line, first.summary
            ),
        );
        page.command("", &see(&first.log_id, first.line, first.line));
    }
    for cited in &card.evidence {
        let (from, to) = cited.lines;
        let lines = match from == to {
            true => format!("line {from}"),
            false => format!("lines {from}-{to}"),
        };
        page.field("evidence", &format!("{lines}: {}", cited.text.trim()));
        page.command("", &see(&cited.log_id.to_string(), from, to));
    }
    page.field("reasoning", &card.reasoning);
}

/// The command that shows these lines with what stands around them.
fn see(log_id: &str, from: u64, to: u64) -> String {
    format!(
        "greenloop log {} --line {}:{}",
        short(log_id),
        from.saturating_sub(3).max(1),
        to.saturating_add(3)
    )
}

fn change(page: &mut Page, review: &ReviewClaimAnswer, card: &ClaimCard, layout: Layout) {
    let files = match card.change.files.len() {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    };
    page.rule(&format!(
        "the change: {} behavioural, {} mechanical lines in {files}",
        card.change.behavioural_lines, card.change.mechanical_lines
    ));
    let total: usize = review.diff.iter().map(|file| file.lines.len()).sum();
    let mut room = if layout.whole_diff {
        usize::MAX
    } else {
        DIFF_LINES
    };
    let mut placed = vec![false; card.change.findings.len()];
    for file in &review.diff {
        if room == 0 {
            break;
        }
        page.field("file", &format!("{} ({})", file.path, file.what));
        for line in file.lines.iter().take(room) {
            diff_line(page, line);
            beside(page, file, line, card, &mut placed);
        }
        room = room.saturating_sub(file.lines.len());
        if file.left_out > 0 {
            page.field("", &format!("… {} lines are not listed", file.left_out));
        }
    }
    if !layout.whole_diff && total > DIFF_LINES {
        page.toned(
            "",
            &format!("… {} more lines:", total - DIFF_LINES),
            Tone::Warn,
        );
        page.command("", &format!("greenloop review {} --diff", card.claim_id));
    }
    for (finding, _) in card
        .change
        .findings
        .iter()
        .zip(&placed)
        .filter(|(_, placed)| !**placed)
    {
        page.toned(
            "finding",
            &format!("{}: {}", finding.code, finding.reason),
            Tone::Bad,
        );
    }
}

fn diff_line(page: &mut Page, line: &DiffLineView) {
    let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
    let (sign, tone) = match line.kind {
        DiffLineKind::Context => (' ', None),
        DiffLineKind::Removed => ('-', Some(Tone::Bad)),
        DiffLineKind::Added => ('+', Some(Tone::Good)),
        DiffLineKind::Gap => return page.verbatim("", DIFF_INDENT, "⋮", None),
    };
    let mark = format!(
        "{:>5} {:>5} {sign}",
        number(line.old_line),
        number(line.new_line)
    );
    page.verbatim(&mark, DIFF_INDENT, &line.text, tone);
}

/// Findings that name this line, below it.
fn beside(
    page: &mut Page,
    file: &FileDiffView,
    line: &DiffLineView,
    card: &ClaimCard,
    placed: &mut [bool],
) {
    for (finding, placed) in card.change.findings.iter().zip(placed) {
        let named = |number: Option<u32>| {
            number.is_some_and(|number| names(&finding.reason, &file.path, number))
        };
        let here = match line.kind {
            DiffLineKind::Removed => named(line.old_line),
            _ => named(line.new_line),
        };
        if here && !*placed {
            *placed = true;
            let text = format!("^ {}: {}", finding.code, finding.reason);
            page.verbatim("", DIFF_INDENT, &text, Some(Tone::Bad));
        }
    }
}

/// Whether a text names `path:line`.
fn names(text: &str, path: &str, line: u32) -> bool {
    let place = format!("{path}:{line}");
    text.match_indices(&place).any(|(at, _)| {
        let next = text[at + place.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_digit())
    })
}

fn telemetry(page: &mut Page, review: &ReviewClaimAnswer, card: &ClaimCard) {
    page.rule("telemetry: baseline → predicted → observed");
    let groups = [
        ("predicts", "prediction", &card.predictions),
        ("guards", "guard", &card.guards),
        ("revert if", "rollback_if", &card.rollback_if),
    ];
    for (label, role, predicates) in groups {
        if label == "revert if" {
            elsewhere(page, review, card);
        }
        for predicate in predicates {
            page.field(label, &predicate.predicate);
            page.toned(
                "",
                &format!("baseline  {}", today(predicate)),
                tone(role, predicate.today),
            );
            if let Some((truth, text)) = observed(review, role, &predicate.predicate) {
                page.toned("", &format!("observed  {text}"), tone(role, truth));
            }
        }
    }
}

/// Guards of other scopes, whose runs show them after the push.
fn elsewhere(page: &mut Page, review: &ReviewClaimAnswer, card: &ClaimCard) {
    for guard in &card.guards_elsewhere {
        page.field("guards", &guard.predicate);
        let of = format!(
            "in scope `{}`, by a run of its own after the push",
            guard.scope
        );
        page.field("", &of);
        let scopes = review
            .verdict
            .iter()
            .flat_map(|verdict| &verdict.other_scopes);
        let mut grades = scopes
            .filter(|scope| scope.scope == guard.scope)
            .flat_map(|scope| &scope.grades);
        if let Some(grade) = grades.find(|grade| grade.predicate == guard.predicate) {
            let (truth, text) = graded(grade);
            page.toned("", &format!("observed  {text}"), tone("guard", truth));
        }
    }
}

fn today(predicate: &ShownPredicate) -> String {
    format!("{}: {}", truth_word(predicate.today), predicate.observed)
}

fn truth_word(truth: Truth) -> &'static str {
    match truth {
        Truth::Holds => "holds",
        Truth::Fails => "false",
        Truth::NotObservable => "not observable",
    }
}

/// Good is what should be so: on the baseline a prediction is false and everything else as it was.
fn tone(role: &str, truth: Truth) -> Tone {
    match (role, truth) {
        (_, Truth::NotObservable) => Tone::Warn,
        ("rollback_if", Truth::Fails) => Tone::Good,
        ("rollback_if", Truth::Holds) => Tone::Bad,
        (_, Truth::Holds) => Tone::Good,
        (_, Truth::Fails) => Tone::Bad,
    }
}

/// What the run of the pushed commit said about a predicate.
fn observed(review: &ReviewClaimAnswer, role: &str, predicate: &str) -> Option<(Truth, String)> {
    let grades = &review.verdict.as_ref()?.grades;
    let grade = grades
        .iter()
        .find(|grade| grade.role == role && grade.predicate == predicate)?;
    Some(graded(grade))
}

fn graded(grade: &GradeView) -> (Truth, String) {
    let truth = match grade.truth.as_str() {
        "holds" => Truth::Holds,
        "fails" => Truth::Fails,
        _ => Truth::NotObservable,
    };
    (truth, format!("{}: {}", truth_word(truth), grade.observed))
}

fn gates(page: &mut Page, card: &ClaimCard) {
    page.rule("gates");
    if card.gates.is_empty() {
        page.toned("", "none has run", Tone::Warn);
    }
    for gate in &card.gates {
        let tone = match gate.verdict {
            GateVerdict::Passed => Tone::Good,
            _ => Tone::Bad,
        };
        let text = format!(
            "{}; {} passed, {} failed, {}",
            meaning(gate),
            gate.tests.passed,
            gate.tests.failed,
            took(gate.duration_ms)
        );
        match gate.gate.len() < 11 {
            true => page.toned(&gate.gate, &text, tone),
            false => page.toned("", &format!("{}: {text}", gate.gate), tone),
        }
    }
}

/// What a gate's process had to show, and whether it did.
fn meaning(gate: &ShownGate) -> String {
    let (passed, wanted) = match gate.role {
        GateRole::PinOnBase => ("red on base, as it must be", "the claim's test on base"),
        GateRole::PinOnHead => ("green on the change", "the claim's test on the change"),
        GateRole::PinOnAttempt => (
            "red on an earlier attempt, as it must be",
            "the claim's test on an earlier attempt",
        ),
        GateRole::Canary => ("canary seen failing", "canary"),
        GateRole::Gate => ("passed", "gate"),
        GateRole::GateOnParent => (
            "asked on the parent of what is reverted",
            "gate on the parent of what is reverted",
        ),
    };
    match gate.verdict {
        GateVerdict::Passed => passed.to_owned(),
        other => format!("{wanted} {}", word(&other)),
    }
}

fn cost_and_risk(page: &mut Page, card: &ClaimCard) {
    page.rule("cost and risk");
    let cancels = match card.budget.cancels.as_slice() {
        [] => "cancels no run".to_owned(),
        runs => format!("cancels {}", runs.join(", ")),
    };
    page.field(
        "cost",
        &format!(
            "{} runner minutes in {}; {cancels}",
            card.budget.runner_minutes,
            match card.budget.runs {
                1 => "1 run".to_owned(),
                n => format!("{n} runs"),
            }
        ),
    );
    page.field(
        "risk",
        &format!(
            "a broken guard ({}) or a condition that holds ({}) closes the scope and means revert",
            card.guards.len() + card.guards_elsewhere.len(),
            card.rollback_if.len()
        ),
    );
}

fn ledger(page: &mut Page, card: &ClaimCard) {
    if card.hypothesis.is_none() && card.rivals.is_empty() {
        return;
    }
    page.rule("ledger");
    let own = card.hypothesis.iter().map(|cause| ("cause", cause));
    let rivals = card.rivals.iter().map(|rival| ("rival", rival));
    for (label, theory) in own.chain(rivals) {
        page.field(label, &said(theory));
    }
}

fn said(theory: &ShownHypothesis) -> String {
    let killer = match &theory.killer {
        Some(why) => format!("; killed: {why}"),
        None => String::new(),
    };
    format!(
        "{} ({}) {}{killer}",
        theory.id,
        word(&theory.status),
        theory.statement
    )
}

fn binding(page: &mut Page, review: &ReviewClaimAnswer, card: &ClaimCard) {
    let binds = &card.binds;
    page.rule(match review.bound {
        true => "the signature binds",
        false => "nothing can be signed yet",
    });
    if review.bound {
        page.field(
            "binds",
            &format!(
                "{} from {} to {} (tree {}), claim {}, gates and this card; for {} h",
                binds.ref_name,
                short(&binds.old_tip),
                short(&binds.commit),
                short(&binds.tree),
                short(&binds.claim_digest.to_string()),
                review.expires_h
            ),
        );
    }
    if let Some(signer) = &review.approved_by {
        page.toned("approved", &format!("by {signer}"), Tone::Good);
    }
    if !review.missing.is_empty() {
        page.field("missing", &review.missing.join(", "));
    }
    if let Some(command) = &review.approval_command {
        page.command("approve", command);
        page.command(
            "reject",
            &format!("greenloop reject {} --reason …", card.claim_id),
        );
    }
    if let Some(verdict) = &review.verdict {
        let tone = match verdict.kind.as_str() {
            "confirmed" => Tone::Good,
            _ => Tone::Bad,
        };
        page.toned(
            "verdict",
            &format!("{} by {}", verdict.kind, verdict.run_id),
            tone,
        );
        for reason in &verdict.reasons {
            page.field("", reason);
        }
        for scope in &verdict.other_scopes {
            page.field("", &scope.sentence());
        }
        if verdict.rollback_due {
            page.toned(
                "",
                "rollback due: the scope is closed until it lands",
                Tone::Bad,
            );
            page.command("revert", &format!("greenloop revert {}", card.claim_id));
        }
    }
    page.rule("");
}

/// The word that a closed value has on the wire.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        other => other.map(|value| value.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;

//! The claim card in the terminal: what a person reads before signing.

use std::fmt::Write;

use anyhow::{Context, Result};
use discipline::shown::{ClaimCard, ShownEvidence, ShownHypothesis, ShownPredicate};

use crate::output::duration;

const WIDTH: usize = 78;

/// The card as text.
pub(crate) fn render(card: &serde_json::Map<String, serde_json::Value>) -> Result<String> {
    let card: ClaimCard = serde_json::from_value(serde_json::Value::Object(card.clone()))
        .context("the daemon sent a card of another version")?;
    Ok(text(&card))
}

fn text(card: &ClaimCard) -> String {
    let mut page = Page::default();
    page.line(&format!(
        "── {} {} ",
        card.claim_id,
        "─".repeat(WIDTH.saturating_sub(card.claim_id.as_str().len() + 4))
    ));
    page.field(
        "who",
        &format!("{} (uid {}, name unverified)", card.author, card.author_uid),
    );
    page.field("scope", &card.proof_scope);
    page.field(
        "law",
        &format!("{} {}", card.failing_invariant, card.invariant_title),
    );
    page.field("message", card.message.lines().next().unwrap_or_default());
    page.field("reasoning", &card.reasoning);
    card.evidence
        .iter()
        .for_each(|evidence| page.field("fails", &cited(evidence)));
    card.hypothesis
        .iter()
        .for_each(|cause| page.field("cause", &theory(cause)));
    card.rivals
        .iter()
        .for_each(|rival| page.field("rival", &theory(rival)));
    page.field(
        "change",
        &format!(
            "{} behavioural, {} mechanical lines in {}",
            card.change.behavioural_lines,
            card.change.mechanical_lines,
            card.change.files.join(", ")
        ),
    );
    card.change
        .findings
        .iter()
        .for_each(|f| page.field("finding", &format!("{}: {}", f.code, f.reason)));
    card.predictions
        .iter()
        .for_each(|p| page.field("predicts", &predicate(p)));
    card.guards
        .iter()
        .for_each(|p| page.field("guard", &predicate(p)));
    card.rollback_if
        .iter()
        .for_each(|p| page.field("revert if", &predicate(p)));
    for gate in &card.gates {
        let took = duration(gate.duration_ms.try_into().unwrap_or(i64::MAX));
        let counts = format!(
            "{} passed, {} failed, {took}",
            gate.tests.passed, gate.tests.failed
        );
        page.field(
            "gate",
            &format!(
                "{} {}: {} ({counts})",
                gate.gate,
                word(&gate.role),
                word(&gate.verdict)
            ),
        );
    }
    card.labels
        .iter()
        .for_each(|label| page.field("note", label));
    page.field(
        "cost",
        &format!(
            "{} runner minutes, {} runs, cancels {}",
            card.budget.runner_minutes,
            card.budget.runs,
            cancels(&card.budget.cancels)
        ),
    );
    card.refused.iter().for_each(|r| {
        page.field(
            "REFUSED",
            &format!("{} ({}): {}", r.code, r.field, r.reason),
        )
    });
    page.field(
        "binds",
        &format!(
            "{} {} → {}",
            card.binds.ref_name,
            short(&card.binds.old_tip),
            short(&card.binds.commit)
        ),
    );
    page.field(
        "",
        &format!(
            "tree {}, claim {}",
            short(&card.binds.tree),
            short(&card.binds.claim_digest.to_string())
        ),
    );
    page.line(&"─".repeat(WIDTH));
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// A labelled value, wrapped at word boundaries under its label.
    fn field(&mut self, label: &str, value: &str) {
        let mut label = label;
        for line in wrap(value, WIDTH - 11) {
            self.line(format!("{label:<10} {line}").trim_end());
            label = "";
        }
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn cited(evidence: &ShownEvidence) -> String {
    let (first, last) = evidence.lines;
    format!(
        "{} line {first}-{last}: {}",
        short(&evidence.log_id.to_string()),
        evidence.text.trim()
    )
}

fn theory(cause: &ShownHypothesis) -> String {
    let killer = cause
        .killer
        .as_deref()
        .map(|why| format!("; killed: {why}"))
        .unwrap_or_default();
    format!(
        "{} ({}) {}{killer}",
        cause.id,
        word(&cause.status),
        cause.statement
    )
}

fn predicate(shown: &ShownPredicate) -> String {
    format!(
        "{}   [today: {}, {}]",
        shown.predicate,
        word(&shown.today),
        shown.observed
    )
}

fn cancels(runs: &[String]) -> String {
    if runs.is_empty() {
        "none".into()
    } else {
        runs.join(", ")
    }
}

/// The word that a closed value has on the wire.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        other => other.map(|value| value.to_string()).unwrap_or_default(),
    }
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_wrap_at_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("longerthanfive x", 5), ["longerthanfive", "x"]);
    }
}

//! Where a loop stands, told in words.

use std::fmt::Write as _;

/// Facts of a loop, as its status gives them. No text of a log is among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brief {
    /// Id, such as `L1`; `None` when no loop is open.
    pub loop_id: Option<String>,
    /// What it is for.
    pub goal: String,
    /// What it is doing.
    pub phase: String,
    /// Scope, its signal, and the run the signal comes from.
    pub scopes: Vec<(String, String, Option<String>)>,
    /// Claim, its state and subject.
    pub claims: Vec<(String, String, String)>,
    /// Hypothesis, its status and statement.
    pub hypotheses: Vec<(String, String, String)>,
    /// Tool to call next, and why.
    pub next_actions: Vec<(String, String)>,
    /// What moved since the state was written.
    pub drift: Vec<String>,
}

/// The brief of a loop as Markdown.
#[must_use]
pub fn brief(facts: &Brief) -> String {
    let mut out = String::new();
    match &facts.loop_id {
        Some(id) => line(&mut out, &format!("# Loop {id}: {}", one(&facts.goal))),
        None => line(&mut out, "# No loop is open here"),
    }
    line(&mut out, &format!("\nPhase: {}.", facts.phase));
    list(&mut out, "Scopes", &facts.scopes, |(scope, signal, run)| {
        let of = run.as_ref().map(|run| format!(", from {run}"));
        format!("{scope}: {signal}{}", of.unwrap_or_default())
    });
    list(&mut out, "Claims, newest first", &facts.claims, three);
    list(&mut out, "Causes", &facts.hypotheses, three);
    list(&mut out, "Moved meanwhile", &facts.drift, |text| one(text));
    let next = &facts.next_actions;
    list(&mut out, "Next legal actions", next, |(tool, why)| {
        format!("{tool}: {}", one(why))
    });
    out
}

fn three((id, state, text): &(String, String, String)) -> String {
    format!("{id} {state}: {}", one(text))
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn list<T>(out: &mut String, title: &str, items: &[T], tell: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    line(out, &format!("\n## {title}\n"));
    for item in items {
        line(out, &format!("- {}", tell(item)));
    }
}

/// What somebody wrote, on one line: it cannot look like a heading or a list of ours.
pub(crate) fn one(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Brief {
        Brief {
            loop_id: Some("L1".into()),
            goal: "totals\n# are right".into(),
            phase: "idle".into(),
            scopes: vec![("path".into(), "red".into(), Some("R1".into()))],
            claims: vec![("C1".into(), "drafted".into(), "blocks: total all".into())],
            hypotheses: vec![("H1".into(), "open".into(), "the tail is skipped".into())],
            next_actions: vec![("run_gates".into(), "C1 is checked".into())],
            drift: vec![],
        }
    }

    #[test]
    fn a_brief_tells_every_fact_once_and_nothing_else_makes_headings() {
        let text = brief(&facts());
        let expected = "# Loop L1: totals # are right\n\nPhase: idle.\n\n## Scopes\n\n- path: red, from R1\n\n## Claims, newest first\n\n- C1 drafted: blocks: total all\n\n## Causes\n\n- H1 open: the tail is skipped\n\n## Next legal actions\n\n- run_gates: C1 is checked\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_a_loop_it_says_so() {
        let text = brief(&Brief {
            phase: "idle".into(),
            ..Brief::default()
        });
        assert_eq!(text, "# No loop is open here\n\nPhase: idle.\n");
    }
}

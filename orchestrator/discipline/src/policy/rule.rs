//! `[rule.NAME]`: which of the project's own rules apply where, as data with examples.
//!
//! A rule speaks about changed paths, or about findings in them. Of all rules that speak about the same
//! path the strictest wins; where none speaks, findings stand and changes pass. Each rule shows a path
//! that the whole policy lets pass and one that it does not, and both are checked at load.

use std::collections::BTreeMap;

use attest::claim::ClaimKind;
use serde::{Deserialize, Serialize};

use super::query::PathSet;
use super::{Policy, RulePolicy};
use crate::model::Refusal;

/// What a rule says; later ones are stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleDecision {
    /// It passes.
    Allow,
    /// It passes, and the person who approves is told.
    Warn,
    /// It is refused.
    Refuse,
}

/// Findings that a project may judge otherwise: those of style and of form. What hides a failure, weakens
/// a test or fakes a gate is refused everywhere.
pub const RELAXABLE: &[&str] = &[
    "allow_added",
    "binary_change",
    "mode_change",
    "panic_added",
    "todo_comment_added",
];

/// The strictest rule about one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub decision: RuleDecision,
    /// Why.
    pub because: &'a str,
}

impl Policy {
    /// The strictest rule about a changed path (`code` absent) or about a finding in it; `None` where no
    /// rule speaks.
    #[must_use]
    pub fn ruling(&self, kind: ClaimKind, code: Option<&str>, path: &str) -> Option<Ruling<'_>> {
        let speaks = |rule: &RulePolicy| {
            let about = match code {
                Some(code) => rule.codes.iter().any(|own| own == code),
                None => rule.codes.is_empty(),
            };
            about
                && (rule.kinds.is_empty() || rule.kinds.contains(&kind))
                && PathSet::new(&rule.paths).contains(path)
        };
        let speaking = self.rule.iter().filter(|(_, rule)| speaks(rule));
        let rulings = speaking.map(|(name, rule)| Ruling {
            name,
            decision: rule.decision,
            because: &rule.because,
        });
        rulings.max_by_key(|ruling| ruling.decision)
    }

    /// Parts findings into those that stand and sentences about those that a rule lets pass with a word.
    pub(crate) fn judged(
        &self,
        kind: ClaimKind,
        findings: &[Refusal],
    ) -> (Vec<Refusal>, Vec<String>) {
        let (mut stand, mut told) = (Vec::new(), Vec::new());
        for finding in findings {
            let ruling = self.of_finding(kind, finding);
            match ruling.map(|ruling| ruling.decision) {
                Some(RuleDecision::Allow) => {}
                Some(RuleDecision::Warn) => {
                    told.push(format!("{}: {}", finding.code, finding.reason))
                }
                Some(RuleDecision::Refuse) | None => stand.push(finding.clone()),
            }
        }
        (stand, told)
    }

    /// The ruling on a finding whose reason begins with its place.
    fn of_finding(&self, kind: ClaimKind, finding: &Refusal) -> Option<Ruling<'_>> {
        if !RELAXABLE.contains(&finding.code.as_str()) {
            return None;
        }
        let path = finding.reason.split([':', ' ']).next()?.trim_matches('`');
        self.ruling(kind, Some(&finding.code), path)
    }

    /// Refusals and warnings of rules about the changed paths themselves.
    pub(crate) fn judged_paths(
        &self,
        kind: ClaimKind,
        paths: &[&str],
    ) -> (Vec<Refusal>, Vec<String>) {
        let mut refused: BTreeMap<&str, (Ruling<'_>, Vec<&str>)> = BTreeMap::new();
        let mut told = Vec::new();
        for path in paths {
            match self.ruling(kind, None, path) {
                Some(ruling) if ruling.decision == RuleDecision::Refuse => {
                    let of_rule = refused.entry(ruling.name);
                    of_rule.or_insert((ruling, Vec::new())).1.push(path);
                }
                Some(ruling) if ruling.decision == RuleDecision::Warn => {
                    told.push(format!(
                        "rule `{}`: {path}: {}",
                        ruling.name, ruling.because
                    ));
                }
                _ => {}
            }
        }
        let refused = refused.into_values().map(|(ruling, paths)| {
            Refusal::new(
                "policy_rule",
                "change",
                format!("rule `{}` refuses {}: {}", ruling.name, paths.join(", "), ruling.because),
                format!(
                    "leave these files out, or change `[rule.{}]` of greenloop.toml by a policy_change claim",
                    ruling.name
                ),
            )
        });
        (refused.collect(), told)
    }
}

//! `[rule.NAME]`: which of the project's own rules apply where, as data with examples.
//!
//! A rule speaks about changed paths, or about findings in them. Of all rules that speak about the same
//! path the strictest wins; where none speaks, findings stand and changes pass. Each rule shows a path
//! that the whole policy lets pass and one that it does not, and both are checked at load. Class files
//! add rules that only refuse and warn.

use std::collections::BTreeMap;
use std::fmt;

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

/// Path of the policy in every tree, and the file that its own rules come from.
pub(super) const POLICY_FILE: &str = "greenloop.toml";

/// A rule in force, and the file that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveRule<'a> {
    /// Path of the file.
    pub file: &'a str,
    /// Its name in that file.
    pub name: &'a str,
    /// What it says.
    pub rule: &'a RulePolicy,
}

/// The strictest rule about one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling<'a> {
    /// Path of the file that says it.
    pub file: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub decision: RuleDecision,
    /// Why.
    pub because: &'a str,
}

impl fmt::Display for EffectiveRule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&place(self.file, self.name))
    }
}

impl fmt::Display for Ruling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&place(self.file, self.name))
    }
}

/// Table and file of a rule, as a person finds them.
fn place(file: &str, name: &str) -> String {
    let table = match file {
        POLICY_FILE => "rule",
        _ => "claim_rule",
    };
    format!("`[{table}.{name}]` of {file}")
}

/// The strictest of these rules, all of one file, about a path or about a finding in it.
pub(super) fn strictest<'a>(
    file: &'a str,
    rules: &'a BTreeMap<String, RulePolicy>,
    kind: ClaimKind,
    code: Option<&str>,
    path: &str,
) -> Option<Ruling<'a>> {
    let speaks = |rule: &RulePolicy| {
        let about = match code {
            Some(code) => rule.codes.iter().any(|own| own == code),
            None => rule.codes.is_empty(),
        };
        about
            && (rule.kinds.is_empty() || rule.kinds.contains(&kind))
            && PathSet::new(&rule.paths).contains(path)
    };
    let speaking = rules.iter().filter(|(_, rule)| speaks(rule));
    let rulings = speaking.map(|(name, rule)| Ruling {
        file,
        name,
        decision: rule.decision,
        because: &rule.because,
    });
    rulings.max_by_key(|ruling| ruling.decision)
}

impl RuleDecision {
    /// The word that policy files write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

impl Policy {
    /// Every rule in force: the policy's own, then those of class files.
    pub fn effective_rules(&self) -> impl Iterator<Item = EffectiveRule<'_>> {
        let added = self.claim_rules.iter();
        let files = std::iter::once((POLICY_FILE, &self.rule))
            .chain(added.map(|(file, rules)| (file.as_str(), rules)));
        files.flat_map(|(file, rules)| {
            rules
                .iter()
                .map(move |(name, rule)| EffectiveRule { file, name, rule })
        })
    }

    /// The strictest rule about a changed path (`code` absent) or about a finding in it; `None` where no
    /// rule speaks.
    #[must_use]
    pub fn ruling(&self, kind: ClaimKind, code: Option<&str>, path: &str) -> Option<Ruling<'_>> {
        let own = strictest(POLICY_FILE, &self.rule, kind, code, path);
        if own.is_none() && code.is_some() {
            // The finding stands, and nothing is stricter: no class file may say that it only warns.
            return None;
        }
        let files = self.claim_rules.iter();
        let added = files.filter_map(|(file, rules)| strictest(file, rules, kind, code, path));
        added.chain(own).max_by_key(|ruling| ruling.decision)
    }

    /// Parts findings of a change of these paths into those that stand and sentences about those that a
    /// rule lets pass with a word.
    pub(crate) fn judged(
        &self,
        kind: ClaimKind,
        findings: &[Refusal],
        paths: &[&str],
    ) -> (Vec<Refusal>, Vec<String>) {
        let (mut stand, mut told) = (Vec::new(), Vec::new());
        for finding in findings {
            let ruling = self.of_finding(kind, finding, paths);
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

    /// The ruling on a finding, whose reason begins with its place. A path may hold spaces and colons, so
    /// every changed path that the reason begins with is asked; the strictest answer counts, and no answer
    /// about one of them lets the finding stand.
    fn of_finding(&self, kind: ClaimKind, finding: &Refusal, paths: &[&str]) -> Option<Ruling<'_>> {
        if !RELAXABLE.contains(&finding.code.as_str()) {
            return None;
        }
        let place = finding.reason.trim_start_matches('`');
        let named = paths.iter().filter(|path| {
            let rest = place.strip_prefix(**path);
            rest.is_some_and(|rest| rest.starts_with([':', ' ', '`']))
        });
        let rulings: Option<Vec<Ruling<'_>>> = named
            .map(|path| self.ruling(kind, Some(&finding.code), path))
            .collect();
        rulings?.into_iter().max_by_key(|ruling| ruling.decision)
    }

    /// Refusals and warnings of rules about the changed paths themselves.
    pub(crate) fn judged_paths(
        &self,
        kind: ClaimKind,
        paths: &[&str],
    ) -> (Vec<Refusal>, Vec<String>) {
        let mut refused: BTreeMap<(&str, &str), (Ruling<'_>, Vec<&str>)> = BTreeMap::new();
        let mut told = Vec::new();
        for path in paths {
            match self.ruling(kind, None, path) {
                Some(ruling) if ruling.decision == RuleDecision::Refuse => {
                    let of_rule = refused.entry((ruling.file, ruling.name));
                    of_rule.or_insert((ruling, Vec::new())).1.push(path);
                }
                Some(ruling) if ruling.decision == RuleDecision::Warn => {
                    told.push(format!("{ruling}: {path}: {}", ruling.because));
                }
                _ => {}
            }
        }
        let refused = refused.into_values().map(|(ruling, paths)| {
            Refusal::new(
                "policy_rule",
                "change",
                format!(
                    "rule `{}` refuses {}: {}",
                    ruling.name,
                    paths.join(", "),
                    ruling.because
                ),
                format!("leave these files out, or change {ruling} by a policy_change claim"),
            )
        });
        (refused.collect(), told)
    }
}

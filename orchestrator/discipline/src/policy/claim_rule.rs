//! `[claim_rule.NAME]` of class files: rules over claims that only make the policy stricter.
//!
//! `greenloop.toml` says what passes; a class file adds refusals and warnings and takes none away. So
//! neither the order of the files matters nor reading one twice. Its examples are asked of its own rules,
//! so that a class file means the same in every project.

use std::collections::BTreeMap;
use std::fmt;

use attest::claim::ClaimKind;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use super::check::{check_examples, check_rule_alone, questions};
use super::keys::{Kind, RULE};
use super::parse::{MAX_BYTES, Problems, Step, check_value, find, locate, one_line};
use super::rule::{POLICY_FILE, strictest};
use super::{Policy, PolicyError, RuleDecision, RulePolicy};

/// Name of the table in a class file.
const TABLE: &str = "claim_rule";

/// Why the rules of a class file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ClaimRuleError {
    /// Path of the class file.
    pub file: String,
    /// Every problem in it, with its line and column.
    pub error: PolicyError,
}

impl fmt::Display for ClaimRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.error.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{problem}", self.file)?;
        }
        Ok(())
    }
}

/// What of a class file is about claims; the rest is the playbooks' to read.
#[derive(Deserialize)]
struct ClassFile {
    #[serde(default)]
    claim_rule: BTreeMap<String, RulePolicy>,
}

impl Policy {
    /// This policy with the `[claim_rule.NAME]` tables of class files, given as (path, text). What the
    /// policy refused before it still refuses.
    ///
    /// # Errors
    /// The first file, with every syntax error, unknown key, rule that loosens, example that the file's own
    /// rules answer otherwise, and refusal of what an example of `greenloop.toml` shows as passing.
    pub fn with_claim_rules<'a>(
        mut self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ClaimRuleError> {
        for (file, text) in files {
            let rules = self.read(file, text).map_err(|error| ClaimRuleError {
                file: file.to_owned(),
                error,
            })?;
            if !rules.is_empty() {
                self.claim_rules.insert(file.to_owned(), rules);
            }
        }
        Ok(self)
    }

    fn read(&self, file: &str, text: &str) -> Result<BTreeMap<String, RulePolicy>, PolicyError> {
        let mut problems = Problems::of(text);
        if text.len() > MAX_BYTES {
            let size = text.len();
            problems.add(
                0..0,
                format!("the file has {size} bytes; with rules at most {MAX_BYTES} are read"),
            );
            return Err(problems.into_error());
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            problems.add(error.span().unwrap_or(0..0), one_line(error.message()));
        }
        if let Some(rules) = find(table.get_ref(), TABLE) {
            check_value(TABLE, Kind::NamedTables(RULE), rules, &mut problems);
        }
        if !problems.found.is_empty() {
            return Err(problems.into_error());
        }
        match toml::from_str::<ClassFile>(text) {
            Err(error) => problems.add(error.span().unwrap_or(0..0), one_line(error.message())),
            Ok(ClassFile { claim_rule: rules }) => {
                self.check_claim_rules(file, &rules, &table, &mut problems);
                if problems.found.is_empty() {
                    return Ok(rules);
                }
            }
        }
        Err(problems.into_error())
    }

    fn check_claim_rules(
        &self,
        file: &str,
        rules: &BTreeMap<String, RulePolicy>,
        table: &Spanned<DeTable<'_>>,
        problems: &mut Problems<'_>,
    ) {
        let known = self.claim_rules.get(file);
        for (name, rule) in rules {
            let mut at = |inner: &[Step<'_>], message: String| {
                let mut path = vec![Step::Key(TABLE), Step::Key(name)];
                path.extend_from_slice(inner);
                problems.add(locate(table, &path).unwrap_or(0..0), message);
            };
            check_rule_alone(name, rule, &mut at);
            let passes = |kind: ClaimKind, code: Option<&str>, path: &str| {
                let said = strictest(file, rules, kind, code, path);
                said.is_none_or(|ruling| ruling.decision != RuleDecision::Refuse)
            };
            check_examples(rule, &passes, &mut at);
            if known.is_some_and(|known| known != rules) {
                at(
                    &[],
                    format!("another {file} was read before; give each file its own path"),
                );
            }
            if rule.decision == RuleDecision::Allow {
                at(
                    &[Step::Key("decision")],
                    format!(
                        "a class file only makes stricter; write `warn` or `refuse`, or let it pass in {POLICY_FILE}"
                    ),
                );
            }
            if let Some(shown) = self.shown_as_passing(file, name, rules) {
                at(
                    &[Step::Key("paths")],
                    format!("it refuses {shown}; leave that path out, or change the example"),
                );
            }
            let frozen = [POLICY_FILE, file]
                .into_iter()
                .find(|path| refuses(file, name, rules, ClaimKind::PolicyChange, None, path));
            if let Some(frozen) = frozen {
                at(
                    &[Step::Key("paths")],
                    format!(
                        "it refuses every change of {frozen}, so nothing could ever change the rule; leave that file out"
                    ),
                );
            }
        }
    }

    /// An example of `greenloop.toml` that passes there and that the rule `name` of `rules` refuses.
    fn shown_as_passing(
        &self,
        file: &str,
        name: &str,
        rules: &BTreeMap<String, RulePolicy>,
    ) -> Option<String> {
        self.rule.iter().find_map(|(own, rule)| {
            let refused = rule.allow.iter().find(|path| {
                questions(rule).any(|(kind, code)| refuses(file, name, rules, kind, code, path))
            })?;
            Some(format!(
                "{refused}, which `[rule.{own}]` of {POLICY_FILE} shows as one that passes"
            ))
        })
    }
}

/// True when the rule `name` is the one by which `rules` refuse.
fn refuses(
    file: &str,
    name: &str,
    rules: &BTreeMap<String, RulePolicy>,
    kind: ClaimKind,
    code: Option<&str>,
    path: &str,
) -> bool {
    strictest(file, rules, kind, code, path)
        .is_some_and(|ruling| ruling.decision == RuleDecision::Refuse && ruling.name == name)
}

//! Text → [`Policy`]: syntax, then every key against the registry, then meaning; all problems at once.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Policy;
use super::check::check;
use super::keys::{Key, Kind, ROOT};

/// Largest policy file that is read, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// Problems that are reported before the rest is only counted.
const MAX_PROBLEMS: usize = 50;

/// One thing that is wrong with a policy file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// Line, 1-based.
    pub line: usize,
    /// Column in characters, 1-based.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Why a policy file cannot be used: every problem that was found, in file order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", render(.problems))]
pub struct PolicyError {
    /// At least one.
    pub problems: Vec<PolicyProblem>,
}

fn render(problems: &[PolicyProblem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Policy {
    /// Reads `greenloop.toml`.
    ///
    /// # Errors
    /// Every syntax error, unknown or missing key, wrong type and meaningless value, with its line
    /// and column. An unknown key names the nearest valid one.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut problems = Problems::of(text);
        if text.len() > MAX_BYTES {
            problems.add(
                0..0,
                format!(
                    "the file has {} bytes; at most {MAX_BYTES} are read",
                    text.len()
                ),
            );
            return Err(problems.into_error());
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            problems.add(error.span().unwrap_or(0..0), one_line(error.message()));
        }
        if problems.found.is_empty() {
            check_table("", ROOT, table.get_ref(), table.span(), &mut problems);
        }
        if !problems.found.is_empty() {
            return Err(problems.into_error());
        }
        match toml::from_str::<Self>(text) {
            Err(error) => problems.add(error.span().unwrap_or(0..0), one_line(error.message())),
            Ok(policy) => {
                check(&policy, |path, message| {
                    problems.add(locate(&table, path).unwrap_or(0..0), message);
                });
                if problems.found.is_empty() {
                    return Ok(policy);
                }
            }
        }
        Err(problems.into_error())
    }
}

pub(super) struct Problems<'a> {
    text: &'a str,
    pub(super) found: Vec<PolicyProblem>,
}

impl<'a> Problems<'a> {
    /// None yet, in this text.
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, span: Range<usize>, message: String) {
        let (line, column) = position(self.text, span.start);
        self.found.push(PolicyProblem {
            line,
            column,
            message,
        });
    }

    pub(super) fn into_error(mut self) -> PolicyError {
        self.found
            .sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
        self.found.dedup();
        let more = self.found.len().saturating_sub(MAX_PROBLEMS);
        self.found.truncate(MAX_PROBLEMS);
        if let (Some(last), true) = (self.found.last_mut(), more > 0) {
            last.message
                .push_str(&format!(" (and {more} more problems)"));
        }
        PolicyError {
            problems: self.found,
        }
    }
}

pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

fn check_table(
    path: &str,
    keys: &'static [Key],
    table: &DeTable<'_>,
    span: Range<usize>,
    problems: &mut Problems<'_>,
) {
    for (name, value) in table {
        match keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
            Some(key) => check_value(&join(path, key.name), key.kind, value, problems),
            None => problems.add(name.span(), unknown_key(path, name.get_ref(), keys)),
        }
    }
    for key in keys.iter().filter(|key| key.required) {
        if !table.keys().any(|name| name.get_ref().as_ref() == key.name) {
            let place = if path.is_empty() {
                "the file".to_owned()
            } else {
                format!("[{path}]")
            };
            problems.add(
                span.clone(),
                format!("{place} needs the key `{}`: {}", key.name, key.doc),
            );
        }
    }
}

pub(super) fn check_value(
    path: &str,
    kind: Kind,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) {
    let span = value.span();
    let fits = match (kind, value.get_ref()) {
        (Kind::Integer, DeValue::Integer(_)) | (Kind::Text, DeValue::String(_)) => true,
        (Kind::Bool, DeValue::Boolean(_)) => true,
        (Kind::Word(words), DeValue::String(word)) => {
            if !words.contains(&word.as_ref()) {
                problems.add(
                    span,
                    format!(
                        "`{path}` knows no `{word}`; write one of: {}",
                        words.join(", ")
                    ),
                );
            }
            return;
        }
        (Kind::TextList, DeValue::Array(items)) => {
            for item in items.iter().filter(|item| !item.get_ref().is_str()) {
                problems.add(
                    item.span(),
                    format!(
                        "`{path}` is a list of texts, this is {}",
                        article(item.get_ref())
                    ),
                );
            }
            return;
        }
        (Kind::TextMap, DeValue::Table(table)) => {
            for (name, item) in table.iter().filter(|(_, item)| !item.get_ref().is_str()) {
                let name = name.get_ref();
                problems.add(
                    item.span(),
                    format!(
                        "`{path}.{name}` must be text in quotes, this is {}",
                        article(item.get_ref())
                    ),
                );
            }
            return;
        }
        (Kind::Table(keys), DeValue::Table(table)) => {
            return check_table(path, keys, table, span, problems);
        }
        (Kind::NamedTables(keys), DeValue::Table(tables)) => {
            for (name, item) in tables {
                check_value(
                    &join(path, name.get_ref()),
                    Kind::Table(keys),
                    item,
                    problems,
                );
            }
            return;
        }
        (Kind::TableList(keys), DeValue::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check_value(
                    &format!("{path}[{index}]"),
                    Kind::Table(keys),
                    item,
                    problems,
                );
            }
            return;
        }
        _ => false,
    };
    if !fits {
        problems.add(
            span,
            format!(
                "`{path}` must be {}, this is {}",
                wanted(kind),
                article(value.get_ref())
            ),
        );
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "a whole number",
        Kind::Text | Kind::Word(_) => "text in quotes",
        Kind::Bool => "true or false",
        Kind::TextList => "a list of texts",
        Kind::TextMap | Kind::Table(_) | Kind::NamedTables(_) => "a table",
        Kind::TableList(_) => "a list of tables",
    }
}

fn article(value: &DeValue<'_>) -> String {
    match value.type_str() {
        name @ ("integer" | "array") => format!("an {name}"),
        name => format!("a {name}"),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn unknown_key(path: &str, name: &str, keys: &[Key]) -> String {
    let place = if path.is_empty() {
        "the top of the file".to_owned()
    } else {
        format!("[{path}]")
    };
    let nearest = keys
        .iter()
        .map(|key| (strsim::jaro_winkler(name, key.name), key.name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, nearest)) => {
            format!("unknown key `{name}` in {place}; the nearest valid key is `{nearest}`")
        }
        None => format!("unknown key `{name}` in {place}"),
    }
}

/// A step on the way to a value: a key or an index.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Where the value at `path` stands; the nearest enclosing place when it was left out.
pub(super) fn locate(table: &Spanned<DeTable<'_>>, path: &[Step<'_>]) -> Option<Range<usize>> {
    let mut here: Option<&Spanned<DeValue<'_>>> = None;
    for step in path {
        let next = match (step, here.map(Spanned::get_ref)) {
            (Step::Key(key), None) => find(table.get_ref(), key),
            (Step::Key(key), Some(DeValue::Table(inner))) => find(inner, key),
            (Step::Index(index), Some(DeValue::Array(items))) => items.get(*index),
            _ => None,
        };
        match next {
            Some(next) => here = Some(next),
            None => break,
        }
    }
    here.map(Spanned::span)
}

pub(super) fn find<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table
        .iter()
        .find(|(name, _)| name.get_ref().as_ref() == key)
        .map(|(_, value)| value)
}

//! The shape of a change: how many lines can change behaviour, and whether any does.
//!
//! Mechanical lines are blank, comments, imports, pure changes of white space, and text that only
//! moved (at least [`MOVED_BLOCK`] lines in a row that another place lost). All others are
//! behavioural, those of tests included: a test is behaviour that somebody relies on.

use std::collections::{BTreeMap, BTreeSet};

use attest::claim::ClaimKind;

use super::finding;
use super::lexical::Token;
use super::paths::is_document;
use super::shader::{Shader, is_shader};
use super::sides::{Pair, Side};
use super::syntax::{Conditional, within};
use crate::decision::ConditionalCode;
use crate::diff::Diff;
use crate::model::Refusal;

/// Lines in a row that make moved text; fewer may be a swap of two statements.
const MOVED_BLOCK: usize = 3;

/// Changed lines of a diff, removed and added ones together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) behavioural: u32,
    pub(super) mechanical: u32,
}

/// A changed line.
struct Line<'a> {
    number: u32,
    text: &'a str,
    /// Blank, comment or import.
    idle: bool,
}

pub(super) fn count(pairs: &[Pair<'_>]) -> Lines {
    let removed: Vec<Vec<Line<'_>>> = pairs.iter().flat_map(|pair| blocks(pair, false)).collect();
    let added: Vec<Vec<Line<'_>>> = pairs.iter().flat_map(|pair| blocks(pair, true)).collect();
    let (gone, come) = (texts(&removed), texts(&added));
    let mut lines = Lines::default();
    for (blocks, other) in [(&removed, &come), (&added, &gone)] {
        for block in blocks {
            let moved = moved(block, other);
            for (line, moved) in block.iter().zip(moved) {
                if line.idle || moved {
                    lines.mechanical += 1;
                } else {
                    lines.behavioural += 1;
                }
            }
        }
    }
    lines
}

/// Test functions of the head that the changed files had under no name of theirs.
pub(super) fn tests_added(pairs: &[Pair<'_>]) -> u32 {
    let names = |side: Option<&Side>| -> Vec<String> {
        let functions = side.and_then(Side::rust).map(|file| &file.functions);
        let tests = functions
            .into_iter()
            .flatten()
            .filter(|function| function.test);
        tests.map(|function| function.path.clone()).collect()
    };
    let had: BTreeSet<String> = pairs
        .iter()
        .flat_map(|pair| names(pair.old.as_ref()))
        .collect();
    let has = pairs.iter().flat_map(|pair| names(pair.new.as_ref()));
    u32::try_from(has.filter(|name| !had.contains(name)).count()).unwrap_or(u32::MAX)
}

/// Changed code of the head that is compiled only under conditions.
pub(super) fn conditional(pairs: &[Pair<'_>]) -> Vec<ConditionalCode> {
    let mut found = BTreeSet::new();
    for pair in pairs {
        let Some(file) = pair.new.as_ref().and_then(Side::rust) else {
            continue;
        };
        let of_changes = file.conditional.iter().filter(|part| {
            (part.start..=part.end).any(|line| {
                // The innermost part of a line says all that is around it.
                let inner = |other: &&Conditional| {
                    other.start >= part.start && other.end <= part.end && *other != *part
                };
                let mut inside = file.conditional.iter().filter(inner);
                pair.changes_new(line)
                    && !inside.any(|other| (other.start..=other.end).contains(&line))
            })
        });
        found.extend(of_changes.map(|part| ConditionalCode {
            file: pair.path.to_owned(),
            cfgs: part.cfgs.iter().cloned().collect(),
        }));
    }
    found.into_iter().collect()
}

/// Changed lines of one side, one block per hunk.
fn blocks<'a>(pair: &'a Pair<'_>, head: bool) -> Vec<Vec<Line<'a>>> {
    let Some(side) = (if head {
        pair.new.as_ref()
    } else {
        pair.old.as_ref()
    }) else {
        return Vec::new();
    };
    let all: Vec<&str> = side.text.split_inclusive('\n').collect();
    pair.hunks
        .iter()
        .map(|hunk| {
            let (start, len) = if head {
                (hunk.new_start, hunk.new_len)
            } else {
                (hunk.old_start, hunk.old_len)
            };
            (start..start + len)
                .filter_map(|number| {
                    let text = all.get(number as usize - 1)?.trim();
                    Some(Line {
                        number,
                        text,
                        idle: is_idle(pair.path, side, number, text),
                    })
                })
                .collect()
        })
        .filter(|block: &Vec<_>| !block.is_empty())
        .collect()
}

fn is_idle(path: &str, side: &Side, number: u32, text: &str) -> bool {
    if text.is_empty() || is_document(path) {
        return true;
    }
    match side.rust() {
        Some(file) => {
            let has_code = file
                .lexed
                .code
                .get(number as usize)
                .copied()
                .unwrap_or(false);
            !has_code || within(&file.imports, number)
        }
        None => match Shader::of(path, &side.text) {
            Some(shader) => !shader.has_code(number),
            None => is_comment(path, text),
        },
    }
}

/// A line that is only a comment in the language of the file.
fn is_comment(path: &str, text: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    let mark = match ending {
        "rs" | "c" | "h" | "cpp" | "js" => "//",
        "toml" | "yml" | "yaml" | "sh" | "py" | "cfg" => "#",
        _ => return false,
    };
    text.starts_with(mark)
}

fn texts<'a>(blocks: &[Vec<Line<'a>>]) -> BTreeMap<&'a str, usize> {
    let mut found = BTreeMap::new();
    for line in blocks.iter().flatten().filter(|line| !line.idle) {
        *found.entry(line.text).or_default() += 1;
    }
    found
}

/// For each line of a block whether it belongs to moved text.
fn moved(block: &[Line<'_>], other: &BTreeMap<&str, usize>) -> Vec<bool> {
    let mut marks = vec![false; block.len()];
    let mut start = 0;
    while start < block.len() {
        let known = |line: &Line<'_>| line.idle || other.contains_key(line.text);
        let len = block[start..].iter().take_while(|line| known(line)).count();
        let substance = block[start..start + len]
            .iter()
            .filter(|line| !line.idle)
            .count();
        if substance >= MOVED_BLOCK {
            marks[start..start + len].fill(true);
        }
        start += len.max(1);
    }
    marks
}

/// Changes that change nothing, or only what is printed.
pub(super) fn findings(diff: &Diff, pairs: &[Pair<'_>], kind: ClaimKind) -> Vec<Refusal> {
    if matches!(kind, ClaimKind::Baseline | ClaimKind::PolicyChange) {
        return Vec::new();
    }
    if pairs.iter().all(|pair| is_same_behaviour(pair)) && !changes_modes(diff) {
        let what = if diff.files.is_empty() {
            "the change is empty"
        } else {
            "only comments, layout or documents change"
        };
        return vec![finding(
            "no_behavioural_change",
            format!("{what}, so no prediction can come true by it"),
            "change the code that implements the mechanism, or propose kind baseline with the unchanged tree",
        )];
    }
    if kind == ClaimKind::Diagnostic {
        return Vec::new();
    }
    instrumentation_only(pairs).into_iter().collect()
}

fn changes_modes(diff: &Diff) -> bool {
    diff.files.iter().any(|file| match (&file.old, &file.new) {
        (Some(old), Some(new)) => old.mode != new.mode,
        _ => false,
    })
}

/// True when both sides mean the same to a compiler.
fn is_same_behaviour(pair: &Pair<'_>) -> bool {
    if is_document(pair.path) {
        return true;
    }
    let (Some(old), Some(new)) = (&pair.old, &pair.new) else {
        return false;
    };
    match (old.rust(), new.rust()) {
        (Some(old), Some(new)) => texts_of(&old.lexed.tokens).eq(texts_of(&new.lexed.tokens)),
        _ if is_shader(pair.path) => {
            let read = |side: &Side| Shader::of(pair.path, &side.text);
            matches!((read(old), read(new)), (Some(old), Some(new)) if old.says_the_same(&new))
        }
        _ if pair.path.ends_with(".toml") => {
            let table = |side: &Side| side.text.parse::<toml::Table>().ok();
            matches!((table(old), table(new)), (Some(old), Some(new)) if old == new)
        }
        _ => {
            let own = |side: &Side| -> Vec<String> {
                let lines = side
                    .text
                    .lines()
                    .map(str::trim)
                    .filter(|text| !text.is_empty() && !is_comment(pair.path, text));
                lines.map(str::to_owned).collect()
            };
            own(old) == own(new)
        }
    }
}

fn texts_of(tokens: &[Token]) -> impl Iterator<Item = &str> {
    tokens.iter().map(|token| token.text.as_str())
}

/// A finding when everything that product code gains and loses is statements that only report.
fn instrumentation_only(pairs: &[Pair<'_>]) -> Option<Refusal> {
    let mut reports: BTreeSet<(&str, u32)> = BTreeSet::new();
    for pair in pairs.iter().filter(|pair| !is_document(pair.path)) {
        for (side, head) in [(&pair.old, false), (&pair.new, true)] {
            let Some(side) = side else { continue };
            for line in blocks(pair, head)
                .into_iter()
                .flatten()
                .filter(|line| !line.idle)
            {
                if side.is_test_line(line.number) {
                    continue;
                }
                let file = side.rust()?;
                if !within(&file.instrumentation, line.number) {
                    return None;
                }
                if head {
                    reports.insert((pair.path, line.number));
                }
            }
        }
    }
    let (path, line) = reports.first()?;
    Some(finding(
        "instrumentation_only",
        format!(
            "{path}:{line}: the change only adds output ({} lines), it repairs nothing",
            reports.len()
        ),
        "propose it as kind diagnostic, with two live hypotheses and the outcome that kills each",
    ))
}

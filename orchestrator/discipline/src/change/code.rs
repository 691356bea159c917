//! What product code gains that it should not: hidden panics, stubs, silenced lints, blanket waits.
//!
//! Everything is compared as a multiset over the whole diff, keyed by tokens and not by layout, so
//! that moved or reformatted code is no finding.

use std::collections::BTreeMap;

use super::finding;
use super::lexical::Token;
use super::sides::{Pair, Side};
use super::syntax::{Function, RustFile, closing, joined};
use crate::model::Refusal;

/// Tokens of context before an occurrence that make its key.
const CONTEXT: usize = 6;
/// Furthest distance in tokens of two `ALL_COMMANDS` of one barrier.
const BARRIER_SPAN: usize = 40;
/// File that composes execution profiles.
pub(super) const PROFILE_FILE: &str = "profile.rs";

/// Something worth a finding, at one place.
struct Occurrence<'a> {
    path: &'a str,
    line: u32,
    /// Stands on a line that the diff changes.
    changed: bool,
    kind: &'static Kind,
    /// What stands there, as shown.
    shown: String,
    /// Same key, same thing.
    key: String,
}

/// A sort of occurrence.
struct Kind {
    code: &'static str,
    what: &'static str,
    remedy: &'static str,
}

static PANIC: Kind = Kind {
    code: "panic_added",
    what: "can panic",
    remedy: "return an error that says what to do next",
};
static STUB: Kind = Kind {
    code: "stub_added",
    what: "stands for code that is not written",
    remedy: "write the code, or leave the function out",
};
static ALLOW: Kind = Kind {
    code: "allow_added",
    what: "silences a lint",
    remedy: "write the code that the lint asks for",
};
static WAIT: Kind = Kind {
    code: "blanket_wait",
    what: "waits for the whole device",
    remedy: "order the two accesses by a barrier, or wait for the one fence",
};
static BARRIER: Kind = Kind {
    code: "blanket_barrier",
    what: "orders everything after everything",
    remedy: "name the stages and accesses of the one dependency",
};
static TODO: Kind = Kind {
    code: "todo_comment_added",
    what: "leaves work for later",
    remedy: "do it in this change, or write an issue and remove the comment",
};
static PROFILE: Kind = Kind {
    code: "mode_outside_resolve",
    what: "composes a mode outside ExecutionProfile::resolve()",
    remedy: "let resolve() in profile.rs make the combination, and use its result",
};

pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let old = pairs
        .iter()
        .flat_map(|pair| occurrences(pair, pair.old.as_ref(), |_| false));
    let mut known: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for occurrence in old {
        *known
            .entry((occurrence.kind.code, occurrence.key))
            .or_default() += 1;
    }
    let mut new: Vec<_> = pairs
        .iter()
        .flat_map(|pair| occurrences(pair, pair.new.as_ref(), |line| pair.changes_new(line)))
        .collect();
    new.sort_by_key(|occurrence| occurrence.changed);
    let mut found = Vec::new();
    for occurrence in new {
        match known.get_mut(&(occurrence.kind.code, occurrence.key.clone())) {
            Some(left) if *left > 0 => *left -= 1,
            _ => found.push(refusal(&occurrence)),
        }
    }
    found.extend(stubs(pairs));
    found
}

fn refusal(occurrence: &Occurrence<'_>) -> Refusal {
    let Occurrence {
        path,
        line,
        kind,
        shown,
        ..
    } = occurrence;
    finding(
        kind.code,
        format!("{path}:{line}: `{shown}` {}", kind.what),
        kind.remedy,
    )
}

fn occurrences<'a>(
    pair: &'a Pair<'_>,
    side: Option<&'a Side>,
    changed: impl Fn(u32) -> bool,
) -> Vec<Occurrence<'a>> {
    let Some(side) = side else { return Vec::new() };
    let mut raw: Vec<(&'static Kind, u32, String, String)> = Vec::new();
    if let Some(file) = side.rust() {
        let product = |line: u32| !side.is_test_line(line);
        raw.extend(
            in_tokens(&file.lexed.tokens)
                .into_iter()
                .filter(|(_, line, ..)| product(*line)),
        );
        raw.extend(allows(&file.lexed.tokens, side));
        raw.extend(
            barriers(&file.lexed.tokens)
                .into_iter()
                .filter(|(_, line, ..)| product(*line)),
        );
        raw.extend(
            file.lexed
                .comments
                .iter()
                .filter_map(|comment| todo(&comment.text, comment.line)),
        );
        if !pair.path.ends_with(PROFILE_FILE) {
            let lines = file.profiles.iter().filter(|line| product(**line));
            raw.extend(lines.map(|line| {
                (
                    &PROFILE,
                    *line,
                    "ExecutionProfile { … }".into(),
                    String::new(),
                )
            }));
        }
    } else if side.rust.is_none() && !super::paths::is_document(pair.path) {
        let lines = side.text.lines().enumerate();
        raw.extend(
            lines.filter_map(|(index, line)| todo(line.trim(), u32::try_from(index + 1).ok()?)),
        );
    }
    raw.into_iter()
        .map(|(kind, line, shown, key)| Occurrence {
            path: pair.path,
            line,
            changed: changed(line),
            kind,
            shown,
            key,
        })
        .collect()
}

type Raw = (&'static Kind, u32, String, String);

fn in_tokens(tokens: &[Token]) -> Vec<Raw> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let text = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        let previous = at
            .checked_sub(1)
            .map_or("", |index| tokens[index].text.as_str());
        let context = || joined(&tokens[at.saturating_sub(CONTEXT)..=at]);
        let behind = || joined(&tokens[at..tokens.len().min(at + 2 + CONTEXT)]);
        let line = tokens[at].line;
        match text(0) {
            name @ ("unwrap" | "unwrap_err")
                if previous == "." && text(1) == "(" && text(2) == ")" =>
            {
                found.push((&PANIC, line, format!(".{name}()"), context()));
            }
            name @ ("expect" | "expect_err")
                if previous == "." && text(1) == "(" && takes_text(text(2)) =>
            {
                found.push((&PANIC, line, format!(".{name}({})", text(2)), context()));
            }
            name @ ("panic" | "unreachable") if text(1) == "!" && is_open(text(2)) => {
                found.push((&PANIC, line, format!("{name}!"), behind()));
            }
            name @ ("todo" | "unimplemented") if text(1) == "!" && is_open(text(2)) => {
                found.push((&STUB, line, format!("{name}!"), context()));
            }
            name @ ("queue_wait_idle" | "device_wait_idle" | "vkQueueWaitIdle"
            | "vkDeviceWaitIdle")
                if text(1) == "(" && previous != "fn" =>
            {
                found.push((&WAIT, line, format!("{name}()"), context()));
            }
            _ => {}
        }
    }
    found
}

fn is_open(text: &str) -> bool {
    matches!(text, "(" | "[" | "{")
}

/// `expect` of a parser takes a token; that of `Option` and `Result` takes text.
fn takes_text(text: &str) -> bool {
    text.starts_with('"')
        || text.starts_with("r\"")
        || text.starts_with("r#")
        || matches!(text, "&" | "concat" | "format")
}

/// Lints that attributes allow. In test code an allowance with a reason is the custom.
fn allows(tokens: &[Token], side: &Side) -> Vec<Raw> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let bang = usize::from(tokens.get(at + 1).is_some_and(|token| token.text == "!"));
        let open = at + 1 + bang;
        if tokens[at].text != "#" || tokens.get(open).is_none_or(|token| token.text != "[") {
            continue;
        }
        let Some(close) = closing(tokens, open) else {
            continue;
        };
        let inside = &tokens[open + 1..close];
        let first = inside.first().map_or("", |token| token.text.as_str());
        if !matches!(first, "allow" | "expect" | "cfg_attr") {
            continue;
        }
        let has_reason = inside
            .windows(2)
            .any(|w| w[0].text == "reason" && w[1].text == "=");
        if has_reason && side.is_test_line(tokens[at].line) {
            continue;
        }
        for (start, _) in inside
            .windows(2)
            .enumerate()
            .filter(|(_, w)| matches!(w[0].text.as_str(), "allow" | "expect") && w[1].text == "(")
        {
            let end = closing(inside, start + 1).unwrap_or(inside.len());
            for lint in lints(&inside[start + 2..end]) {
                found.push((&ALLOW, tokens[at].line, format!("allow({lint})"), lint));
            }
        }
    }
    found
}

fn lints(tokens: &[Token]) -> Vec<String> {
    let parts = tokens.split(|token| token.text == ",");
    parts
        .filter(|part| part.first().is_some_and(|token| token.text != "reason"))
        .map(|part| part.iter().map(|token| token.text.as_str()).collect())
        .collect()
}

/// Pairs of `ALL_COMMANDS` close to each other: source and destination of one barrier.
fn barriers(tokens: &[Token]) -> Vec<Raw> {
    let every: Vec<usize> = (0..tokens.len())
        .filter(|&at| tokens[at].text.contains("ALL_COMMANDS"))
        .collect();
    let mut found = Vec::new();
    let mut index = 0;
    while index + 1 < every.len() {
        let (first, second) = (every[index], every[index + 1]);
        let apart = tokens[first..second].iter().any(|token| token.text == ";");
        if second - first > BARRIER_SPAN || apart {
            index += 1;
            continue;
        }
        let key = joined(&tokens[first..=second]);
        found.push((
            &BARRIER,
            tokens[first].line,
            "ALL_COMMANDS → ALL_COMMANDS".to_owned(),
            key,
        ));
        index += 2;
    }
    found
}

fn todo(text: &str, line: u32) -> Option<Raw> {
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let word = words.find(|word| matches!(*word, "TODO" | "FIXME" | "XXX" | "HACK"))?;
    Some((&TODO, line, word.to_owned(), text.to_owned()))
}

/// Functions that lost their body, and new ones that never had one. Of several functions of one
/// name, such as one per platform, one with a body is enough.
fn stubs(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let old = by_name(pairs, |pair| pair.old.as_ref());
    let new = by_name(pairs, |pair| pair.new.as_ref());
    let mut found = Vec::new();
    for (name, functions) in new {
        let Some((pair, file, function)) = functions.first() else {
            continue;
        };
        if !functions
            .iter()
            .all(|(_, file, function)| is_trivial(file.body(function)))
        {
            continue;
        }
        let before = old.get(&name).map_or(&[][..], Vec::as_slice);
        let had_body = before
            .iter()
            .any(|(_, file, function)| !is_trivial(file.body(function)));
        let is_new = before.is_empty();
        let empty = file.body(function).len() == 2 && function.params > 0 && !function.of_trait;
        if had_body || (is_new && empty) {
            let what = if is_new {
                "has an empty body"
            } else {
                "lost its body"
            };
            found.push(finding(
                STUB.code,
                format!(
                    "{}:{}: `{}` {what}",
                    pair.path, function.start, function.path
                ),
                STUB.remedy,
            ));
        }
    }
    found
}

type Placed<'a> = (&'a Pair<'a>, &'a RustFile, &'a Function);

/// Functions of product code by path and number of parameters.
fn by_name<'a>(
    pairs: &'a [Pair<'a>],
    side: impl Fn(&'a Pair<'a>) -> Option<&'a Side>,
) -> BTreeMap<(&'a str, usize), Vec<Placed<'a>>> {
    let mut found: BTreeMap<_, Vec<Placed<'a>>> = BTreeMap::new();
    for pair in pairs {
        let Some(side) = side(pair).filter(|side| !side.test_file) else {
            continue;
        };
        let Some(file) = side.rust() else { continue };
        for function in file.functions.iter().filter(|function| !function.in_test) {
            let key = (function.path.as_str(), function.params);
            found.entry(key).or_default().push((pair, file, function));
        }
    }
    found
}

/// A body, braces included, that does nothing.
fn is_trivial(body: &[Token]) -> bool {
    let inner: String = body.iter().map(|token| token.text.as_str()).collect();
    matches!(
        inner.as_str(),
        "{}" | "{Ok(())}" | "{None}" | "{Ok(None)}" | "{Default::default()}" | "{()}"
    )
}

//! Assertions of test code: what counts as one, and which of them left.

use std::collections::BTreeMap;

use super::Known;
use crate::change::lexical::Token;
use crate::change::syntax::{closing, joined};

/// Assertions of a body as texts; those that cannot fail are left out.
fn assertions(body: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let open = assertion_open(body, at);
        let Some(close) = open.and_then(|open| closing(body, open)) else {
            at += 1;
            continue;
        };
        let text = joined(&body[at..=close]);
        if !is_trivial(&body[at..=close]) {
            found.push(text);
        }
        at = close + 1;
    }
    found
}

/// Whether a body holds an assertion that can fail.
pub(super) fn asserts(body: &[Token]) -> bool {
    !assertions(body).is_empty()
}

/// Index of the bracket of an assertion that begins at `at`: a macro, or a call of a helper.
fn assertion_open(body: &[Token], at: usize) -> Option<usize> {
    let name = body[at].text.as_str();
    let asserts = [
        "assert",
        "prop_assert",
        "debug_assert",
        "check",
        "expect",
        "ensure",
        "verify",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || name == "panic";
    let is_method = at > 0 && body[at - 1].text == ".";
    let next = |n: usize| body.get(at + n).map(|token| token.text.as_str());
    match (asserts, next(1)) {
        (true, Some("!")) if matches!(next(2), Some("(" | "[" | "{")) => Some(at + 2),
        (true, Some("(")) if !(is_method && name.starts_with("expect")) => Some(at + 1),
        _ => None,
    }
}

/// `assert!(true)`, or a comparison of an expression with itself.
fn is_trivial(assertion: &[Token]) -> bool {
    let Some(open) = assertion
        .iter()
        .position(|token| matches!(token.text.as_str(), "(" | "[" | "{"))
    else {
        return false;
    };
    let arguments = arguments(&assertion[open + 1..assertion.len() - 1]);
    let name = assertion[0].text.as_str();
    match arguments.as_slice() {
        [only, ..] if name == "assert" || name == "debug_assert" => only == "true",
        [left, right, ..] if name.ends_with("_eq") => left == right,
        _ => false,
    }
}

/// Arguments between top-level commas.
fn arguments(tokens: &[Token]) -> Vec<String> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0_i32;
    for token in tokens {
        depth += i32::from(matches!(token.text.as_str(), "(" | "[" | "{"));
        depth -= i32::from(matches!(token.text.as_str(), ")" | "]" | "}"));
        if token.text == "," && depth == 0 {
            parts.push(Vec::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(token.text.as_str());
        }
    }
    parts.into_iter().map(|part| part.join(" ")).collect()
}

/// Assertions that test code of head has and its partner on base has not: places to move to.
pub(super) fn added_assertions(
    old: &[Known<'_>],
    new: &[Known<'_>],
    matches: &[Option<usize>],
) -> BTreeMap<String, usize> {
    let mut before: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (known, partner) in old.iter().zip(matches) {
        if let Some(index) = partner {
            before.insert(*index, assertions(known.body()));
        }
    }
    let mut added = BTreeMap::new();
    for (index, known) in new.iter().enumerate() {
        let mut own = before.remove(&index).unwrap_or_default();
        for text in assertions(known.body()) {
            match own.iter().position(|known| *known == text) {
                Some(at) => {
                    own.swap_remove(at);
                }
                None => *added.entry(text).or_insert(0) += 1,
            }
        }
    }
    added
}

/// The first assertion that left the function, was not moved, and was not replaced.
pub(super) fn lost_assertions(
    before: &Known<'_>,
    after: &Known<'_>,
    moved: &BTreeMap<String, usize>,
) -> Option<String> {
    let mut gone = Vec::new();
    let mut rest = assertions(after.body());
    for text in assertions(before.body()) {
        match rest.iter().position(|known| *known == text) {
            Some(at) => {
                rest.swap_remove(at);
            }
            None => gone.push(text),
        }
    }
    gone.retain(|text| !moved.contains_key(text));
    (gone.len() > rest.len()).then(|| gone.swap_remove(0))
}

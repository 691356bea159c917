//! Numbers that decide what a test accepts, and which of them accept more than before.

use std::collections::BTreeMap;

use super::names_one_of;
use crate::change::finding;
use crate::change::lexical::Token;
use crate::change::sides::{Pair, Side};
use crate::model::Refusal;

/// Parts of names that mean a tolerance.
const TOLERANCE_NAMES: &[&str] = &[
    "tol",
    "eps",
    "threshold",
    "margin",
    "max_err",
    "max_abs",
    "max_rel",
    "max_diff",
    "max_delta",
    "ulps",
];
/// Parts of macro and function names that compare within a tolerance given as a plain number.
const CLOSE_NAMES: &[&str] = &["close", "approx", "near", "abs_diff", "within", "ulps"];
/// Bounds of head that accept more than those of base: pairs of texts, with the line.
pub(super) fn widened(before: &[Token], after: &[Token]) -> Vec<(String, String, u32)> {
    let (old, new) = (bounds(before), bounds(after));
    let mut found = Vec::new();
    for (key, from) in &old {
        let Some(to) = new.get(key).filter(|to| to.len() == from.len()) else {
            continue;
        };
        for (from, to) in from.iter().zip(to) {
            let wider = if key.starts_with('>') {
                to.value < from.value
            } else {
                to.value > from.value
            };
            if wider {
                found.push((from.text.clone(), to.text.clone(), to.line));
            }
        }
    }
    found
}

/// A number that decides what a test accepts.
struct Bound {
    text: String,
    value: f64,
    line: u32,
}

/// Bounds of a body by what they bound; a key that begins with `>` is a lower bound.
fn bounds(body: &[Token]) -> BTreeMap<String, Vec<Bound>> {
    let mut found: BTreeMap<String, Vec<Bound>> = BTreeMap::new();
    let mut put = |key: String, token: &Token| {
        if let Some(value) = number(&token.text) {
            found.entry(key).or_default().push(Bound {
                text: token.text.clone(),
                value,
                line: token.line,
            });
        }
    };
    for (at, token) in body.iter().enumerate() {
        if number(&token.text).is_none() {
            continue;
        }
        let before = |n: usize| {
            at.checked_sub(n)
                .map_or("", |index| body[index].text.as_str())
        };
        if let Some(name) = tolerance_of(body, at) {
            put(format!("={name}"), token);
        } else if let Some((op, left)) = comparison(body, at) {
            put(format!("{op}{left}"), token);
        } else if let Some(call) = close_call(body, at) {
            put(format!("~{call}:{}", before(1)), token);
        }
    }
    found
}

/// Name of the tolerance that the number at `at` is given to: `TOL: f32 = 1e-3`, `eps = 1e-3`, `tol: 1e-3`.
fn tolerance_of(body: &[Token], at: usize) -> Option<String> {
    let start = at.saturating_sub(6);
    let sign = (start..at)
        .rev()
        .find(|&index| matches!(body[index].text.as_str(), "=" | ":"))?;
    if sign + 1 != at {
        return None;
    }
    let name = (start..sign)
        .rev()
        .find(|&index| names_one_of(&body[index].text, TOLERANCE_NAMES))?;
    let stops = body[name..sign]
        .iter()
        .any(|token| matches!(token.text.as_str(), ";" | "," | "{" | "}" | "<" | ">"));
    (!stops).then(|| body[name].text.clone())
}

/// Operator and left side of `left < number` within an assertion or condition.
fn comparison(body: &[Token], at: usize) -> Option<(&'static str, String)> {
    let text = |index: Option<usize>| index.map_or("", |index| body[index].text.as_str());
    let (op, end) = match (text(at.checked_sub(2)), text(at.checked_sub(1))) {
        ("<", "=") => ("<", at - 2),
        (">", "=") => (">", at - 2),
        (_, "<") => ("<", at - 1),
        (_, ">") if text(at.checked_sub(2)) != "=" && text(at.checked_sub(2)) != "-" => {
            (">", at - 1)
        }
        _ => return None,
    };
    let start = (0..end).rev().find(|&index| {
        matches!(
            body[index].text.as_str(),
            ";" | "{" | "}" | "," | "&" | "|" | "!"
        )
    });
    let left: Vec<&str> = body[start.map_or(0, |index| index + 1)..end]
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    Some((op, left.join(" ")))
}

/// Name of the enclosing call that compares within a tolerance.
fn close_call(body: &[Token], at: usize) -> Option<String> {
    let mut depth = 0_i32;
    for index in (0..at).rev() {
        match body[index].text.as_str() {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth > 0 => depth -= 1,
            "(" | "[" | "{" => {
                let name = (0..index)
                    .rev()
                    .map(|at| body[at].text.as_str())
                    .find(|text| *text != "!")?;
                if names_one_of(name, CLOSE_NAMES) {
                    return Some(name.to_owned());
                }
                if body[index].text == "{" {
                    return None;
                }
            }
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    if !text.starts_with(|c: char| c.is_ascii_digit())
        || text.starts_with("0x")
        || text.starts_with("0b")
    {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let suffixes = [
        "f32", "f64", "usize", "isize", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32",
        "i64", "i128",
    ];
    let plain = suffixes
        .iter()
        .find_map(|suffix| plain.strip_suffix(suffix))
        .unwrap_or(&plain);
    plain.parse().ok()
}

/// Tolerances that stand outside of functions, in test code and wherever a name says `tol`.
pub(super) fn tolerance_constants(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for pair in pairs {
        let (Some(old), Some(new)) = (&pair.old, &pair.new) else {
            continue;
        };
        let (before, after) = (constants(old), constants(new));
        for (name, bound) in after {
            let Some(from) = before.get(&name).filter(|from| bound.value > from.value) else {
                continue;
            };
            found.push(finding(
                "tolerance_widened",
                format!(
                    "{}:{}: {name} is {} and was {}",
                    pair.path, bound.line, bound.text, from.text
                ),
                format!("write {} again, and let the code meet it", from.text),
            ));
        }
    }
    found
}

fn constants(side: &Side) -> BTreeMap<String, Bound> {
    let mut found = BTreeMap::new();
    let Some(file) = side.rust() else {
        return found;
    };
    let tokens = &file.lexed.tokens;
    for (at, token) in tokens.iter().enumerate() {
        let in_function = || {
            file.functions
                .iter()
                .any(|f| (f.in_test || side.test_file) && f.body.contains(&at))
        };
        let Some(value) = number(&token.text) else {
            continue;
        };
        let Some(name) = tolerance_of(tokens, at).filter(|_| !in_function()) else {
            continue;
        };
        if side.is_test_line(token.line) || names_one_of(&name, &["tol"]) {
            found.insert(
                name,
                Bound {
                    text: token.text.clone(),
                    value,
                    line: token.line,
                },
            );
        }
    }
    found
}

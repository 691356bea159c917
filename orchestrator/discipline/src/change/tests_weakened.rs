//! What makes tests weaker, test by test over the whole diff.
//!
//! A test of base is matched with a test of head: same file and path; else the same name in another
//! changed file (moved); else the same body (renamed). Only what finds no partner is deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::lexical::Token;
use super::sides::{Pair, Side};
use super::syntax::{Function, RustFile, closing, joined};
use super::finding;
use crate::model::Refusal;

/// Parts of names that mean a tolerance.
const TOLERANCE_NAMES: &[&str] =
    &["tol", "eps", "threshold", "margin", "max_err", "max_abs", "max_rel", "max_diff", "max_delta", "ulps"];
/// Parts of macro and function names that compare within a tolerance given as a plain number.
const CLOSE_NAMES: &[&str] = &["close", "approx", "near", "abs_diff", "within", "ulps"];
/// Parts of names that choose the device, and parts that choose something else in its place.
const DEVICE_NAMES: &[&str] = &["vulkan", "gpu", "cuda", "metal"];
const SUBSTITUTE_NAMES: &[&str] = &["cpu", "mock", "fake", "dummy", "reference"];

/// A function of test code on one side.
struct Known<'a> {
    path: &'a str,
    file: &'a RustFile,
    function: &'a Function,
}

impl Known<'_> {
    fn body(&self) -> &[Token] {
        self.file.body(self.function)
    }
    fn place(&self) -> String {
        format!("{}:{}", self.path, self.function.start)
    }
}

pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let old = known(pairs, |pair| pair.old.as_ref());
    let new = known(pairs, |pair| pair.new.as_ref());
    let matches = match_up(&old, &new);
    let added_assertions = added_assertions(&old, &new, &matches);
    let broken: BTreeSet<&str> = pairs.iter().filter(|pair| broken(pair)).map(|pair| pair.path).collect();
    let mut found = Vec::new();
    for (before, partner) in old.iter().zip(&matches) {
        match partner.map(|index| &new[index]) {
            Some(after) => compare(before, after, &added_assertions, &mut found),
            None if before.function.test && !broken.contains(before.path) => found.push(finding(
                "test_deleted",
                format!("{}: the test `{}` is gone", before.place(), before.function.path),
                "keep the test; one that is wrong is corrected in a claim that says why",
            )),
            None => {}
        }
    }
    for after in new.iter().filter(|after| after.function.test && after.function.ignored) {
        let was_ignored = old.iter().zip(&matches).any(|(before, partner)| {
            before.function.ignored && partner.is_some_and(|index| std::ptr::eq(&new[index], after))
        });
        if !was_ignored {
            found.push(finding(
                "test_ignored",
                format!("{}: the test `{}` is ignored", after.place(), after.function.path),
                "remove #[ignore], so that the test runs",
            ));
        }
    }
    found.extend(tolerance_constants(pairs));
    found.extend(file_conditions(pairs));
    found
}

fn broken(pair: &Pair<'_>) -> bool {
    pair.new.as_ref().is_some_and(|side| side.rust.is_some() && side.rust().is_none())
}

fn known<'a>(pairs: &'a [Pair<'_>], side: impl Fn(&'a Pair<'_>) -> Option<&'a Side>) -> Vec<Known<'a>> {
    let mut found = Vec::new();
    for pair in pairs {
        let Some(read) = side(pair) else { continue };
        let Some(file) = read.rust() else { continue };
        let own = file.functions.iter().filter(|function| read.test_file || function.in_test);
        found.extend(own.map(|function| Known { path: pair.path, file, function }));
    }
    found
}

/// For each function of `old` the index of its partner in `new`.
fn match_up(old: &[Known<'_>], new: &[Known<'_>]) -> Vec<Option<usize>> {
    let mut partner = vec![None; old.len()];
    let mut taken = vec![false; new.len()];
    let bodies: Vec<String> = new.iter().map(|known| joined(known.body())).collect();
    let rules: [&dyn Fn(&Known<'_>, usize) -> bool; 4] = [
        &|before, at| before.path == new[at].path && before.function.path == new[at].function.path,
        &|before, at| before.function.path == new[at].function.path,
        &|before, at| before.function.name == new[at].function.name,
        &|before, at| joined(before.body()) == bodies[at],
    ];
    for rule in rules {
        for (index, before) in old.iter().enumerate() {
            if partner[index].is_some() {
                continue;
            }
            let found = (0..new.len()).find(|&at| {
                !taken[at] && before.function.test == new[at].function.test && rule(before, at)
            });
            if let Some(at) = found {
                partner[index] = Some(at);
                taken[at] = true;
            }
        }
    }
    partner
}

fn compare(before: &Known<'_>, after: &Known<'_>, moved: &BTreeMap<String, usize>, found: &mut Vec<Refusal>) {
    let (place, name) = (after.place(), &after.function.path);
    if after.function.should_panic && !before.function.should_panic {
        found.push(finding(
            "test_inverted",
            format!("{place}: `{name}` now passes when it panics"),
            "remove #[should_panic], and let the code make the test pass",
        ));
    }
    conditions(before, after, found);
    if let Some(lost) = lost_assertions(before, after, moved) {
        found.push(finding(
            "assertion_removed",
            format!("{place}: `{name}` no longer asserts `{}`", shorten(&lost)),
            "keep the assertion, or replace it by one that says at least as much",
        ));
    }
    for (from, to, line) in widened(before.body(), after.body()) {
        found.push(finding(
            "tolerance_widened",
            format!("{}:{line}: `{name}` accepts {to} where it accepted {from}", after.path),
            format!("write {from} again, and let the code meet it"),
        ));
    }
    let returns = |known: &Known<'_>| known.body().iter().filter(|token| token.text == "return").count();
    if before.function.test && returns(after) > returns(before) {
        found.push(finding(
            "test_returns_early",
            format!("{place}: `{name}` can now return before it asserts"),
            "let the test fail when what it needs is missing",
        ));
    }
    if let Some((from, to)) = device_replaced(before.body(), after.body()) {
        found.push(finding(
            "backend_selector_changed",
            format!("{place}: `{name}` names `{to}` where it named `{from}`"),
            "let the test run on the device it was written for",
        ));
    }
}

fn conditions(before: &Known<'_>, after: &Known<'_>, found: &mut Vec<Refusal>) {
    let narrower: Vec<_> = after.function.cfgs.difference(&before.function.cfgs).cloned().collect();
    if narrower.is_empty() {
        return;
    }
    let device = narrower.iter().chain(&before.function.cfgs).any(|cfg| names_one_of(cfg, DEVICE_NAMES));
    let code = if device { "gpu_test_cfg_changed" } else { "test_cfg_narrowed" };
    if after.function.test || !before.function.test {
        found.push(finding(
            code,
            format!("{}: `{}` is compiled only under {}", after.place(), after.function.path, narrower.join(", ")),
            "remove the condition, so that the test runs where it ran",
        ));
    }
}

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

/// Index of the bracket of an assertion that begins at `at`: a macro, or a call of a helper.
fn assertion_open(body: &[Token], at: usize) -> Option<usize> {
    let name = body[at].text.as_str();
    let asserts = ["assert", "prop_assert", "debug_assert", "check", "expect", "ensure", "verify"]
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
    let Some(open) = assertion.iter().position(|token| matches!(token.text.as_str(), "(" | "[" | "{")) else {
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
fn added_assertions(old: &[Known<'_>], new: &[Known<'_>], matches: &[Option<usize>]) -> BTreeMap<String, usize> {
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
fn lost_assertions(before: &Known<'_>, after: &Known<'_>, moved: &BTreeMap<String, usize>) -> Option<String> {
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

/// Bounds of head that accept more than those of base: pairs of texts, with the line.
fn widened(before: &[Token], after: &[Token]) -> Vec<(String, String, u32)> {
    let (old, new) = (bounds(before), bounds(after));
    let mut found = Vec::new();
    for (key, from) in &old {
        let Some(to) = new.get(key).filter(|to| to.len() == from.len()) else { continue };
        for (from, to) in from.iter().zip(to) {
            let wider = if key.starts_with('>') { to.value < from.value } else { to.value > from.value };
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
            found.entry(key).or_default().push(Bound { text: token.text.clone(), value, line: token.line });
        }
    };
    for (at, token) in body.iter().enumerate() {
        if number(&token.text).is_none() {
            continue;
        }
        let before = |n: usize| at.checked_sub(n).map_or("", |index| body[index].text.as_str());
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
    let sign = (start..at).rev().find(|&index| matches!(body[index].text.as_str(), "=" | ":"))?;
    if sign + 1 != at {
        return None;
    }
    let name = (start..sign).rev().find(|&index| names_one_of(&body[index].text, TOLERANCE_NAMES))?;
    let stops = body[name..sign].iter().any(|token| matches!(token.text.as_str(), ";" | "," | "{" | "}" | "<" | ">"));
    (!stops).then(|| body[name].text.clone())
}

/// Operator and left side of `left < number` within an assertion or condition.
fn comparison(body: &[Token], at: usize) -> Option<(&'static str, String)> {
    let text = |index: Option<usize>| index.map_or("", |index| body[index].text.as_str());
    let (op, end) = match (text(at.checked_sub(2)), text(at.checked_sub(1))) {
        ("<", "=") => ("<", at - 2),
        (">", "=") => (">", at - 2),
        (_, "<") => ("<", at - 1),
        (_, ">") if text(at.checked_sub(2)) != "=" && text(at.checked_sub(2)) != "-" => (">", at - 1),
        _ => return None,
    };
    let start = (0..end).rev().find(|&index| matches!(body[index].text.as_str(), ";" | "{" | "}" | "," | "&" | "|" | "!"));
    let left: Vec<&str> = body[start.map_or(0, |index| index + 1)..end].iter().map(|token| token.text.as_str()).collect();
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
                let name = (0..index).rev().map(|at| body[at].text.as_str()).find(|text| *text != "!")?;
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
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("0x") || text.starts_with("0b") {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let suffixes = ["f32", "f64", "usize", "isize", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128"];
    let plain = suffixes.iter().find_map(|suffix| plain.strip_suffix(suffix)).unwrap_or(&plain);
    plain.parse().ok()
}

fn names_one_of(text: &str, parts: &[&str]) -> bool {
    let lower = text.to_ascii_lowercase();
    parts.iter().any(|part| lower.contains(part))
}

/// Tolerances that stand outside of functions, in test code and wherever a name says `tol`.
fn tolerance_constants(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for pair in pairs {
        let (Some(old), Some(new)) = (&pair.old, &pair.new) else { continue };
        let (before, after) = (constants(old), constants(new));
        for (name, bound) in after {
            let Some(from) = before.get(&name).filter(|from| bound.value > from.value) else { continue };
            found.push(finding(
                "tolerance_widened",
                format!("{}:{}: {name} is {} and was {}", pair.path, bound.line, bound.text, from.text),
                format!("write {} again, and let the code meet it", from.text),
            ));
        }
    }
    found
}

fn constants(side: &Side) -> BTreeMap<String, Bound> {
    let mut found = BTreeMap::new();
    let Some(file) = side.rust() else { return found };
    let tokens = &file.lexed.tokens;
    for (at, token) in tokens.iter().enumerate() {
        let in_function = || file.functions.iter().any(|f| f.in_test && f.body.contains(&at));
        let Some(value) = number(&token.text) else { continue };
        let Some(name) = tolerance_of(tokens, at).filter(|_| !in_function()) else { continue };
        if side.is_test_line(token.line) || names_one_of(&name, &["tol"]) {
            found.insert(name, Bound { text: token.text.clone(), value, line: token.line });
        }
    }
    found
}

/// `#![cfg(…)]` that a test file gains, where it holds helpers only or its tests found no partner.
fn file_conditions(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let condition = |side: &Side| -> BTreeSet<String> {
        let tokens = side.rust().map_or(&[][..], |file| &file.lexed.tokens);
        let starts = tokens.windows(4).enumerate().filter(|(_, w)| {
            w[0].text == "#" && w[1].text == "!" && w[2].text == "[" && w[3].text == "cfg"
        });
        starts.filter_map(|(at, _)| Some(joined(&tokens[at..=closing(tokens, at + 2)?]))).collect()
    };
    let mut found = Vec::new();
    for pair in pairs {
        let (Some(old), Some(new)) = (&pair.old, &pair.new) else { continue };
        if !new.test_file || new.rust().is_some_and(|file| file.functions.iter().any(|function| function.test)) {
            continue;
        }
        for cfg in condition(new).difference(&condition(old)) {
            found.push(finding(
                "test_cfg_narrowed",
                format!("{}:1: the whole file is compiled only under `{cfg}`", pair.path),
                "remove the condition, so that the tests run where they ran",
            ));
        }
    }
    found
}

/// A name of the device that became rarer while a name of a substitute became more frequent.
fn device_replaced(before: &[Token], after: &[Token]) -> Option<(String, String)> {
    let count = |body: &[Token], parts: &[&str]| {
        let mut names: BTreeMap<String, i64> = BTreeMap::new();
        for token in body.iter().filter(|token| names_one_of(&token.text, parts)) {
            *names.entry(token.text.clone()).or_default() += 1;
        }
        names
    };
    let change = |parts: &[&str]| {
        let mut names = count(after, parts);
        for (name, n) in count(before, parts) {
            *names.entry(name).or_default() -= n;
        }
        names
    };
    let lost = change(DEVICE_NAMES).into_iter().find(|(_, n)| *n < 0)?.0;
    let gained = change(SUBSTITUTE_NAMES).into_iter().find(|(name, n)| *n > 0 && !names_one_of(name, DEVICE_NAMES))?.0;
    Some((lost, gained))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

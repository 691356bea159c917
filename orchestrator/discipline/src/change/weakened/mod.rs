//! What makes tests weaker, test by test over the whole diff.
//!
//! A test of base is matched with a test of head: same file and path; else the same name in another
//! changed file (moved); else the same body (renamed). Only what finds no partner is deleted.

mod assertions;
mod bounds;
mod made;

use std::collections::{BTreeMap, BTreeSet};

use super::finding;
use super::lexical::Token;
use super::sides::{Pair, Side};
use super::syntax::{Function, RustFile, closing, joined};
use crate::model::Refusal;
use assertions::{added_assertions, asserts, lost_assertions};
use bounds::{tolerance_constants, widened};

/// Parts of names that choose the device, and parts that choose something else in its place.
const DEVICE_NAMES: &[&str] = &["vulkan", "gpu", "cuda", "metal"];
const SUBSTITUTE_NAMES: &[&str] = &["cpu", "mock", "fake", "dummy"];

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
    let broken: BTreeSet<&str> = pairs
        .iter()
        .filter(|pair| broken(pair))
        .map(|pair| pair.path)
        .collect();
    let mut found = Vec::new();
    for (before, partner) in old.iter().zip(&matches) {
        match partner.map(|index| &new[index]) {
            Some(after) => compare(before, after, &added_assertions, &mut found),
            None if before.function.test && !broken.contains(before.path) => found.push(finding(
                "test_deleted",
                format!(
                    "{}: the test `{}` is gone",
                    before.place(),
                    before.function.path
                ),
                "keep the test; one that is wrong is corrected in a claim that says why",
            )),
            None => {}
        }
    }
    for after in new
        .iter()
        .filter(|after| after.function.test && after.function.ignored)
    {
        let was_ignored = old.iter().zip(&matches).any(|(before, partner)| {
            before.function.ignored && partner.is_some_and(|index| std::ptr::eq(&new[index], after))
        });
        if !was_ignored {
            found.push(finding(
                "test_ignored",
                format!(
                    "{}: the test `{}` is ignored",
                    after.place(),
                    after.function.path
                ),
                "remove #[ignore], so that the test runs",
            ));
        }
    }
    found.extend(made::findings(&old, &new, &matches));
    found.extend(tolerance_constants(pairs));
    found.extend(file_conditions(pairs));
    found
}

fn broken(pair: &Pair<'_>) -> bool {
    pair.new
        .as_ref()
        .is_some_and(|side| side.rust.is_some() && side.rust().is_none())
}

fn known<'a>(
    pairs: &'a [Pair<'_>],
    side: impl Fn(&'a Pair<'_>) -> Option<&'a Side>,
) -> Vec<Known<'a>> {
    let mut found = Vec::new();
    for pair in pairs {
        let Some(read) = side(pair) else { continue };
        let Some(file) = read.rust() else { continue };
        let own = file
            .functions
            .iter()
            .filter(|function| read.test_file || function.in_test);
        found.extend(own.map(|function| Known {
            path: pair.path,
            file,
            function,
        }));
    }
    found
}

/// Whether a function of base is the one at an index of head.
type Rule<'a> = &'a dyn Fn(&Known<'_>, usize) -> bool;

/// For each function of `old` the index of its partner in `new`.
fn match_up(old: &[Known<'_>], new: &[Known<'_>]) -> Vec<Option<usize>> {
    let mut partner = vec![None; old.len()];
    let mut taken = vec![false; new.len()];
    let bodies: Vec<String> = new.iter().map(|known| joined(known.body())).collect();
    let rules: [Rule<'_>; 4] = [
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

fn compare(
    before: &Known<'_>,
    after: &Known<'_>,
    moved: &BTreeMap<String, usize>,
    found: &mut Vec<Refusal>,
) {
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
            format!(
                "{}:{line}: `{name}` accepts {to} where it accepted {from}",
                after.path
            ),
            format!("write {from} again, and let the code meet it"),
        ));
    }
    let returns = |known: &Known<'_>| {
        known
            .body()
            .iter()
            .filter(|token| token.text == "return")
            .count()
    };
    let judges = before.function.test || asserts(before.body());
    if judges && returns(after) > returns(before) {
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
    let narrower: Vec<_> = after
        .function
        .cfgs
        .difference(&before.function.cfgs)
        .cloned()
        .collect();
    if narrower.is_empty() {
        return;
    }
    let device = narrower
        .iter()
        .chain(&before.function.cfgs)
        .any(|cfg| names_one_of(cfg, DEVICE_NAMES));
    let code = if device {
        "gpu_test_cfg_changed"
    } else {
        "test_cfg_narrowed"
    };
    if after.function.test || !before.function.test {
        found.push(finding(
            code,
            format!(
                "{}: `{}` is compiled only under {}",
                after.place(),
                after.function.path,
                narrower.join(", ")
            ),
            "remove the condition, so that the test runs where it ran",
        ));
    }
}

fn names_one_of(text: &str, parts: &[&str]) -> bool {
    let lower = text.to_ascii_lowercase();
    parts.iter().any(|part| lower.contains(part))
}

/// `#![cfg(…)]` that a test file gains, where it holds helpers only or its tests found no partner.
fn file_conditions(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let condition = |side: &Side| -> BTreeSet<String> {
        let tokens = side.rust().map_or(&[][..], |file| &file.lexed.tokens);
        let starts = tokens.windows(4).enumerate().filter(|(_, w)| {
            w[0].text == "#" && w[1].text == "!" && w[2].text == "[" && w[3].text == "cfg"
        });
        starts
            .filter_map(|(at, _)| Some(joined(&tokens[at..=closing(tokens, at + 2)?])))
            .collect()
    };
    let mut found = Vec::new();
    for pair in pairs {
        let (Some(old), Some(new)) = (&pair.old, &pair.new) else {
            continue;
        };
        if !new.test_file
            || new
                .rust()
                .is_some_and(|file| file.functions.iter().any(|function| function.test))
        {
            continue;
        }
        for cfg in condition(new).difference(&condition(old)) {
            found.push(finding(
                "test_cfg_narrowed",
                format!(
                    "{}:1: the whole file is compiled only under `{cfg}`",
                    pair.path
                ),
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
    let gained = change(SUBSTITUTE_NAMES)
        .into_iter()
        .find(|(name, n)| *n > 0 && !names_one_of(name, DEVICE_NAMES))?
        .0;
    Some((lost, gained))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

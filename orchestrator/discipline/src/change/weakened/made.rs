//! Tests that macros make: fewer of them are tests left out, although no function of a test is gone.

use std::collections::BTreeSet;

use super::Known;
use crate::change::finding;
use crate::change::lexical::Token;
use crate::model::Refusal;

/// What ends the name of a macro's definition, and of a call of it.
const DEFINITION: &str = "!";
const CALL: &str = "!()";

pub(super) fn findings(
    old: &[Known<'_>],
    new: &[Known<'_>],
    matches: &[Option<usize>],
) -> Vec<Refusal> {
    let makers: BTreeSet<&str> = old
        .iter()
        .filter(|known| attributes(known.body()) > 0)
        .filter_map(|known| known.function.name.strip_suffix(DEFINITION))
        .collect();
    let mut found = Vec::new();
    for (before, partner) in old.iter().zip(matches) {
        let after = partner.map(|index| &new[index]);
        let name = before.function.name.as_str();
        if let Some(call) = name.strip_suffix(CALL) {
            let lost = makers
                .contains(call)
                .then(|| dropped(before, after))
                .flatten();
            found.extend(lost.map(|lost| refusal(before, after, &format!("names no `{lost}`"))));
        } else if name.ends_with(DEFINITION) {
            let made = after.map_or(0, |after| attributes(after.body()));
            if made < attributes(before.body()) {
                found.push(refusal(before, after, "makes no such tests"));
            }
        }
    }
    found
}

fn refusal(before: &Known<'_>, after: Option<&Known<'_>>, what: &str) -> Refusal {
    let name = before.function.name.trim_end_matches("()");
    finding(
        "test_deleted",
        format!(
            "{}: `{name}` {what} any more",
            after.map_or_else(|| before.place(), Known::place)
        ),
        "let the macro make the tests that it makes today; add others beside them",
    )
}

/// `#[test]` among the tokens of a macro.
fn attributes(body: &[Token]) -> usize {
    let is = |window: &[Token]| {
        let texts = window.iter().map(|token| token.text.as_str());
        texts.eq(["#", "[", "test", "]"])
    };
    body.windows(4).filter(|window| is(window)).count()
}

/// A name that the call had and has no more.
fn dropped(before: &Known<'_>, after: Option<&Known<'_>>) -> Option<String> {
    let names = |known: &Known<'_>| -> BTreeSet<String> {
        let words = known.body().iter().map(|token| token.text.as_str());
        let is_name = |text: &&str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        words.filter(is_name).map(str::to_owned).collect()
    };
    let left = after.map(names).unwrap_or_default();
    names(before).difference(&left).next().cloned()
}

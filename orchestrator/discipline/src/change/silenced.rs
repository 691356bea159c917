//! Telemetry that a change no longer prints, although the claim is graded by it. A marker whose line is gone is
//! absent from every later run, whatever the code does.

use attest::claim::{ClaimBody, ClaimKind};
use markers::{Catalogue, Predicate};

use super::syntax::{Parsed, parse};
use crate::diff::{Diff, FileSide};
use crate::model::Refusal;

/// Refuses each prediction, guard and rollback condition that reads a marker whose tag stands in fewer
/// literals of the changed files than before. A rollback takes telemetry back with the rest.
#[must_use]
pub fn silenced(diff: &Diff, body: &ClaimBody, catalogue: &Catalogue) -> Vec<Refusal> {
    if body.kind == ClaimKind::Rollback {
        return Vec::new();
    }
    let predictions = numbered("prediction", "", body.predictions.iter());
    let guards = body.guards.iter().map(|guard| &guard.predicate);
    let guards = numbered("guards", ".predicate", guards);
    let conditions = numbered("rollback_if", "", body.rollback_if.iter());
    predictions
        .chain(guards)
        .chain(conditions)
        .filter_map(|(field, text)| {
            let predicate = Predicate::parse_checked(text, catalogue).ok()?;
            let marker = catalogue.marker(&predicate.selector().marker)?;
            let place = lost(diff, marker.tag.as_deref()?)?;
            Some(Refusal::new(
                "telemetry_removed",
                field,
                format!(
                    "`{text}` reads {}, which {place} no longer prints as often as it did",
                    marker.name
                ),
                "leave the line that prints it as it is; what is graded by it must still be able to show it",
            ))
        })
        .collect()
}

fn numbered<'a>(
    list: &'static str,
    part: &'static str,
    texts: impl Iterator<Item = &'a String>,
) -> impl Iterator<Item = (String, &'a str)> {
    texts
        .enumerate()
        .map(move |(index, text)| (format!("{list}[{index}]{part}"), text.as_str()))
}

/// A file that lost the tag, where the change as a whole prints it less often.
fn lost<'a>(diff: &'a Diff, tag: &str) -> Option<&'a str> {
    let mut balance = 0_i64;
    let mut place = None;
    for file in &diff.files {
        let count = |side: &Option<FileSide>| {
            side.as_ref()
                .map_or(0, |side| printed(&file.path, side, tag))
        };
        let (old, new) = (count(&file.old), count(&file.new));
        balance += new - old;
        if new < old {
            place = place.or(Some(file.path.as_str()));
        }
    }
    place.filter(|_| balance < 0)
}

/// How often the tag stands in text that a program could print: in literals of Rust sources, anywhere in
/// other code.
fn printed(path: &str, side: &FileSide, tag: &str) -> i64 {
    let text = String::from_utf8_lossy(&side.content);
    if super::is_document(path) || !text.contains(tag) {
        return 0;
    }
    let count = |text: &str| text.matches(tag).count();
    let found = match path.ends_with(".rs").then(|| parse(&text)) {
        Some(Parsed::File(file)) => {
            let tokens = file.lexed.tokens.iter();
            let literals = tokens.filter(|token| token.text.ends_with(['"', '#']));
            literals.map(|token| count(&token.text)).sum()
        }
        _ => count(&text),
    };
    i64::try_from(found).unwrap_or(i64::MAX)
}

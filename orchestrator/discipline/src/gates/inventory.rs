//! The tests that a gate's binaries hold, by their own list, against those that reported a result.

use std::collections::BTreeSet;

use super::argv::CargoArgs;
use super::observed::Observed;

/// Most names that a message lists.
const NAMED: usize = 5;
/// Most names that are read of a list; longer ones are no inventory.
const MAX_NAMES: usize = 1_000_000;

/// What `--list` said after the gate had run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Names of tests and benchmarks, one per entry.
    Names(Vec<String>),
    /// Why there is no list.
    Unreadable(String),
}

impl Listed {
    /// Reads what libtest prints for `--list`: `NAME: test` or `NAME: benchmark`, one per line.
    #[must_use]
    pub fn read(output: &str) -> Self {
        let name = |line: &str| {
            let line = line.trim_end();
            let name = line
                .strip_suffix(": test")
                .or_else(|| line.strip_suffix(": benchmark"))?;
            (!name.is_empty()).then(|| name.to_owned())
        };
        let names: Vec<String> = output
            .lines()
            .filter_map(name)
            .take(MAX_NAMES + 1)
            .collect();
        match names.len() > MAX_NAMES {
            true => Self::Unreadable(format!("it lists more than {MAX_NAMES} tests")),
            false => Self::Names(names),
        }
    }
}

/// The gate's command with `--list`: the same binaries, filters and flags, and nothing runs. `None`
/// for a command that is not `cargo test`.
#[must_use]
pub fn list_argv(argv: &[String]) -> Option<Vec<String>> {
    let cargo = CargoArgs::parse(argv)?;
    if !matches!(cargo.subcommand.as_str(), "test" | "t") {
        return None;
    }
    let mut listing = argv.to_vec();
    if !argv.iter().any(|word| word == "--") {
        listing.push("--".to_owned());
    }
    listing.push("--list".to_owned());
    Some(listing)
}

/// Why what ran is not what is listed; `None` when it is. A name that a test's own output tore apart
/// counts by the summary of its binary.
pub(super) fn mismatch(listed: &[String], seen: &Observed) -> Option<String> {
    let counts = seen.counts;
    let reported = counts.passed + counts.failed + counts.ignored;
    let known: BTreeSet<&String> = listed.iter().collect();
    let unlisted: Vec<&String> = seen
        .reported
        .iter()
        .filter(|name| !is_torn(name) && !known.contains(name))
        .collect();
    if !unlisted.is_empty() {
        return Some(format!(
            "it reports {}, which no list of its binaries holds",
            some(&unlisted)
        ));
    }
    let wanted = u64::try_from(listed.len()).unwrap_or(u64::MAX);
    if reported == wanted {
        return None;
    }
    let silent: Vec<&String> = listed
        .iter()
        .filter(|name| !seen.reported.contains(*name))
        .collect();
    Some(match silent.is_empty() {
        true => format!("its binaries list {wanted} tests, and {reported} reported a result"),
        false => format!(
            "its binaries list {wanted} tests, and {reported} reported a result; nothing was heard of {}",
            some(&silent)
        ),
    })
}

/// Output of a test that stands between its name and its result: no name of a test.
fn is_torn(name: &str) -> bool {
    name.contains(" ... ")
}

fn some(names: &[&String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len().saturating_sub(NAMED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

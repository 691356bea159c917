//! The law of a tree, and which of its pins the tree has.

use attest::digest::Digest;
use discipline::decision::LawFact;
use gitread::GitReader;
use invariants::{Law, Pin};

use crate::VerifyError;
use crate::base::LawFacts;

/// Source files above this size are not searched for pins, in bytes.
const MAX_SOURCE_BYTES: u64 = 4 << 20;

/// Reads the law at `path`. A tree without one has no laws, so that no claim can name any.
pub(crate) fn law_facts(
    reader: &GitReader,
    tree: &str,
    path: &str,
) -> Result<Result<LawFacts, String>, VerifyError> {
    let bytes = reader.blob_at(tree, path)?.unwrap_or_default();
    let digest = Digest::of(&bytes);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(Err("it is not utf-8".to_owned()));
    };
    let law = match Law::parse(text) {
        Ok(law) => law,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let sources = match law.invariants.iter().all(|law| law.pins.is_empty()) {
        true => Vec::new(),
        false => rust_sources(reader, tree)?,
    };
    let facts = law
        .invariants
        .iter()
        .map(|invariant| LawFact {
            id: invariant.id.clone(),
            title: invariant.title.clone(),
            pins: invariant.pins.iter().map(Pin::to_string).collect(),
            missing_pins: invariant
                .pins
                .iter()
                .filter(|pin| !sources.iter().any(|source| holds(source, pin)))
                .map(Pin::to_string)
                .collect(),
        })
        .collect();
    Ok(Ok(LawFacts { facts, digest }))
}

struct Source {
    path: String,
    text: String,
}

fn rust_sources(reader: &GitReader, tree: &str) -> Result<Vec<Source>, VerifyError> {
    let mut sources = Vec::new();
    for entry in reader.tree_entries(tree)? {
        if !entry.path.ends_with(b".rs") {
            continue;
        }
        // What is too large or no file pins nothing.
        if let Ok(bytes) = reader.blob(&entry.oid, MAX_SOURCE_BYTES) {
            sources.push(Source {
                path: gitread::path::escape(&entry.path).0,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    Ok(sources)
}

fn holds(source: &Source, pin: &Pin) -> bool {
    match pin {
        Pin::Test { target, function } => {
            let name = last_segment(function);
            in_target(&source.path, target) && declares(&source.text, &["fn"], name)
        }
        Pin::Type { path } => {
            let kinds = ["struct", "enum", "trait", "type", "union"];
            let name = last_segment(path);
            declares(&source.text, &kinds, name) || lists(&source.text, &kinds, name)
        }
    }
}

/// Whether a file may belong to an integration test: the target itself, or a module below `tests/`.
/// Unit tests (`lib`) may stand in any other file.
fn in_target(path: &str, target: &str) -> bool {
    let below_tests = path.starts_with("tests/") || path.contains("/tests/");
    if target == "lib" {
        return !below_tests;
    }
    below_tests || path.ends_with(&format!("/{target}.rs"))
}

fn last_segment(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// Whether a macro of this file declares types by names that it is given, and some line outside comments opens the block of
/// `name`: `NAME … {`.
fn lists(text: &str, keywords: &[&str], name: &str) -> bool {
    let lines = || text.lines().map(str::trim);
    let generic = |line: &str| {
        keywords
            .iter()
            .any(|word| line.contains(&format!("{word} $")))
    };
    text.contains("macro_rules!")
        && lines().any(generic)
        && lines().any(|line| line.ends_with('{') && line.split(' ').next() == Some(name))
}

/// Whether some line outside comments declares `name` with one of the keywords.
fn declares(text: &str, keywords: &[&str], name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
        .any(|line| {
            let mut words = line
                .split(|c: char| !is_word(c))
                .filter(|word| !word.is_empty());
            let mut previous = "";
            words.any(|word| {
                let found = word == name && keywords.contains(&previous);
                previous = word;
                found
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found_and_mentions_are_not() {
        let text = "// fn commented()\npub(crate) async fn real<T>() {}\nlet x = mentioned(1);\nstruct Kept;";
        for (keywords, name, found) in [
            (&["fn"][..], "real", true),
            (&["fn"], "commented", false),
            (&["fn"], "mentioned", false),
            (&["struct", "enum"], "Kept", true),
            (&["enum"], "Kept", false),
            (&["fn"], "rea", false),
        ] {
            assert_eq!(declares(text, keywords, name), found, "{name}");
        }
    }

    #[test]
    fn types_that_a_macro_lists_are_declared() {
        let rules = "macro_rules! markers {\n    ($($name:ident $tag:literal {})*) => { $(pub struct $name {})* };\n}\n";
        let call = "markers! {\n    /// One pass.\n    Perdispatch \"[PASS]\" {\n    }\n}\n";
        let source = |text: String| Source {
            path: "engine/src/telemetry/marker.rs".to_owned(),
            text,
        };
        let pin: Pin = "type engine::telemetry::Perdispatch".parse().unwrap();
        let other: Pin = "type engine::telemetry::Pass".parse().unwrap();
        assert!(holds(&source(format!("{rules}{call}")), &pin));
        assert!(!holds(&source(format!("{rules}{call}")), &other));
        assert!(!holds(&source(call.to_owned()), &pin));
        assert!(!holds(
            &source(format!("{rules}// {call}").replace("    Perd", "    // Perd")),
            &pin
        ));
    }

    #[test]
    fn pins_belong_to_their_target() {
        let source = |path: &str| Source {
            path: path.to_owned(),
            text: "fn holds() {}".to_owned(),
        };
        let pin: Pin = "test gpu_smoke::parity::holds".parse().unwrap();
        assert!(holds(&source("engine/tests/gpu_smoke.rs"), &pin));
        assert!(holds(&source("engine/tests/parity.rs"), &pin));
        assert!(!holds(&source("engine/src/parity.rs"), &pin));
        let unit: Pin = "test lib::holds".parse().unwrap();
        assert!(holds(&source("engine/src/parity.rs"), &unit));
    }
}

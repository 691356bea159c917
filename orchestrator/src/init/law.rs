//! The law file: the repository's own, or a first one with a law that an existing test pins.

use invariants::Law;
use service::api::RefusalView;

use super::refuse;
use super::survey::Survey;

/// Where a law may stand, most usual first.
const PLACES: &[&str] = &[
    "INVARIANTS.md",
    "invariants/INVARIANTS.md",
    "docs/INVARIANTS.md",
];

/// The law to name in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LawChoice {
    /// Path from the root.
    pub(super) path: String,
    /// Its content, when it has to be written.
    pub(super) text: Option<String>,
}

/// Takes the repository's law, or writes one where there is none. A file of that name that holds no
/// law in our form is somebody else's and stays as it is.
pub(super) fn choose(survey: &Survey) -> Result<LawChoice, RefusalView> {
    let mut free = None;
    let mut broken = None;
    for path in PLACES {
        let Ok(text) = std::fs::read_to_string(survey.root.join(path)) else {
            if !survey.root.join(path).exists() {
                free = free.or(Some(*path));
            }
            continue;
        };
        match Law::parse(&text) {
            Ok(law) if !law.invariants.is_empty() => {
                return Ok(LawChoice {
                    path: (*path).into(),
                    text: None,
                });
            }
            Ok(_) => {}
            Err(error) => broken = broken.or(Some((*path, error))),
        }
    }
    if let Some((path, error)) = broken {
        return Err(refuse(
            "law_unreadable",
            "law",
            format!("{path} begins a law that cannot be read: {error}"),
            "correct that line, or move the file away",
        ));
    }
    match free {
        Some(path) => Ok(LawChoice {
            path: path.into(),
            text: Some(first_law(survey)),
        }),
        None => Err(refuse(
            "law_without_place",
            "law",
            format!("{} exist and hold no law", PLACES.join(", ")),
            "write `## §1 TITLE` with a line `Pinned by: test TARGET::FUNCTION` into one of them",
        )),
    }
}

/// One law, pinned by the first test that runs unconditionally.
fn first_law(survey: &Survey) -> String {
    let suites = survey.packages.iter().flat_map(|package| {
        let integration = package
            .suites
            .iter()
            .map(|suite| (suite.target.as_str(), &suite.tests));
        integration.chain([("lib", &package.unit)])
    });
    let candidates =
        suites.flat_map(|(target, tests)| tests.iter().map(move |test| (target, test)));
    let best = candidates
        .clone()
        // An integration test before a unit test: only those can be a claim's own test.
        .min_by_key(|(target, test)| (*target == "lib", test.conditional || test.ignored));
    let (target, path) = best.map_or(("lib", "tests"), |(target, test)| {
        (target, test.path.as_str())
    });
    let name = path.rsplit("::").next().unwrap_or(path);
    let title = sentence(name);
    format!(
        "# Invariants\n\n\
         What must stay true whatever changes. Each law has a number, says why it is one, and names the tests or types\n\
         that make breaking it visible. A claim cites the law that fails today and that its change restores.\n\n\
         Laws: 1\n\n\
         ## §1 {title}\n\n\
         `{name}` states this law. Replace this sentence by what the test promises and why it must never break.\n\n\
         Pinned by: test {target}::{path}\n"
    )
}

/// `path_equivalence_holds` → `Path equivalence holds`.
fn sentence(name: &str) -> String {
    let words = name.trim_matches('_').replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "The suite passes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_titles() {
        assert_eq!(sentence("whole_blocks_agree"), "Whole blocks agree");
        assert_eq!(sentence("_"), "The suite passes");
    }
}

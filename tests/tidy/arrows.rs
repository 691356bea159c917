//! Crates depend on each other along the table of `ARCHITECTURE.md`, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::{read, root};

/// Crate, folder, and the crates of ours it may name. A crate may also name what those may name.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("engine", "engine", &[]),
    ("markers", "orchestrator/markers", &[]),
    ("invariants", "invariants", &[]),
    ("prompts", "prompts", &[]),
    ("attest", "orchestrator/attest", &[]),
    ("playbooks", "playbooks", &["markers"]),
    (
        "discipline",
        "orchestrator/discipline",
        &["markers", "invariants", "playbooks", "attest"],
    ),
    ("exec", "tools/exec", &[]),
    ("export", "tools/export", &["markers"]),
    ("gitread", "tools/gitread", &["discipline"]),
    ("verify", "orchestrator/verify", &["discipline", "gitread"]),
    ("state", "state", &["discipline"]),
    ("ci", "tools/ci", &["discipline", "exec", "gitread"]),
    ("repo", "tools/repo", &["discipline", "exec", "gitread"]),
    (
        "service",
        "orchestrator/service",
        &["verify", "state", "ci", "repo", "export"],
    ),
    ("tools", "tools", &["service", "prompts"]),
    ("greenloop", "orchestrator", &["tools"]),
    ("bench", "tests/bench", &["state", "export"]),
];

fn reachable(name: &str) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        let row = ARROWS
            .iter()
            .find(|(crate_name, _, _)| *crate_name == next)
            .expect("a crate of the table");
        for dependency in row.2 {
            if seen.insert(*dependency) {
                open.push((*dependency).to_owned());
            }
        }
    }
    seen
}

#[test]
fn crates_depend_along_the_table() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _, _)| *name).collect();
    for (name, folder, _) in ARROWS {
        let manifest: toml::Table = read(&root().join(folder).join("Cargo.toml"))
            .parse()
            .expect("a manifest");
        assert_eq!(
            manifest["package"]["name"].as_str(),
            Some(*name),
            "{folder} holds another crate"
        );
        let allowed = reachable(name);
        for section in ["dependencies", "build-dependencies"] {
            let named = manifest.get(section).and_then(toml::Value::as_table);
            for dependency in named.into_iter().flat_map(toml::Table::keys) {
                let is_ours = ours.contains(dependency.as_str()) || dependency == "acceptance";
                assert!(
                    !is_ours || allowed.contains(dependency.as_str()),
                    "{folder}/Cargo.toml: {name} may not depend on {dependency}; move the code to the room \
                     where it belongs, or change the table here and in ARCHITECTURE.md with a decision record"
                );
            }
        }
    }
}

#[test]
fn every_member_stands_in_the_table() {
    let manifest: toml::Table = read(&root().join("Cargo.toml"))
        .parse()
        .expect("the workspace manifest");
    let members = manifest["workspace"]["members"]
        .as_array()
        .expect("members");
    let table: BTreeMap<&str, &str> = ARROWS
        .iter()
        .map(|(name, folder, _)| (*folder, *name))
        .collect();
    for member in members {
        let member = member.as_str().expect("a folder");
        assert!(
            member == "tests" || table.contains_key(member),
            "{member} has no row in the table of arrows"
        );
    }
    assert_eq!(
        members.len(),
        table.len() + 1,
        "the table names crates that are not members"
    );
}

#[test]
fn the_architecture_document_shows_the_same_table() {
    let text = read(&root().join("ARCHITECTURE.md"));
    for (name, folder, _) in ARROWS {
        assert!(
            text.contains(&format!("| `{folder}/` | `{name}`")),
            "ARCHITECTURE.md has no row for {folder} ({name})"
        );
    }
}

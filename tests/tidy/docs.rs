//! Documents stay true: verbs, tools and files they name exist, and what exists is named.

use std::process::Command;

use acceptance::support::bin;

use crate::{files, read, relative, root};

#[test]
fn every_crate_tells_its_invariants() {
    for manifest in files(&root(), "toml")
        .into_iter()
        .filter(|path| path.ends_with("Cargo.toml"))
    {
        let src = manifest.parent().expect("a folder").join("src");
        let entry = [src.join("lib.rs"), src.join("main.rs")]
            .into_iter()
            .find(|path| path.exists());
        let Some(entry) = entry else { continue };
        let text = read(&entry);
        assert!(
            text.starts_with("//!") && text.to_lowercase().contains("architecture invariants"),
            "{} has no crate doc comment with its architecture invariants",
            relative(&entry)
        );
    }
}

#[test]
fn the_readme_names_every_verb() {
    let readme = read(&root().join("README.md"));
    for verb in verbs() {
        assert!(
            readme.contains(&format!("`{verb}")),
            "README.md does not name the verb `{verb}`"
        );
    }
}

/// What `greenloop --help` lists.
pub(crate) fn verbs() -> Vec<String> {
    let help = Command::new(bin("greenloop").expect("greenloop is built"))
        .arg("--help")
        .output()
        .expect("help");
    let help = String::from_utf8(help.stdout).expect("text");
    let verbs: Vec<String> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Lines that go on with a wrapped description are indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect();
    assert!(verbs.len() >= 15, "the help lists {verbs:?}");
    verbs
}

#[test]
fn files_that_documents_link_to_exist() {
    let link = regex_lite_links;
    for document in files(&root(), "md") {
        for target in link(&read(&document)) {
            let path = document.parent().expect("a folder").join(&target);
            assert!(
                path.exists(),
                "{} links to {target}, which does not exist",
                relative(&document)
            );
        }
    }
}

/// Relative targets of `[text](target)`.
fn regex_lite_links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| {
            !target.contains("://") && !target.starts_with('#') && !target.contains(' ')
        })
        .map(|target| target.split('#').next().unwrap_or(target).to_owned())
        .filter(|target| !target.is_empty())
        .collect()
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<usize> = files(&root().join("docs/decisions"), "md")
        .iter()
        .map(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            name.get(..3)
                .and_then(|number| number.parse().ok())
                .unwrap_or_else(|| panic!("{name} has no number"))
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

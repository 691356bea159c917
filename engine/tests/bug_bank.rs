//! The bug bank: every seeded bug applies to the present tree and says completely what it does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn bugs() -> Vec<(String, toml::Table)> {
    let folder = repository().join("engine/bugs");
    let mut bugs: Vec<(String, toml::Table)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (
                name,
                toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap(),
            )
        })
        .collect();
    bugs.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(bugs.len() >= 12, "{} bugs", bugs.len());
    bugs
}

fn text<'t>(table: &'t toml::Table, key: &str) -> &'t str {
    let found = table
        .get(key)
        .and_then(toml::Value::as_str)
        .unwrap_or_default();
    assert!(!found.trim().is_empty(), "{key} is missing or empty");
    found
}

fn tables<'t>(table: &'t toml::Table, key: &str) -> Vec<&'t toml::Table> {
    let list = table.get(key).and_then(toml::Value::as_array).cloned();
    assert!(
        list.is_some_and(|list| !list.is_empty()),
        "{key} is missing or empty"
    );
    table[key]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.as_table().unwrap())
        .collect()
}

#[test]
fn every_patch_applies_to_this_tree() {
    for (name, bug) in bugs() {
        let patch = repository().join("engine/bugs").join(text(&bug, "patch"));
        for arguments in [vec!["--check"], vec!["--numstat"]] {
            // Without these, a repository around an unpacked archive would decide which paths count.
            let output = Command::new("git")
                .args(["apply", "-p1"])
                .args(&arguments)
                .arg(&patch)
                .current_dir(repository())
                .env("GIT_CEILING_DIRECTORIES", repository().parent().unwrap())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{name}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            if arguments == ["--numstat"] {
                check_files(&name, &bug, &String::from_utf8(output.stdout).unwrap());
            }
        }
    }
}

/// A seeded bug is small, and touches exactly the source files that it names.
fn check_files(name: &str, bug: &toml::Table, numstat: &str) {
    let files: Vec<&str> = bug["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap())
        .collect();
    let rows: Vec<Vec<&str>> = numstat
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let touched: Vec<&str> = rows.iter().map(|row| row[2]).collect();
    assert_eq!(touched, files, "{name}");
    for row in &rows {
        assert!(row[2].starts_with("engine/src/"), "{name}: {}", row[2]);
        let changed: u32 = row[0].parse::<u32>().unwrap() + row[1].parse::<u32>().unwrap();
        assert!((1..=20).contains(&changed), "{name}: {changed} lines");
    }
}

#[test]
fn every_description_is_complete_and_names_things_that_exist() {
    let law = read("invariants/INVARIANTS.md");
    for (name, bug) in bugs() {
        for key in [
            "title",
            "patch",
            "class",
            "invariant",
            "breaks",
            "telemetry",
        ] {
            text(&bug, key);
        }
        assert!(
            law.contains(&format!("## {} ", text(&bug, "invariant"))),
            "{name}: unknown invariant"
        );
        for red in tables(&bug, "red") {
            assert_test_exists(&name, text(red, "test"));
            text(red, "why");
        }
        if let Some(divergence) = bug.get("divergence") {
            check_divergence(&name, divergence.as_table().unwrap());
        }
        for detector in tables(&bug, "detector") {
            text(detector, "name");
            let sees = text(detector, "sees");
            if sees.contains("::") {
                let test = sees.split([':', ',', ' ']).filter(|part| !part.is_empty());
                assert_test_exists(&name, &test.take(2).collect::<Vec<_>>().join("::"));
            }
        }
    }
}

/// `target::function`, or a function of the smoke suite.
fn assert_test_exists(bug: &str, test: &str) {
    let (target, function) = test.split_once("::").unwrap_or(("gpu_smoke", test));
    let source = read(&format!("engine/tests/{target}.rs"));
    assert!(
        source.contains(&format!("fn {function}(")),
        "{bug}: no test {target}::{function}"
    );
}

fn check_divergence(bug: &str, divergence: &toml::Table) {
    for key in ["path", "phase", "tensor_stage", "kind", "op"] {
        text(divergence, key);
    }
    assert!(
        divergence["dispatched"].is_bool() && divergence["inputs_ok"].is_bool(),
        "{bug}"
    );
    assert!(divergence["layer"].is_integer(), "{bug}");
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

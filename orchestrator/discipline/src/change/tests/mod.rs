//! Findings as tables: base and head of a few files, and the findings they must yield.

mod nesting;
mod product;
mod shape;
mod shipped;
mod sites;
mod tests_weakened;

use std::collections::BTreeMap;

use attest::claim::{ClaimKind, PinnedTest, Site};
use proptest::prelude::*;

use super::*;
use crate::decision::DiffFacts;
use crate::diff::{FileChange, FileMode, FileSide};

/// A tree as path → content.
pub(super) type Tree = BTreeMap<String, String>;

pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

fn side(text: &String) -> FileSide {
    FileSide {
        mode: FileMode::Regular,
        oid: attest::digest::Digest::of(text.as_bytes()).to_string(),
        content: text.clone().into_bytes(),
    }
}

pub(super) fn diff_of(base: &Tree, head: &Tree) -> Diff {
    let paths: std::collections::BTreeSet<&String> = base.keys().chain(head.keys()).collect();
    let files = paths
        .into_iter()
        .filter(|path| base.get(*path) != head.get(*path))
        .map(|path| FileChange {
            path: path.clone(),
            path_escaped: false,
            old: base.get(path).map(side),
            new: head.get(path).map(side),
        });
    Diff {
        base_tree: "b".into(),
        head_tree: "h".into(),
        files: files.collect(),
    }
}

pub(super) fn policy() -> Policy {
    Policy::parse("schema = 1\n").unwrap()
}

/// One site per changed file that covers all of it.
fn every_line(diff: &Diff) -> Vec<Site> {
    let lines = |side: &FileSide| {
        u32::try_from(String::from_utf8_lossy(&side.content).lines().count()).unwrap()
    };
    let site = |file: &FileChange| {
        let end = file.old.as_ref().map_or(0, lines);
        Site {
            file: file.path.clone(),
            function: None,
            line_start: end.min(1),
            line_end: end,
        }
    };
    diff.files.iter().map(site).collect()
}

pub(super) fn facts_of(
    base: &Tree,
    head: &Tree,
    kind: ClaimKind,
    pin: Option<&PinnedTest>,
    sites: Option<&[Site]>,
) -> DiffFacts {
    let diff = diff_of(base, head);
    let all = every_line(&diff);
    let claim = ChangeClaim {
        kind,
        sites: sites.unwrap_or(&all),
        pinned_test: pin,
    };
    let read = |tree: &Tree, path: &str| tree.get(path).map(|text| text.clone().into_bytes());
    facts(
        &diff,
        &claim,
        &policy(),
        &|path| read(base, path),
        &|path| read(head, path),
    )
    .unwrap()
}

/// Codes and places of the findings of one changed file; `expect` is `code@line` separated by spaces.
pub(super) fn check(path: &str, base: &str, head: &str, expect: &str) {
    let facts = facts_of(
        &tree(&[(path, base)]),
        &tree(&[(path, head)]),
        ClaimKind::Fix,
        None,
        None,
    );
    let found: Vec<String> = facts
        .findings
        .iter()
        .map(|refusal| place_of(path, refusal))
        .collect();
    assert_eq!(found.join(" "), expect, "{head}\n{:#?}", facts.findings);
    assert_eq!(
        facts.site_findings,
        [],
        "a file that is declared as a whole has no site findings"
    );
}

/// `code@line`, or the code alone when the reason names no line of the file.
fn place_of(path: &str, refusal: &Refusal) -> String {
    assert!(!refusal.remedy.is_empty() && refusal.field == "change");
    let line = refusal
        .reason
        .strip_prefix(path)
        .and_then(|rest| rest.strip_prefix(':'));
    match line
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .filter(|line| !line.is_empty())
    {
        Some(line) => format!("{}@{line}", refusal.code),
        None => refusal.code.clone(),
    }
}

/// Codes alone, for changes of several files.
pub(super) fn codes(base: &[(&str, &str)], head: &[(&str, &str)], kind: ClaimKind) -> String {
    let facts = facts_of(&tree(base), &tree(head), kind, None, None);
    facts
        .findings
        .iter()
        .map(|refusal| refusal.code.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_same_trees_give_the_same_facts() {
    let (base, head) = (
        tree(&[("src/a.rs", "fn a() {}\n")]),
        tree(&[("src/a.rs", "fn a() { b().unwrap() }\n")]),
    );
    let once = facts_of(&base, &head, ClaimKind::Fix, None, None);
    assert_eq!(once, facts_of(&base, &head, ClaimKind::Fix, None, None));
    assert_eq!(once.changed.len(), 1);
    assert_eq!(once.base_tree, "b");
}

#[test]
fn findings_of_one_kind_are_bounded() {
    let lines: String = (0..100).map(|n| format!("    a{n}.unwrap();\n")).collect();
    let head = tree(&[("src/a.rs", &format!("fn a() {{\n{lines}}}\n"))]);
    let facts = facts_of(
        &tree(&[("src/a.rs", "fn a() {}\n")]),
        &head,
        ClaimKind::Fix,
        None,
        None,
    );
    assert_eq!(facts.findings.len(), MAX_PER_CODE);
    assert!(
        facts.findings[MAX_PER_CODE - 1]
            .reason
            .ends_with("(and more of this kind)")
    );
}

#[test]
fn a_hostile_diff_costs_bounded_time() {
    let lines = |salt: usize| {
        (0..60_000_usize)
            .map(|n| format!("{}\n", n.wrapping_mul(salt) % 7919))
            .collect::<String>()
    };
    let (base, head) = (
        tree(&[("a.txt", &lines(31))]),
        tree(&[("a.txt", &lines(37))]),
    );
    let hunks = hunks(&diff_of(&base, &head));
    assert_eq!(hunks.len(), 1, "beyond the budget a file is one hunk");
}

#[test]
fn hunks_count_lines_as_a_unified_diff_does() {
    let check = |base: &str, head: &str, expect: &[(u32, u32, u32, u32)]| {
        let found = hunks(&diff_of(&tree(&[("a", base)]), &tree(&[("a", head)])));
        let found: Vec<_> = found
            .iter()
            .map(|h| (h.old_start, h.old_len, h.new_start, h.new_len))
            .collect();
        assert_eq!(found, expect, "{base:?} → {head:?}");
    };
    check("a\nb\nc\n", "a\nB\nc\n", &[(2, 1, 2, 1)]);
    check("a\nb\n", "a\nx\ny\nb\n", &[(1, 0, 2, 2)]);
    check("a\nb\n", "x\na\nb\n", &[(0, 0, 1, 1)]);
    check("a\nb\nc\n", "a\nc\n", &[(2, 1, 1, 0)]);
    check(
        "a\nb\nc\nd\ne\n",
        "A\nb\nc\nd\nE\n",
        &[(1, 1, 1, 1), (5, 1, 5, 1)],
    );
    check("a\n", "a", &[(1, 1, 1, 1)]);
    check("", "a\n", &[(0, 0, 1, 1)]);
}

proptest! {
    /// Applying the hunks to base gives head, whatever the texts.
    #[test]
    fn hunks_rebuild_head(base in proptest::collection::vec("[ab]{0,1}", 0..12), head in proptest::collection::vec("[ab]{0,1}", 0..12)) {
        let join = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (old, new) = (join(&base), join(&head));
        let mut rebuilt: Vec<String> = Vec::new();
        let mut next = 1_u32;
        for hunk in hunks(&diff_of(&tree(&[("a", &old)]), &tree(&[("a", &new)]))) {
            let first = if hunk.old_len == 0 { hunk.old_start + 1 } else { hunk.old_start };
            rebuilt.extend((next..first).map(|line| base[line as usize - 1].clone()));
            let added = hunk.new_start as usize..(hunk.new_start + hunk.new_len) as usize;
            rebuilt.extend(added.map(|line| head[line - 1].clone()));
            next = first + hunk.old_len;
        }
        rebuilt.extend((next..=u32::try_from(base.len()).unwrap()).map(|line| base[line as usize - 1].clone()));
        prop_assert_eq!(rebuilt, head);
    }

    #[test]
    fn foreign_sources_never_panic(base in "\\PC*", head in "\\PC*") {
        let _ = codes(&[("src/a.rs", &base), ("b.toml", &base), ("c.wgsl", &base)], &[("src/a.rs", &head), ("b.toml", &head), ("c.wgsl", &head)], ClaimKind::Fix);
    }

    #[test]
    fn almost_rust_never_panics(parts in proptest::collection::vec(prop_oneof![
        Just("fn a() {"), Just("}"), Just("#[test]"), Just("#[cfg(test)]"), Just("mod t {"), Just("assert!(a < 1e-3);"),
        Just("/// doc"), Just("\n"), Just("use a;"), Just("// TODO"), Just("proptest! {"), Just("#[allow(x)]"),
        Just("\"é\""), Just("println!(\"{}\", 1);"), Just("#!/bin/sh\n"), Just("a.unwrap();"), Just("ALL_COMMANDS"),
        Just("impl A for B {"), Just("\u{feff}"), Just("'"), Just("(")
    ], 0..24)) {
        let source = parts.join(" ");
        let _ = codes(&[("src/a.rs", "fn a() { b(); }\n")], &[("src/a.rs", &source)], ClaimKind::Fix);
        let _ = codes(&[("tests/a.rs", &source)], &[("tests/a.rs", "#[test] fn a() {}\n")], ClaimKind::Fix);
    }
}

//! What was compiled: rustc's dep-info (`*.d`), a Makefile fragment, and build scripts' output.
//!
//! Format: `OUTPUT: INPUT INPUT …` lines, then `INPUT:` lines without prerequisites, and comments
//! (`# env-dep:NAME=VALUE`). A space inside of a path is written `\ `, nothing else is escaped.
//! Source: `rustc_interface::passes::write_out_deps`, and its reader in `cargo::core::compiler`.

use std::collections::BTreeSet;

/// Input files of all rules of a `.d` file, sorted, as written by rustc.
#[must_use]
pub fn parse(text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = words(line).into_iter();
        let has_target = words.by_ref().any(|word| word.ends_with(':'));
        if has_target {
            found.extend(words);
        }
    }
    found.into_iter().collect()
}

/// Words between spaces that no backslash escapes.
fn words(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(word) = found.last_mut() else { break };
        match c {
            '\\' if chars.peek() == Some(&' ') => {
                chars.next();
                word.push(' ');
            }
            ' ' => found.push(String::new()),
            c => word.push(c),
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

/// Paths below `root` (an absolute path), relative to it; relative paths count from the root.
/// Paths elsewhere, such as those of registries and of the build folder, are left out.
#[must_use]
pub fn below_root(paths: &[String], root: &str) -> Vec<String> {
    let root = root.trim_end_matches('/');
    let mut found: Vec<String> = paths
        .iter()
        .filter_map(|path| match path.strip_prefix(root) {
            Some(rest) => rest.strip_prefix('/').map(str::to_owned),
            None if path.starts_with('/') => None,
            None => Some(path.clone()),
        })
        .filter_map(|path| normal(&path))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Paths neither below `root` nor below one of `allowed` (absolute paths), where any of them is below
/// the root: then the unit is one of the tree's own crates, and reads what is no part of the tree.
#[must_use]
pub fn outside(paths: &[String], root: &str, allowed: &[String]) -> Vec<String> {
    if below_root(paths, root).is_empty() {
        return Vec::new();
    }
    let below = |path: &str, folder: &str| {
        let rest = path.strip_prefix(folder.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let absolute = |path: &str| match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{root}/{path}"),
    };
    let mut found: Vec<String> = paths
        .iter()
        .filter_map(|path| normal(&absolute(path)))
        .map(|path| format!("/{path}"))
        .filter(|path| !below(path, root) && !allowed.iter().any(|folder| below(path, folder)))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Resolves `.` and `..`; `None` when the path leaves the root.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Paths of `cargo:rerun-if-changed=` (or `cargo::`) lines of a build script's output, relative to
/// the root; the script's paths count from its package's folder (empty for the root).
#[must_use]
pub fn rerun_if_changed(output: &str, package_folder: &str, root: &str) -> Vec<String> {
    let prefix = |line: &str| -> Option<String> {
        let rest = line
            .strip_prefix("cargo::")
            .or_else(|| line.strip_prefix("cargo:"))?;
        let path = rest.strip_prefix("rerun-if-changed=")?.trim();
        let from_root = path.starts_with('/') || package_folder.is_empty();
        Some(if from_root {
            path.to_owned()
        } else {
            format!("{package_folder}/{path}")
        })
    };
    let paths: Vec<String> = output.lines().filter_map(prefix).collect();
    below_root(&paths, root)
}

//! Places outside of the tree that a build would read: paths of manifests, modules and included files.
//! What stands there is no part of the claim, and differs from machine to machine.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::finding;
use super::lexical::Token;
use super::manifest::is_manifest;
use super::sides::{Pair, Side};
use crate::diff::{Diff, FileSide};
use crate::model::Refusal;

/// Keys of a manifest whose texts are paths.
const PATH_KEYS: &[&str] = &["path", "build", "members", "default-members", "workspace"];
/// Macros that compile a file into the place where they stand.
pub(super) const INCLUDES: &[&str] = &["include", "include_str", "include_bytes"];

pub(super) fn findings(diff: &Diff, pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for file in diff.files.iter().filter(|file| is_manifest(&file.path)) {
        let known = manifest_paths(file.old.as_ref());
        for path in manifest_paths(file.new.as_ref()).difference(&known) {
            if leaves(&file.path, path) {
                found.push(refusal(&file.path, path));
            }
        }
    }
    for pair in pairs {
        let known: BTreeSet<String> = source_paths(pair.old.as_ref())
            .into_iter()
            .map(|(_, path)| path)
            .collect();
        for (line, path) in source_paths(pair.new.as_ref()) {
            if !known.contains(&path) && leaves(pair.path, &path) {
                found.push(refusal(&format!("{}:{line}", pair.path), &path));
            }
        }
    }
    found
}

fn refusal(place: &str, path: &str) -> Refusal {
    finding(
        "path_leaves_tree",
        format!(
            "{place}: `{path}` lies outside of the tree, so nobody can review what stands there"
        ),
        "put the file into the tree and name it by a path that stays inside",
    )
}

/// Texts of a manifest that are paths.
fn manifest_paths(side: Option<&FileSide>) -> BTreeSet<String> {
    let text = side.and_then(|side| std::str::from_utf8(&side.content).ok());
    let table = text.and_then(|text| text.parse::<Table>().ok());
    let mut open: Vec<(String, Value)> = table.into_iter().flatten().collect();
    let mut found = BTreeSet::new();
    while let Some((key, value)) = open.pop() {
        match value {
            Value::Table(inner) => open.extend(inner),
            Value::Array(list) => open.extend(list.into_iter().map(|one| (key.clone(), one))),
            Value::String(path) if PATH_KEYS.contains(&key.as_str()) => {
                found.insert(path);
            }
            _ => {}
        }
    }
    found
}

/// Literals of `#[path = "…"]` and of the macros that include, each with its line.
fn source_paths(side: Option<&Side>) -> Vec<(u32, String)> {
    let tokens = side
        .and_then(Side::rust)
        .map_or(&[][..], |file| &file.lexed.tokens);
    (0..tokens.len())
        .filter_map(|at| Some((tokens[at].line, literal(&tokens[at..])?)))
        .collect()
}

fn literal(tokens: &[Token]) -> Option<String> {
    let text = |n: usize| tokens.get(n).map_or("", |token| token.text.as_str());
    let written = if text(0) == "#" && text(1) == "[" && text(2) == "path" && text(3) == "=" {
        text(4)
    } else if INCLUDES.contains(&text(0)) && text(1) == "!" {
        text(3)
    } else if text(0) == "path" && text(1) == "=" && text(3) == ")" && text(4) == "]" {
        // The last part of `#[cfg_attr(condition, path = "…")]`.
        text(2)
    } else {
        return None;
    };
    let inner = written.trim_start_matches('r').trim_matches('#');
    Some(inner.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// True when a path that is written in `file` does not stay below the root.
fn leaves(file: &str, path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':');
    if drive || path.starts_with(['/', '\\', '~']) {
        return true;
    }
    let mut depth = file.matches('/').count();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

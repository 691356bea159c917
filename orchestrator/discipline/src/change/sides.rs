//! The two sides of every changed file, read once for all findings.

use std::collections::BTreeMap;

use super::syntax::{Parsed, RustFile, parse};
use super::{Lookup, finding, paths, test_code};
use crate::decision::Hunk;
use crate::diff::{Diff, FileMode, FileSide};
use crate::gates::CANARY_STEM;
use crate::model::Refusal;

/// A changed text file.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) path: &'a str,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
    /// Hunks of this file.
    pub(super) hunks: Vec<&'a Hunk>,
}

/// One side of it.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) text: String,
    /// For Rust sources.
    pub(super) rust: Option<Parsed>,
    /// The whole file is test code.
    pub(super) test_file: bool,
}

impl Side {
    pub(super) fn rust(&self) -> Option<&RustFile> {
        match &self.rust {
            Some(Parsed::File(file)) => Some(file),
            _ => None,
        }
    }

    /// True when the line is test code.
    pub(super) fn is_test_line(&self, line: u32) -> bool {
        self.test_file || self.rust().is_some_and(|file| file.is_test_line(line))
    }
}

impl Pair<'_> {
    /// True when the line is part of a hunk on the head side.
    pub(super) fn changes_new(&self, line: u32) -> bool {
        self.hunks
            .iter()
            .any(|hunk| (hunk.new_start..hunk.new_start + hunk.new_len).contains(&line))
    }
}

/// Reads the text files of a diff; symlinks, submodules and binary files are left out.
pub(super) fn read<'a>(
    diff: &'a Diff,
    hunks: &'a [Hunk],
    base: Lookup<'_>,
    head: Lookup<'_>,
) -> Vec<Pair<'a>> {
    let mut by_file: BTreeMap<&str, Vec<&Hunk>> = BTreeMap::new();
    for hunk in hunks {
        by_file.entry(&hunk.file).or_default().push(hunk);
    }
    diff.files
        .iter()
        .map(|file| Pair {
            path: &file.path,
            old: file
                .old
                .as_ref()
                .and_then(|side| read_side(&file.path, side, base)),
            new: file
                .new
                .as_ref()
                .and_then(|side| read_side(&file.path, side, head)),
            hunks: by_file.remove(file.path.as_str()).unwrap_or_default(),
        })
        .collect()
}

fn read_side(path: &str, side: &FileSide, tree: Lookup<'_>) -> Option<Side> {
    let is_file = matches!(side.mode, FileMode::Regular | FileMode::Executable);
    if !is_file || is_binary(&side.content) {
        return None;
    }
    let text = String::from_utf8_lossy(&side.content).into_owned();
    let rust = path.ends_with(".rs").then(|| parse(&text));
    Some(Side {
        text,
        rust,
        test_file: test_code::is_test_file(path, tree),
    })
}

/// True for content that is not text: it has a NUL or is not UTF-8.
pub(super) fn is_binary(content: &[u8]) -> bool {
    content.contains(&0) || std::str::from_utf8(content).is_err()
}

/// Rust sources of head that do not parse, or that take the canary's name.
pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for pair in pairs {
        match pair.new.as_ref().and_then(|side| side.rust.as_ref()) {
            None => {}
            Some(Parsed::Broken(why)) => found.push(finding(
                "does_not_parse",
                format!("{} is not Rust that can be judged: {why}", pair.path),
                format!(
                    "make `cargo check` accept {}, then propose again",
                    pair.path
                ),
            )),
            Some(Parsed::File(file)) => {
                let mut named = file.functions.iter();
                if let Some(function) = named.find(|known| known.path.contains(CANARY_STEM)) {
                    let place = format!("{}:{}", pair.path, function.start);
                    found.push(paths::canary_taken(&place, "a function"));
                }
            }
        }
    }
    found
}

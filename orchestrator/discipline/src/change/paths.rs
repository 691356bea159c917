//! Findings about paths, modes and bytes, before any syntax.

use std::collections::{BTreeMap, BTreeSet};

use attest::claim::ClaimKind;

use super::finding;
use super::sides::is_binary;
use crate::diff::{Diff, FileChange, FileMode, FileSide};
use crate::gates::CANARY_STEM;
use crate::model::Refusal;
use crate::policy::Policy;

/// Endings of files that explain and never decide.
const DOCUMENT_ENDINGS: &[&str] = &[".md", ".txt", ".png", ".svg", ".jpg", ".adoc", ".rst"];

/// Characters that make a line read differently from what it says.
const BIDI_CONTROLS: &[char] = &[
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Endings of files that a build or a run reads; others hold data, such as logs of terminals.
const CODE_ENDINGS: &[&str] = &[
    ".rs", ".toml", ".lock", ".glsl", ".comp", ".vert", ".frag", ".wgsl", ".sh", ".py", ".yml",
    ".yaml", ".c", ".h", ".cpp", ".cu",
];

/// Names that a file system of the runner may keep for devices.
const DEVICE_NAMES: &[&str] = &["con", "prn", "aux", "nul"];

/// True for a character that shows as nothing, or as something else than what stands there: controls,
/// separators of lines, characters of no width, tags.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{feff}')
        || ('\u{200b}'..='\u{200d}').contains(&c)
        || ('\u{2028}'..='\u{2029}').contains(&c)
        || ('\u{2060}'..='\u{2064}').contains(&c)
        || ('\u{e0000}'..='\u{e007f}').contains(&c)
}

/// The first character of a text that is shown otherwise than it reads. Ends of lines of either custom
/// are none.
pub(crate) fn hidden_character(text: &str) -> Option<char> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line));
    let hides = |c: &char| is_hidden(*c) || BIDI_CONTROLS.contains(c);
    lines.flat_map(str::chars).find(hides)
}

/// True when the path holds text for people, by its ending.
pub(crate) fn is_document(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    DOCUMENT_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || matches!(
            name,
            "license" | "license-mit" | "license-apache" | "notice" | "authors" | ".gitignore"
        )
}

pub(super) fn findings(diff: &Diff, kind: ClaimKind, policy: &Policy) -> Vec<Refusal> {
    let protected = policy.protected_paths();
    let mut found = Vec::new();
    for file in &diff.files {
        found.extend(ownership(&file.path, kind, protected.contains(&file.path)));
        found.extend(modes(file));
        found.extend(names(file));
        found.extend(bytes(file));
    }
    if kind == ClaimKind::Baseline && !diff.files.is_empty() {
        found.push(finding(
            "baseline_changes_tree",
            format!(
                "a baseline pushes an unchanged tree, this changes {} files",
                diff.files.len()
            ),
            "propose the change as kind fix, or take it out",
        ));
    }
    found
}

fn ownership(path: &str, kind: ClaimKind, protected: bool) -> Option<Refusal> {
    match (kind, protected) {
        (ClaimKind::PolicyChange, false) if !is_document(path) => Some(finding(
            "code_in_policy_change",
            format!("{path} is not policy, so it cannot ride with a policy change"),
            "propose it as a claim of its own, of kind fix",
        )),
        (ClaimKind::PolicyChange, _) | (_, false) => None,
        (_, true) => Some(finding(
            "protected_path",
            format!("{path} is protected and never rides with code"),
            "take it out of this change and propose it as a claim of kind policy_change",
        )),
    }
}

fn modes(file: &FileChange) -> Vec<Refusal> {
    let mode = |side: &Option<FileSide>| side.as_ref().map(|side| side.mode);
    let (old, new) = (mode(&file.old), mode(&file.new));
    let either = |wanted| old == Some(wanted) || new == Some(wanted);
    let path = &file.path;
    let mut found = Vec::new();
    if either(FileMode::Symlink) {
        found.push(finding(
            "symlink_change",
            format!("{path} is a symbolic link; what it reads is not part of the tree"),
            "put the file itself there",
        ));
    }
    if either(FileMode::Submodule) {
        found.push(finding(
            "submodule_change",
            format!("{path} is a submodule; its content is not part of the tree"),
            "take it out of this change",
        ));
    }
    let pair = (old, new);
    if matches!(
        pair,
        (Some(FileMode::Regular), Some(FileMode::Executable))
            | (Some(FileMode::Executable), Some(FileMode::Regular))
    ) {
        found.push(finding(
            "mode_change",
            format!("{path} changes its executable bit"),
            format!("run `git update-index --chmod=-x {path}` (or +x) so that the mode stays"),
        ));
    }
    found
}

fn names(file: &FileChange) -> Vec<Refusal> {
    let path = &file.path;
    let mut found = Vec::new();
    let odd = |part: &str| {
        matches!(part, "" | "." | "..")
            || part.eq_ignore_ascii_case(".git")
            || part.chars().any(char::is_control)
    };
    if file.path_escaped || path.contains('\\') || path.split('/').any(odd) {
        found.push(finding(
            "escaped_path",
            format!("the path {} cannot be shown as it is", path.escape_debug()),
            "rename the file to plain UTF-8 without control characters or `\\`",
        ));
    }
    if found.is_empty() && file.new.is_some() && path.split('/').any(is_ambiguous) {
        found.push(finding(
            "escaped_path",
            format!("the path {path} stands for another file, or for none, where a runner checks it out"),
            "rename the file: letters, digits, `-`, `_` and `.` inside of the name are safe everywhere",
        ));
    }
    if let Some(at) = path.find(BIDI_CONTROLS) {
        found.push(bidi(&path.escape_unicode().to_string(), at));
    }
    if file.new.is_some() && path.to_ascii_lowercase().contains(CANARY_STEM) {
        found.push(canary_taken(path, "the path"));
    }
    found
}

/// A part of a path that some file systems cut, take for a device, or write in another way.
fn is_ambiguous(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).to_ascii_lowercase();
    let port = |prefix: &str| {
        let number = stem.strip_prefix(prefix);
        number.is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    let combining = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
    part.ends_with(['.', ' '])
        || part.contains([':', '*', '?', '"', '<', '>', '|'])
        || part.contains(combining)
        || part.contains(is_hidden)
        || DEVICE_NAMES.contains(&stem.as_str())
        || port("com")
        || port("lpt")
}

/// Refuses added files whose names differ from another file's in nothing but the case of letters: a file system that
/// folds them has room for one, and which one it keeps was not what the gates saw. `head`: every path of the head tree.
#[must_use]
pub fn colliding(diff: &Diff, head: impl Iterator<Item = String>) -> Vec<Refusal> {
    let added = diff.files.iter().filter(|file| file.old.is_none());
    let added: BTreeSet<String> = added.map(|file| file.path.to_lowercase()).collect();
    let mut of_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in head {
        let folded = path.to_lowercase();
        if added.contains(&folded) {
            of_name.entry(folded).or_default().insert(path);
        }
    }
    let several = of_name.into_values().filter(|paths| paths.len() > 1);
    let refusal = |paths: BTreeSet<String>| {
        let paths: Vec<String> = paths.into_iter().collect();
        finding(
            "path_collides",
            format!(
                "{} are one file where names do not tell capital letters apart",
                paths.join(" and ")
            ),
            "give the added file a name of its own",
        )
    };
    several.map(refusal).collect()
}

/// The name of the test that every gate must be seen failing on.
pub(super) fn canary_taken(place: &str, what: &str) -> Refusal {
    finding(
        "canary_name_taken",
        format!("{place}: {what} uses the name {CANARY_STEM}, which gates are tested with"),
        "choose another name",
    )
}

fn bytes(file: &FileChange) -> Vec<Refusal> {
    let regular = |side: &&FileSide| matches!(side.mode, FileMode::Regular | FileMode::Executable);
    let Some(new) = file.new.as_ref().filter(regular) else {
        return Vec::new();
    };
    if is_binary(&new.content) {
        return vec![finding(
            "binary_change",
            format!("{} is binary, so nobody can review it", file.path),
            "generate the bytes in a test, or store them as text",
        )];
    }
    let old = file
        .old
        .as_ref()
        .map(|side| String::from_utf8_lossy(&side.content).into_owned())
        .unwrap_or_default();
    let known: BTreeSet<&str> = old.lines().collect();
    let text = String::from_utf8_lossy(&new.content);
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !known.contains(line))
        .collect();
    let turned = lines
        .iter()
        .filter(|(_, line)| line.contains(BIDI_CONTROLS));
    let mut found: Vec<Refusal> = turned
        .map(|(index, _)| bidi(&file.path, index + 1))
        .collect();
    let lower = file.path.to_ascii_lowercase();
    if CODE_ENDINGS.iter().any(|ending| lower.ends_with(ending)) {
        found.extend(
            lines
                .iter()
                .filter_map(|(index, line)| hidden(&file.path, *index, line)),
        );
    }
    found
}

/// A line of code that a screen does not show as the compiler reads it.
fn hidden(path: &str, index: usize, line: &str) -> Option<Refusal> {
    let line = match index {
        0 => line.strip_prefix('\u{feff}').unwrap_or(line),
        _ => line,
    };
    let found = line.chars().find(|c| is_hidden(*c))?;
    Some(finding(
        "hidden_character",
        format!(
            "{path}:{} holds the character U+{:04X}, which a screen does not show",
            index + 1,
            u32::from(found)
        ),
        "remove the character, or write it as \\u{…}",
    ))
}

fn bidi(path: &str, line: usize) -> Refusal {
    finding(
        "bidi_control",
        format!(
            "{path}:{line} holds a bidirectional control character, so it reads differently from what it says"
        ),
        "remove the character, or write it as \\u{…}",
    )
}

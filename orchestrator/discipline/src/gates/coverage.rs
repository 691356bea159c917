//! Which changed files a gate compiled, and which no gate did.

use std::collections::BTreeSet;

use super::condition::Conditions;
use crate::change::is_document;
use crate::decision::ConditionalCode;
use crate::diff::ChangedPath;
use crate::model::{GateResult, GateRole, GateVerdict, Refusal};
use crate::policy::{PathSet, Policy};

/// Changed files that exist in the head tree and that some gate has to compile, sorted. Documents and
/// protected files need none: the former decide nothing, the latter never ride with code. Code under
/// conditions has an entry of its own beside its file's.
#[must_use]
pub fn needs_coverage(
    changed: &[ChangedPath],
    conditional: &[ConditionalCode],
    policy: &Policy,
) -> Vec<String> {
    let protected = policy.protected_paths();
    let present = changed
        .iter()
        .filter(|change| change.new.is_some())
        .map(|change| change.path.clone());
    let mut paths: Vec<String> = present
        .filter(|path| !is_document(path) && !protected.contains(path))
        .collect();
    let parts = conditional.iter().filter(|part| paths.contains(&part.file));
    let parts: Vec<String> = parts.map(ConditionalCode::name).collect();
    paths.extend(parts);
    paths.sort();
    paths.dedup();
    paths
}

/// Refuses the changed files that none of these results covers, listing them. Gates that failed or
/// decided nothing cover nothing; a test run on the base tree covers nothing of head.
#[must_use]
pub fn uncovered(
    results: &[GateResult],
    changed: &[ChangedPath],
    conditional: &[ConditionalCode],
    policy: &Policy,
) -> Vec<Refusal> {
    let deciding = results
        .iter()
        .filter(|result| result.verdict == GateVerdict::Passed)
        .filter(|result| matches!(result.role, GateRole::Gate | GateRole::PinOnHead));
    let covered: BTreeSet<&String> = deciding.flat_map(|result| &result.covered).collect();
    let missing: Vec<String> = needs_coverage(changed, conditional, policy)
        .into_iter()
        .filter(|path| !covered.contains(path))
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Refusal::new(
        "gate_uncovered",
        "gates",
        format!("no gate compiled: {}", missing.join(", ")),
        "name a gate that builds these files with the features they are compiled under, or leave them out",
    )]
}

/// Entries of [`needs_coverage`] that were compiled, sorted. A manifest is covered when a file of its
/// package was; code under conditions when its file was and they hold.
pub(super) fn covered(
    changed: &[String],
    conditional: &[ConditionalCode],
    conditions: &Conditions,
    compiled: &[String],
    build_inputs: &[String],
) -> Vec<String> {
    let compiled: BTreeSet<&str> = compiled.iter().map(String::as_str).collect();
    let below = |folder: &str| compiled.iter().any(|path| is_below(path, folder));
    let is_covered = |path: &str| {
        compiled.contains(path)
            || build_inputs
                .iter()
                .any(|input| path == input || is_below(path, input))
            || path
                .strip_suffix("Cargo.toml")
                .is_some_and(|folder| below(folder.trim_end_matches('/')))
            || (path == "Cargo.lock" && !compiled.is_empty())
    };
    let kept = |part: &&ConditionalCode| {
        changed.contains(&part.file)
            && is_covered(&part.file)
            && conditions.hold(&part.file, &part.cfgs)
    };
    let mut covered: Vec<String> = changed
        .iter()
        .filter(|path| is_covered(path))
        .cloned()
        .collect();
    covered.extend(conditional.iter().filter(kept).map(ConditionalCode::name));
    covered.sort();
    covered.dedup();
    covered
}

/// True when `path` lies in `folder`; the empty folder is the root.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Changed files that the gate says it is for, when it compiled none of them. A gate that compiled
/// some is vacuous for the others only; [`uncovered`] asks whether another gate has them.
pub(super) fn answerable(changed: &[String], when: &[String], covered: &[String]) -> Vec<String> {
    if when.is_empty() {
        return Vec::new();
    }
    let globs = PathSet::new(when);
    let own: Vec<String> = changed
        .iter()
        .filter(|path| globs.contains(path))
        .cloned()
        .collect();
    if own.iter().any(|path| covered.contains(path)) {
        Vec::new()
    } else {
        own
    }
}

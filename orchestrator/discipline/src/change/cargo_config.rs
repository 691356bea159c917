//! Cargo configuration that could fake a gate: runners, wrappers, linkers, flags, replaced sources.

use toml::{Table, Value};

use super::{Lookup, finding};
use crate::diff::{Diff, FileSide};
use crate::model::Refusal;
use crate::policy::Policy;

/// Tables that redirect what is built, run or fetched, as a whole.
const HOSTILE_TABLES: &[&str] = &[
    "alias",
    "env",
    "include",
    "patch",
    "paths",
    "registries",
    "registry",
    "replace",
    "source",
    "unstable",
];
/// Keys of `[build]`, `[host]`, `[profile]` and `[target.*]` that do the same.
const HOSTILE_KEYS: &[&str] = &[
    "linker",
    "runner",
    "rustc",
    "rustc-workspace-wrapper",
    "rustc-wrapper",
    "rustdoc",
    "rustdocflags",
    "rustflags",
    "target",
    "target-dir",
    "build-dir",
];
/// Where cargo looks for configuration, from the folder it runs in.
const ROOT_FILES: [&str; 2] = [".cargo/config.toml", ".cargo/config"];

/// What a cargo configuration file sets that could decide a gate from outside of the code: one
/// refusal for each key that `allowed` (dotted keys, or tables as a whole) does not list.
/// Content that is not TOML is refused, because what cargo makes of it is not known.
#[must_use]
pub fn hostile_cargo_config(path: &str, content: &[u8], allowed: &[String]) -> Vec<Refusal> {
    let table = std::str::from_utf8(content)
        .ok()
        .and_then(|text| text.parse::<Table>().ok());
    let Some(table) = table else {
        return vec![hostile(path, "cannot be read as TOML")];
    };
    let listed = |key: &str| {
        allowed
            .iter()
            .any(|entry| key == entry || key.starts_with(&format!("{entry}.")))
    };
    let keys = hostile_keys(&table);
    keys.into_iter()
        .filter(|key| !listed(key))
        .map(|key| hostile(path, &format!("sets `{key}`")))
        .collect()
}

fn hostile(path: &str, what: &str) -> Refusal {
    finding(
        "hostile_cargo_config",
        format!("{path} {what}, which can decide a gate without the code"),
        "remove it, or list the key in [repo] allow_cargo_config by a policy_change claim",
    )
}

fn hostile_keys(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in table {
        let inner = value.as_table();
        match (name.as_str(), inner) {
            (name, Some(inner)) if HOSTILE_TABLES.contains(&name) => {
                found.extend(inner.keys().map(|key| format!("{name}.{key}")));
            }
            (name, None) if HOSTILE_TABLES.contains(&name) => found.push(name.to_owned()),
            (name, Some(inner)) => below(name, inner, &mut found),
            _ => {}
        }
    }
    found
}

fn below(path: &str, table: &Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{path}.{key}");
        if HOSTILE_KEYS.contains(&key.as_str()) {
            found.push(path);
        } else if let Value::Table(inner) = value {
            below(&path, inner, found);
        }
    }
}

/// Findings about configuration in the head tree, and about `[patch]` in changed manifests.
pub(super) fn findings(diff: &Diff, policy: &Policy, head: Lookup<'_>) -> Vec<Refusal> {
    let allowed = &policy.repo.allow_cargo_config;
    let mut found = Vec::new();
    for file in diff.files.iter().filter(|file| is_config(&file.path)) {
        if let Some(new) = &file.new {
            found.extend(hostile_cargo_config(&file.path, &new.content, allowed));
        }
    }
    for path in ROOT_FILES
        .iter()
        .filter(|path| diff.files.iter().all(|file| file.path != **path))
    {
        if let Some(content) = head(path) {
            found.extend(hostile_cargo_config(path, &content, allowed));
        }
    }
    for file in diff
        .files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        let before = replaced(file.old.as_ref());
        for key in replaced(file.new.as_ref())
            .into_iter()
            .filter(|key| !before.contains(key))
        {
            if !allowed
                .iter()
                .any(|entry| key == *entry || key.starts_with(&format!("{entry}.")))
            {
                found.push(hostile(&file.path, &format!("sets `{key}`")));
            }
        }
    }
    found
}

fn is_config(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    ROOT_FILES
        .iter()
        .any(|file| lower == *file || lower.ends_with(&format!("/{file}")))
}

/// Crates that a manifest replaces, as `patch.SOURCE.NAME` with what replaces them.
fn replaced(side: Option<&FileSide>) -> Vec<String> {
    let table = side.and_then(|side| {
        std::str::from_utf8(&side.content)
            .ok()?
            .parse::<Table>()
            .ok()
    });
    let Some(table) = table else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for name in ["patch", "replace"] {
        for (key, value) in table
            .get(name)
            .and_then(Value::as_table)
            .into_iter()
            .flatten()
        {
            match value.as_table().filter(|_| name == "patch") {
                Some(inner) => found.extend(
                    inner
                        .iter()
                        .map(|(krate, to)| format!("patch.{key}.{krate} = {to}")),
                ),
                None => found.push(format!("{name}.{key} = {value}")),
            }
        }
    }
    found
}

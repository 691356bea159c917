//! Cargo manifests: where a package lies, and changes that quietly drop tests or lints.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{Lookup, finding};
use crate::diff::{Diff, FileSide};
use crate::model::Refusal;

/// Folder of a package, empty for the root: found from the root manifest's members and path
/// dependencies, and from the folders above `hints`. `None` when none of them is the package.
pub(super) fn package_folder(package: &str, hints: &[String], tree: Lookup<'_>) -> Option<String> {
    let mut candidates: BTreeSet<String> = BTreeSet::from([String::new()]);
    if let Some(root) = manifest("Cargo.toml", tree) {
        candidates.extend(members(&root, package));
    }
    for hint in hints {
        candidates.extend(hint.match_indices('/').map(|(at, _)| hint[..at].to_owned()));
    }
    let mut found: Vec<String> = candidates
        .into_iter()
        .filter(|folder| {
            let path = if folder.is_empty() {
                "Cargo.toml".to_owned()
            } else {
                format!("{folder}/Cargo.toml")
            };
            let named = manifest(&path, tree).and_then(|table| text(&table, &["package", "name"]));
            named.as_deref() == Some(package)
        })
        .collect();
    found.sort_by_key(|folder| (folder.matches('/').count(), folder.clone()));
    found.into_iter().next()
}

/// Path of a `[[test]]` target, relative to its package.
pub(super) fn test_path(manifest_path: &str, target: &str, tree: Lookup<'_>) -> Option<String> {
    let table = manifest(manifest_path, tree)?;
    let named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(target);
    let entry = table.get("test")?.as_array()?.iter().find(named)?;
    entry.get("path").and_then(Value::as_str).map(str::to_owned)
}

fn manifest(path: &str, tree: Lookup<'_>) -> Option<Table> {
    String::from_utf8(tree(path)?).ok()?.parse().ok()
}

fn text(table: &Table, path: &[&str]) -> Option<String> {
    let (last, tables) = path.split_last()?;
    let inner = tables
        .iter()
        .try_fold(table, |table, key| table.get(*key)?.as_table())?;
    inner.get(*last)?.as_str().map(str::to_owned)
}

/// Folders that a root manifest names; the last `*` of a pattern stands for the package's name.
fn members(root: &Table, package: &str) -> Vec<String> {
    let workspace = root.get("workspace").and_then(Value::as_table);
    let listed = workspace
        .and_then(|table| table.get("members"))
        .and_then(Value::as_array);
    let members = listed.into_iter().flatten().filter_map(Value::as_str);
    let dependencies = [
        workspace.and_then(|table| table.get("dependencies")),
        root.get("dependencies"),
    ];
    let paths = dependencies
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .flat_map(|table| table.values())
        .filter_map(|dependency| dependency.get("path")?.as_str());
    let names = [
        package.to_owned(),
        package.replace('-', "_"),
        package.replace('_', "-"),
    ];
    members
        .chain(paths)
        .flat_map(|folder| {
            names
                .iter()
                .map(move |name| folder.trim_end_matches('/').replace('*', name))
        })
        .collect()
}

/// True for the path of a manifest.
pub(super) fn is_manifest(path: &str) -> bool {
    path == "Cargo.toml" || path.ends_with("/Cargo.toml")
}

/// Changed manifests that leave tests out or relax lints.
pub(super) fn findings(diff: &Diff, base: Lookup<'_>, head: Lookup<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    for file in &diff.files {
        let (Some(old), Some(new)) = (&file.old, &file.new) else {
            continue;
        };
        if let (true, Some(old), Some(new)) = (is_manifest(&file.path), side(old), side(new)) {
            compare(&file.path, &old, &new, base, &mut found);
            let folder = file.path.trim_end_matches("Cargo.toml");
            found.extend(redirected(folder, (&old, base), (&new, head)));
        }
    }
    found
}

fn side(side: &FileSide) -> Option<Table> {
    std::str::from_utf8(&side.content).ok()?.parse().ok()
}

fn compare(path: &str, old: &Table, new: &Table, base: Lookup<'_>, found: &mut Vec<Refusal>) {
    let folder = path.trim_end_matches("Cargo.toml");
    let stood = |name: &str| {
        let usual = [
            format!("{folder}tests/{name}.rs"),
            format!("{folder}tests/{name}/main.rs"),
        ];
        tests(old).any(|(known, _)| known == name) || usual.iter().any(|path| base(path).is_some())
    };
    let (before, after) = (switches(old, &|_| true), switches(new, &stood));
    for (what, value) in after.iter().filter(|(what, _)| !before.contains_key(*what)) {
        found.push(finding(
            "test_cfg_narrowed",
            format!("{path}: {what} = {value} leaves tests out"),
            "keep the targets that run today; add a new test target instead",
        ));
    }
    let named =
        |table: &Table| -> BTreeSet<String> { tests(table).map(|(name, _)| name).collect() };
    for name in named(old).difference(&named(new)) {
        found.push(finding(
            "test_deleted",
            format!("{path}: the test target `{name}` is gone"),
            "keep the target; a test that is wrong is corrected in a claim that says why",
        ));
    }
    for name in default_features(old).difference(&default_features(new)) {
        found.push(finding(
            "test_cfg_narrowed",
            format!(
                "{path}: `{name}` is no default feature any more, so what it compiles is left out"
            ),
            "keep the default features; add a feature of your own instead",
        ));
    }
    for check in unchecked(new).difference(&unchecked(old)) {
        found.push(finding(
            "checks_disabled",
            format!(
                "{path}: {check} = false, so assertions and overflows of that profile say nothing"
            ),
            "leave the profile's checks as they are",
        ));
    }
    for lint in allowed_lints(new).difference(&allowed_lints(old)) {
        found.push(finding(
            "allow_added",
            format!("{path}: the lint `{lint}` is allowed"),
            "leave the lint as it is and write the code it asks for",
        ));
    }
}

/// Test targets that read another file, while the one they read still stands and is read no more.
fn redirected(
    folder: &str,
    (old, base): (&Table, Lookup<'_>),
    (new, head): (&Table, Lookup<'_>),
) -> Vec<Refusal> {
    let source = |table: &Table, name: &str, tree: Lookup<'_>| -> Option<String> {
        let declared = tests(table).find(|(known, _)| known == name);
        let path = declared.and_then(|(_, entry)| entry.get("path")?.as_str().map(str::to_owned));
        let usual = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
        let stands = |path: &String| tree(&format!("{folder}{path}")).is_some();
        path.or_else(|| usual.into_iter().find(stands))
    };
    let of_target = |(name, _): (String, &Table)| {
        let (was, is) = (source(old, &name, base)?, source(new, &name, head)?);
        let left = was != is && head(&format!("{folder}{was}")).is_some();
        left.then(|| {
            finding(
                "test_deleted",
                format!(
                    "{folder}Cargo.toml: the test target `{name}` reads {is}, and {was} is not run any more"
                ),
                "let the target read the file it reads today; add a target for other tests",
            )
        })
    };
    tests(new).filter_map(of_target).collect()
}

fn tests(table: &Table) -> impl Iterator<Item = (String, &Table)> {
    let entries = table
        .get("test")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table);
    entries.map(|entry| {
        (
            entry
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            entry,
        )
    })
}

/// Settings that make cargo run fewer tests; of test targets only those that `stood` on base.
fn switches(table: &Table, stood: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let off = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(false);
    let package = table.get("package").and_then(Value::as_table);
    if off(package.and_then(|package| package.get("autotests"))) {
        found.insert("package.autotests".to_owned(), "false".to_owned());
    }
    for key in ["test", "doctest", "harness"] {
        if off(table.get("lib").and_then(|lib| lib.get(key))) {
            found.insert(format!("lib.{key}"), "false".into());
        }
        for (name, _) in tests(table).filter(|(name, entry)| stood(name) && off(entry.get(key))) {
            found.insert(format!("test.{name}.{key}"), "false".into());
        }
    }
    for (name, entry) in tests(table).filter(|(name, _)| stood(name)) {
        for feature in entry
            .get("required-features")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            found.insert(
                format!("test.{name}.required-features[{feature}]"),
                feature.to_string(),
            );
        }
    }
    found
}

fn default_features(table: &Table) -> BTreeSet<String> {
    let default = table
        .get("features")
        .and_then(|features| features.get("default"));
    let names = default.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Checks of profiles that are switched off, by their keys.
fn unchecked(table: &Table) -> BTreeSet<String> {
    let profiles = table
        .get("profile")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let off = |(name, profile): (String, &Value)| -> Vec<String> {
        let checks = ["debug-assertions", "overflow-checks"].into_iter();
        let off = checks.filter(|key| profile.get(key).and_then(Value::as_bool) == Some(false));
        off.map(|key| format!("profile.{name}.{key}")).collect()
    };
    // A profile has settings of its own for single packages.
    let with_packages = |(name, profile): (&String, &'_ Value)| {
        let packages = profile.get("package").and_then(Value::as_table);
        let packages = packages.into_iter().flatten();
        let mut found = off((name.clone(), profile));
        found.extend(
            packages.flat_map(|(package, own)| off((format!("{name}.package.{package}"), own))),
        );
        found
    };
    profiles.flat_map(with_packages).collect()
}

fn allowed_lints(table: &Table) -> BTreeSet<String> {
    let workspace = table
        .get("workspace")
        .and_then(|workspace| workspace.get("lints"));
    let tools = [table.get("lints"), workspace]
        .into_iter()
        .flatten()
        .filter_map(Value::as_table);
    tools
        .flat_map(|tools| tools.iter())
        .filter_map(|(tool, lints)| Some((tool, lints.as_table()?)))
        .flat_map(|(tool, lints)| {
            lints
                .iter()
                .map(move |(lint, level)| (format!("{tool}::{lint}"), level))
        })
        .filter(|(_, level)| {
            level.as_str().or_else(|| level.get("level")?.as_str()) == Some("allow")
        })
        .map(|(lint, _)| lint)
        .collect()
}

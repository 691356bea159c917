//! Which code is test code, and whether a claim's own test is one.
//!
//! Test code is: a file in a `tests` folder of a package (no `src` folder above it), a module that is
//! declared under `#[cfg(test)]`, an item under `#[cfg(test)]`, and a function with a test attribute.
//! A claim's own test is stricter: it stands in `tests/`, because only such a file can be laid over
//! the base tree without carrying product code with it.

use attest::claim::PinnedTest;

use super::outside::INCLUDES;
use super::syntax::{Parsed, parse};
use super::{Lookup, finding};
use crate::diff::Diff;
use crate::model::Refusal;

/// Levels of `mod` declarations that are followed upwards.
const MAX_LEVELS: usize = 16;

/// True when the path lies in a package's `tests` folder.
#[must_use]
pub fn in_tests_folder(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    let tests = folders.iter().position(|folder| *folder == "tests");
    tests.is_some_and(|at| !folders[..at].contains(&"src"))
}

/// True when the whole file is test code in the tree that `tree` reads.
#[must_use]
pub fn is_test_file(path: &str, tree: Lookup<'_>) -> bool {
    in_tests_folder(path) || (path.ends_with(".rs") && declared_for_tests(path, tree))
}

/// Follows `mod` declarations upwards until one of them is under `#[cfg(test)]`.
fn declared_for_tests(path: &str, tree: Lookup<'_>) -> bool {
    let mut path = path.to_owned();
    for _ in 0..MAX_LEVELS {
        let Some((module, parents)) = parents(&path) else {
            return false;
        };
        let declared = parents.into_iter().find_map(|parent| {
            let content = tree(&parent)?;
            declares(&String::from_utf8_lossy(&content), &module)
                .map(|for_tests| (parent, for_tests))
        });
        match declared {
            Some((_, true)) => return true,
            Some((parent, false)) => path = parent,
            None => return false,
        }
    }
    false
}

/// Name of a file's module and the files that can declare it.
fn parents(path: &str) -> Option<(String, Vec<String>)> {
    let (folder, file) = path.rsplit_once('/')?;
    let stem = file.strip_suffix(".rs")?;
    let (module, folder) = match stem {
        "mod" => {
            let (above, name) = folder.rsplit_once('/')?;
            (name, above)
        }
        "lib" | "main" => return None,
        _ => (stem, folder),
    };
    let beside = ["mod.rs", "lib.rs", "main.rs"].map(|name| format!("{folder}/{name}"));
    Some((
        module.to_owned(),
        std::iter::once(format!("{folder}.rs"))
            .chain(beside)
            .collect(),
    ))
}

/// Whether the source declares `mod name;`, and if so, whether only for tests.
fn declares(source: &str, name: &str) -> Option<bool> {
    if !source.contains(name) {
        return None;
    }
    let Parsed::File(file) = parse(source) else {
        return None;
    };
    let tokens = &file.lexed.tokens;
    let at = tokens
        .windows(3)
        .position(|w| w[0].text == "mod" && w[1].text == name && w[2].text == ";")?;
    Some(file.is_test_line(tokens[at].line))
}

/// Files of `pinned_test.files` that hold, or may hold, anything but test code, each with its reason.
#[must_use]
pub fn impure_files(pin: Option<&PinnedTest>, head: Lookup<'_>) -> Vec<String> {
    let mut impure: Vec<String> = pin
        .map_or(&[][..], |pin| &pin.files)
        .iter()
        .filter(|path| !is_pure(path, head))
        .cloned()
        .collect();
    impure.sort();
    impure.dedup();
    impure
}

/// A Rust file of a `tests` folder that is a test or a helper of tests.
fn is_pure(path: &str, head: Lookup<'_>) -> bool {
    let stays_inside = !path.split('/').any(|part| matches!(part, "" | "." | ".."));
    let escapes = |source: &str| reaches_outside(source, path);
    stays_inside
        && path.ends_with(".rs")
        && in_tests_folder(path)
        && head(path).is_none_or(|content| !escapes(&String::from_utf8_lossy(&content)))
}

/// True when the source compiles another file into itself by path: `#[path]` or `include!` of a
/// place outside its `tests` folder.
fn reaches_outside(source: &str, path: &str) -> bool {
    let Parsed::File(file) = parse(source) else {
        return false;
    };
    let depth = path
        .split('/')
        .rev()
        .skip(1)
        .take_while(|folder| *folder != "tests")
        .count();
    file.lexed.tokens.windows(3).any(|w| {
        let takes_path = (w[0].text == "path" && w[1].text == "=")
            || (INCLUDES.contains(&w[0].text.as_str()) && w[1].text == "!");
        takes_path && {
            let literal = file
                .lexed
                .tokens
                .iter()
                .find(|token| token.at >= w[2].at && token.text.starts_with('"'));
            literal.is_none_or(|literal| literal.text.matches("..").count() > depth)
        }
    })
}

/// True when the head tree has the pinned function as an integration test of the named target.
#[must_use]
pub fn pin_exists(pin: &PinnedTest, head: Lookup<'_>) -> bool {
    let Some(target) = target_file(pin, head) else {
        return false;
    };
    holds_test(&target, &pin.name, head)
        || pin
            .files
            .iter()
            .any(|file| holds_test(file, &pin.name, head))
}

/// The source file of the pinned test's target, from the root: its `[[test]]` path, or
/// `tests/TARGET.rs`, or `tests/TARGET/main.rs`. `None` when the tree has neither.
#[must_use]
pub fn target_file(pin: &PinnedTest, tree: Lookup<'_>) -> Option<String> {
    let folder = super::manifest::package_folder(&pin.package, &pin.files, tree)?;
    let inside = |path: &str| {
        if folder.is_empty() {
            path.to_owned()
        } else {
            format!("{folder}/{path}")
        }
    };
    let declared = super::manifest::test_path(&inside("Cargo.toml"), &pin.target, tree);
    let usual = [
        format!("tests/{}.rs", pin.target),
        format!("tests/{}/main.rs", pin.target),
    ];
    declared
        .into_iter()
        .chain(usual)
        .map(|path| inside(&path))
        .find(|path| tree(path).is_some())
}

/// The last part of a libtest name is the function; parts before it are modules.
fn holds_test(path: &str, name: &str, tree: Lookup<'_>) -> bool {
    let Some(content) = tree(path) else {
        return false;
    };
    let Parsed::File(file) = parse(&String::from_utf8_lossy(&content)) else {
        return false;
    };
    let function = name.rsplit("::").next().unwrap_or(name);
    file.functions
        .iter()
        .any(|known| known.test && (known.path == name || known.name == function))
}

/// Findings about the claim's own test that need both trees.
pub(super) fn pin_findings(
    diff: &Diff,
    pin: Option<&PinnedTest>,
    base: Lookup<'_>,
    head: Lookup<'_>,
) -> Vec<Refusal> {
    let Some(pin) = pin else { return Vec::new() };
    let mut found = Vec::new();
    for file in pin.files.iter().filter(|file| head(file).is_none()) {
        found.push(finding(
            "pinned_file_missing",
            format!("pinned_test.files names {file}, which the head tree does not have"),
            "add the file to the change, or leave it out of pinned_test.files",
        ));
    }
    let carried = pin
        .files
        .iter()
        .any(|file| holds_test(file, &pin.name, head));
    let on_base = target_file(pin, base).is_some_and(|path| holds_test(&path, &pin.name, base));
    if !carried && !on_base && pin_exists(pin, head) {
        let files: Vec<_> = diff
            .files
            .iter()
            .map(|f| f.path.as_str())
            .filter(|path| in_tests_folder(path))
            .collect();
        found.push(finding(
            "pinned_test_not_on_base",
            format!(
                "`{}` does not stand on base, and no file of pinned_test.files brings it",
                pin.name
            ),
            format!(
                "name the file that holds it in pinned_test.files; the change touches: {}",
                files.join(", ")
            ),
        ));
    }
    found
}

//! Test functions of a target, found on the syntax tree of its files; nothing is compiled.
//!
//! What macros generate is not seen, so the answer is a lower bound of what runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, Meta};

/// Source files above this size are not read, bytes.
const MAX_SOURCE_BYTES: u64 = 4 << 20;
/// Most files of one target that are read.
const MAX_FILES: usize = 400;

/// One `#[test]` function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestFunction {
    /// Path within the target, as libtest prints it.
    pub(super) path: String,
    /// Marked `#[ignore]`, perhaps under a condition.
    pub(super) ignored: bool,
    /// Compiled only under some `cfg` besides `test`.
    pub(super) conditional: bool,
}

/// What the files of a target say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// In the order of the files.
    pub(super) tests: Vec<TestFunction>,
    /// Features that the whole target asks for with `#![cfg(feature = "…")]`.
    pub(super) features: BTreeSet<String>,
    /// Files that were read.
    pub(super) files: Vec<PathBuf>,
}

/// Reads a target from its root file, following `mod NAME;`.
pub(super) fn find(root_file: &Path) -> Found {
    let mut found = Found::default();
    let children = root_file.parent().unwrap_or(Path::new("")).to_owned();
    read_file(root_file, &children, "", false, &mut found);
    found
}

fn read_file(path: &Path, children: &Path, prefix: &str, conditional: bool, found: &mut Found) {
    if found.files.len() >= MAX_FILES || found.files.iter().any(|known| known == path) {
        return;
    }
    let small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= MAX_SOURCE_BYTES);
    let Some(text) = small.then(|| std::fs::read_to_string(path).ok()).flatten() else {
        return;
    };
    found.files.push(path.to_owned());
    // A file in a newer edition's syntax simply shows no tests.
    let Ok(file) = syn::parse_file(&text) else {
        return;
    };
    let mut conditional = conditional;
    for attribute in &file.attrs {
        if let Some(condition) = cfg(attribute) {
            if prefix.is_empty() {
                features(&condition, &mut found.features);
            } else {
                conditional = true;
            }
        }
    }
    read_items(&file.items, children, prefix, conditional, found);
}

fn read_items(items: &[Item], children: &Path, prefix: &str, conditional: bool, found: &mut Found) {
    for item in items {
        match item {
            Item::Fn(function) if function.attrs.iter().any(is_test) => {
                found.tests.push(TestFunction {
                    path: format!("{prefix}{}", function.sig.ident),
                    ignored: function.attrs.iter().any(may_ignore),
                    conditional: conditional || depends(&function.attrs),
                });
            }
            Item::Mod(module) => {
                let name = module.ident.to_string();
                let inner = format!("{prefix}{name}::");
                let conditional = conditional || depends(&module.attrs);
                let below = children.join(&name);
                if let Some((_, items)) = &module.content {
                    read_items(items, &below, &inner, conditional, found);
                } else if let Some((file, children)) = module_file(children, &name, &module.attrs) {
                    read_file(&file, &children, &inner, conditional, found);
                }
            }
            _ => {}
        }
    }
}

/// Where `mod NAME;` stands, and the folder of its own modules.
fn module_file(
    children: &Path,
    name: &str,
    attributes: &[Attribute],
) -> Option<(PathBuf, PathBuf)> {
    let named = attributes.iter().find_map(path_attribute);
    if let Some(named) = named {
        let file = children.join(named);
        let folder = file.parent().unwrap_or(children).to_owned();
        return file.is_file().then_some((file, folder));
    }
    let below = children.join(name);
    let candidates = [children.join(format!("{name}.rs")), below.join("mod.rs")];
    let file = candidates.into_iter().find(|file| file.is_file())?;
    Some((file, below))
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    if !pair.path.is_ident("path") {
        return None;
    }
    text(&pair.value)
}

fn text(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// `#[test]`, `#[tokio::test]` and whatever else ends in `test`.
fn is_test(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "test")
}

fn may_ignore(attribute: &Attribute) -> bool {
    attribute.path().is_ident("ignore") || attribute.path().is_ident("cfg_attr")
}

/// The condition of a `#[cfg(…)]`.
fn cfg(attribute: &Attribute) -> Option<Meta> {
    if !attribute.path().is_ident("cfg") {
        return None;
    }
    attribute.parse_args::<Meta>().ok()
}

fn depends(attributes: &[Attribute]) -> bool {
    let mut conditions = attributes.iter().filter_map(cfg);
    conditions.any(|condition| !condition.path().is_ident("test"))
}

/// Features that make the condition true; of alternatives the first.
fn features(condition: &Meta, found: &mut BTreeSet<String>) {
    match condition {
        Meta::NameValue(pair) if pair.path.is_ident("feature") => found.extend(text(&pair.value)),
        Meta::List(list) if list.path.is_ident("all") || list.path.is_ident("any") => {
            let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
            let inner = list.parse_args_with(parser).unwrap_or_default();
            let wanted = if list.path.is_ident("any") {
                1
            } else {
                inner.len()
            };
            inner
                .iter()
                .take(wanted)
                .for_each(|inner| features(inner, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn tests_are_found_in_modules_with_their_conditions() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "suite.rs",
            "#![cfg(all(feature = \"gpu\", not(miri)))]\nmod common;\nmod deep { mod more; }\n#[test] fn plain() {}\n#[tokio::test] async fn waits() {}\n#[test] #[ignore] fn slow() {}\n#[cfg(windows)] #[test] fn elsewhere() {}\nfn helper() {}",
        );
        write(dir.path(), "common/mod.rs", "#[test] fn shared() {}");
        write(
            dir.path(),
            "deep/more.rs",
            "#[cfg(test)] mod tests { #[test] fn inner() {} }",
        );
        let found = find(&dir.path().join("suite.rs"));
        let tests: Vec<_> = found
            .tests
            .iter()
            .map(|test| (test.path.as_str(), test.ignored, test.conditional))
            .collect();
        assert_eq!(
            tests,
            [
                ("common::shared", false, false),
                ("deep::more::tests::inner", false, false),
                ("plain", false, false),
                ("waits", false, false),
                ("slow", true, false),
                ("elsewhere", false, true),
            ]
        );
        assert_eq!(found.features, BTreeSet::from(["gpu".to_owned()]));
        assert_eq!(found.files.len(), 3);
    }

    #[test]
    fn modules_that_name_each_other_end() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "a.rs",
            "#[path = \"a.rs\"] mod again;\n#[path = \"gone.rs\"] mod gone;\n#[test] fn one() {}",
        );
        assert_eq!(find(&dir.path().join("a.rs")).tests.len(), 1);
        assert_eq!(find(&dir.path().join("absent.rs")), Found::default());
    }
}

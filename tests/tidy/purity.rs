//! Pure crates touch no clock, disk, network, process, environment or thread. Read off the syntax
//! tree, because lints on paths miss `File::open` and `Path::exists`.

use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::{files, read, relative, root};

const PURE: &[&str] = &[
    "orchestrator/attest",
    "orchestrator/discipline",
    "orchestrator/markers",
    "invariants",
    "playbooks",
    "prompts",
    "tools/export",
];

const FORBIDDEN_MODULES: &[&str] = &["fs", "net", "process", "env", "thread"];
const FORBIDDEN_TYPES: &[&str] = &["SystemTime", "Instant"];

#[test]
fn pure_crates_are_pure() {
    let mut broken = Vec::new();
    for folder in PURE {
        for file in files(&root().join(folder).join("src"), "rs") {
            // `#[cfg(test)] mod tests;` in files of their own.
            let test_code = file
                .components()
                .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
            if !test_code {
                broken.extend(impurities(&file, &read(&file)));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "facts come in as arguments; move the reading to its room:\n{}",
        broken.join("\n")
    );
}

#[test]
fn the_check_sees_what_it_forbids() {
    let impure = [
        "use std::fs;",
        "use std::{env::var, fmt};",
        "fn f() { std::thread::spawn(|| ()); }",
        "use std::time::Instant;",
        "fn f() -> std::time::SystemTime { todo!() }",
    ];
    for source in impure {
        assert_eq!(impurities(Path::new("x.rs"), source).len(), 1, "{source}");
    }
    let pure = [
        "use std::fmt;",
        "#[cfg(test)] mod tests { use std::fs; }",
        "// std::fs\nconst A: &str = \"std::env\";",
    ];
    for source in pure {
        assert!(impurities(Path::new("x.rs"), source).is_empty(), "{source}");
    }
}

fn impurities(path: &Path, source: &str) -> Vec<String> {
    let file =
        syn::parse_file(source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut visitor = Visitor { found: Vec::new() };
    visitor.visit_file(&file);
    visitor
        .found
        .into_iter()
        .map(|(line, what)| format!("{}:{line}: {what}", relative(path)))
        .collect()
}

struct Visitor {
    found: Vec<(usize, String)>,
}

impl Visitor {
    fn judge(&mut self, segments: &[String], line: usize) {
        let std_module = segments
            .first()
            .is_some_and(|first| first == "std" || first == "tokio")
            && segments
                .get(1)
                .is_some_and(|module| FORBIDDEN_MODULES.contains(&module.as_str()));
        let clock = segments
            .iter()
            .any(|segment| FORBIDDEN_TYPES.contains(&segment.as_str()));
        if std_module || clock {
            self.found.push((line, segments.join("::")));
        }
    }

    fn judge_use(&mut self, tree: &syn::UseTree, prefix: &[String], line: usize) {
        let extended = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.judge_use(&path.tree, &extended(&path.ident), line),
            syn::UseTree::Name(name) => self.judge(&extended(&name.ident), line),
            syn::UseTree::Rename(rename) => self.judge(&extended(&rename.ident), line),
            syn::UseTree::Glob(_) => self.judge(prefix, line),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|item| self.judge_use(item, prefix, line)),
        }
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test_only(&item.attrs) {
            self.judge_use(&item.tree, &[], item.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.judge(&segments, path.span().start().line);
        syn::visit::visit_path(self, path);
    }
}

//! What must not stand in the tree at all.

use syn::visit::Visit;

use crate::{files, read, relative, root};

/// Vulkan calls, and the mapping of files.
const UNSAFE_ONLY: &[&str] = &["engine/src/vk/", "engine/src/map.rs"];

#[test]
fn unsafe_code_stays_in_its_room() {
    for file in sources() {
        let name = relative(&file);
        let allowed = UNSAFE_ONLY.iter().any(|room| name.starts_with(room));
        let uses = UnsafeCode::stands_in(&read(&file));
        assert!(
            allowed || !uses,
            "{name} holds unsafe code; only {UNSAFE_ONLY:?} may"
        );
    }
}

/// Finds `unsafe` on the syntax tree, because texts of tests may speak of it.
#[derive(Default)]
struct UnsafeCode {
    found: bool,
}

impl UnsafeCode {
    fn stands_in(source: &str) -> bool {
        let mut visitor = Self::default();
        visitor.visit_file(&syn::parse_file(source).expect("sources parse"));
        visitor.found
    }
}

impl<'ast> Visit<'ast> for UnsafeCode {
    fn visit_expr_unsafe(&mut self, _: &'ast syn::ExprUnsafe) {
        self.found = true;
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.found |= matches!(signature.safety, syn::Safety::Unsafe(_));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.found |= item.unsafety.is_some();
        syn::visit::visit_item_impl(self, item);
    }
}

#[test]
fn the_search_for_unsafe_code_sees_it() {
    for source in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for A {}",
    ] {
        assert!(UnsafeCode::stands_in(source), "{source}");
    }
    assert!(!UnsafeCode::stands_in("const A: &str = \"unsafe { }\";"));
}

#[test]
fn processes_start_in_their_room() {
    // The command line starts its own daemon, ssh-keygen and what `doctor` asks for a version; the
    // engine's parent starts its worker. Everything else goes through `exec`.
    const MAY: &[&str] = &[
        "tools/exec/",
        "orchestrator/src/",
        "engine/src/worker/",
        "engine/build.rs",
        "tests/",
    ];
    for file in sources() {
        let name = relative(&file);
        let in_tests = name.contains("/tests/") || name.contains("tests.rs");
        if in_tests || MAY.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        let text = read(&file);
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        let starts = production.contains("std::process::Command")
            || production.contains("process::{Command");
        assert!(!starts, "{name} starts a process; use the exec crate");
    }
}

/// Files that hold back what they tell others; they wait for nothing.
const PACED: [&str; 2] = ["tools/src/notify.rs", "tools/src/resource/watch.rs"];

#[test]
fn nothing_sleeps() {
    for file in sources()
        .into_iter()
        .filter(|file| !file.ends_with("tidy/tree.rs"))
        .filter(|file| !PACED.contains(&relative(file).as_str()))
    {
        for (index, line) in read(&file).lines().enumerate() {
            let sleeps = line.contains("thread::sleep(") || line.contains("time::sleep(");
            assert!(
                !sleeps,
                "{}:{}: waits by sleeping; wait for the event instead",
                relative(&file),
                index + 1
            );
        }
    }
}

#[test]
fn top_level_is_as_chosen() {
    let wanted = [
        "engine",
        "invariants",
        "orchestrator",
        "playbooks",
        "prompts",
        "state",
        "tests",
        "tools",
    ];
    for folder in wanted {
        assert!(
            root().join(folder).is_dir(),
            "the folder {folder} is missing"
        );
    }
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    for script in ["script/test", "script/demo", "script/install", ".ci/run"] {
        let mode = std::fs::metadata(root().join(script))
            .unwrap_or_else(|e| panic!("{script}: {e}"))
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
    }
}

fn sources() -> Vec<std::path::PathBuf> {
    files(&root(), "rs")
}

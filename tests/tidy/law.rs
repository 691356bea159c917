//! What pins the law exists: every test that it names is a test that runs, every type is a type.

use std::path::PathBuf;

use invariants::{Law, Pin};

use crate::{read, relative, root};

/// Paths that the compiler has looked up, as the law writes them.
macro_rules! types {
    ($($path:path,)*) => {
        [$((stringify!($path), std::mem::size_of::<$path>())),*]
    };
}

#[test]
fn every_type_that_pins_a_law_exists() {
    let known = types![
        discipline::permit::PushPermit,
        engine::kernels::Kernel,
        engine::kernels::KernelSpec,
        engine::profile::ExecutionProfile,
        engine::telemetry::Perdispatch,
        engine::tensor::TensorFlags,
        engine::vk::VkError,
    ];
    let mut named: Vec<String> = pins()
        .into_iter()
        .filter_map(|pin| match pin {
            Pin::Type { path } => Some(path),
            Pin::Test { .. } => None,
        })
        .collect();
    named.sort();
    let known: Vec<&str> = known.iter().map(|(path, _)| *path).collect();
    assert_eq!(
        named, known,
        "the law's types and those looked up here differ"
    );
}

#[test]
fn every_test_that_pins_a_law_runs() {
    for pin in pins() {
        let Pin::Test { target, function } = &pin else {
            continue;
        };
        let (files, name) = places(target, function);
        let found = files.iter().filter(|file| file.is_file());
        let tests: Vec<_> = found.filter(|file| runs(&read(file), name)).collect();
        let looked: Vec<String> = files.iter().map(|file| relative(file)).collect();
        assert_eq!(
            tests.len(),
            1,
            "{pin}: no running test {name} in {looked:?}"
        );
    }
}

fn pins() -> Vec<Pin> {
    let law = Law::builtin().expect("the law parses");
    let laws = law.invariants.into_iter();
    laws.flat_map(|law| law.pins).collect()
}

/// Files of the engine in which a test may stand, and its name there.
fn places<'f>(target: &str, function: &'f str) -> (Vec<PathBuf>, &'f str) {
    let engine = root().join("engine");
    let (modules, name) = function.rsplit_once("::").unwrap_or(("", function));
    if target != "lib" {
        return (vec![engine.join(format!("tests/{target}.rs"))], name);
    }
    let module = modules.strip_suffix("::tests").unwrap_or(modules);
    let module = engine.join("src").join(module.replace("::", "/"));
    let files = [".rs", "/mod.rs", "/tests.rs"];
    let files = files.map(|end| PathBuf::from(format!("{}{end}", module.display())));
    (files.to_vec(), name)
}

/// Whether a source has the function as a test that is not ignored.
fn runs(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.starts_with(&head)) else {
        return false;
    };
    let before = lines[..at].iter().rev();
    let marks: Vec<&&str> = before
        .take_while(|line| line.starts_with('#') || line.starts_with("//"))
        .collect();
    let marked = |mark: &str| marks.iter().any(|line| line.starts_with(mark));
    marked("#[test]") && !marked("#[ignore")
}

#[test]
fn the_search_for_tests_sees_what_does_not_run() {
    let source =
        "#[test]\nfn a() {}\n\n/// Text.\n#[test]\n#[ignore = \"slow\"]\nfn b() {}\n\nfn c() {}\n";
    assert!(runs(source, "a"));
    for name in ["b", "c", "d"] {
        assert!(!runs(source, name), "{name}");
    }
}

//! Tests that a change weakens, and those that it only moves, renames or improves.

use attest::claim::{ClaimKind, PinnedTest};

use super::{check, codes, facts_of, tree};

const FILE: &str = "engine/tests/arena.rs";
const BASE: &str = "use engine::x;\n\n#[test]\nfn keeps() {\n    let got = x(1);\n    assert_eq!(got, 1);\n    assert!((got - 1.0).abs() < 1e-3);\n}\n";

fn swap(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replacen(from, to, 1)
}

#[test]
fn deleted_ignored_and_narrowed_tests() {
    check(
        FILE,
        BASE,
        "use engine::x;\nfn other() { x(1); }\n",
        "test_deleted@3",
    );
    check(
        FILE,
        BASE,
        &swap("#[test]\nfn keeps", "fn keeps"),
        "test_deleted@3",
    );
    check(
        FILE,
        BASE,
        &swap("#[test]", "#[test]\n#[ignore = \"slow\"]"),
        "test_ignored@3",
    );
    check(
        FILE,
        BASE,
        &swap(
            "#[test]",
            "#[test]\n#[cfg_attr(not(feature = \"x\"), ignore)]",
        ),
        "test_ignored@3",
    );
    check(
        FILE,
        BASE,
        &swap("#[test]", "#[test]\n#[should_panic]"),
        "test_inverted@3",
    );
    check(
        FILE,
        BASE,
        &swap("#[test]", "#[cfg(feature = \"slow\")]\n#[test]"),
        "test_cfg_narrowed@3",
    );
    check(
        FILE,
        BASE,
        &format!("#![cfg(feature = \"slow\")]\n{BASE}"),
        "test_cfg_narrowed@4",
    );
    check(
        FILE,
        BASE,
        &swap("#[test]", "#[cfg(feature = \"vulkan\")]\n#[test]"),
        "gpu_test_cfg_changed@3",
    );
    check(
        FILE,
        BASE,
        &swap(
            "    let got",
            "    if std::env::var(\"X\").is_err() { return; }\n    let got",
        ),
        "test_returns_early@3",
    );
    let helper = "fn compare(len: usize) {\n    let got = run(len);\n    assert_eq!(got, 1);\n}\n";
    let skips = helper.replace(
        "    let got",
        "    if len == 0 {\n        return;\n    }\n    let got",
    );
    check(FILE, helper, &skips, "test_returns_early@1");
    let whole_file = codes(&[(FILE, BASE)], &[], ClaimKind::Fix);
    assert_eq!(whole_file, "test_deleted");
}

#[test]
fn assertions_that_leave() {
    check(
        FILE,
        BASE,
        &swap("    assert_eq!(got, 1);\n", ""),
        "assertion_removed@3",
    );
    check(
        FILE,
        BASE,
        &swap("    assert_eq!(got, 1);\n", "    assert!(true);\n"),
        "assertion_removed@3",
    );
    check(
        FILE,
        BASE,
        &swap("    assert_eq!(got, 1);\n", "    assert_eq!(got, got);\n"),
        "assertion_removed@3",
    );
    check(
        FILE,
        BASE,
        &swap("    assert_eq!(got, 1);\n", "    // assert_eq!(got, 1);\n"),
        "assertion_removed@3",
    );
}

#[test]
fn tolerances_that_widen() {
    check(FILE, BASE, &swap("1e-3", "1e-2"), "tolerance_widened@7");
    check(FILE, BASE, &swap("1e-3", "0.5"), "tolerance_widened@7");
    let cases = [
        ("const RTOL: f32 = 1e-4;", "const RTOL: f32 = 1e-3;"),
        (
            "fn t() { assert_close(a, b, 1e-4); }",
            "fn t() { assert_close(a, b, 1e-3); }",
        ),
        (
            "fn t() { assert!(same(a, b, Limits { atol: 1e-4 })); }",
            "fn t() { assert!(same(a, b, Limits { atol: 1e-3 })); }",
        ),
        (
            "fn t() { assert_abs_diff_eq!(a, b, epsilon = 1e-4); }",
            "fn t() { assert_abs_diff_eq!(a, b, epsilon = 1e-3); }",
        ),
        (
            "fn t() { assert!(matching >= 10); }",
            "fn t() { assert!(matching >= 5); }",
        ),
        (
            "fn t() { let max_err = 1e-4; go(max_err); }",
            "fn t() { let max_err = 2e-4; go(max_err); }",
        ),
    ];
    for (tight, wide) in cases {
        check(
            FILE,
            &format!("{tight}\n"),
            &format!("{wide}\n"),
            "tolerance_widened@1",
        );
        check(FILE, &format!("{wide}\n"), &format!("{tight}\n"), "");
    }
    check(
        "src/check.rs",
        "pub const TOL: f32 = 1e-4;\n",
        "pub const TOL: f32 = 1e-3;\n",
        "tolerance_widened@1",
    );
    check(
        "src/model.rs",
        "pub const RMS_EPS: f32 = 1e-6;\n",
        "pub const RMS_EPS: f32 = 1e-5;\n",
        "",
    );
}

#[test]
fn a_device_replaced_by_something_else() {
    let gpu = "#[test]\nfn runs() {\n    let b = Backend::Vulkan;\n    assert!(go(b));\n}\n";
    check(
        FILE,
        gpu,
        &gpu.replace("Backend::Vulkan", "Backend::Cpu"),
        "backend_selector_changed@1",
    );
    check(
        FILE,
        gpu,
        &gpu.replace("Backend::Vulkan", "MockDevice::new()"),
        "backend_selector_changed@1",
    );
    check(
        FILE,
        gpu,
        &gpu.replace("Backend::Vulkan", "Backend::VulkanLegacy"),
        "",
    );
}

#[test]
fn what_moves_or_grows_is_no_finding() {
    check(FILE, BASE, &swap("fn keeps", "fn keeps_the_value"), "");
    check(
        FILE,
        BASE,
        &swap(
            "use engine::x;",
            "use engine::x;\n\nmod more {\n    #[test]\n    fn also() { assert!(super::x(2) > 0); }\n}",
        ),
        "",
    );
    check(
        FILE,
        BASE,
        &swap(
            "    assert_eq!(got, 1);",
            "    assert_eq!(got, 1, \"the input {got} was kept\");",
        ),
        "",
    );
    check(
        FILE,
        BASE,
        &swap("assert_eq!(got, 1)", "assert_eq!(got, 2)"),
        "",
    );
    check(
        FILE,
        BASE,
        &swap(
            "    let got = x(1);\n",
            "    let got =\n        x(1);\n    assert!(got > 0);\n",
        ),
        "",
    );
    let moved = [("engine/tests/other.rs", BASE)];
    assert_eq!(codes(&[(FILE, BASE)], &moved, ClaimKind::Fix), "");
    let inline = format!("pub fn x(a: u32) -> u32 {{ a }}\n#[cfg(test)]\nmod tests {{\n{BASE}}}\n");
    let base = [("engine/src/x.rs", inline.as_str())];
    let head = [
        ("engine/src/x.rs", "pub fn x(a: u32) -> u32 { a }\n"),
        (FILE, BASE),
    ];
    assert_eq!(
        codes(&base, &head, ClaimKind::Fix),
        "",
        "an inline test moved to tests/"
    );
    let helper = swap("    assert_eq!(got, 1);\n", "    same(got);\n")
        + "fn same(got: u32) {\n    assert_eq!(got, 1);\n}\n";
    check(FILE, BASE, &helper, "");
}

#[test]
fn an_honest_fix_with_its_test_has_no_finding() {
    let base = [
        (
            "engine/src/arena.rs",
            "pub fn alias(pinned: bool) -> bool {\n    true\n}\n",
        ),
        ("engine/Cargo.toml", "[package]\nname = \"engine\"\n"),
    ];
    let head = [
        (
            "engine/src/arena.rs",
            "pub fn alias(pinned: bool) -> bool {\n    !pinned\n}\n",
        ),
        ("engine/Cargo.toml", "[package]\nname = \"engine\"\n"),
        (
            "engine/tests/pin.rs",
            "#![allow(clippy::unwrap_used, reason = \"tests\")]\nuse engine::alias;\n\n#[test]\nfn pinned_is_kept() {\n    assert!(!alias(Some(true).unwrap()));\n}\n",
        ),
    ];
    let pin = PinnedTest {
        package: "engine".into(),
        target: "pin".into(),
        name: "pinned_is_kept".into(),
        files: vec!["engine/tests/pin.rs".into()],
    };
    let facts = facts_of(&tree(&base), &tree(&head), ClaimKind::Fix, Some(&pin), None);
    assert_eq!((facts.findings, facts.site_findings), (vec![], vec![]));
    assert!(facts.pinned_test_exists);
    assert_eq!(facts.impure_test_files, Vec::<String>::new());
}

#[test]
fn the_pinned_test_is_an_integration_test_of_its_package() {
    let manifest =
        "[package]\nname = \"engine\"\n[[test]]\nname = \"odd\"\npath = \"checks/odd.rs\"\n";
    let test = "mod deep { #[test]\nfn red() { assert!(false) } }\nfn helper() {}\n";
    let head = tree(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"engine\"]\n"),
        ("engine/Cargo.toml", manifest),
        ("engine/tests/a.rs", test),
        ("engine/tests/dir/main.rs", test),
        ("engine/checks/odd.rs", test),
        (
            "engine/src/lib.rs",
            "#[cfg(test)] mod tests { #[test] fn red() {} }\n",
        ),
    ]);
    let exists = |target: &str, name: &str, package: &str| {
        let pin = PinnedTest {
            package: package.into(),
            target: target.into(),
            name: name.into(),
            files: vec![],
        };
        facts_of(&head, &head, ClaimKind::Fix, Some(&pin), None).pinned_test_exists
    };
    assert!(exists("a", "deep::red", "engine"));
    assert!(exists("dir", "deep::red", "engine") && exists("odd", "deep::red", "engine"));
    assert!(!exists("a", "helper", "engine"), "not a test");
    assert!(
        !exists("a", "gone", "engine")
            && !exists("b", "deep::red", "engine")
            && !exists("a", "deep::red", "tools")
    );
}

#[test]
fn test_files_that_carry_product_code_are_impure() {
    let head = tree(&[
        ("engine/tests/ok.rs", "#[test] fn a() {}\n"),
        ("engine/tests/common/mod.rs", "include!(\"../ok.rs\");\n"),
        (
            "engine/tests/sly.rs",
            "#[path = \"../src/lib.rs\"] mod product;\n",
        ),
        ("engine/tests/data.json", "{}"),
        ("engine/src/tests/a.rs", "fn a() {}\n"),
        ("engine/src/lib.rs", "fn a() {}\n"),
    ]);
    let pin = PinnedTest {
        package: "engine".into(),
        target: "ok".into(),
        name: "a".into(),
        files: head.keys().cloned().collect(),
    };
    let impure = facts_of(&head, &head, ClaimKind::Fix, Some(&pin), None).impure_test_files;
    assert_eq!(
        impure,
        [
            "engine/src/lib.rs",
            "engine/src/tests/a.rs",
            "engine/tests/data.json",
            "engine/tests/sly.rs"
        ]
    );
}

#[test]
fn a_pin_that_base_lacks_must_be_carried() {
    let base = tree(&[("Cargo.toml", "[package]\nname = \"p\"\n")]);
    let head = tree(&[
        ("Cargo.toml", "[package]\nname = \"p\"\n"),
        ("tests/a.rs", "#[test] fn red() { assert!(x()); }\n"),
    ]);
    let codes = |files: &[&str]| {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        let pin = PinnedTest {
            package: "p".into(),
            target: "a".into(),
            name: "red".into(),
            files,
        };
        let facts = facts_of(&base, &head, ClaimKind::Fix, Some(&pin), None);
        facts
            .findings
            .iter()
            .map(|refusal| refusal.code.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(codes(&["tests/a.rs"]), "");
    assert_eq!(codes(&[]), "pinned_test_not_on_base");
    assert_eq!(
        codes(&["tests/gone.rs"]),
        "pinned_file_missing pinned_test_not_on_base"
    );
}

#[test]
fn manifests_that_leave_tests_out() {
    let base = "[package]\nname = \"p\"\n[[test]]\nname = \"smoke\"\n";
    let check_manifest = |head: &str, expect: &str| check("p/Cargo.toml", base, head, expect);
    check_manifest(
        &base.replace("\"p\"\n", "\"p\"\nautotests = false\n"),
        "test_cfg_narrowed",
    );
    check_manifest(
        &format!("{base}required-features = [\"x\"]\n"),
        "test_cfg_narrowed",
    );
    check_manifest(&format!("{base}harness = false\n"), "test_cfg_narrowed");
    check_manifest("[package]\nname = \"p\"\n", "test_deleted");
    check_manifest(
        &format!("{base}[lints.clippy]\nunwrap_used = \"allow\"\n"),
        "allow_added",
    );
    check_manifest(
        &format!("{base}[lints.clippy]\nunwrap_used = \"deny\"\n"),
        "",
    );
    check_manifest(&format!("{base}[dependencies]\nserde = \"1\"\n"), "");
    let added = format!("{base}[[test]]\nname = \"more\"\nrequired-features = [\"x\"]\n");
    check_manifest(&added, "");
    let test = "#[test]\nfn a() {\n    assert!(b());\n}\n";
    let before = [("p/Cargo.toml", base), ("p/tests/more.rs", test)];
    let after = [("p/Cargo.toml", added.as_str()), ("p/tests/more.rs", test)];
    assert_eq!(codes(&before, &after, ClaimKind::Fix), "test_cfg_narrowed");
}

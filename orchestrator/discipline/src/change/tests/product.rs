//! What product code gains, and paths, modes and bytes.

use attest::claim::ClaimKind;

use super::{check, codes, diff_of, policy, tree};
use crate::change::{ChangeClaim, facts, hostile_cargo_config};
use crate::diff::{Diff, FileChange, FileMode, FileSide};

const FILE: &str = "engine/src/plan.rs";

/// One changed statement in a function that otherwise stays.
fn statement(new: &str, expect: &str) {
    let source = |line: &str| {
        format!("fn plan(a: &A) -> R {{\n    {line}\n    let b = a.len();\n    go(a, b)\n}}\n")
    };
    check(FILE, &source("let a = a;"), &source(new), expect);
}

#[test]
fn hidden_panics() {
    statement("let a = a.b().unwrap();", "panic_added@2");
    statement("let a = a.b().expect(\"there is one\");", "panic_added@2");
    statement("let a = vec![a.b().unwrap()];", "panic_added@2");
    statement("if x { panic!(\"no\") }", "panic_added@2");
    statement("if x { unreachable!() }", "panic_added@2");
    statement("let a = a.b().unwrap_or_default();", "");
    statement("let a = a.expect('(');", "");
    statement("let a = a.b()?;", "");
    statement("assert!(a.ok());", "");
    let tests = "fn a() { b(); }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() { assert!(x().unwrap()); }\n}\n";
    check(FILE, "fn a() { c(); }\n", tests, "");
}

#[test]
fn moved_and_reformatted_code_is_not_added() {
    let before = "fn a(x: X) -> u32 { x.first().unwrap() }\n\nfn b() { c(); }\n";
    check(
        FILE,
        before,
        "fn b() { d(); }\n\nfn a(x: X) -> u32 {\n    x.first()\n        .unwrap()\n}\n",
        "",
    );
    check(
        FILE,
        before,
        "fn a(x: X) -> u32 { x.first().unwrap() + x.last().unwrap() }\n\nfn b() { c(); }\n",
        "panic_added@1",
    );
    let base = [("src/a.rs", before), ("src/b.rs", "fn d() { e(); }\n")];
    let head = [
        ("src/a.rs", "fn b() { c(); }\n"),
        (
            "src/b.rs",
            "fn d() { f(); }\nfn a(x: X) -> u32 { x.first().unwrap() }\n",
        ),
    ];
    assert_eq!(codes(&base, &head, ClaimKind::Fix), "");
}

#[test]
fn stubs_and_work_for_later() {
    statement("todo!();", "stub_added@2");
    statement("unimplemented!(\"later\");", "stub_added@2");
    statement("let a = a.c(); // TODO: check", "todo_comment_added@2");
    statement("/* FIXME */ let a = a.c();", "todo_comment_added@2");
    statement("let todo = a.todo();", "");
    let body = "fn a(x: u32) -> R {\n    b(x)?;\n    Ok(())\n}\n";
    check(
        FILE,
        body,
        "fn a(x: u32) -> R {\n    Ok(())\n}\n",
        "stub_added@1",
    );
    check(
        FILE,
        body,
        &format!("{body}pub fn later(x: u32) {{}}\npub fn c() {{ d(); }}\n"),
        "stub_added@5",
    );
    check(
        FILE,
        body,
        &format!("{body}impl T for A {{ fn done(&self) {{}} }}\n"),
        "",
    );
    check(
        "engine/shaders/a.wgsl",
        "fn main() { a(); }\n",
        "fn main() { b(); } // TODO\n",
        "todo_comment_added@1",
    );
}

#[test]
fn one_body_of_several_platforms_is_enough() {
    let base = "#[cfg(unix)]\nfn id(x: u32) -> Option<u32> {\n    a(x);\n    b(x)\n}\n";
    let other = "#[cfg(not(unix))]\nfn id(x: u32) -> Option<u32> {\n    None\n}\n";
    check(FILE, base, &format!("{base}{other}"), "");
    check(FILE, base, other, "stub_added@1");
    let fault =
        "#[cfg(not(a))]\nfn before(x: u32) {}\n#[cfg(a)]\nfn before(x: u32) {\n    go(x);\n}\n";
    check(FILE, "fn a() { b(); }\n", fault, "");
}

#[test]
fn silenced_lints() {
    let code = "fn a() { b(); }\n";
    check(
        FILE,
        code,
        "#[allow(dead_code)]\nfn a() { c(); }\n",
        "allow_added@1",
    );
    check(
        FILE,
        code,
        "#[allow(dead_code, reason = \"later\")]\nfn a() { c(); }\n",
        "allow_added@1",
    );
    check(
        FILE,
        code,
        "#![allow(clippy::all)]\nfn a() { c(); }\n",
        "allow_added@1",
    );
    check(
        FILE,
        code,
        "#[expect(unused)]\nfn a() { c(); }\n",
        "allow_added@1",
    );
    check(
        FILE,
        code,
        "#[cfg_attr(all(), allow(unused))]\nfn a() { c(); }\n",
        "allow_added@1",
    );
    check(
        FILE,
        "#[allow(x)]\nfn a() { b(); }\n",
        "pub fn d() { c(); }\n#[allow(x)]\nfn a() { b(); }\n",
        "",
    );
    let test = "#[test]\nfn a() { assert!(b()); }\n";
    check(
        "tests/a.rs",
        test,
        &format!("#![allow(clippy::unwrap_used, reason = \"tests\")]\n{test}"),
        "",
    );
    check(
        "tests/a.rs",
        test,
        &format!("#![allow(clippy::unwrap_used)]\n{test}"),
        "allow_added@1",
    );
}

#[test]
fn blanket_waits_and_barriers() {
    statement("unsafe { d.device_wait_idle()? };", "blanket_wait@2");
    statement("unsafe { d.queue_wait_idle(q)? };", "blanket_wait@2");
    statement("d.wait_for_fences(&[f], true, t)?;", "");
    statement(
        "barrier(Stage::ALL_COMMANDS, Stage::ALL_COMMANDS);",
        "blanket_barrier@2",
    );
    statement("barrier(Stage::COMPUTE_SHADER, Stage::COMPUTE_SHADER);", "");
    statement("barrier(Stage::ALL_COMMANDS, Stage::COMPUTE_SHADER);", "");
    statement(
        "let m = B::default().src_stage_mask(S::ALL_COMMANDS)\n.src_access_mask(M).dst_stage_mask(S::ALL_COMMANDS);",
        "blanket_barrier@2",
    );
}

#[test]
fn modes_are_composed_in_one_place() {
    statement(
        "let p = ExecutionProfile { submit: S::Single, noop: 0 };",
        "mode_outside_resolve@2",
    );
    statement("let ExecutionProfile { submit, .. } = p;", "");
    let own = "impl ExecutionProfile { pub fn new() -> Self { Self { a: 1 } } }\n";
    check(FILE, "fn a() { b(); }\n", own, "mode_outside_resolve@1");
    check("engine/src/profile.rs", "fn a() { b(); }\n", own, "");
}

#[test]
fn sources_that_do_not_parse() {
    check(FILE, "fn a() {}\n", "fn a() {\n", "does_not_parse");
    check(FILE, "fn a() {}\n", "fn a( {}\n", "does_not_parse");
    check(
        FILE,
        "fn a() {}\n",
        "#!/usr/bin/env rust\nfn a() { b(); }\n",
        "",
    );
    check(
        FILE,
        "fn a() {}\n",
        "\u{feff}#![warn(x)]\nfn a() { b(); }\n",
        "",
    );
}

#[test]
fn protected_paths_never_ride_with_code() {
    let (code, law) = (
        ("src/a.rs", "fn a() { b(); }\n"),
        ("invariants/INVARIANTS.md", "# one\n"),
    );
    let (new_code, new_law) = (
        ("src/a.rs", "fn a() { c(); }\n"),
        ("invariants/INVARIANTS.md", "# two\n"),
    );
    assert_eq!(
        codes(&[code, law], &[new_code, new_law], ClaimKind::Fix),
        "protected_path"
    );
    assert_eq!(
        codes(&[code, law], &[new_code, new_law], ClaimKind::PolicyChange),
        "code_in_policy_change"
    );
    assert_eq!(codes(&[law], &[new_law], ClaimKind::PolicyChange), "");
    assert_eq!(codes(&[code], &[new_code], ClaimKind::Fix), "");
    assert_eq!(
        codes(&[code], &[new_code], ClaimKind::Baseline),
        "baseline_changes_tree"
    );
    assert_eq!(codes(&[code], &[code], ClaimKind::Baseline), "");
}

#[test]
fn reserved_names() {
    let base = [("src/a.rs", "fn a() { b(); }\n")];
    let with = |path: &'static str, text: &'static str| {
        codes(&base, &[base[0], (path, text)], ClaimKind::Fix)
    };
    assert_eq!(
        with(
            "tests/greenloop_canary.rs",
            "#[test]\nfn a() { assert!(b()); }\n"
        ),
        "canary_name_taken"
    );
    assert_eq!(
        with(
            "tests/x.rs",
            "#[test]\nfn greenloop_canary_must_fail() { assert!(b()); }\n"
        ),
        "canary_name_taken"
    );
    assert_eq!(
        with(
            "tests/z.rs",
            "#[test]\nfn y() { assert!(b(\"fn greenloop_canary\")); }\n"
        ),
        ""
    );
    assert_eq!(
        with("tests/y.rs", "#[test]\nfn y() { assert!(b()); }\n"),
        ""
    );
}

#[test]
fn characters_that_lie() {
    statement("let a = \"\u{202e}x\";", "bidi_control@2");
    statement("let a = \"x\"; // \u{2066}", "bidi_control@2");
    statement("let a = \"é\";", "");
}

fn raw(path: &str, old: Option<(FileMode, &[u8])>, new: Option<(FileMode, &[u8])>) -> String {
    let side = |side: Option<(FileMode, &[u8])>| {
        side.map(|(mode, content)| FileSide {
            mode,
            oid: "1".repeat(40),
            content: content.to_vec(),
        })
    };
    let file = FileChange {
        path: path.into(),
        path_escaped: path.contains("\\x"),
        old: side(old),
        new: side(new),
    };
    let diff = Diff {
        files: vec![file],
        ..diff_of(&tree(&[]), &tree(&[]))
    };
    let claim = ChangeClaim {
        kind: ClaimKind::Fix,
        sites: &[],
        pinned_test: None,
    };
    let facts = facts(&diff, &claim, &policy(), &|_| None, &|_| None).unwrap();
    facts
        .findings
        .iter()
        .map(|refusal| refusal.code.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn modes_and_odd_paths() {
    use FileMode::{Executable, Regular, Submodule, Symlink};
    assert_eq!(
        raw("a.sh", Some((Regular, b"x")), Some((Executable, b"x"))),
        "mode_change"
    );
    assert_eq!(
        raw("a", None, Some((Symlink, b"/etc/passwd"))),
        "symlink_change"
    );
    assert_eq!(
        raw("a", Some((Regular, b"x")), Some((Symlink, b"b"))),
        "symlink_change"
    );
    assert_eq!(raw("a", Some((Symlink, b"b")), None), "symlink_change");
    assert_eq!(raw("a", None, Some((Submodule, b""))), "submodule_change");
    assert_eq!(raw("a", None, Some((Regular, b"\0\x01"))), "binary_change");
    assert_eq!(
        raw("a", None, Some((Regular, b"\xff\xfe"))),
        "binary_change"
    );
    assert_eq!(raw("a\\xff", None, Some((Regular, b"x"))), "escaped_path");
    assert_eq!(raw("a/../b", None, Some((Regular, b"x"))), "escaped_path");
    assert_eq!(
        raw("a/.GIT/config", None, Some((Regular, b"x"))),
        "escaped_path"
    );
    assert_eq!(raw("a\nb", None, Some((Regular, b"x"))), "escaped_path");
    assert_eq!(
        raw("a\u{202e}b", None, Some((Regular, b"x"))),
        "bidi_control"
    );
    assert_eq!(
        raw("a.sh", Some((Executable, b"x")), Some((Executable, b"y"))),
        ""
    );
}

#[test]
fn cargo_configuration_that_fakes_gates() {
    let codes_of = |text: &str, allowed: &[&str]| {
        let allowed: Vec<String> = allowed.iter().map(|key| (*key).to_owned()).collect();
        hostile_cargo_config(".cargo/config.toml", text.as_bytes(), &allowed).len()
    };
    for hostile in [
        "[build]\nrustc-wrapper = \"x\"\n",
        "build.rustc-workspace-wrapper = \"x\"\n",
        "[build]\nrustflags = [\"-A\"]\n",
        "[target.x86_64-unknown-linux-gnu]\nrunner = \"true\"\n",
        "[target.'cfg(unix)']\nrunner = [\"true\"]\n",
        "[target.a]\nlinker = \"x\"\n",
        "paths = [\"x\"]\n",
        "[patch.crates-io]\nserde = { path = \"x\" }\n",
        "[source.crates-io]\nreplace-with = \"x\"\n",
        "[env]\nA = \"1\"\n",
        "[alias]\ntest = \"version\"\n",
        "include = \"x\"\n",
        "[build]\nrustc = \"x\"\n",
        "[profile.dev]\nrustflags = []\n",
        "not toml",
    ] {
        assert_eq!(codes_of(hostile, &[]), 1, "{hostile}");
    }
    assert_eq!(
        codes_of("[term]\nverbose = true\n[net]\nretry = 2\n", &[]),
        0
    );
    assert_eq!(codes_of("[env]\nA = \"1\"\nB = \"2\"\n", &["env.A"]), 1);
    assert_eq!(codes_of("[env]\nA = \"1\"\nB = \"2\"\n", &["env"]), 0);
    let code = |line| {
        (
            "src/a.rs",
            if line == 1 {
                "fn a() { b(); }\n"
            } else {
                "fn a() { c(); }\n"
            },
        )
    };
    let config = (".cargo/config.toml", "[build]\nrustc-wrapper = \"x\"\n");
    assert_eq!(
        codes(&[code(1)], &[code(2), config], ClaimKind::Fix),
        "hostile_cargo_config protected_path"
    );
    assert_eq!(
        codes(&[code(1), config], &[code(2), config], ClaimKind::Fix),
        "hostile_cargo_config",
        "it stands in the tree already"
    );
    let patch = "[package]\nname = \"p\"\n[patch.crates-io]\nserde = { path = \"x\" }\n";
    check(
        "Cargo.toml",
        "[package]\nname = \"p\"\n",
        patch,
        "hostile_cargo_config",
    );
    check(
        "Cargo.toml",
        patch,
        &format!("{patch}[dependencies]\na = \"1\"\n"),
        "",
    );
}

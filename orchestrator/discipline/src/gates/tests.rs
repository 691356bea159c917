use std::collections::BTreeMap;

use attest::claim::PinnedTest;
use markers::{Decimal, Observation, Span, Value};
use proptest::prelude::*;

use super::*;
use crate::decision::ConditionalCode;
use crate::diff::{ChangedPath, FileMode};
use crate::policy::Policy;

const PIN: &str = "arena_keeps_pinned_inputs";

fn observation(kind: &str, fields: &[(&str, &str)]) -> Observation {
    let value = |text: &str| match text.parse::<Decimal>() {
        Ok(number) => Value::Number(number),
        Err(_) => Value::Text(text.to_owned()),
    };
    Observation {
        kind: kind.to_owned(),
        fields: fields
            .iter()
            .map(|(name, text)| ((*name).to_owned(), value(text)))
            .collect::<BTreeMap<_, _>>(),
        span: Span { start: 0, end: 1 },
        line: 1,
        test: None,
    }
}

/// `running`, one line per test, and the summary. Tests are `name:outcome`.
fn transcript(tests: &[&str], filtered: u64) -> Vec<Observation> {
    let mut seen = vec![observation(
        "cargo_running",
        &[("count", &tests.len().to_string())],
    )];
    let mut counts = BTreeMap::from([("ok", 0), ("failed", 0), ("ignored", 0)]);
    for test in tests {
        let (name, outcome) = test.rsplit_once(':').unwrap();
        seen.push(observation(
            "cargo_test",
            &[("name", name), ("outcome", outcome)],
        ));
        *counts.get_mut(outcome).unwrap() += 1;
    }
    let text = |n: u64| n.to_string();
    seen.push(observation(
        "cargo_summary",
        &[
            ("status", if counts["failed"] > 0 { "FAILED" } else { "ok" }),
            ("passed", &text(counts["ok"])),
            ("failed", &text(counts["failed"])),
            ("ignored", &text(counts["ignored"])),
            ("measured", "0"),
            ("filtered", &text(filtered)),
        ],
    ));
    seen
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Manifest of the gate's package.
const MANIFEST: &str = "[features]\ndefault = [\"cpu\"]\ncpu = []\nvulkan = [\"dep:ash\", \"shaders\"]\nshaders = []\n";

struct Case {
    role: GateRole,
    exit: ProcessExit,
    seen: Vec<Observation>,
    tail: &'static str,
    argv: &'static str,
    when: &'static str,
    listed: Option<Listed>,
    conditional: Vec<ConditionalCode>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            role: GateRole::Gate,
            exit: ProcessExit::Code(0),
            seen: transcript(&["a:ok", "b:ok"], 0),
            tail: "",
            argv: "cargo test -p engine",
            when: "",
            listed: None,
            conditional: Vec::new(),
        }
    }
}

fn result(case: &Case) -> GateResult {
    let pinned = case.role.is_pinned();
    let (argv, when) = (words(case.argv), words(case.when));
    judge(&GateRun {
        gate: if pinned { PINNED_GATE } else { "engine" },
        role: case.role,
        argv: &argv,
        tree: "t",
        exit: case.exit,
        duration_ms: 5_000,
        transcript: None,
        environment: Digest::of(b"env"),
        observations: &case.seen,
        tail: case.tail,
        test: pinned.then_some(PIN),
        compiled: &words("engine/src/lib.rs engine/tests/arena.rs"),
        build_inputs: &words("engine/shaders"),
        changed: &words(
            "engine/src/lib.rs engine/shaders/rms.wgsl engine/src/vk/mod.rs engine/Cargo.toml",
        ),
        conditional: &case.conditional,
        conditions: &Conditions::of(
            &argv,
            "engine",
            MANIFEST,
            &words("unix target_os=\"linux\""),
        ),
        listed: case.listed.as_ref(),
        when: &when,
    })
}

fn check(case: Case, verdict: GateVerdict, code: &str) {
    let result = result(&case);
    let codes: Vec<_> = result
        .refused
        .iter()
        .map(|refusal| refusal.code.as_str())
        .collect();
    assert_eq!(
        (result.verdict, codes.join(" ")),
        (verdict, code.to_owned()),
        "{:#?}",
        result.refused
    );
}

#[test]
fn project_gates_are_judged_by_what_ran() {
    use GateVerdict::{Passed, Refused, Vacuous};
    let red = || transcript(&["a:ok", "b:failed"], 0);
    check(Case::default(), Passed, "");
    check(
        Case {
            seen: transcript(&[], 0),
            ..Case::default()
        },
        Vacuous,
        "gate_vacuous_no_tests",
    );
    check(
        Case {
            seen: vec![],
            ..Case::default()
        },
        Vacuous,
        "gate_vacuous_no_tests",
    );
    check(
        Case {
            seen: transcript(&[], 7),
            ..Case::default()
        },
        Vacuous,
        "gate_vacuous_filter",
    );
    check(
        Case {
            seen: transcript(&["a:ignored"], 0),
            ..Case::default()
        },
        Vacuous,
        "gate_vacuous_no_tests",
    );
    check(
        Case {
            seen: vec![],
            argv: "cargo clippy -p engine",
            ..Case::default()
        },
        Passed,
        "",
    );
    check(
        Case {
            seen: red(),
            exit: ProcessExit::Code(101),
            ..Case::default()
        },
        Refused,
        "gate_failed",
    );
    check(
        Case {
            seen: red(),
            ..Case::default()
        },
        Refused,
        "gate_contradiction",
    );
    check(
        Case {
            exit: ProcessExit::TimedOut,
            ..Case::default()
        },
        Refused,
        "gate_timeout",
    );
    check(
        Case {
            exit: ProcessExit::Cancelled,
            ..Case::default()
        },
        Refused,
        "gate_cancelled",
    );
    check(
        Case {
            exit: ProcessExit::Signal(11),
            ..Case::default()
        },
        Refused,
        "gate_crashed",
    );
    check(
        Case {
            exit: ProcessExit::Code(101),
            ..Case::default()
        },
        Refused,
        "gate_failed",
    );
    let broken = vec![observation("compile_error", &[("code", "E0425")])];
    check(
        Case {
            seen: broken,
            exit: ProcessExit::Code(101),
            ..Case::default()
        },
        Refused,
        "gate_compile_error",
    );
    let mut cut = transcript(&["a:ok"], 0);
    cut.push(observation("cargo_running", &[("count", "3")]));
    check(
        Case {
            seen: cut,
            ..Case::default()
        },
        Refused,
        "gate_incomplete",
    );
    let tail =
        "error: target `gpu_smoke` in package `engine` requires the features: `gpu-smoke-test`";
    check(
        Case {
            seen: vec![],
            tail,
            exit: ProcessExit::Code(101),
            ..Case::default()
        },
        Vacuous,
        "gate_vacuous_features",
    );
}

#[test]
fn a_gate_that_compiles_nothing_of_the_change_is_vacuous() {
    check(
        Case {
            when: "engine/src/lib.rs engine/shaders/**",
            ..Case::default()
        },
        GateVerdict::Passed,
        "",
    );
    check(
        Case {
            when: "engine/**",
            ..Case::default()
        },
        GateVerdict::Passed,
        "",
    );
    check(
        Case {
            when: "tools/**",
            ..Case::default()
        },
        GateVerdict::Passed,
        "",
    );
    let wrong_features = || Case {
        when: "engine/src/vk/**",
        ..Case::default()
    };
    check(wrong_features(), GateVerdict::Vacuous, "gate_uncovered");
    let refused = result(&wrong_features()).refused;
    assert!(
        refused[0]
            .reason
            .ends_with("does not compile: engine/src/vk/mod.rs"),
        "{refused:?}"
    );
    let covered = result(&Case::default()).covered;
    assert_eq!(
        covered,
        [
            "engine/Cargo.toml",
            "engine/shaders/rms.wgsl",
            "engine/src/lib.rs"
        ]
    );
}

#[test]
fn files_that_no_gate_compiled_are_listed() {
    let path = |path: &str, present: bool| ChangedPath {
        path: path.into(),
        old: Some((FileMode::Regular, "1".into())),
        new: present.then(|| (FileMode::Regular, "2".into())),
    };
    let changed = [
        path("engine/src/lib.rs", true),
        path("engine/src/vk/mod.rs", true),
        path("engine/src/gone.rs", false),
        path("README.md", true),
        path("greenloop.toml", true),
    ];
    let policy = Policy::parse("schema = 1\n").unwrap();
    let passed = result(&Case::default());
    let refused = uncovered(std::slice::from_ref(&passed), &changed, &[], &policy);
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0]
            .reason
            .ends_with("no gate compiled: engine/src/vk/mod.rs"),
        "{refused:?}"
    );
    let mut also = passed.clone();
    also.covered = vec!["engine/src/vk/mod.rs".into()];
    assert_eq!(
        uncovered(&[passed.clone(), also.clone()], &changed, &[], &policy),
        []
    );
    also.verdict = GateVerdict::Vacuous;
    assert_eq!(
        uncovered(&[passed.clone(), also.clone()], &changed, &[], &policy).len(),
        1,
        "a vacuous gate covers nothing"
    );
    (also.verdict, also.role) = (GateVerdict::Passed, GateRole::PinOnBase);
    assert_eq!(
        uncovered(&[passed, also], &changed, &[], &policy).len(),
        1,
        "base covers nothing of head"
    );
}

#[test]
fn the_pinned_test_is_red_on_base_and_green_on_head() {
    use GateVerdict::{Passed, Refused, Vacuous};
    let on = |role, exit, tests: &[&str]| Case {
        role,
        exit: ProcessExit::Code(exit),
        seen: transcript(tests, 9),
        ..Case::default()
    };
    let (base, head) = (GateRole::PinOnBase, GateRole::PinOnHead);
    let (red, green) = (format!("{PIN}:failed"), format!("{PIN}:ok"));
    check(on(base, 101, &[&red]), Passed, "");
    check(on(base, 0, &[&green]), Refused, "pin_green_on_base");
    check(on(base, 0, &[&red]), Refused, "gate_contradiction");
    let attempt = GateRole::PinOnAttempt;
    check(on(attempt, 101, &[&red]), Passed, "");
    check(on(attempt, 0, &[&green]), Refused, "pin_green_on_attempt");
    check(on(base, 0, &[]), Vacuous, "gate_vacuous_filter");
    check(on(base, 101, &["other:failed"]), Refused, "pin_wrong_test");
    check(
        Case {
            role: base,
            exit: ProcessExit::Code(101),
            seen: vec![],
            ..Case::default()
        },
        Refused,
        "gate_undecided",
    );
    check(
        Case {
            role: base,
            exit: ProcessExit::Signal(6),
            seen: vec![],
            ..Case::default()
        },
        Refused,
        "gate_crashed",
    );
    check(on(head, 0, &[&green]), Passed, "");
    check(on(head, 101, &[&red]), Refused, "pin_red_on_head");
    check(on(head, 0, &[]), Vacuous, "gate_vacuous_filter");
    check(
        on(head, 0, &[&format!("{PIN}:ignored")]),
        Vacuous,
        "gate_vacuous_filter",
    );
    let broken = || vec![observation("compile_error", &[("code", "E0425")])];
    let weak = Case {
        role: base,
        exit: ProcessExit::Code(101),
        seen: broken(),
        ..Case::default()
    };
    assert!(result(&weak).compile_error, "a compile error is labelled");
    let mut printed = transcript(&[&red], 9);
    printed.extend(broken());
    let printed = Case {
        role: base,
        exit: ProcessExit::Code(101),
        seen: printed,
        ..Case::default()
    };
    assert!(
        !result(&printed).compile_error,
        "a test that ran was compiled"
    );
    let dead = |place_at: u64, ran: bool| {
        let at = |line, kind, fields: &[(&str, &str)]| Observation {
            line,
            ..observation(kind, fields)
        };
        let what = ("what", "function `probe`");
        let place = [("file", "src/a.rs"), ("line", "20"), ("column", "4")];
        let mut seen = transcript(&[&green], 9);
        let place_of = if ran { seen.len() } else { 0 };
        let rows = [
            at(4, "dead_code", &[what]),
            at(place_at, "source_place", &place),
        ];
        seen.splice(place_of..place_of, rows);
        let case = Case {
            role: GateRole::PinOnHead,
            seen,
            ..Case::default()
        };
        let found = result(&case).dead_code;
        found
            .iter()
            .map(|dead| format!("{}:{} {}", dead.file, dead.line, dead.what))
            .collect::<Vec<_>>()
    };
    assert_eq!(dead(5, false), ["src/a.rs:20 function `probe`"]);
    let none = Vec::<String>::new();
    assert_eq!(dead(6, false), none, "the place of another message");
    assert_eq!(dead(5, true), none, "a test printed it");
    let stage = |stage| {
        vec![observation(
            "build_error",
            &[("unit", "engine"), ("stage", stage)],
        )]
    };
    check(
        Case {
            role: base,
            exit: ProcessExit::Code(101),
            seen: stage("compile"),
            ..Case::default()
        },
        Passed,
        "",
    );
    check(
        Case {
            role: base,
            exit: ProcessExit::Code(101),
            seen: stage("manifest"),
            ..Case::default()
        },
        Refused,
        "gate_undecided",
    );
    check(weak, Passed, "");
    check(
        Case {
            role: head,
            exit: ProcessExit::Code(101),
            seen: broken(),
            ..Case::default()
        },
        Refused,
        "gate_compile_error",
    );
}

#[test]
fn a_gate_must_be_seen_failing_by_its_canary() {
    use GateVerdict::{Passed, Refused};
    let on = |exit, tests: &[&str]| Case {
        role: GateRole::Canary,
        exit: ProcessExit::Code(exit),
        seen: transcript(tests, 0),
        ..Case::default()
    };
    let red = format!("{CANARY_TEST}:failed");
    check(on(101, &["a:ok", &red]), Passed, "");
    check(on(0, &["a:ok"]), Refused, "canary_not_seen");
    check(on(0, &[&red]), Refused, "canary_not_seen");
    check(on(101, &["a:failed"]), Refused, "canary_not_seen");
    let broken = vec![observation("compile_error", &[("code", "E0425")])];
    check(
        Case {
            seen: broken,
            ..on(101, &[])
        },
        Refused,
        "canary_broken",
    );
}

#[test]
fn the_canary_is_a_test_that_fails() {
    let (path, source) = canary_test_source("engine", "a1\";}");
    assert_eq!(path, "engine/tests/greenloop_canary.rs");
    assert!(source.contains("black_box(\"a1\")"), "{source}");
    let file = syn::parse_file(&source).unwrap();
    assert!(
        file.items
            .iter()
            .any(|item| matches!(item, syn::Item::Fn(test) if test.sig.ident == CANARY_TEST))
    );
    assert_eq!(canary_test_source("", "1").0, "tests/greenloop_canary.rs");
}

fn policy(gates: &str) -> Policy {
    Policy::parse(&format!("schema = 1\n{gates}")).unwrap()
}

fn pin() -> PinnedTest {
    PinnedTest {
        package: "engine".into(),
        target: "arena".into(),
        name: PIN.into(),
        files: vec![],
    }
}

#[test]
fn the_pinned_test_is_built_as_its_gate_builds() {
    let policy = policy(
        "[gate.unit]\npackage = \"engine\"\nargv = [\"cargo\", \"test\", \"-p\", \"engine\", \"--lib\"]\n\
         [gate.smoke]\npackage = \"engine\"\nfeatures = [\"gpu\"]\n\
         argv = [\"cargo\", \"test\", \"-p\", \"engine\", \"--release\", \"--features\", \"gpu\", \"--test\", \"smoke\", \"--\", \"--skip\", \"x\"]\n\
         [gate.lint]\npackage = \"engine\"\nfeatures = [\"a\", \"b\"]\nargv = [\"cargo\", \"clippy\", \"-p\", \"engine\", \"-F\", \"a,b\"]\n",
    );
    let derived = pinned_gate(&pin(), &policy).unwrap();
    assert_eq!(derived.gate, "smoke");
    assert_eq!(
        derived.argv.join(" "),
        format!(
            "cargo test -p engine --release --features gpu --test arena -- --exact {PIN} --nocapture --test-threads=1"
        )
    );
    let refused = pinned_gate(
        &PinnedTest {
            package: "tools".into(),
            ..pin()
        },
        &policy,
    )
    .unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.field.as_str()),
        ("pinned_test_without_gate", "pinned_test.package")
    );
    let option = pinned_gate(
        &PinnedTest {
            name: "--list".into(),
            ..pin()
        },
        &policy,
    )
    .unwrap_err();
    assert_eq!(option.code, "pinned_test_malformed");
}

#[test]
fn the_canary_keeps_everything_but_the_targets() {
    let check = |argv: &str, wanted: &str| {
        let mut policy = policy("[gate.x]\npackage = \"p\"\nargv = [\"x\"]\n");
        let gate = policy.gate.get_mut("x").unwrap();
        gate.argv = words(argv);
        assert_eq!(canary_argv(gate).join(" "), wanted);
    };
    check("cargo test -p p", "cargo test -p p");
    check(
        "cargo test -p p -- --nocapture",
        "cargo test -p p -- --nocapture",
    );
    check(
        "cargo test -p p --release --features g --test smoke -- --test-threads=1",
        "cargo test -p p --release --features g --test greenloop_canary -- --test-threads=1",
    );
    check(
        "cargo test -p p --lib --test=a",
        "cargo test -p p --test greenloop_canary",
    );
    check("script/gate", "script/gate");
}

#[test]
fn dep_info_lists_inputs() {
    let text = "/room/target/debug/deps/engine-1: engine/src/lib.rs engine/src/a\\ b.rs /room/x.wgsl /root/registry/y.rs\n\n\
                engine/src/lib.rs:\nengine/src/a\\ b.rs:\n\n# env-dep:CARGO_PKG_NAME=engine with space: a\n";
    let paths = dep_info::parse(text);
    assert_eq!(
        paths,
        [
            "/room/x.wgsl",
            "/root/registry/y.rs",
            "engine/src/a b.rs",
            "engine/src/lib.rs"
        ]
    );
    assert_eq!(
        dep_info::below_root(&paths, "/room/"),
        ["engine/src/a b.rs", "engine/src/lib.rs", "x.wgsl"]
    );
    let output = "cargo:rerun-if-changed=shaders\ncargo::rerun-if-changed=/room/engine/../x\ncargo:rustc-cfg=a\ncargo:rerun-if-changed=../../..\n";
    assert_eq!(
        dep_info::rerun_if_changed(output, "engine", "/room"),
        ["engine/shaders", "x"]
    );
}

proptest! {
    #[test]
    fn paths_survive_dep_info(paths in proptest::collection::btree_set("[a-zA-Z0-9_./-]{1,9}( [a-z.]{1,5})?", 1..8)) {
        let escape = |path: &String| path.replace(' ', "\\ ");
        let text = format!("out: {}\n", paths.iter().map(escape).collect::<Vec<_>>().join(" "));
        prop_assert_eq!(dep_info::parse(&text), paths.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn foreign_dep_info_never_panics(text in "\\PC*", root in "\\PC{0,8}") {
        let _ = dep_info::below_root(&dep_info::parse(&text), &root);
        let _ = dep_info::rerun_if_changed(&text, &root, &root);
    }
}

#[test]
fn what_ran_must_be_what_the_binaries_list() {
    use GateVerdict::{Passed, Refused};
    let names = |names: &str| Some(Listed::Names(words(names)));
    let listed = |listed| Case {
        listed,
        ..Case::default()
    };
    check(listed(None), Passed, "");
    check(listed(names("a b")), Passed, "");
    check(listed(names("a b c")), Refused, "gate_inventory_mismatch");
    check(listed(names("a")), Refused, "gate_inventory_mismatch");
    check(listed(names("a c")), Refused, "gate_inventory_mismatch");
    check(listed(names("")), Refused, "gate_inventory_mismatch");
    let unreadable = Some(Listed::Unreadable("status 101".into()));
    check(listed(unreadable), Refused, "gate_inventory_unreadable");
    let ignored = Case {
        seen: transcript(&["a:ok", "b:ignored"], 0),
        ..listed(names("a b"))
    };
    check(ignored, Passed, "");
    // A line that a test's own output tore apart: the summary still counts it.
    let mut torn = transcript(&["a:ok", "b:ok"], 0);
    torn.remove(2);
    let torn = Case {
        seen: torn,
        ..listed(names("a b"))
    };
    check(torn, Passed, "");
    let mut spoke = transcript(&["a:ok", "b:ok"], 0);
    spoke[2] = observation("cargo_test", &[("name", "b ... test c"), ("outcome", "ok")]);
    let spoke = Case {
        seen: spoke,
        ..listed(names("a b"))
    };
    check(spoke, Passed, "");
    let result = result(&listed(names("a b c")));
    assert_eq!(result.listed, Some(3));
    assert!(
        result.refused[0]
            .reason
            .contains("nothing was heard of `c`"),
        "{result:?}"
    );
}

#[test]
fn lists_are_read_as_libtest_prints_them() {
    let output =
        "a::b: test\nsrc/lib.rs - x (line 3): test\nfast: benchmark\n\n2 tests, 1 benchmark\n";
    let names = ["a::b", "src/lib.rs - x (line 3)", "fast"];
    assert_eq!(
        Listed::read(output),
        Listed::Names(names.map(str::to_owned).to_vec())
    );
    let listing = |argv| list_argv(&words(argv)).map(|argv| argv.join(" "));
    assert_eq!(
        listing("cargo test -p x --test t name"),
        Some("cargo test -p x --test t name -- --list".into())
    );
    assert_eq!(
        listing("cargo t -p x -- --skip y"),
        Some("cargo t -p x -- --skip y --list".into())
    );
    assert_eq!(listing("cargo clippy -p x"), None);
    assert_eq!(listing("script/test"), None);
}

/// Code that the gate's build leaves out is not covered, though its file was compiled.
#[test]
fn conditions_on_changed_code_must_hold_in_the_gate() {
    let lib = "engine/src/lib.rs";
    let covered = |argv, file: &str, cfg: &str| {
        let part = ConditionalCode {
            file: file.into(),
            cfgs: vec![cfg.into()],
        };
        let case = Case {
            argv,
            conditional: vec![part.clone()],
            ..Case::default()
        };
        result(&case).covered.contains(&part.name())
    };
    let (bare, vulkan) = (
        "cargo test -p engine",
        "cargo test -p engine --features vulkan",
    );
    for (argv, cfg, wanted) in [
        (bare, r#"feature="vulkan""#, false),
        (vulkan, r#"feature="vulkan""#, true),
        (vulkan, r#"feature="shaders""#, true),
        (bare, r#"feature="cpu""#, true),
        (
            "cargo test -p engine --no-default-features",
            r#"feature="cpu""#,
            false,
        ),
        (
            "cargo test -p engine --all-features",
            r#"feature="shaders""#,
            true,
        ),
        (vulkan, r#"not(feature="vulkan")"#, false),
        (bare, r#"not(feature="vulkan")"#, true),
        (bare, r#"any(feature="vulkan",unix)"#, true),
        (bare, r#"all(unix,not(windows),test)"#, true),
        (bare, r#"target_os="linux""#, true),
        (bare, r#"target_os="macos""#, false),
        (bare, "debug_assertions", true),
        ("cargo test -p engine --release", "debug_assertions", false),
        (
            "cargo test -p engine --profile bench",
            "not(debug_assertions)",
            true,
        ),
        (bare, "not(test)", true),
        // What is not known does not hold, neither way.
        (bare, "loom", false),
        (bare, "not(loom)", false),
        (bare, "any(loom,unix)", true),
        (bare, "all(loom,unix)", false),
    ] {
        assert_eq!(covered(argv, lib, cfg), wanted, "{argv}: {cfg}");
    }
    // A file that was not compiled, and one of another package, whose features are not known.
    assert!(!covered(bare, "engine/src/vk/mod.rs", "unix"));
    let other = Conditions::of(&words(vulkan), "engine", MANIFEST, &[]);
    assert!(!other.hold("markers/src/lib.rs", &[r#"feature="vulkan""#.into()]));
}

#[test]
fn uncovered_code_is_listed_with_its_conditions() {
    let changed = [ChangedPath {
        path: "engine/src/lib.rs".into(),
        old: None,
        new: Some((FileMode::Regular, "2".into())),
    }];
    let conditional = [ConditionalCode {
        file: "engine/src/lib.rs".into(),
        cfgs: vec![r#"feature="vulkan""#.into()],
    }];
    let policy = Policy::parse("schema = 1\n").unwrap();
    let with = |argv| {
        result(&Case {
            argv,
            conditional: conditional.to_vec(),
            ..Case::default()
        })
    };
    let bare = with("cargo test -p engine");
    let refused = uncovered(std::slice::from_ref(&bare), &changed, &conditional, &policy);
    assert!(
        refused[0]
            .reason
            .ends_with(r#"no gate compiled: engine/src/lib.rs [feature="vulkan"]"#),
        "{refused:?}"
    );
    let both = [bare, with("cargo test -p engine --features vulkan")];
    assert_eq!(uncovered(&both, &changed, &conditional, &policy), []);
}

//! Changes that change nothing, that only report, and how lines are counted.

use attest::claim::ClaimKind;

use super::{check, codes, facts_of, tree};

const FILE: &str = "engine/src/plan.rs";
const BASE: &str = "use a::b;\n\n/// Plans.\nfn plan(a: &A) {\n    let c = b(a);\n    go(c);\n}\n";

fn swap(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replacen(from, to, 1)
}

#[test]
fn changes_without_effect() {
    check(
        FILE,
        BASE,
        &swap("/// Plans.", "/// Plans the graph."),
        "no_behavioural_change",
    );
    check(
        FILE,
        BASE,
        &swap("    go(c);", "    // why\n    go(c);"),
        "no_behavioural_change",
    );
    check(
        FILE,
        BASE,
        &swap("    go(c);", "    go(\n        c\n    );"),
        "no_behavioural_change",
    );
    check(
        "a.toml",
        "[a]\nb = 1\n",
        "# c\n[a]\nb   = 1\n",
        "no_behavioural_change",
    );
    check(
        "a.wgsl",
        "fn a() {}\n",
        "// x\nfn a() {}\n",
        "no_behavioural_change",
    );
    check("docs/a.md", "a\n", "b\n", "no_behavioural_change");
    assert_eq!(
        codes(&[(FILE, BASE)], &[(FILE, BASE)], ClaimKind::Fix),
        "no_behavioural_change"
    );
    check(FILE, BASE, &swap("b(a)", "b(a).next()"), "");
    check("a.toml", "[a]\nb = 1\n", "[a]\nb = 2\n", "");
    let swapped = "use a::b;\n\n/// Plans.\nfn plan(a: &A) {\n    go(c);\n    let c = b(a);\n}\n";
    check(FILE, BASE, swapped, "");
}

#[test]
fn instrumentation_is_no_fix() {
    for print in [
        "    println!(\"{c:?}\");",
        "    eprintln!(\n        \"{c:?}\"\n    );",
        "    tracing::debug!(?c);",
        "    log::info!(\"x\");",
        "    dbg!(&c);",
        "    telemetry::emit(c);",
        "    self.metrics.count(c);",
        "    if verbose { println!(\"x\"); }",
        "    let _span = tracing::info_span!(\"plan\").entered();",
    ] {
        check(
            FILE,
            BASE,
            &swap("    go(c);", &format!("{print}\n    go(c);")),
            "instrumentation_only@6",
        );
    }
    let stub = format!("{BASE}\nfn report(c: &C) {{\n    eprintln!(\"{{c:?}}\");\n}}\n");
    check(FILE, BASE, &stub, "instrumentation_only@9 symbol_unused@9");
    check(
        FILE,
        BASE,
        &swap("    go(c);", "    println!(\"x\");\n    go(c.fixed());"),
        "",
    );
    check(
        FILE,
        BASE,
        &swap("    go(c);", "    barrier(c);\n    go(c);"),
        "",
    );
    let head = swap("    go(c);", "    println!(\"x\");\n    go(c);");
    assert_eq!(
        codes(&[(FILE, BASE)], &[(FILE, &head)], ClaimKind::Diagnostic),
        ""
    );
    let test = ("tests/a.rs", "#[test]\nfn a() {\n    assert!(b());\n}\n");
    assert_eq!(
        codes(&[(FILE, BASE)], &[(FILE, &head), test], ClaimKind::Fix),
        "instrumentation_only"
    );
}

fn count(base: &[(&str, &str)], head: &[(&str, &str)], behavioural: u32, mechanical: u32) {
    let facts = facts_of(&tree(base), &tree(head), ClaimKind::Fix, None, None);
    assert_eq!(
        (facts.behavioural_lines, facts.mechanical_lines),
        (behavioural, mechanical),
        "{head:?}"
    );
}

#[test]
fn lines_are_counted_by_what_they_can_change() {
    count(&[(FILE, BASE)], &[(FILE, &swap("b(a)", "b(a.x)"))], 2, 0);
    count(
        &[(FILE, BASE)],
        &[(FILE, &swap("use a::b;", "use a::b;\nuse a::c;\n\n// why"))],
        0,
        3,
    );
    count(
        &[(FILE, BASE)],
        &[(FILE, &swap("    go(c);", "    /* why */ go(d);"))],
        2,
        0,
    );
    count(
        &[],
        &[("tests/a.rs", "#[test]\nfn a() {\n    assert!(b());\n}\n")],
        4,
        0,
    );
    let block = "fn one() {\n    two();\n    three();\n    four();\n}\n";
    count(
        &[("a.rs", block), ("b.rs", "fn b() { c(); }\n")],
        &[("b.rs", &format!("fn b() {{ c(); }}\n{block}"))],
        0,
        10,
    );
    count(&[("a.txt", "x\n")], &[("a.txt", "y\n")], 0, 2);
    let order = ("a.rs", "fn a() {\n    wait();\n    read();\n}\n");
    count(
        &[order],
        &[("a.rs", "fn a() {\n    read();\n    wait();\n}\n")],
        2,
        0,
    );
}

#[test]
fn conditions_around_changed_lines_are_noted() {
    let judged = |base: &str, head: &str| {
        let of = |text| tree(&[("src/lib.rs", text)]);
        facts_of(&of(base), &of(head), ClaimKind::Fix, None, None)
    };
    let base = "pub fn a() {}\n";
    let head = "#[cfg(feature = \"vulkan\")]\nmod gpu {\n    pub fn b() -> u32 {\n        2\n    }\n\n    \
                #[cfg(all(unix, test))]\n    pub fn c() -> u32 {\n        3\n    }\n}\npub fn a() {}\n\
                #[cfg(target_os = \"linux\")]\npub const D: u32 = 4;\n";
    let facts = judged(base, head);
    let found: Vec<String> = facts.conditional.iter().map(|part| part.name()).collect();
    assert_eq!(
        found,
        [
            "src/lib.rs [feature=\"vulkan\"]",
            "src/lib.rs [feature=\"vulkan\", unix]",
            "src/lib.rs [target_os=\"linux\"]",
        ]
    );
    // Only what the change touches: the constant alone.
    let later = head.replace("u32 = 4", "u32 = 5");
    let facts = judged(head, &later);
    let found: Vec<String> = facts.conditional.iter().map(|part| part.name()).collect();
    assert_eq!(found, ["src/lib.rs [target_os=\"linux\"]"]);
    assert_eq!(facts.tests_added, 0);
}

//! Declared sites against base and diff.

use attest::claim::{ClaimKind, PinnedTest, Site};

use super::{facts_of, tree};

const FILE: &str = "src/plan.rs";
const BASE: &str = "fn one() {\n    a();\n    b();\n}\n\nimpl Plan {\n    fn two(&self) {\n        c();\n    }\n}\n";

fn site(file: &str, function: Option<&str>, line_start: u32, line_end: u32) -> Site {
    Site {
        file: file.into(),
        function: function.map(str::to_owned),
        line_start,
        line_end,
    }
}

/// Codes, fields and reasons of the site findings, one per line.
fn found(head: &str, sites: &[Site]) -> String {
    let pin = PinnedTest {
        package: "p".into(),
        target: "t".into(),
        name: "t".into(),
        files: vec!["tests/t.rs".into()],
    };
    let head = tree(&[
        (FILE, head),
        ("tests/t.rs", "#[test] fn t() { assert!(x()); }\n"),
        ("src/same.rs", "fn s() {}\n"),
    ]);
    let base = tree(&[(FILE, BASE), ("src/same.rs", "fn s() {}\n")]);
    let facts = facts_of(&base, &head, ClaimKind::Fix, Some(&pin), Some(sites));
    let lines: Vec<_> = facts
        .site_findings
        .iter()
        .map(|r| format!("{} {}: {}", r.code, r.field, r.reason))
        .collect();
    lines.join("\n")
}

fn check(head: &str, sites: &[Site], expect: &str) {
    let found = found(head, sites);
    if expect.is_empty() {
        assert_eq!(found, "");
    } else {
        assert!(found.contains(expect), "wanted {expect}\nfound {found}");
    }
}

#[test]
fn sites_that_exist_and_are_touched() {
    let fixed = BASE.replace("    b();", "    bb();");
    check(&fixed, &[site(FILE, None, 3, 3)], "");
    check(&fixed, &[site(FILE, Some("one"), 1, 4)], "");
    let method = BASE.replace("c();", "d();");
    check(&method, &[site(FILE, Some("two"), 8, 8)], "");
    check(&method, &[site(FILE, Some("Plan::two"), 7, 9)], "");
    let inserted = BASE.replace("    b();", "    fence();\n    b();");
    for (start, end) in [(2, 2), (3, 3), (1, 4)] {
        check(&inserted, &[site(FILE, None, start, end)], "");
    }
    let both = BASE.replace("    a();\n    b();", "    x();\n    y();");
    check(&both, &[site(FILE, None, 2, 2), site(FILE, None, 3, 3)], "");
    check(&format!("use x;\n{BASE}"), &[site(FILE, None, 1, 1)], "");
}

#[test]
fn sites_that_do_not_exist() {
    let fixed = BASE.replace("    b();", "    bb();");
    check(
        &fixed,
        &[site("src/gone.rs", None, 1, 1)],
        "site_missing sites[0]: src/gone.rs does not exist in the base tree",
    );
    check(
        &fixed,
        &[site(FILE, None, 3, 99)],
        "site_missing sites[0]: src/plan.rs:3-99 does not exist: the base file has lines 1 to 10",
    );
    check(&fixed, &[site(FILE, None, 4, 3)], "site_missing");
    check(&fixed, &[site(FILE, None, 0, 0)], "site_missing");
    check(
        &fixed,
        &[site(FILE, Some("three"), 3, 3)],
        "site_missing sites[0]: src/plan.rs has no function `three` at base",
    );
    check(
        &fixed,
        &[site(FILE, Some("two"), 3, 3)],
        "site_missing sites[0]: src/plan.rs:3-3 does not lie in `two`, which stands at lines 7-9",
    );
    check(
        &fixed,
        &[site(FILE, Some("wo"), 7, 9)],
        "has no function `wo`",
    );
}

#[test]
fn sites_that_nothing_touches() {
    let fixed = BASE.replace("    b();", "    bb();");
    check(
        &fixed,
        &[site(FILE, None, 3, 3), site(FILE, None, 8, 8)],
        "site_does_not_overlap sites[1]: no hunk of the change touches src/plan.rs:8-8",
    );
    check(
        &fixed,
        &[site(FILE, None, 3, 3), site("src/same.rs", None, 1, 1)],
        "site_does_not_overlap sites[1]",
    );
}

#[test]
fn hunks_outside_every_site() {
    let two = BASE
        .replace("    b();", "    bb();")
        .replace("c();", "d();");
    check(
        &two,
        &[site(FILE, None, 3, 3)],
        "hunk_outside_sites sites: src/plan.rs:8 changes outside the declared sites",
    );
    check(
        &two,
        &[],
        "hunk_outside_sites sites: src/plan.rs:3 changes, and no site names the file",
    );
    check(&two, &[site(FILE, None, 1, 10)], "");
    let wide = BASE.replace("    a();\n    b();", "    x();\n    y();");
    check(
        &wide,
        &[site(FILE, None, 2, 2)],
        "hunk_outside_sites sites: src/plan.rs:2-3",
    );
    let both = BASE.replace("    a();", "    x();").replace("c();", "d();");
    check(&both, &[site(FILE, None, 2, 2), site(FILE, None, 8, 8)], "");
    let inserted = BASE.replace("    b();\n", "    b();\n    fence();\n");
    for (start, end) in [(1, 2), (5, 9)] {
        let far = [site(FILE, None, start, end)];
        check(
            &inserted,
            &far,
            "hunk_outside_sites sites: src/plan.rs: after line 3",
        );
    }
}

#[test]
fn new_files_are_declared_and_pinned_tests_are_exempt() {
    let base = tree(&[(FILE, BASE)]);
    let head = tree(&[(FILE, BASE), ("src/new.rs", "fn n() {}\n")]);
    let codes = |sites: &[Site]| {
        let facts = facts_of(&base, &head, ClaimKind::Fix, None, Some(sites));
        facts
            .site_findings
            .iter()
            .map(|refusal| refusal.code.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(codes(&[site("src/new.rs", None, 0, 0)]), "");
    assert_eq!(codes(&[]), "hunk_outside_sites");
    assert_eq!(
        codes(&[site("src/new.rs", None, 1, 1)]),
        "hunk_outside_sites site_missing"
    );
    assert_eq!(
        codes(&[
            site("src/new.rs", None, 0, 0),
            site("src/newer.rs", None, 0, 0)
        ]),
        "site_missing"
    );
}

#[test]
fn a_deleted_file_is_declared_as_a_whole() {
    let base = tree(&[(FILE, BASE), ("src/old.rs", "fn o() {\n}\n")]);
    let head = tree(&[(FILE, BASE)]);
    let codes = |end| {
        let sites = [site("src/old.rs", None, 1, end)];
        let facts = facts_of(&base, &head, ClaimKind::Fix, None, Some(&sites));
        facts
            .site_findings
            .iter()
            .map(|refusal| refusal.code.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(codes(2), "");
    assert_eq!(codes(1), "hunk_outside_sites");
}

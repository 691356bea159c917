//! The law file's form: what parses, what is refused with which line, what the linter finds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use invariants::{Error, Finding, Law, Pin, lint};
use proptest::prelude::*;

const GOOD: &str = "# Law\n\nLaws: 2\n\n## §1 Modes only through resolve\n\nProduction is `GpuSingleGraph`.\n\n\
    Pinned by: test profile::every_combination\nPinned by: type engine::profile::Profile\n\n\
    ## §2 One submit per token\nText.\n```\n## §9 not a law\nPinned by: nonsense\n```\nPinned by: test `gpu_smoke::one_submit`.\n";

#[test]
fn a_law_file_is_read_with_titles_texts_and_pins() {
    let law = Law::parse(GOOD).unwrap();
    assert_eq!(law.invariants.len(), 2);
    assert_eq!(lint(&law), []);
    let first = law.get("§1").unwrap();
    assert_eq!(
        (first.title.as_str(), first.line),
        ("Modes only through resolve", 5)
    );
    assert_eq!(first.text, "Production is `GpuSingleGraph`.");
    assert_eq!(first.pins[1].to_string(), "type engine::profile::Profile");
    let second = law.get("§2").unwrap();
    assert_eq!(
        second.pins,
        [Pin::Test {
            target: "gpu_smoke".into(),
            function: "one_submit".into()
        }]
    );
    assert!(second.text.contains("§9 not a law"));
    assert!(law.get("§9").is_none());
}

#[test]
fn malformed_lines_are_refused_with_their_number() {
    let check = |text: &str, expect: &str| {
        assert_eq!(
            Law::parse(text)
                .unwrap_err()
                .to_string()
                .split(": ")
                .next()
                .unwrap(),
            expect,
            "{text}"
        );
    };
    check("## §x Title", "line 1");
    check("\n## §01 Title", "line 2");
    check("## §1", "line 1");
    check("## §1 T\nPinned by: hope", "line 2");
    check("## §1 T\nPinned by: test no_target", "line 2");
    check("## §1 T\nPinned by: type a::", "line 2");
    check("Pinned by: type a::B", "line 1");
    check("## §1 T\n## Notes\nPinned by: type a::B", "line 3");
    check("Laws: many", "line 1");
    check("## §1 T\nLaws: 1", "line 2");
    check("## §1 T\n```\nforever", "line 2");
    assert!(matches!(
        Law::parse(&"x".repeat(2 << 20)),
        Err(Error::TooLong(_))
    ));
}

#[test]
fn the_linter_names_gaps_duplicates_missing_pins_and_wrong_counts() {
    let law = Law::parse(
        "Laws: 5\n## §1 A\nx\nPinned by: type a::B\nPinned by: type a::B\n## §3 B\n## §3 C\ny\n",
    )
    .unwrap();
    let findings = lint(&law);
    assert!(findings.contains(&Finding::Count {
        stated: 5,
        found: 3
    }));
    assert!(findings.contains(&Finding::Numbering {
        line: 6,
        expected: 2,
        found: 3
    }));
    assert!(findings.contains(&Finding::Duplicate {
        id: "§3".into(),
        first: 6,
        second: 7
    }));
    assert!(findings.contains(&Finding::NoPin {
        id: "§3".into(),
        line: 6
    }));
    assert!(findings.contains(&Finding::NoText {
        id: "§3".into(),
        line: 6
    }));
    assert!(findings.contains(&Finding::RepeatedPin {
        id: "§1".into(),
        pin: "type a::B".into()
    }));
    assert_eq!(findings.len(), 7);
    assert_eq!(lint(&Law::parse("").unwrap()), [Finding::Empty]);
}

#[test]
fn the_law_that_ships_is_without_findings() {
    let law = Law::builtin().unwrap();
    let findings: Vec<String> = lint(&law).iter().map(ToString::to_string).collect();
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    let digest = |text| Law::parse(text).unwrap().digest;
    assert_eq!(
        digest(""),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_ne!(digest("## §1 A\n"), digest("## §1 A"));
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "(\\PC|\n|## §[0-9]* |Pinned by: (test|type) |```|Laws: [0-9]){0,60}") {
        if let Ok(law) = Law::parse(&text) {
            lint(&law).iter().for_each(|finding| assert!(!finding.to_string().is_empty()));
        }
    }

    #[test]
    fn pins_print_and_read_back(target in "[a-z_][a-z0-9_]{0,8}", function in "[a-z_]{1,8}(::[a-z_]{1,8}){0,2}") {
        for pin in [Pin::Test { target: target.clone(), function: function.clone() }, Pin::Type { path: function.clone() }] {
            prop_assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
        }
    }
}

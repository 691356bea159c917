use std::collections::BTreeMap;

use attest::claim::ClaimKind;
use proptest::prelude::*;

use super::*;

const FILE: &str = "loop/playbooks/arena.toml";
/// `greenloop.toml` with one rule about paths and one about findings.
const OWN: &str = r#"schema = 1
[rule.assets]
paths = ["assets/**"]
codes = ["binary_change"]
decision = "allow"
because = "pictures are binary"
allow = ["assets/logo.png"]
refuse = ["src/logo.png"]
[rule.frozen]
paths = ["legacy/**"]
decision = "refuse"
because = "the old path is the reference"
allow = ["src/lib.rs"]
refuse = ["legacy/a.rs"]
"#;
/// What a class file may carry besides its class.
const ADDED: &str = r#"name = "arena"
[claim_rule.no_shaders]
paths = ["**/*.spv"]
codes = ["binary_change"]
decision = "refuse"
because = "a shader is debugged from its source"
allow = ["shaders/a.wgsl"]
refuse = ["assets/a.spv"]
[claim_rule.uploads]
paths = ["upload/**"]
decision = "warn"
because = "the upload path ran out of its arena twice"
allow = ["upload/a.rs"]
refuse = ["upload/staging/a.rs"]
[claim_rule.staging]
paths = ["upload/staging/**"]
decision = "refuse"
because = "its size is negotiated"
allow = ["upload/a.rs"]
refuse = ["upload/staging/a.rs"]
"#;

fn own() -> Policy {
    Policy::parse(OWN).unwrap()
}

fn joined(text: &str) -> Result<Policy, String> {
    own()
        .with_claim_rules([(FILE, text)])
        .map_err(|error| error.to_string())
}

/// File, name and decision of the strictest rule.
fn told(policy: &Policy, code: Option<&str>, path: &str) -> Option<(String, String, RuleDecision)> {
    let ruling = policy.ruling(ClaimKind::Fix, code, path)?;
    Some((ruling.file.into(), ruling.name.into(), ruling.decision))
}

#[test]
fn a_class_file_refuses_what_the_policy_lets_pass_and_says_which_file() {
    let policy = joined(ADDED).unwrap();
    let binary = Some("binary_change");
    let added = |name: &str, decision| Some((FILE.into(), name.into(), decision));
    let own = |name: &str, decision| Some(("greenloop.toml".into(), name.into(), decision));
    let (allow, warn, refuse) = (
        RuleDecision::Allow,
        RuleDecision::Warn,
        RuleDecision::Refuse,
    );
    assert_eq!(
        told(&policy, binary, "assets/a.spv"),
        added("no_shaders", refuse)
    );
    assert_eq!(
        told(&policy, binary, "assets/logo.png"),
        own("assets", allow)
    );
    assert_eq!(told(&policy, None, "upload/a.rs"), added("uploads", warn));
    assert_eq!(
        told(&policy, None, "upload/staging/a.rs"),
        added("staging", refuse)
    );
    assert_eq!(told(&policy, None, "legacy/a.rs"), own("frozen", refuse));
    let (refused, warned) =
        policy.judged_paths(ClaimKind::Fix, &["upload/staging/a.rs", "upload/a.rs"]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code, "policy_rule");
    assert_eq!(
        refused[0].remedy,
        "leave these files out, or change `[claim_rule.staging]` of loop/playbooks/arena.toml by a policy_change claim"
    );
    assert_eq!(
        warned,
        [
            "`[claim_rule.uploads]` of loop/playbooks/arena.toml: upload/a.rs: the upload path ran out of its arena twice"
        ]
    );
    let all = policy.effective_rules().map(|rule| (rule.file, rule.name));
    assert_eq!(
        all.collect::<Vec<_>>(),
        [
            ("greenloop.toml", "assets"),
            ("greenloop.toml", "frozen"),
            (FILE, "no_shaders"),
            (FILE, "staging"),
            (FILE, "uploads"),
        ]
    );
}

/// A finding that the policy says nothing about stands, also where a class file would only warn of it.
#[test]
fn a_class_file_lets_no_finding_pass() {
    let text = ADDED.replacen("decision = \"refuse\"", "decision = \"warn\"", 1);
    // The warning's own example of a refusal no longer holds, and is left to another rule of the file.
    let text = text.replacen("[claim_rule.uploads]", SHADERS, 1);
    let policy = joined(&text).unwrap();
    let finding = |path: &str| {
        crate::model::Refusal::new("binary_change", "change", format!("{path} is binary"), "x")
    };
    let judged = |policy: &Policy, path: &str| {
        let (stand, told) = policy.judged(ClaimKind::Fix, &[finding(path)], &[path]);
        (stand.len(), told.len())
    };
    assert_eq!(judged(&own(), "src/b.spv"), (1, 0));
    assert_eq!(judged(&policy, "src/b.spv"), (1, 0));
    assert_eq!(judged(&own(), "assets/b.spv"), (0, 0));
    assert_eq!(judged(&policy, "assets/b.spv"), (0, 1));
    assert_eq!(judged(&policy, "assets/a.spv"), (1, 0));
}

const SHADERS: &str = r#"[claim_rule.one_shader]
paths = ["assets/a.spv"]
codes = ["binary_change"]
decision = "refuse"
because = "x"
allow = ["assets/b.spv"]
refuse = ["assets/a.spv"]
[claim_rule.uploads]"#;

#[test]
fn a_policy_file_cannot_hold_the_rules_of_class_files() {
    let text = format!("{OWN}[claim_rules.x]\n");
    let error = Policy::parse(&text).unwrap_err().to_string();
    assert!(error.contains("unknown key `claim_rules`"), "{error}");
}

#[test]
fn each_mistake_of_a_class_file_is_named_with_file_and_place() {
    let cases = [
        (
            "decision = \"refuse\"",
            "decision = \"allow\"",
            "5:12: a class file only makes stricter; write `warn` or `refuse`, or let it pass in greenloop.toml",
        ),
        (
            "decision = \"refuse\"",
            "decision = \"forbid\"",
            "5:12: `claim_rule.no_shaders.decision` knows no `forbid`",
        ),
        (
            "because = \"a shader",
            "reason = \"a shader",
            "6:1: unknown key `reason` in [claim_rule.no_shaders]",
        ),
        (
            "refuse = [\"assets/a.spv\"]",
            "refuse = [\"assets/a.png\"]",
            "8:11: `assets/a.png` is let pass by the rules as they stand",
        ),
        (
            "allow = [\"shaders/a.wgsl\"]",
            "allow = [\"a.spv\"]",
            "7:10: `a.spv` is refused by the rules as they stand",
        ),
        (
            "codes = [\"binary_change\"]",
            "codes = [\"test_deleted\"]",
            "`test_deleted` is no finding that a policy judges",
        ),
        (
            "paths = [\"**/*.spv\"]",
            "paths = [\"**/*.spv\", \"assets/*\"]",
            "3:9: it refuses assets/logo.png, which `[rule.assets]` of greenloop.toml shows as one that passes",
        ),
        (
            "paths = [\"upload/staging/**\"]",
            "paths = [\"upload/staging/**\", \"*.toml\"]",
            "it refuses every change of greenloop.toml",
        ),
        (
            "paths = [\"upload/staging/**\"]",
            "paths = [\"upload/staging/**\", \"loop/**\"]",
            "it refuses every change of loop/playbooks/arena.toml",
        ),
        (
            "[claim_rule.staging]",
            "[claim_rule.\"../x\"]",
            "`../x` cannot name a rule",
        ),
        (
            "[claim_rule.no_shaders]",
            "[[claim_rule]]",
            "`claim_rule` must be a table",
        ),
    ];
    for (from, to, wanted) in cases {
        let text = ADDED.replacen(from, to, 1);
        assert_ne!(text, ADDED, "the case changes nothing: {from}");
        let error = joined(&text).err().unwrap_or_default();
        let first = error.lines().find(|line| line.contains(wanted));
        assert!(
            first.is_some_and(|line| line.starts_with("loop/playbooks/arena.toml:")),
            "{from} → {to}\nwanted {wanted}\nfound {error}"
        );
    }
    let twice = own().with_claim_rules([(FILE, ADDED), (FILE, &ADDED.replace("twice", "often"))]);
    let error = twice.unwrap_err().to_string();
    assert!(error.contains("was read before"), "{error}");
    let large = format!("{ADDED}#{}", " ".repeat(300_000));
    let error = joined(&large).unwrap_err();
    assert!(error.contains("at most 262144 are read"), "{error}");
}

const PATHS: &[&str] = &["a/x.rs", "a/b/x.rs", "c/x.rs", "x.rs"];
const GLOBS: &[&str] = &["a/**", "a/*", "**/x.rs", "c/x.rs"];

fn rules(
    decisions: &'static [RuleDecision],
) -> impl Strategy<Value = BTreeMap<String, RulePolicy>> {
    let rule = (
        prop::sample::subsequence(GLOBS, 1..=2),
        prop::sample::select(decisions),
        prop::sample::select(vec![None, Some("panic_added")]),
        prop::sample::select(vec![None, Some(ClaimKind::Fix)]),
    );
    let rule = rule.prop_map(|(globs, decision, code, kind)| RulePolicy {
        paths: globs.into_iter().map(String::from).collect(),
        kinds: kind.into_iter().collect(),
        codes: code.into_iter().map(String::from).collect(),
        decision,
        because: "x".into(),
        allow: Vec::new(),
        refuse: Vec::new(),
    });
    prop::collection::btree_map("[a-d]", rule, 0..4)
}

/// A class file that carries these rules; its examples are those that its own rules answer.
fn class_file(rules: &BTreeMap<String, RulePolicy>) -> String {
    let mut text = String::from("name = \"x\"\n");
    for (name, rule) in rules {
        let mut rule = rule.clone();
        let refused = |path: &&&str| {
            check::questions(&rule).all(|(kind, code)| {
                rule::strictest("f", rules, kind, code, path)
                    .is_some_and(|ruling| ruling.decision == RuleDecision::Refuse)
            })
        };
        let Some(refuse) = PATHS.iter().find(refused) else {
            continue;
        };
        rule.refuse = vec![(*refuse).to_owned()];
        rule.allow = vec!["nothing/speaks".into()];
        let one = BTreeMap::from([("claim_rule", BTreeMap::from([(name, rule)]))]);
        text.push_str(&toml::to_string(&one).unwrap());
    }
    text
}

/// What becomes of a path or a finding; later is stricter.
fn outcomes(policy: &Policy) -> Vec<RuleDecision> {
    let mut found = Vec::new();
    for kind in [ClaimKind::Fix, ClaimKind::Diagnostic] {
        for code in [None, Some("panic_added")] {
            for path in PATHS {
                let silent = match code {
                    None => RuleDecision::Allow,
                    Some(_) => RuleDecision::Refuse,
                };
                let said = policy.ruling(kind, code, path);
                found.push(said.map_or(silent, |ruling| ruling.decision));
            }
        }
    }
    found
}

proptest! {
    /// Whatever class files are added, in whatever order and however often: nothing becomes looser, and
    /// the policy is the same.
    #[test]
    fn added_rules_only_make_stricter(
        own in rules(&[RuleDecision::Allow, RuleDecision::Warn, RuleDecision::Refuse]),
        one in rules(&[RuleDecision::Warn, RuleDecision::Refuse]),
        other in rules(&[RuleDecision::Warn, RuleDecision::Refuse]),
    ) {
        let base = Policy { rule: own, ..Policy::parse("schema = 1\n").unwrap() };
        let (one, other) = (class_file(&one), class_file(&other));
        let with = |files: &[(&str, &str)]| base.clone().with_claim_rules(files.iter().copied()).unwrap();
        let (a, b) = (("a.class", one.as_str()), ("b.class", other.as_str()));
        let single = with(&[a]);
        let both = with(&[a, b]);
        prop_assert_eq!(&both, &with(&[b, a]));
        prop_assert_eq!(&both, &with(&[a, b, a, b]));
        let steps = [outcomes(&base), outcomes(&single), outcomes(&both)];
        for pair in steps.windows(2) {
            prop_assert!(pair[0].iter().zip(&pair[1]).all(|(before, after)| before <= after), "{pair:?}");
        }
        // Of two files the strictest wins, whichever it is.
        let alone = outcomes(&with(&[b]));
        let strictest: Vec<_> = steps[1].iter().zip(&alone).map(|(x, y)| *x.max(y)).collect();
        prop_assert_eq!(&steps[2], &strictest);
    }

    #[test]
    fn a_damaged_class_file_never_panics(at in 0..ADDED.len(), len in 0_usize..40, put in "[\\]\\[{}=\",.a-z0-9\n-]{0,6}") {
        let end = (at + len).min(ADDED.len());
        let text = format!("{}{put}{}", &ADDED[..at], &ADDED[end..]);
        if let Err(error) = own().with_claim_rules([(FILE, text.as_str())]) {
            prop_assert!(!error.error.problems.is_empty());
        }
    }
}

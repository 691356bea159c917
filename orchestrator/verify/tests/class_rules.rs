//! Rules over claims in class files are read from the base commit, by the daemon and by a clone alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod support;

use discipline::policy::RuleDecision;
use support::{Edits, Made, World, now_ms};
use verify::{Moment, Terms, Trust, base_facts, check_commit};

const DIRS: &str = "\n[playbooks]\ndirs = [\"loop/playbooks\"]\n";
const FILE: &str = "loop/playbooks/fan.toml";
const CLASS: &str = concat!(
    include_str!("../../../playbooks/tests/class/fan_failure.toml"),
    include_str!("../../../playbooks/tests/class/reviewed_rule.toml")
);

fn world(class: &str) -> World {
    World::with(DIRS, &[(FILE, class)])
}

/// Codes and fields, with the reasons behind them.
fn refused(world: &World, made: &Made) -> Vec<String> {
    let trust = Trust::from_signers(Some(&world.path("signers"))).unwrap();
    let terms = Terms {
        trust: &trust,
        moment: Moment::Hook { now_ms: now_ms() },
        evidence: None,
    };
    let object = Some(made.attestation.as_str());
    let report = check_commit(
        &world.reader(),
        &made.commit,
        object,
        Some(support::MAIN),
        &terms,
    );
    let refused = report.unwrap().refused.into_iter();
    refused
        .map(|one| format!("{} @ {}: {}", one.code, one.field, one.reason))
        .collect()
}

#[test]
fn a_push_that_a_class_file_of_its_base_refuses_is_refused_from_a_clone() {
    let frozen = world(CLASS);
    let found = refused(&frozen, &frozen.make(Edits::default()));
    assert!(
        found.iter().any(|one| one.contains("policy_rule")),
        "{found:#?}"
    );
    // The same claim, whose attestation leaves the rules of the class file out.
    let forgets = Edits {
        input: |input| input.policy.policy.claim_rules.clear(),
        ..Edits::default()
    };
    let found = refused(&frozen, &frozen.make(forgets));
    assert!(
        found
            .iter()
            .any(|one| one.starts_with("attestation_mismatch @ policy:")),
        "{found:#?}"
    );
    let elsewhere = world(&CLASS.replace("src/", "examples/"));
    assert_eq!(
        refused(&elsewhere, &elsewhere.make(Edits::default())),
        [""; 0]
    );
}

#[test]
fn the_base_tells_which_file_each_rule_comes_from() {
    let world = world(CLASS);
    let base = base_facts(&world.reader(), &world.base).unwrap();
    let rules = base.facts.policy.effective_rules();
    let told: Vec<_> = rules
        .map(|one| (one.file.to_owned(), one.name.to_owned(), one.rule.decision))
        .collect();
    assert_eq!(
        told,
        [(FILE.to_owned(), "reviewed".to_owned(), RuleDecision::Refuse)]
    );
}

#[test]
fn an_example_that_its_rules_answer_otherwise_stops_the_load_and_is_named() {
    let wrong = world(&CLASS.replace("allow = [\"tests/sums.rs\"]", "allow = [\"src/main.rs\"]"));
    let error = base_facts(&wrong.reader(), &wrong.base)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(
            "loop/playbooks/fan.toml:22:10: `src/main.rs` is refused by the rules as they stand"
        ),
        "{error}"
    );
}

/// The folder is none that the default globs protect; that the policy names it is enough.
#[test]
fn a_class_file_of_the_project_never_rides_with_code() {
    let world = world(&CLASS.replace("src/", "examples/"));
    let text = CLASS.replace("src/", "benches/");
    let made = world.make_with(&world.tree_with(FILE, &text), Edits::default());
    let found = refused(&world, &made);
    let named = |code: &str| found.iter().any(|one| one.contains(code));
    assert!(named("protected_path") && named(FILE), "{found:#?}");
}

//! The builtin playbooks: they load, every file is listed, the order is the one that is written down.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::path::Path;

use markers::Catalogue;
use playbooks::{CLASS_FILES, ClassName, Disposition, Playbooks, RunFacts, SCOPE_FILES, classify};

fn builtin() -> (Catalogue, Playbooks) {
    let catalogue = Catalogue::builtin().unwrap();
    let playbooks = Playbooks::builtin(&catalogue).unwrap_or_else(|error| panic!("{error}"));
    (catalogue, playbooks)
}

#[test]
fn classes_stand_in_their_fixed_order() {
    let (_, playbooks) = builtin();
    let names: Vec<&str> = playbooks
        .classes()
        .iter()
        .map(|class| class.name.as_str())
        .collect();
    let order = "no_signal infra build vulkan_init driver_crash gpu_hang invalid_setup test green_unproven passed unclassified";
    assert_eq!(names.join(" "), order);
    assert_eq!(playbooks.class("passed").unwrap().name, ClassName::PASSED);
}

#[test]
fn every_workflow_proves_one_scope() {
    let (_, playbooks) = builtin();
    let workflows: BTreeSet<&str> = playbooks
        .scopes()
        .iter()
        .map(|scope| scope.workflow.as_str())
        .collect();
    assert_eq!(workflows.len(), 4);
    assert_eq!(
        playbooks
            .scope("vulkan_kernel_correctness")
            .unwrap()
            .workflow,
        "gpu-tests.yml"
    );
}

#[test]
fn every_file_of_the_folders_is_listed() {
    for (folder, listed) in [("classes", CLASS_FILES), ("scopes", SCOPE_FILES)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names: BTreeSet<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed: BTreeSet<String> = listed.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, names);
    }
}

const CLASS: &str = include_str!("class/fan_failure.toml");

#[test]
fn a_project_adds_a_class_with_one_file() {
    let (catalogue, builtin) = builtin();
    let playbooks = Playbooks::with_project([("fan.toml", CLASS)], &catalogue).unwrap();
    assert_ne!(playbooks.digest(), builtin.digest());
    let facts = RunFacts {
        exit_code: Some(77),
        executed_steps: 1,
        ..RunFacts::default()
    };
    let result = classify(&playbooks, &catalogue, &facts, &[]);
    assert_eq!(result.class, "fan_failure");
    assert_eq!(
        result.disposition,
        Disposition::FixEnvironment {
            remedy: "Replace the fan.".into()
        }
    );
    assert_eq!(result.hits[0].facts, ["exit_code = 77"]);
}

#[test]
fn class_files_hand_on_their_rules_over_claims() {
    let (catalogue, builtin) = builtin();
    assert_eq!(builtin.claim_rule_files(), []);
    let without = Playbooks::with_project([("loop/fan.toml", CLASS)], &catalogue).unwrap();
    assert_eq!(without.claim_rule_files(), []);
    let text = format!("{CLASS}\n[claim_rule.no_fans]\npaths = [\"fans/**\"]\n");
    let playbooks =
        Playbooks::with_project([("loop/fan.toml", text.as_str())], &catalogue).unwrap();
    assert_eq!(
        playbooks.claim_rule_files(),
        [("loop/fan.toml".to_owned(), text.clone())]
    );
    assert_ne!(playbooks.digest(), without.digest());
}

#[test]
fn wrong_files_and_examples_stop_the_load_and_are_named() {
    let (catalogue, _) = builtin();
    let check = |from: &str, to: &str, expect: &str| {
        let text = CLASS.replacen(from, to, 1);
        assert_ne!(text, CLASS, "{from}");
        let error = Playbooks::with_project([("fan.toml", text.as_str())], &catalogue)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expect) && error.contains("fan.toml"),
            "{error}"
        );
    };
    check(
        "exit_code = 77,",
        "exit_code = 76,",
        "match 1 is wrong: it is classified as unclassified",
    );
    check(
        "exit_code = 78,",
        "exit_code = 77,",
        "not_match 1 is wrong: a rule holds although another code",
    );
    check("exit_code = [77]", "exit_status = [77]", "unknown field");
    check("facts = { exit_code = [77] }", "", "has no condition");
    check(
        "facts = { exit_code = [77] }",
        "when = [\"present bakcend\"]",
        "did you mean `backend`?",
    );
    check(
        "facts = { exit_code = [77] }",
        "when = [\"present\"]",
        "expected a marker name",
    );
    check("order = 75", "order = 80", "both define order 80");
    check("fan_failure", "infra", "both define class `infra`");
    check(
        "disposition = \"fix_environment\"",
        "disposition = \"give_up\"",
        "unknown variant",
    );
    let missing = Playbooks::load(CLASS_FILES.iter().copied().take(3), [], &catalogue).unwrap_err();
    assert!(
        missing.to_string().contains("no class `passed`"),
        "{missing}"
    );
    let scope = "name = \"s\"\nworkflow = \"gpu-tests.yml\"\nproves = []\n";
    let twice = Playbooks::load(
        CLASS_FILES.iter().copied(),
        SCOPE_FILES.iter().copied().chain([("s.toml", scope)]),
        &catalogue,
    );
    assert!(
        twice
            .unwrap_err()
            .to_string()
            .contains("both define workflow `gpu-tests.yml`")
    );
}

#[test]
fn the_cells_of_the_kernel_scope_are_those_that_run() {
    let (_, playbooks) = builtin();
    assert_eq!(
        playbooks.scope("vulkan_kernel_correctness").unwrap().cells,
        [
            "noop-0-summary",
            "noop-50-summary",
            "noop-100-summary",
            "noop-0-full"
        ]
    );
}

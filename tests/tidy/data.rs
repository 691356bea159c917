//! Data files are listed, checked and covered: a forgotten one is a failure.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{files, read, relative, root};

fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let files = files(folder, extension).into_iter();
    files
        .map(|path| {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn every_marker_file_is_in_the_built_in_catalogue() {
    // Loading checks every example of every file and fails by name.
    let catalogue = markers::Catalogue::builtin().expect("the built-in catalogue loads");
    let folder = root().join("orchestrator/markers/catalog");
    let named: BTreeSet<String> = catalogue
        .markers()
        .iter()
        .map(|marker| marker.name.to_string())
        .collect();
    assert_eq!(
        named,
        stems(&folder, "toml"),
        "catalog/*.toml and the list of built-in files differ"
    );
}

#[test]
fn every_class_has_a_playbook_and_a_corpus_log() {
    let classes = stems(&root().join("playbooks/classes"), "toml");
    let logs = stems(&root().join("tests/corpus"), "log");
    assert_eq!(
        classes, logs,
        "each class needs playbooks/classes/NAME.toml and tests/corpus/NAME.log"
    );
    let catalogue = markers::Catalogue::builtin().expect("the built-in catalogue loads");
    playbooks::Playbooks::builtin(&catalogue).expect("playbooks load, their examples hold");
}

#[test]
fn every_seeded_bug_has_both_files() {
    let bank = root().join("engine/bugs");
    assert_eq!(
        stems(&bank, "patch"),
        stems(&bank, "toml"),
        "a bug is NAME.patch and NAME.toml"
    );
    assert!(
        stems(&bank, "patch").len() >= 2,
        "{} holds fewer than two bugs",
        relative(&bank)
    );
}

#[test]
fn the_law_has_no_findings() {
    let law = invariants::Law::builtin().expect("the law parses");
    let findings = invariants::lint(&law);
    assert!(findings.is_empty(), "{findings:?}");
}

/// A fused kernel runs nowhere before it has answered the seven questions, so that whatever changes one
/// has to pass the gate that asks them.
#[test]
fn fused_kernels_are_asked_the_seven_questions() {
    let text = read(&root().join("greenloop.toml"));
    let policy = discipline::policy::Policy::parse(&text).expect("greenloop.toml is valid");
    for changed in [
        "engine/src/fuse/patterns.rs",
        "engine/src/kernels.rs",
        "engine/shaders/qkv.wgsl",
        "engine/shaders/ffn.wgsl",
        "engine/shaders/residual_norm.wgsl",
    ] {
        assert!(root().join(changed).is_file(), "{changed} is gone");
        let required = policy.required_gates(&[changed]);
        assert!(
            required.contains(&"engine_fusions".to_owned()),
            "{changed}: {required:?}"
        );
    }
    let other = policy.required_gates(&["engine/src/plan.rs"]);
    assert!(!other.contains(&"engine_fusions".to_owned()), "{other:?}");
}

#[test]
fn this_repository_has_a_valid_policy() {
    let text = read(&root().join("greenloop.toml"));
    discipline::policy::Policy::parse(&text).expect("greenloop.toml is valid");
    let fixture = read(&root().join("tests/fixture-project/greenloop.toml"));
    discipline::policy::Policy::parse(&fixture).expect("the fixture project's policy is valid");
}

#[test]
fn every_seeded_bug_has_an_honest_claim_on_a_test_that_it_turns_red() {
    let honest = acceptance::support::honest::read().expect("honest.toml reads");
    let claimed: Vec<&str> = honest
        .claim
        .iter()
        .map(|known| known.bug.as_str())
        .collect();
    let distinct: BTreeSet<String> = claimed.iter().map(|bug| (*bug).to_owned()).collect();
    assert_eq!(distinct.len(), claimed.len(), "a bug has two claims");
    assert_eq!(distinct, stems(&root().join("engine/bugs"), "patch"));
    for known in &honest.claim {
        known
            .patch()
            .expect("its description calls the pinned test red");
    }
    let short = honest.claim.iter().filter(|known| known.short).count();
    assert_eq!(short, 3, "script/test tries three at every change");
}

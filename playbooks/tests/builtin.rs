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
use playbooks::{CLASS_FILES, ClassName, Playbooks, SCOPE_FILES};

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

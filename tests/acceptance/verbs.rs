//! Verbs answer in a stable, versioned JSON.

use acceptance::story::Product;
use acceptance::support::bin;
use acceptance::support::project::{Project, Scene};
use serde_json::Value;

#[test]
fn every_verb_that_needs_no_claim_answers_in_versioned_json() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = Scene::set(Project::Fixture, work.path(), runtime.path()).unwrap();
    let product = Product::new(&scene);
    let run = product
        .expect(6, &["run", "path_equivalence", "--cell", "debug"])
        .unwrap();
    let log_id = run["run"]["jobs"][0]["log"]["log_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let verbs: [&[&str]; 9] = [
        &["doctor"],
        &["daemon"],
        &["status"],
        &["runs"],
        &["classify", "R1"],
        &["markers", "R1"],
        &["markers", &log_id],
        &["log", &log_id, "--line", "1:2"],
        &["claim"],
    ];
    for verb in verbs {
        let (_, answer) = product.call(verb).unwrap();
        assert_eq!(answer["schema"], 1, "{verb:?}: {answer}");
    }
    for _ in ["running", "stopped"] {
        assert_eq!(product.expect(0, &["stop"]).unwrap()["schema"], 1);
    }
}

#[test]
fn doctor_names_the_device_that_the_engine_finds() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = Scene::set(Project::Fixture, work.path(), runtime.path()).unwrap();
    let caps = std::process::Command::new(bin("engine").unwrap())
        .args(["caps", "--json"])
        .output()
        .unwrap();
    let caps: Value = serde_json::from_slice(&caps.stdout).unwrap();
    let found = Product::new(&scene).doctor_found("vulkan device").unwrap();
    assert_eq!(caps["device"], found.as_str());
}

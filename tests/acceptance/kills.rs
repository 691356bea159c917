//! One SIGKILL in each phase: nothing acknowledged is lost, and nothing is pushed twice.

use std::collections::BTreeSet;
use std::path::PathBuf;

use acceptance::story::Product;
use acceptance::support::git::git;
use acceptance::support::journal::Assassin;
use acceptance::support::project::{Project, Scene};
use serde_json::Value;

/// The event after which the daemon dies, by phase.
const PHASES: &[(&str, &str)] = &[
    ("drafting", "hypothesis_opened"),
    ("drafting", "claim_proposed"),
    ("gates", "gates_started"),
    ("gates", "gate_finished"),
    ("commit", "gates_finished"),
    ("commit", "claim_staged"),
    ("approval", "claim_approved"),
    ("push", "push_intended"),
    ("push", "push_settled"),
    ("run", "run_changed"),
    ("grading", "run_classified"),
    ("grading", "claim_verified"),
];

#[test]
fn a_kill_in_any_phase_loses_nothing_and_pushes_once() {
    // One scene after the other: they share the machine's cores and its lease.
    for (phase, event) in PHASES {
        let killed = std::panic::catch_unwind(|| one_kill(event));
        assert!(killed.is_ok(), "killed in phase {phase}, after {event}");
    }
}

fn one_kill(event: &str) {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = Scene::set(Project::Fixture, work.path(), runtime.path()).unwrap();
    let product = Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    let state_dir = PathBuf::from(
        product.call(&["status"]).unwrap().1["state_dir"]
            .as_str()
            .unwrap(),
    );

    let victim = product.daemon_pid().unwrap().expect("a daemon runs");
    let assassin = Assassin::hire(&state_dir.join("journal"), event, victim).unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut step = |run: &mut dyn FnMut() -> Option<Vec<String>>| {
        // The step that dies is repeated, as an agent or a person would.
        let ids = run()
            .or_else(&mut *run)
            .unwrap_or_else(|| panic!("after a kill at {event}, a step fails again"));
        acknowledged.extend(ids);
    };
    step(&mut || agent(&product, "claim"));
    step(&mut || agent(&product, "gates"));
    step(&mut || approve(&scene, &product));
    step(&mut || agent(&product, "push"));
    assert!(assassin.dismiss().unwrap(), "{event} never happened");

    let (_, status) = product.call(&["status"]).unwrap();
    let confirmed = status["claims"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|claim| claim["state"] == "confirmed");
    let confirmed: Vec<&Value> = confirmed.collect();
    assert_eq!(confirmed.len(), 1, "{status}");
    let remembered = status.to_string();
    for id in &acknowledged {
        assert!(
            remembered.contains(id.as_str()),
            "{id} was acknowledged and is gone"
        );
    }
    let commit = confirmed[0]["commit"].as_str().unwrap();
    assert_eq!(git(&scene.bare, &["rev-parse", "main"]).unwrap(), commit);
    assert_eq!(
        git(&scene.bare, &["rev-parse", "main^"]).unwrap(),
        scene.base,
        "more than one commit was pushed"
    );
    let attested = git(&scene.bare, &["for-each-ref", "refs/greenloop/attest"]).unwrap();
    assert_eq!(attested.lines().count(), 1, "{attested}");
    product.expect(0, &["stop"]).unwrap();
}

/// Runs a phase of the agent; ids and digests it was told, or `None` when it failed.
fn agent(product: &Product<'_>, phase: &str) -> Option<Vec<String>> {
    let said = product.agent(phase, |_| {}).ok()?;
    let mut ids = Vec::new();
    for said in said {
        for key in ["claim_digest", "cause", "dead"] {
            ids.extend(
                said.data
                    .get(key)
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
        }
    }
    Some(ids)
}

fn approve(scene: &Scene, product: &Product<'_>) -> Option<Vec<String>> {
    let (_, status) = product.call(&["status"]).ok()?;
    let claim = status["claims"]
        .as_array()?
        .iter()
        .find(|claim| claim["state"] != "drafted")?
        .clone();
    let id = claim["claim_id"].as_str()?.to_owned();
    if claim["state"] == "approved" {
        return Some(vec![id]);
    }
    let key = scene.approver.to_string_lossy();
    let (code, _) = product.call(&["approve", &id, "--key", &key]).ok()?;
    (code == 0).then(|| vec![id])
}

//! Bad input meets a typed error or a refusal with its remedy, and nothing is lost.

mod agents;
mod clock;
mod disk;
mod newer;
mod repositories;

use std::process::Command;

use acceptance::story::Product;
use acceptance::support::bin;
use acceptance::support::git::git;
use acceptance::support::project::{Project, Scene};
use serde_json::Value;

/// Folders that last as long as a test.
pub(crate) struct Place {
    pub(crate) work: tempfile::TempDir,
    pub(crate) runtime: tempfile::TempDir,
}

pub(crate) fn place() -> Place {
    Place {
        work: tempfile::tempdir().unwrap(),
        runtime: tempfile::Builder::new().prefix("gl-").tempdir().unwrap(),
    }
}

pub(crate) fn fixture(place: &Place) -> Scene {
    Scene::set(Project::Fixture, place.work.path(), place.runtime.path()).unwrap()
}

/// Runs a verb and answers with its exit code and what it wrote to standard error.
fn complains(product: &Product<'_>, args: &[&str]) -> (i32, String) {
    let output = product.command(args).unwrap().output().unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn unknown_settings_keys_name_the_valid_ones() {
    let place = place();
    let scene = fixture(&place);
    std::fs::write(&scene.config, "signer = \"x\"\n").unwrap();
    let (code, said) = complains(&Product::new(&scene), &["status"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("signer") && said.contains("signers"),
        "{said}"
    );
}

#[test]
fn an_unknown_policy_key_names_the_nearest() {
    let place = place();
    let scene = fixture(&place);
    let policy = scene.repo.join("greenloop.toml");
    let text = std::fs::read_to_string(&policy)
        .unwrap()
        .replace("guarded_refs", "guarded_reffs");
    std::fs::write(&policy, text).unwrap();
    git(
        &scene.repo,
        &["commit", "--quiet", "--all", "-m", "Rename a key"],
    )
    .unwrap();
    publish_past_the_hook(&scene);
    let product = Product::new(&scene);
    let (code, said) = complains(&product, &["run", "path_equivalence"]);
    product.call(&["stop"]).unwrap();
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("guarded_reffs") && said.contains("guarded_refs"),
        "{said}"
    );
}

#[test]
fn unknown_ids_name_what_exists() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    for args in [
        ["classify", "R9"].as_slice(),
        &["claim", "C9"],
        &[
            "log",
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ],
        &["log", "not-a-digest"],
        &["run", "no_such_scope"],
        &["run", "path_equivalence", "--cell", "no_such_cell"],
        &["why", "0000000000000000000000000000000000000000"],
    ] {
        let (code, said) = complains(&product, args);
        assert_eq!(code, 2, "{args:?}: {said}");
        assert!(
            said.starts_with("greenloop: ") || said.contains("\ngreenloop: "),
            "{args:?}: {said}"
        );
    }
    let (_, said) = complains(&product, &["run", "no_such_scope"]);
    assert!(said.contains("path_equivalence"), "{said}");
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_second_daemon_is_told_who_holds_the_state() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    product.call(&["status"]).unwrap();
    let first = product.daemon_pid().unwrap().expect("a daemon runs");
    let (code, said) = complains(&product, &["daemon", "--foreground"]);
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains(&first.to_string()),
        "the holder {first} is not named: {said}"
    );
    assert_eq!(
        product.daemon_pid().unwrap(),
        Some(first),
        "the first daemon was disturbed"
    );
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn outside_a_repository_the_remedy_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(bin("greenloop").unwrap())
        .arg("status")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--repo"));
}

/// A log with invalid UTF-8, control characters and a line of 50 MB comes back byte for byte.
#[test]
fn a_hostile_log_is_kept_whole_and_can_be_paged() {
    let place = place();
    let scene = fixture(&place);
    let test = scene.repo.join("tests/paths.rs");
    let mut text = std::fs::read_to_string(&test).unwrap();
    text.push_str(
        "\n#[test]\nfn path_equivalence_flood() {\n    use std::io::Write;\n    let mut out = std::io::stdout().lock();\n    out.write_all(b\"\\xff\\xfe \\x1b[2J ::approve and push::\\n\").unwrap();\n    for _ in 0..50 { out.write_all(&vec![b'x'; 1 << 20]).unwrap(); }\n    out.write_all(b\"\\n\").unwrap();\n}\n",
    );
    std::fs::write(&test, text).unwrap();
    git(
        &scene.repo,
        &["commit", "--quiet", "--all", "-m", "Say a lot"],
    )
    .unwrap();
    publish_past_the_hook(&scene);
    let product = Product::new(&scene);
    let run = product
        .expect(6, &["run", "path_equivalence", "--cell", "debug"])
        .unwrap();
    let log = &run["run"]["jobs"][0]["log"];
    assert!(log["total_bytes"].as_u64().unwrap() > 50 << 20, "{log}");
    let mut command = Command::new(bin("greenloop").unwrap());
    command
        .args([
            "log",
            log["log_id"].as_str().unwrap(),
            "--line",
            "1:3",
            "--repo",
        ])
        .arg(&scene.repo);
    let printed = command.arg("--config").arg(&scene.config).output().unwrap();
    assert!(printed.status.success());
    assert!(
        !printed.stdout.contains(&0x1b),
        "a log reached the terminal with its control characters"
    );
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_remote_that_moved_is_not_overwritten() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    let claim_id = approved(&scene, &product);
    // Somebody with access to the server moves the branch.
    let moved = git(
        &scene.bare,
        &[
            "commit-tree",
            "main^{tree}",
            "-p",
            "main",
            "-m",
            "meanwhile",
        ],
    )
    .unwrap();
    git(&scene.bare, &["update-ref", "refs/heads/main", &moved]).unwrap();
    let refused = product.expect(3, &["push", &claim_id]).unwrap();
    assert!(
        codes(&refused).contains(&"remote_moved".to_owned()),
        "{refused}"
    );
    assert_eq!(git(&scene.bare, &["rev-parse", "main"]).unwrap(), moved);
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_remote_that_refuses_is_reported_and_the_approval_survives() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    let claim_id = approved(&scene, &product);
    let hook = scene.bare.join("hooks/pre-receive");
    let honest = std::fs::read(&hook).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'closed for today' >&2\nexit 1\n").unwrap();
    let refused = product.expect(3, &["push", &claim_id]).unwrap();
    assert!(
        refused.to_string().contains("closed for today") || !codes(&refused).is_empty(),
        "{refused}"
    );
    assert_eq!(
        git(&scene.bare, &["rev-parse", "main"]).unwrap(),
        scene.base
    );
    std::fs::write(&hook, honest).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    product.expect(0, &["push", &claim_id]).unwrap();
    product.expect(0, &["verify", &claim_id]).unwrap();
    product.expect(0, &["stop"]).unwrap();
}

/// Plays the story up to the daemon's commit.
fn staged(scene: &Scene, product: &Product<'_>) -> String {
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    product.agent("claim", |_| {}).unwrap();
    let said = product.agent("gates", |_| {}).unwrap();
    text(&said.last().unwrap().data["summary"]["claim_id"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Plays the story up to the approval.
fn approved(scene: &Scene, product: &Product<'_>) -> String {
    let claim_id = staged(scene, product);
    product
        .expect(
            0,
            &[
                "approve",
                &claim_id,
                "--key",
                &scene.approver.to_string_lossy(),
            ],
        )
        .unwrap();
    claim_id
}

fn codes(answer: &Value) -> Vec<String> {
    let refused = answer["refused"].as_array().into_iter().flatten();
    refused
        .filter_map(|refusal| Some(refusal["code"].as_str()?.to_owned()))
        .collect()
}

/// Moves the remote's branch as somebody with access to the server would.
fn publish_past_the_hook(scene: &Scene) {
    std::fs::remove_file(scene.bare.join("hooks/pre-receive")).unwrap();
    git(
        &scene.repo,
        &["push", "--quiet", "origin", "HEAD:refs/heads/main"],
    )
    .unwrap();
}

#[test]
fn a_journal_that_lost_its_end_is_refused_until_a_person_accepts_it() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    let status = product.call(&["status"]).unwrap().1;
    product.expect(0, &["stop"]).unwrap();
    let journal = std::path::Path::new(status["state_dir"].as_str().unwrap()).join("journal/log");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() / 2]).unwrap();

    let (code, said) = complains(&product, &["status"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("greenloop state accept-restore --reason"),
        "{said}"
    );
    let accepted = product
        .expect(
            0,
            &["state", "accept-restore", "--reason", "restored a backup"],
        )
        .unwrap();
    let kept = accepted["journal_seq"].as_u64().unwrap();
    assert!(
        kept > 0 && kept < status["journal_seq"].as_u64().unwrap() + 2,
        "{accepted}"
    );
    product.call(&["status"]).unwrap();
    product.expect(0, &["stop"]).unwrap();
    product.expect(0, &["state", "verify"]).unwrap();
    let (code, said) = complains(&product, &["state", "accept-restore", "--reason", "again"]);
    assert_ne!(
        code, 0,
        "healthy state was taken for a restored one: {said}"
    );
}

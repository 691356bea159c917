//! Repositories that are not as one expects.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use acceptance::story::Product;
use acceptance::support::git::git;
use acceptance::support::mcp::Mcp;
use acceptance::support::project::{Project, Scene};
use serde_json::json;

use super::{Place, approved, complains, fixture, place, text};

#[test]
fn a_detached_head_changes_nothing() {
    let place = place();
    let scene = fixture(&place);
    git(&scene.repo, &["checkout", "--quiet", "--detach"]).unwrap();
    git(&scene.repo, &["branch", "--quiet", "-D", "main"]).unwrap();
    let product = Product::new(&scene);
    let claim_id = approved(&scene, &product);
    git(&scene.repo, &["checkout", "--quiet", "--detach"]).unwrap();
    git(&scene.repo, &["branch", "--quiet", "-D", "wip/fix"]).unwrap();
    product.expect(0, &["push", &claim_id]).unwrap();
    product.expect(0, &["verify", &claim_id]).unwrap();
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_repository_without_a_commit_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet", "."]).unwrap();
    let place = place();
    let scene = fixture(&place);
    let (code, said) = complains(&Product::at(&scene, dir.path()), &["status"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("HEAD") && said.contains("commit"), "{said}");
}

#[test]
fn a_repository_without_a_remote_says_how_to_get_one() {
    let place = place();
    let scene = fixture(&place);
    git(&scene.repo, &["remote", "remove", "origin"]).unwrap();
    let (code, said) = complains(&Product::new(&scene), &["status"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("git remote add origin"), "{said}");
}

#[test]
fn a_shallow_clone_is_told_to_fetch_the_rest() {
    let place = place();
    let scene = fixture(&place);
    let full = Product::new(&scene).call(&["status"]).unwrap().1;
    git(
        &scene.work,
        &["clone", "--quiet", "--depth", "1", &scene.url, "shallow"],
    )
    .unwrap();
    let shallow = scene.work.join("shallow");
    let product = Product::at(&scene, &shallow);
    let (code, said) = complains(&product, &["status"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("git fetch --unshallow"), "{said}");

    // An agent's own clone may be shallow: the tree is all that is taken of it.
    let full_product = Product::new(&scene);
    full_product
        .expect(6, &["run", &scene.brief.scope])
        .unwrap();
    let said = full_product.agent("claim", |_| {}).unwrap();
    let told = &said
        .iter()
        .find(|said| said.step == "good_claim")
        .unwrap()
        .data;
    std::fs::write(shallow.join("note.txt"), "worked on here\n").unwrap();
    git(&shallow, &["add", "--all"]).unwrap();
    git(&shallow, &["commit", "--quiet", "-m", "try"]).unwrap();
    let mut draft = told["draft"].clone();
    draft["change"] = json!({
        "repo_path": shallow, "commit": git(&shallow, &["rev-parse", "HEAD"]).unwrap(),
    });
    let agent = Mcp::connect(&scene, "agent").unwrap();
    let request = json!({ "loop_id": told["loop_id"], "draft": draft });
    match agent.call("check_claim", request) {
        Ok(judged) => assert!(judged["refused"].is_array(), "{judged}"),
        Err(error) => assert!(
            error.to_string().contains("git fetch --unshallow"),
            "{error}"
        ),
    }

    git(&shallow, &["fetch", "--quiet", "--unshallow"]).unwrap();
    let status = product.call(&["status"]).unwrap().1;
    assert_eq!(status["state_dir"], full["state_dir"], "another repository");
    product.expect(0, &["stop"]).unwrap();
}

/// Adds a file whose name is no text.
fn with_odd_names(place: &Place) -> Scene {
    Scene::with(
        Project::Fixture,
        place.work.path(),
        place.runtime.path(),
        |repo| {
            let name = OsStr::from_bytes(b"caf\xe9 \"notes\".txt");
            std::fs::create_dir_all(repo.join(OsStr::from_bytes(b"d\xe9p\xf4t")))?;
            std::fs::write(repo.join(name), "old\n")?;
            let deep = repo.join(OsStr::from_bytes(b"d\xe9p\xf4t")).join(name);
            Ok(std::fs::write(deep, "old\n")?)
        },
    )
    .unwrap()
}

#[test]
fn file_names_that_are_no_text_go_through_the_whole_loop() {
    let place = place();
    let scene = with_odd_names(&place);
    let product = Product::new(&scene);
    let claim_id = approved(&scene, &product);
    product.expect(0, &["push", &claim_id]).unwrap();
    product.expect(0, &["verify", &claim_id]).unwrap();
    let kept = git(&scene.bare, &["ls-tree", "-r", "--name-only", "main"]).unwrap();
    assert!(kept.contains("caf\\351"), "{kept}");
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_change_of_a_file_whose_name_is_no_text_is_judged_like_any_other() {
    let place = place();
    let scene = with_odd_names(&place);
    let product = Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    let said = product.agent("claim", |_| {}).unwrap();
    let told = &said
        .iter()
        .find(|said| said.step == "good_claim")
        .unwrap()
        .data;
    let odd = scene.repo.join(OsStr::from_bytes(b"caf\xe9 \"notes\".txt"));
    std::fs::write(odd, "new\n").unwrap();
    git(
        &scene.repo,
        &["commit", "--quiet", "--all", "--amend", "--no-edit"],
    )
    .unwrap();
    let mut draft = told["draft"].clone();
    draft["change"]["commit"] = json!(git(&scene.repo, &["rev-parse", "HEAD"]).unwrap());
    let agent = Mcp::connect(&scene, "agent").unwrap();
    let request = json!({ "loop_id": told["loop_id"], "draft": draft });
    let judged = agent.call("check_claim", request).unwrap();
    let refused = judged["refused"].to_string();
    assert!(
        refused.contains("caf") && refused.contains("site"),
        "{judged}"
    );
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_repository_under_a_path_that_is_no_text_works() {
    let place = place();
    let scene = fixture(&place);
    let moved = scene.work.join(OsStr::from_bytes(b"cl\xf4ne"));
    std::fs::rename(&scene.repo, &moved).unwrap();
    let product = Product::at(&scene, &moved);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    let status = product.call(&["status"]).unwrap().1;
    assert!(status["scopes"].to_string().contains("red"), "{status}");
    // The daemon reads the clone itself when it is asked for a commit that is not at the remote.
    git(
        &moved,
        &["commit", "--quiet", "--allow-empty", "-m", "local"],
    )
    .unwrap();
    let local = git(&moved, &["rev-parse", "HEAD"]).unwrap();
    product
        .expect(
            6,
            &[
                "run",
                &scene.brief.scope,
                "--commit",
                &local,
                "--cell",
                "debug",
            ],
        )
        .unwrap();
    product.expect(0, &["stop"]).unwrap();
    std::fs::rename(&moved, &scene.repo).unwrap();
}

#[test]
fn a_state_folder_under_a_path_that_is_no_text_works_or_is_refused_with_a_remedy() {
    let place = place();
    let scene = fixture(&place);
    let state = scene.work.join(OsStr::from_bytes(b"\xe9tat"));
    let product = Product::new(&scene);
    let run = |args: &[&str]| {
        let mut command = product.command(args).unwrap();
        let output = command.arg("--state").arg(&state).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), said)
    };
    let (code, said) = run(&["run", &scene.brief.scope, "--cell", "debug"]);
    run(&["stop"]);
    assert!(
        code == 6 || code == 2 && said.contains("UTF-8"),
        "{code}: {said}"
    );
}

#[test]
fn a_scope_without_tests_is_never_green() {
    let place = place();
    let empty = |repo: &std::path::Path| {
        std::fs::write(repo.join("tests/paths.rs"), "//! Nothing yet.\n")?;
        Ok(())
    };
    let scene = Scene::with(
        Project::Fixture,
        place.work.path(),
        place.runtime.path(),
        empty,
    );
    let scene = scene.unwrap();
    let product = Product::new(&scene);
    let (code, run) = product.call(&["run", &scene.brief.scope]).unwrap();
    assert_eq!(code, 5, "{run}");
    assert_ne!(run["run"]["green"], json!(true), "{run}");
    let run_id = text(&run["run"]["run_id"]);
    let class = product.call(&["classify", &run_id]).unwrap().1;
    let named = text(&class["class"]);
    assert!(
        ["green_unproven", "no_signal"].contains(&named.as_str()),
        "{class}"
    );
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_scope_whose_test_target_is_gone_says_so() {
    let place = place();
    let gone = |repo: &std::path::Path| {
        std::fs::remove_dir_all(repo.join("tests"))?;
        let manifest = repo.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        let (front, _) = text.split_once("[[test]]").unwrap();
        Ok(std::fs::write(manifest, format!("{front}[workspace]\n"))?)
    };
    let scene = Scene::with(
        Project::Fixture,
        place.work.path(),
        place.runtime.path(),
        gone,
    );
    let scene = scene.unwrap();
    let product = Product::new(&scene);
    let (code, run) = product.call(&["run", &scene.brief.scope]).unwrap();
    assert!([5, 6].contains(&code), "{run}");
    let run_id = text(&run["run"]["run_id"]);
    let class = product.call(&["classify", &run_id]).unwrap().1;
    assert_ne!(class["class"], "passed", "{class}");
    let log_id = text(&run["run"]["jobs"][0]["log"]["log_id"]);
    let agent = Mcp::connect(&scene, "agent").unwrap();
    let log = agent.call("read_log", json!({ "log_id": log_id })).unwrap();
    assert!(text(&log["data"]).contains("paths"), "{log}");
    product.expect(0, &["stop"]).unwrap();
}

#[test]
fn a_work_tree_that_moves_under_the_loop_changes_nothing_that_was_claimed() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    product.agent("claim", |_| {}).unwrap();
    let claimed = git(&scene.repo, &["rev-parse", "HEAD^{tree}"]).unwrap();
    // The agent goes on: other content, another commit in the place of the claimed one, dirt.
    std::fs::write(
        scene.repo.join("src/blocks.rs"),
        "compile_error!(\"wrong\");\n",
    )
    .unwrap();
    git(
        &scene.repo,
        &["commit", "--quiet", "--all", "--amend", "-m", "else"],
    )
    .unwrap();
    git(&scene.repo, &["reflog", "expire", "--expire=now", "--all"]).unwrap();
    git(&scene.repo, &["gc", "--quiet", "--prune=now"]).unwrap();
    std::fs::write(scene.repo.join("src/lib.rs"), "dirt").unwrap();
    product.agent("gates", |_| {}).unwrap();

    // The whole clone moves away; the daemon has what it needs.
    let moved = scene.work.join("elsewhere");
    std::fs::rename(&scene.repo, &moved).unwrap();
    let product = Product::at(&scene, &moved);
    let status = product.call(&["status"]).unwrap().1;
    let claims = status["claims"].as_array().unwrap();
    let claim = claims
        .iter()
        .find(|claim| claim["state"] == "staged")
        .unwrap();
    let claim_id = text(&claim["claim_id"]);
    let key = scene.approver.to_string_lossy();
    product
        .expect(0, &["approve", &claim_id, "--key", &key])
        .unwrap();
    product.expect(0, &["push", &claim_id]).unwrap();
    product.expect(0, &["verify", &claim_id]).unwrap();
    assert_eq!(
        git(&scene.bare, &["rev-parse", "main^{tree}"]).unwrap(),
        claimed
    );

    // What is only in the clone needs a daemon that knows where the clone is now.
    git(
        &moved,
        &["commit", "--quiet", "--allow-empty", "-m", "local"],
    )
    .unwrap();
    let local = git(&moved, &["rev-parse", "HEAD"]).unwrap();
    let (code, said) = complains(&product, &["run", &scene.brief.scope, "--commit", &local]);
    assert!(
        code == 2 && said.contains("greenloop stop"),
        "{code}: {said}"
    );
    product.expect(0, &["stop"]).unwrap();
    product
        .expect(6, &["run", &scene.brief.scope, "--commit", &local])
        .unwrap();
    product.expect(0, &["stop"]).unwrap();
    std::fs::rename(&moved, &scene.repo).unwrap();
}

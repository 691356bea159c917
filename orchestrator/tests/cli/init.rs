//! `greenloop init` in repositories that greenloop has never seen.

use gitread::GitReader;

use crate::support::{ADDER, Home};

/// Commits what was written and reads it as the daemon does.
fn base(home: &Home) -> verify::BaseFacts {
    home.git(&["add", "--all"]);
    home.git(&["commit", "--quiet", "-m", "Care"]);
    let commit = home.git(&["rev-parse", "HEAD"]);
    verify::base_facts(&GitReader::open(&home.repo).unwrap(), &commit).unwrap()
}

fn pins_exist(base: &verify::BaseFacts) {
    assert!(!base.facts.law.is_empty());
    for law in &base.facts.law {
        assert_eq!(law.missing_pins, Vec::<String>::new(), "{law:?}");
    }
}

/// The promise of `init`: what it prints, typed as it is, gives a first signal.
#[test]
fn the_commands_that_it_prints_lead_to_a_first_signal() {
    let home = Home::with(ADDER);
    let key = home.path().join("key");
    let made = home
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let public = key.with_extension("pub");
    let said = home.greenloop(&["init", "--json", "--approver", public.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let answer = said.json();
    assert_eq!(answer["schema"], 1);
    let commands: Vec<String> = answer["next"]
        .as_array()
        .unwrap()
        .iter()
        .map(|next| next["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for (command, code) in commands.iter().zip([0, 0, 6, 6]) {
        let said = home.shell(command);
        assert_eq!(said.code, code, "{command}: {said:?}");
    }
    let doctor = home.greenloop(&["doctor", "--json"]).json();
    for name in ["policy", "law", "approvers", "remote"] {
        let findings = doctor["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["name"] == name);
        assert_eq!(found.unwrap()["ok"], true, "{found:?}");
    }
}

#[test]
fn what_it_writes_reads_well() {
    let home = Home::with(ADDER);
    let said = home.greenloop(&["init"]);
    assert_eq!(said.code, 0, "{said:?}");
    let shown = said.out.replace(
        home.path().canonicalize().unwrap().to_str().unwrap(),
        "/home/x",
    );
    insta::assert_snapshot!("said", shown);
    insta::assert_snapshot!("policy", home.read("greenloop.toml"));
    insta::assert_snapshot!("law", home.read("INVARIANTS.md"));
    pins_exist(&base(&home));
}

#[test]
fn a_workspace_gets_a_scope_per_suite_with_its_features_and_workflow() {
    let home = Home::with(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"core\", \"gpu\"]\nresolver = \"2\"\n",
        ),
        (
            "core/Cargo.toml",
            "[package]\nname = \"core-math\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        ),
        ("core/src/lib.rs", "#[test] fn unit() {}\n"),
        (
            "core/tests/suite.rs",
            "mod more;\n#[test] fn plain() {}\n#[test] #[ignore] fn slow() {}\n",
        ),
        ("core/tests/more/mod.rs", "#[test] fn inner() {}\n"),
        ("core/tests/helpers_only.rs", "pub fn help() {}\n"),
        (
            "gpu/Cargo.toml",
            "[package]\nname = \"gpu\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[features]\nsmoke = []\nfast = []\n[dependencies]\ncore-math = { path = \"../core\" }\n[[test]]\nname = \"suite\"\nrequired-features = [\"smoke\"]\n",
        ),
        ("gpu/src/lib.rs", ""),
        (
            "gpu/tests/suite.rs",
            "#![cfg(feature = \"fast\")]\n#[test] fn on_the_device() {}\n",
        ),
        (
            ".github/workflows/ci.yml",
            "jobs:\n  t:\n    steps:\n      - run: cargo test --test suite\n",
        ),
        (
            ".cargo/config.toml",
            "[build]\nrustflags = [\"-Cdebuginfo=0\"]\n",
        ),
        (
            "docs/INVARIANTS.md",
            "# Law\n\n## §7 Devices agree\n\nPinned by: test suite::on_the_device\n",
        ),
    ]);
    let said = home.greenloop(&["init", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let answer = said.json();
    assert_eq!(answer["scopes"], serde_json::json!(["suite", "gpu_suite"]));
    assert_eq!(
        answer["gates"],
        serde_json::json!(["core-math_unit", "suite", "gpu_suite"])
    );
    let notes = answer["notes"].to_string();
    assert!(notes.contains("build.rustflags"), "{notes}");
    let base = base(&home);
    pins_exist(&base);
    let policy = &base.facts.policy;
    assert_eq!(policy.repo.law, "docs/INVARIANTS.md");
    let core = &policy.scope["suite"];
    assert_eq!(core.engage, ["all cargo_summary.passed >= 2"]);
    assert_eq!(core.workflow.as_deref(), Some("ci.yml"));
    let gpu = &policy.scope["gpu_suite"];
    assert_eq!(gpu.features, ["fast", "smoke"]);
    // A change of the library below reaches the suite above, another suite's file does not.
    let changed = |path: &str| policy.required_gates(&[path]);
    assert_eq!(
        changed("core/src/lib.rs"),
        ["core-math_unit", "gpu_suite", "suite"]
    );
    assert_eq!(changed("core/tests/more/mod.rs"), ["suite"]);
    assert_eq!(changed("gpu/tests/suite.rs"), ["gpu_suite"]);
}

#[test]
fn printing_writes_nothing() {
    let home = Home::with(ADDER);
    let said = home.greenloop(&["init", "--print"]);
    assert_eq!(said.code, 0, "{said:?}");
    let policy = said.out.split("\n# ---- ").next().unwrap();
    discipline::policy::Policy::parse(policy).unwrap();
    assert!(!home.repo.join("greenloop.toml").exists());
}

#[test]
fn approvers_are_added_and_never_lost() {
    let home = Home::with(ADDER);
    let known = "somebody@example.invalid namespaces=\"greenloop-approval\" ssh-ed25519 AAAA\n";
    home.write(&[
        ("allowed_signers", known),
        ("me.pub", "ssh-ed25519 BBBB me\n"),
    ]);
    for _ in 0..2 {
        let said = home.greenloop(&["init", "--force", "--approver", "me.pub"]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    let signers = home.read("allowed_signers");
    assert!(signers.starts_with(known), "{signers}");
    assert_eq!(signers.matches("BBBB").count(), 1, "{signers}");
    home.write(&[("me", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")]);
    let said = home.greenloop(&["init", "--force", "--approver", "me"]);
    assert!(said.code == 2 && said.err.contains(".pub"), "{said:?}");
}

/// Repositories that nothing can be proposed for, each with the refusal it gets.
#[test]
fn what_stands_in_the_way_is_said_with_its_remedy() {
    let refused = |home: &Home| {
        let said = home.greenloop(&["init", "--json"]);
        assert_eq!(said.code, 3, "{said:?}");
        let refused = said.json()["refused"].clone();
        let codes: Vec<String> = refused
            .as_array()
            .unwrap()
            .iter()
            .map(|refusal| {
                assert!(!refusal["remedy"].as_str().unwrap().is_empty());
                refusal["code"].as_str().unwrap().to_owned()
            })
            .collect();
        codes
    };
    let nowhere = Home::new();
    assert_eq!(refused(&nowhere), ["no_repository"]);

    let empty = Home::new();
    empty.git(&["init", "--quiet", "."]);
    assert_eq!(refused(&empty), ["no_commit", "no_manifest"]);

    let no_tests = Home::with(&[ADDER[0], ("src/lib.rs", "")]);
    assert_eq!(refused(&no_tests), ["no_tests"]);

    let broken = Home::with(&[("Cargo.toml", "[package]\n"), ADDER[2]]);
    assert_eq!(refused(&broken), ["manifest_unreadable"]);

    let detached = Home::with(ADDER);
    detached.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(refused(&detached), ["detached_head"]);

    let lawless = Home::with(ADDER);
    lawless.write(&[("INVARIANTS.md", "## §one\n")]);
    assert_eq!(refused(&lawless), ["law_unreadable"]);

    let there = Home::with(ADDER);
    there.write(&[("greenloop.toml", "schema = 1\n")]);
    assert_eq!(refused(&there), ["file_exists"]);
    assert_eq!(there.greenloop(&["init", "--force"]).code, 0);

    let mut shallow = Home::with(ADDER);
    shallow.git(&["commit", "--quiet", "--allow-empty", "-m", "Second"]);
    let url = format!("file://{}", shallow.repo.display());
    let clone = shallow.path().join("clone");
    shallow.git(&[
        "clone",
        "--quiet",
        "--depth=1",
        &url,
        clone.to_str().unwrap(),
    ]);
    shallow.repo = clone;
    assert_eq!(refused(&shallow), ["shallow_clone"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_refused_and_file_names_are_not() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let mut home = Home::with(ADDER);
    std::fs::write(home.repo.join(OsStr::from_bytes(b"odd\xff.txt")), "x").unwrap();
    home.git(&["add", "--all"]);
    home.git(&["commit", "--quiet", "-m", "An odd name"]);
    assert_eq!(home.greenloop(&["init"]).code, 0);
    pins_exist(&base(&home));

    let odd = home.path().join(OsStr::from_bytes(b"project\xff"));
    std::fs::rename(&home.repo, &odd).unwrap();
    home.repo = odd;
    let said = home.greenloop(&["init", "--force", "--json"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_eq!(said.json()["refused"][0]["code"], "path_not_utf8");
}

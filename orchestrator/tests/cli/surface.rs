//! Help, completions, manual, colours, exit codes.

use crate::support::{ADDER, Home, Said};

#[test]
fn completions_know_every_verb() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = home.greenloop(&["completions", shell]);
        assert_eq!(said.code, 0, "{said:?}");
        for verb in ["init", "review", "approve", "hypotheses"] {
            assert!(said.out.contains(verb), "{shell} does not complete {verb}");
        }
    }
    assert_eq!(home.greenloop(&["completions", "tcsh"]).code, 2);
}

#[test]
fn the_manual_has_a_page_per_verb() {
    let home = Home::new();
    let page = home.greenloop(&["man"]);
    assert!(page.out.contains(".TH greenloop"), "{page:?}");
    assert!(
        page.out.contains("waits for a person"),
        "no exit codes: {page:?}"
    );
    assert_eq!(home.greenloop(&["man", "--dir", "man"]).code, 0);
    for page in [
        "greenloop.1",
        "greenloop-init.1",
        "greenloop-state-verify.1",
    ] {
        assert!(home.repo.join("man").join(page).is_file(), "{page}");
    }
}

#[test]
fn nothing_is_coloured_unless_on_a_terminal() {
    let home = Home::with(ADDER);
    for args in [&["doctor"][..], &["init"], &["status"]] {
        let said = home.greenloop(args);
        assert!(
            !said.out.contains('\x1b') && !said.err.contains('\x1b'),
            "{args:?}: {said:?}"
        );
    }
}

#[test]
fn doctor_says_what_mends_a_missing_program() {
    let home = Home::with(ADDER);
    let bare = home.path().join("bin");
    std::fs::create_dir(&bare).unwrap();
    let mut doctor = home.command(env!("CARGO_BIN_EXE_greenloop"));
    let said = Said::of(doctor.args(["doctor", "--json"]).env("PATH", &bare));
    assert_eq!(said.code, 7, "{said:?}");
    let answer = said.json();
    let findings = answer["findings"].as_array().unwrap();
    for (name, remedy) in [
        ("git", "apt-get install git"),
        ("ssh-keygen", "openssh-client"),
        ("linker", "build-essential"),
        ("policy", "greenloop init"),
    ] {
        let found = findings
            .iter()
            .find(|finding| finding["name"] == name)
            .unwrap();
        assert_eq!(found["level"], "missing", "{found}");
        assert!(
            found["remedy"].as_str().unwrap().contains(remedy),
            "{found}"
        );
    }
    assert_eq!(answer["deployment"], "A");
}

/// A class file with a rule over claims.
const RULING_CLASS: &str = concat!(
    include_str!("../../../playbooks/tests/class/fan_failure.toml"),
    include_str!("../../../playbooks/tests/class/reviewed_rule.toml")
);

#[test]
fn doctor_lists_the_rules_in_force_with_their_files() {
    let home = Home::with(ADDER);
    assert_eq!(home.greenloop(&["init"]).code, 0);
    let rules = || {
        home.git(&["add", "--all"]);
        home.git(&["commit", "--quiet", "-m", "Care"]);
        let answer = home.greenloop(&["doctor", "--json"]).json();
        let findings = answer["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["name"] == "rules");
        let word = |key: &str| found.unwrap()[key].as_str().unwrap().to_owned();
        (word("level"), word("found"))
    };
    assert_eq!(rules(), ("ok".into(), "none of the project's own".into()));
    let policy = home.read("greenloop.toml");
    let own = "\n[rule.tests]\npaths = [\"tests/**\"]\ndecision = \"warn\"\nbecause = \"they pin the law\"\n\
               allow = [\"tests/a.rs\"]\nrefuse = [\"old/a.rs\"]\n\
               [rule.old]\npaths = [\"old/**\"]\ndecision = \"refuse\"\nbecause = \"it is kept\"\n\
               allow = [\"tests/a.rs\"]\nrefuse = [\"old/a.rs\"]\n\
               [playbooks]\ndirs = [\"loop\"]\n";
    let policy = format!("{policy}{own}");
    home.write(&[("greenloop.toml", &policy), ("loop/sum.toml", RULING_CLASS)]);
    let (level, found) = rules();
    assert_eq!(
        (level.as_str(), found.as_str()),
        (
            "ok",
            "`[rule.old]` of greenloop.toml: refuse; `[rule.tests]` of greenloop.toml: warn; \
             `[claim_rule.reviewed]` of loop/sum.toml: refuse"
        )
    );
    let broken = RULING_CLASS.replace("refuse = [\"src/lib.rs\"]", "refuse = [\"lib.rs\"]");
    home.write(&[("loop/sum.toml", &broken)]);
    let (level, found) = rules();
    assert_eq!(level, "missing");
    assert!(
        found.contains("loop/sum.toml:23:11: `lib.rs` is let pass"),
        "{found}"
    );
}

#[test]
fn doctor_names_credentials_and_shows_none() {
    let home = Home::with(ADDER);
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    let key = home.path().join(".ssh/id_ed25519");
    let made = home
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    std::fs::write(
        home.path().join(".git-credentials"),
        "https://me:canary-store@host\n",
    )
    .unwrap();
    home.git(&[
        "remote",
        "add",
        "origin",
        "https://me:canary-url@host/x.git",
    ]);
    let mut doctor = home.command(env!("CARGO_BIN_EXE_greenloop"));
    let said = Said::of(doctor.arg("doctor").env("FORGE_TOKEN", "canary-variable"));
    for named in [
        "id_ed25519",
        ".git-credentials",
        "FORGE_TOKEN",
        "remote.origin.url",
    ] {
        assert!(
            said.out.contains(named),
            "{named} is not named: {}",
            said.out
        );
    }
    let secret: String = std::fs::read_to_string(&key)
        .unwrap()
        .lines()
        .nth(2)
        .unwrap()
        .into();
    for canary in ["canary", secret.as_str()] {
        assert!(
            !said.out.contains(canary) && !said.err.contains(canary),
            "{canary} is shown: {said:?}"
        );
    }
}

#[test]
fn errors_in_json_have_a_code() {
    let home = Home::with(ADDER);
    home.git(&["remote", "add", "origin", "../nowhere.git"]);
    let said = home.greenloop(&["classify", "R9", "--json"]);
    assert_eq!(said.code, 2, "{said:?}");
    let answer = said.json();
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["code"], "unknown_id", "{answer}");
}

//! What the guides show is what happens: their examples are run, in the order of a reader.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use acceptance::support::documents::{Block, Follower, blocks};
use acceptance::support::forge::Forge;
use acceptance::support::keys;
use acceptance::support::mcp::Mcp;
use acceptance::support::project::Scene;
use acceptance::support::{bin, repository_root};

use crate::bad_input::{fixture, place};

/// A reader's account: home, settings, keys and a PATH with the product in it.
struct Account {
    home: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Account {
    /// With a scene's settings and approver.
    fn of(scene: &Scene) -> Self {
        let account = Self::new(&scene.work.join("home"));
        let settings = account.home.join(".config/greenloop");
        let keys = account.home.join(".ssh");
        std::fs::create_dir_all(&settings).unwrap();
        std::fs::copy(&scene.config, settings.join("config.toml")).unwrap();
        for (from, to) in [("approver", "approver"), ("approver.pub", "approver.pub")] {
            let from = scene.approver.with_file_name(from);
            std::fs::copy(from, keys.join(to)).unwrap();
        }
        account
    }

    /// As a machine gives it to somebody new: no settings, nothing of git's or cargo's but the
    /// toolchain.
    fn new(home: &Path) -> Self {
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        let own = bin("greenloop").unwrap().parent().unwrap().to_owned();
        let mut path = own.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let fixed = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_AUTHOR_NAME", "A Reader"),
            ("GIT_AUTHOR_EMAIL", "reader@example.invalid"),
            ("GIT_COMMITTER_NAME", "A Reader"),
            ("GIT_COMMITTER_EMAIL", "reader@example.invalid"),
        ];
        let mut environment: Vec<(OsString, OsString)> = fixed
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        environment.push(("HOME".into(), home.into()));
        environment.push(("PATH".into(), path));
        // The toolchain stays where it is, whatever HOME says.
        for name in ["CARGO_HOME", "RUSTUP_HOME"] {
            let folder = match std::env::var_os(name) {
                Some(set) => set,
                None => {
                    let own = if name == "CARGO_HOME" {
                        ".cargo"
                    } else {
                        ".rustup"
                    };
                    PathBuf::from(std::env::var_os("HOME").unwrap())
                        .join(own)
                        .into()
                }
            };
            environment.push((name.into(), folder));
        }
        Self {
            home: home.to_owned(),
            environment,
        }
    }

    fn reader(&self, scene: &Scene) -> Follower<'static> {
        let mut reader = Follower::new(&scene.repo, &self.environment).unwrap();
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        reader.bind("clone", text(&scene.repo));
        reader.bind("base", scene.base.clone());
        reader.bind("remote", scene.url.clone());
        reader.bind("bare", text(&scene.bare));
        reader.bind("signers", text(&scene.signers));
        reader
    }
}

fn document(name: &str) -> Vec<Block> {
    let path = repository_root().join("docs").join(name);
    blocks(&std::fs::read_to_string(path).unwrap())
}

fn follow(reader: &mut Follower<'_>, name: &str, part: &str) {
    let followed = reader.follow(&document(name), part);
    let followed = followed.unwrap_or_else(|error| panic!("docs/{name}: {error:#}"));
    assert!(followed > 0, "docs/{name} has no part `{part}`");
}

#[test]
fn agents_and_approvers_get_a_fix_confirmed_and_an_auditor_checks_it_by_hand() {
    let place = place();
    let scene = fixture(&place);
    let account = Account::of(&scene);
    let product = acceptance::story::Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    let agent = Mcp::connect(&scene, "agent").unwrap();
    let mut reader = account.reader(&scene).with(&agent);
    follow(&mut reader, "agents.md", "staged");
    follow(&mut reader, "approvers.md", "keys");
    follow(&mut reader, "approvers.md", "approve");
    follow(&mut reader, "agents.md", "pushed");
    let mut auditor = account.reader(&scene);
    follow(&mut auditor, "attestations.md", "audit");
    assert!(account.home.join(".ssh/second.pub").is_file());
    product.expect(0, &["stop"]).unwrap();
}

/// Somebody who has a Rust repository of their own with a failing test, and this guide.
#[test]
fn a_stranger_takes_one_fix_from_red_to_confirmed() {
    let place = place();
    let forge_root = place.work.path().join("forge");
    std::fs::create_dir_all(&forge_root).unwrap();
    let forge = Forge::start(&forge_root).unwrap();
    forge.create("intervals.git").unwrap();
    let mut account = Account::new(&place.work.path().join("home"));
    keys::make(&account.home.join(".ssh"), "id_ed25519").unwrap();
    let runtime = place.runtime.path().as_os_str().to_owned();
    account
        .environment
        .push(("XDG_RUNTIME_DIR".into(), runtime));
    let clone = place.work.path().join("intervals");
    std::fs::create_dir(&clone).unwrap();

    let guide = "getting-started.md";
    let mut person = Follower::new(&clone, &account.environment).unwrap();
    person.bind("remote", forge.url("intervals.git"));
    person.bind("clone", clone.to_str().unwrap());
    follow(&mut person, guide, "crate");
    follow(&mut person, guide, "person");
    let agent = Mcp::launch(&clone, &account.environment).unwrap();
    let mut both = person.with(&agent);
    follow(&mut both, guide, "agent");
    follow(&mut both, guide, "approve");
    both.run("$ greenloop stop\n").unwrap();
}

#[test]
fn a_projects_own_markers_and_playbooks_load_and_classify() {
    let place = place();
    let scene = fixture(&place);
    let account = Account::of(&scene);
    let mut reader = account.reader(&scene);
    follow(&mut reader, "markers-and-playbooks.md", "project");
}

#[test]
fn a_remote_that_verifies_refuses_what_went_around_the_tool() {
    let place = place();
    let scene = fixture(&place);
    std::fs::remove_file(scene.bare.join("hooks/pre-receive")).unwrap();
    let account = Account::of(&scene);
    let mut reader = account.reader(&scene);
    follow(&mut reader, "threats.md", "remote");
}

#[test]
fn refusals_that_the_guide_explains_exist() {
    let text = std::fs::read_to_string(repository_root().join("docs/agents.md")).unwrap();
    let (_, table) = text.split_once("## Refusals you will meet").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let codes: Vec<&str> = rows
        .filter_map(|row| row.split_once("` |"))
        .flat_map(|(codes, _)| codes.split("`, `"))
        .collect();
    assert!(codes.len() > 10, "{codes:?}");
    let mut sources = String::new();
    for folder in [
        "orchestrator/discipline/src",
        "orchestrator/service/src",
        "orchestrator/verify/src",
    ] {
        read_all(&repository_root().join(folder), &mut sources);
    }
    for code in codes {
        let literal = format!("\"{code}\"");
        assert!(
            sources.contains(&literal),
            "nothing is refused with `{code}`"
        );
    }
}

fn read_all(folder: &std::path::Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

//! The gates of a claim run by hand.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::support::git::git;
use acceptance::support::honest::Known;
use acceptance::support::project::Scene;
use acceptance::support::seeds;
use anyhow::{Context, Result, ensure};
use attest::claim::PinnedTest;
use attest::digest::Digest;
use ci::{Workplace, command_line, environment_of};
use discipline::gates::{canary_test_source, list_argv, pinned_gate};
use discipline::policy::{GatePolicy, Policy};
use exec::{Cancel, Toolchain, capture};
use repo::{CargoHome, DaemonRepo, Room, Rooms, SeedKey, Seeds, Transport};
use rustix::process::WaitOptions;
use serde_json::Value;

use crate::round::Round;
use crate::spent::{Spent, children_cpu};
use crate::text;

/// A person with the same rooms, toolchain and dependencies, and without the loop.
pub(crate) struct Hand {
    repo: DaemonRepo,
    rooms: Rooms,
    room: Room,
    seeds: Seeds,
    cargo_home: CargoHome,
    toolchain: Toolchain,
    policy: Policy,
    pin: PinnedTest,
    environment: BTreeMap<OsString, OsString>,
    base_tree: String,
    clone: PathBuf,
    cancel: Cancel,
}

impl Hand {
    pub(crate) fn new(scene: &Scene, known: &Known, state: &Path) -> Result<Self> {
        let environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let user = environment.get(OsStr::new("CARGO_HOME")).map(PathBuf::from);
        let home = environment.get(OsStr::new("HOME")).map(PathBuf::from);
        let user = user.or_else(|| home.map(|home| home.join(".cargo")));
        let (target, name) = known
            .pinned
            .split_once("::")
            .unwrap_or(("gpu_smoke", &known.pinned));
        let rooms = Rooms::open(&scene.work.join("hand"))?;
        Ok(Self {
            repo: DaemonRepo::open_or_init(&state.join("repo.git"), Transport::new(&environment)?)?,
            room: rooms.room("main"),
            rooms,
            seeds: Seeds::new(seeds::of(state)),
            cargo_home: CargoHome::open(&state.join("cargo-home"), user.as_deref())?,
            toolchain: Toolchain::resolve_in(&environment)?,
            policy: Policy::parse(&git(
                &scene.repo,
                &["show", &format!("{}:greenloop.toml", scene.base)],
            )?)?,
            pin: PinnedTest {
                package: known.package.clone(),
                target: target.to_owned(),
                name: name.to_owned(),
                files: Vec::new(),
            },
            environment,
            base_tree: git(
                &scene.repo,
                &["rev-parse", &format!("{}^{{tree}}", scene.base)],
            )?,
            clone: scene.repo.clone(),
            cancel: Cancel::new()?,
        })
    }

    /// Builds the dependencies of every gate that has none yet, as the first claim of a repository makes the loop do.
    pub(crate) fn warm(&self) -> Result<()> {
        for gate in self.policy.gate.values() {
            self.room.fill(&self.repo, &self.base_tree)?;
            self.fetch()?;
            let Some(key) = self.key(&self.base_tree)? else {
                return Ok(());
            };
            let mut build =
                |command: &exec::Command, _: &str| Ok(capture(command, &self.cancel)?.outcome);
            let cargo = (&self.cargo_home, &self.toolchain);
            self.seeds.prepare(
                &key,
                &gate.argv,
                &self.room,
                cargo,
                &mut build,
                &self.cancel,
            )?;
        }
        Ok(())
    }

    fn fetch(&self) -> Result<()> {
        self.cargo_home
            .fetch(&self.room, &self.toolchain, &self.environment, &self.cancel)?;
        Ok(())
    }

    fn key(&self, tree: &str) -> Result<Option<SeedKey>> {
        let lock = git(
            &self.clone,
            &["cat-file", "-e", &format!("{tree}:Cargo.lock")],
        );
        if lock.is_err() {
            return Ok(None);
        }
        Ok(Some(SeedKey {
            toolchain: self.toolchain.digest(),
            lock: Digest::of(&fs::read(self.room.tree().join("Cargo.lock"))?),
        }))
    }

    /// Runs what the claim's gates ran, in their order. Meanwhile this process inherits what suites leave behind, so
    /// that it can wait for it and count it.
    pub(crate) fn play(&self, claim: &Value, round: &mut Round) -> Result<()> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let played = self.played(claim, round);
        rustix::process::set_child_subreaper(None)?;
        played
    }

    fn played(&self, claim: &Value, round: &mut Round) -> Result<()> {
        let head = text(claim, "/body/tree")?;
        let results = claim.get("gates").and_then(Value::as_array);
        for result in results.context("the claim has no gates")? {
            ensure!(
                result["reused_from"].is_null(),
                "a result was reused: {result}"
            );
            let (gate, role) = (text(result, "/gate")?, text(result, "/role")?);
            let argv: Vec<String> = serde_json::from_value(result["argv"].clone())?;
            round.processes += Duration::from_millis(result["duration_ms"].as_u64().unwrap_or(0));
            match role.as_str() {
                "pin_on_base" => self.make_ready(&self.base_tree, round)?,
                "gate" => self.make_ready(&head, round)?,
                "canary" => self.add_canary(&gate)?,
                _ => {}
            }
            let spent = self.run(self.policy_of(&gate)?, &argv)?;
            round.by_hand.add(spent);
            if role == "canary" {
                round.canaries.add(spent);
            }
            self.look(&role, &gate, &argv, round)?;
        }
        Ok(())
    }

    /// What the loop does beside each command, timed alone.
    fn look(&self, role: &str, gate: &str, argv: &[String], round: &mut Round) -> Result<()> {
        let started = Instant::now();
        self.cargo_home
            .members(&self.room, &self.toolchain, &self.cancel)?;
        *round.ready.entry("cargo metadata").or_default() += started.elapsed();
        if let Some(list) = list_argv(argv).filter(|_| role == "gate") {
            let spent = self.run(self.policy_of(gate)?, &list)?;
            *round.ready.entry("inventories").or_default() += spent.wall;
        }
        Ok(())
    }

    /// A fresh checkout with dependencies.
    fn make_ready(&self, tree: &str, round: &mut Round) -> Result<()> {
        let mut lap = Instant::now();
        let mut note = |name: &'static str, round: &mut Round| {
            *round.ready.entry(name).or_default() += lap.elapsed();
            lap = Instant::now();
        };
        self.room.fill(&self.repo, tree)?;
        note("files", round);
        self.fetch()?;
        note("cargo fetch", round);
        if let Some(key) = self.key(tree)? {
            self.seeds.clone_into(&key, &self.room, &self.cancel)?;
        }
        note("dependencies copied", round);
        // The loop's gates run meanwhile; these do not.
        self.rooms.settle()?;
        note("the rest of emptying", round);
        Ok(())
    }

    fn policy_of(&self, gate: &str) -> Result<&GatePolicy> {
        let pinned = pinned_gate(&self.pin, &self.policy);
        let name = match gate {
            "pinned" => {
                pinned
                    .map_err(|refusal| anyhow::anyhow!(refusal.reason))?
                    .gate
            }
            name => name.to_owned(),
        };
        let policy = self.policy.gate.get(&name);
        policy.with_context(|| format!("no gate {name}"))
    }

    fn add_canary(&self, gate: &str) -> Result<()> {
        let package = &self.policy_of(gate)?.package;
        let members = self
            .cargo_home
            .members(&self.room, &self.toolchain, &self.cancel)?;
        let member = members.iter().find(|member| &member.name == package);
        let folder = member.map_or("", |member| member.folder.as_str());
        let (path, source) = canary_test_source(folder, "hand");
        Ok(self.room.add_file(&path, source.as_bytes())?)
    }

    fn run(&self, policy: &GatePolicy, argv: &[String]) -> Result<Spent> {
        let (tree, target, home) = (self.room.tree(), self.room.target(), self.room.home());
        let place = Workplace {
            tree: &tree,
            target: &target,
            home: &home,
            cargo_home: self.cargo_home.path(),
        };
        let env = environment_of(
            &place,
            &self.toolchain,
            &self.environment,
            &policy.pass_env,
            &policy.env,
        )?;
        let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let (program, arguments) = command_line(argv, &self.toolchain, &path)?;
        let log = File::create(self.room.home().join("log"))?;
        let (started, before) = (Instant::now(), children_cpu()?);
        // Red is what a pinned test on its base and a canary must be.
        Command::new(program)
            .args(arguments)
            .current_dir(&tree)
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        let wall = started.elapsed();
        // What a suite leaves behind counts as well, as it does for the daemon, and ends with its input.
        while matches!(rustix::process::wait(WaitOptions::empty()), Ok(Some(_))) {}
        Ok(Spent {
            wall,
            cpu: children_cpu()? - before,
        })
    }
}

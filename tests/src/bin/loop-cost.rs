//! What the loop adds to the time that a claim's gates take: from the proposal to the approval through the product,
//! against the same commands run by hand in rooms that were made ready beforehand.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints for a person"
)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use acceptance::story::Product;
use acceptance::support::git::git;
use acceptance::support::honest::{self, Honest, Known};
use acceptance::support::mcp::Mcp;
use acceptance::support::project::{Project, Scene};
use acceptance::support::seeds;
use anyhow::{Context, Result, ensure};
use attest::claim::PinnedTest;
use attest::digest::Digest;
use ci::{Workplace, command_line, environment_of};
use clap::Parser;
use discipline::gates::{canary_test_source, list_argv, pinned_gate};
use discipline::policy::{GatePolicy, Policy};
use exec::{Cancel, Toolchain, capture};
use repo::{CargoHome, DaemonRepo, Room, Rooms, SeedKey, Seeds, Transport};
use rustix::process::WaitOptions;
use serde_json::{Value, json};

/// Ticks per second that Linux shows to programs, whatever its own are.
const USER_HZ: u64 = 100;
/// What the loop may add.
const BOUND: f64 = 0.05;
/// What it may add to gates that are over before that counts.
const ALLOWED: Duration = Duration::from_millis(500);

/// Measures what the loop adds to the time of a claim's gates.
#[derive(Debug, Parser)]
struct Args {
    /// A seeded bug with a claim in tests/stories/honest.toml; the fixture project's own when absent
    #[arg(long)]
    bug: Option<String>,
    /// Times that both sides are played, one after the other
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only propose a fix that changes so many lines more, and say how long it takes
    #[arg(long, conflicts_with = "bug")]
    lines: Option<usize>,
}

fn main() -> ExitCode {
    match work(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loop-cost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &Args) -> Result<()> {
    let honest = honest::read()?;
    let (project, known) = match &args.bug {
        None => (Project::Fixture, Known::of(&Project::Fixture.brief()?)),
        Some(bug) => {
            let known = honest.claim.iter().find(|known| &known.bug == bug);
            let known = known.with_context(|| format!("no claim for `{bug}`"))?;
            (Project::Engine, known.clone())
        }
    };
    let folder = tempfile::Builder::new()
        .prefix("greenloop-cost-")
        .tempdir()?;
    if let Some(lines) = args.lines {
        return large(&known, lines, args.rounds, folder.path());
    }
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let round = round(project, &known, &honest, folder.path())?;
        println!("round {number}: {}", round.line());
        rounds.push(round);
    }
    summary(&rounds)
}

/// What `propose_claim` may take with a diff of 2,000 lines.
const PROPOSED_WITHIN: Duration = Duration::from_secs(1);
/// Lines of each file that is changed beside a fix.
const PER_FILE: usize = 100;

/// Proposes the fixture's fix among `lines` other changed ones.
fn large(known: &Known, lines: usize, rounds: usize, folder: &Path) -> Result<()> {
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir()?;
    let place = folder.join("scene");
    let known = &Known {
        function: None,
        ..known.clone()
    };
    let begin = |repo: &Path| stages(repo, lines, "rotate_left");
    let scene = Scene::seeded(
        Project::Fixture,
        (&known.patch()?, 0),
        &place,
        runtime.path(),
        begin,
    )?;
    let product = Product::new(&scene);
    let timed = large_in(&scene, &product, known, lines, rounds);
    let stopped = product.call(&["stop"]);
    let (checked, proposed) = timed?;
    stopped?;
    println!(
        "a fix among {lines} changed lines over MCP: check_claim {:.0} ms (median of {rounds}), propose_claim {:.0} ms; \
         the bound is {} ms",
        checked.as_secs_f64() * 1e3,
        proposed.as_secs_f64() * 1e3,
        PROPOSED_WITHIN.as_millis()
    );
    ensure!(proposed <= PROPOSED_WITHIN, "propose_claim takes longer");
    Ok(())
}

fn large_in(
    scene: &Scene,
    product: &Product<'_>,
    known: &Known,
    lines: usize,
    rounds: usize,
) -> Result<(Duration, Duration)> {
    let run = product.expect(6, &["run", &known.scope])?;
    let agent = Mcp::connect(scene, "honest")?;
    let (loop_id, draft) =
        known.prepare_with(scene, &agent, &text(&run, "/run/run_id")?, |repo| {
            stages(repo, lines, "rotate_right")
        })?;
    let mut checked = Vec::new();
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        let answer = agent.call("check_claim", json!({ "loop_id": loop_id, "draft": draft }))?;
        checked.push(started.elapsed());
        ensure!(answer["refused"] == json!([]), "refused: {answer}");
    }
    checked.sort();
    let started = Instant::now();
    let request = json!({ "loop_id": loop_id, "draft": draft, "idempotency_key": "large" });
    let proposed = agent.call("propose_claim", request)?;
    let took = started.elapsed();
    text(&proposed, "/claim_id").with_context(|| proposed.to_string())?;
    Ok((
        checked.get(checked.len() / 2).copied().unwrap_or_default(),
        took,
    ))
}

/// Modules of the fixture project of `lines` statements in all, each of which names the method.
fn stages(repo: &Path, lines: usize, method: &str) -> Result<()> {
    let files = lines.div_ceil(PER_FILE);
    for file in 0..files {
        let mut text = format!(
            "//! Stage {file}.\n\n/// Mixes a value.\npub fn mix(value: u64) -> u64 {{\n    let mut mixed = value;\n"
        );
        for number in 0..PER_FILE.min(lines - file * PER_FILE) {
            text.push_str(&format!(
                "    mixed = mixed.wrapping_mul({}).{method}({});\n",
                2 * (file + number) + 1,
                number % 63 + 1
            ));
        }
        text.push_str("    mixed\n}\n");
        fs::write(repo.join(format!("src/stage_{file}.rs")), text)?;
    }
    let path = repo.join("src/lib.rs");
    let root = fs::read_to_string(&path)?;
    if !root.contains("pub mod stage_0;") {
        let modules = (0..files).map(|file| format!("pub mod stage_{file};\n"));
        fs::write(&path, root + &modules.collect::<String>())?;
    }
    Ok(())
}

/// Wall clock and processor time.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    wall: Duration,
    cpu: Duration,
}

impl Spent {
    fn add(&mut self, other: Spent) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// One round of both sides.
#[derive(Debug, Default)]
struct Round {
    /// `propose_claim` alone.
    proposed: Duration,
    /// From the proposal to the approval.
    by_loop: Spent,
    /// What the loop says that its processes took.
    processes: Duration,
    /// The same commands by hand.
    by_hand: Spent,
    /// Those of them that a person would hardly run: canaries.
    canaries: Spent,
    /// What making the rooms ready takes, by its parts; the loop does it too.
    ready: BTreeMap<&'static str, Duration>,
}

impl Round {
    fn added(&self) -> (f64, f64) {
        let over = |ours: Duration, theirs: Duration| {
            ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9) - 1.0
        };
        (
            over(self.by_loop.wall, self.by_hand.wall),
            over(self.by_loop.cpu, self.by_hand.cpu),
        )
    }

    /// The loop's time between its processes, over theirs: of one and the same playing, so that what else the machine
    /// does meets both.
    fn between(&self) -> f64 {
        self.by_loop.wall.as_secs_f64() / self.processes.as_secs_f64().max(1e-9) - 1.0
    }

    fn line(&self) -> String {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let parts = self.ready.iter();
        let parts: Vec<String> = parts
            .map(|(name, time)| format!("{name} {}", seconds(*time)))
            .collect();
        let (wall, cpu) = self.added();
        format!(
            "loop {} wall {} cpu (propose_claim {}, its processes {}, {:+.1} % between them); by hand {} wall {} cpu \
             (canaries {} wall); added {:+.1} % wall {:+.1} % cpu; making ready by the same steps: {}",
            seconds(self.by_loop.wall),
            seconds(self.by_loop.cpu),
            seconds(self.proposed),
            seconds(self.processes),
            self.between() * 100.0,
            seconds(self.by_hand.wall),
            seconds(self.by_hand.cpu),
            seconds(self.canaries.wall),
            wall * 100.0,
            cpu * 100.0,
            parts.join(", ")
        )
    }
}

fn summary(rounds: &[Round]) -> Result<()> {
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let (wall, cpu) = (
        median(&|round| round.added().0),
        median(&|round| round.added().1),
    );
    let between = median(&Round::between);
    let seconds = median(&|round| round.by_loop.wall.as_secs_f64() - round.processes.as_secs_f64());
    println!(
        "over the same commands by hand the loop takes {:+.1} % wall and {:+.1} % cpu; between its own processes {seconds:.2} s, \
         {:+.1} % of theirs; median of {} rounds; the bound is {:.0} %, or {} ms of shorter gates",
        wall * 100.0,
        cpu * 100.0,
        between * 100.0,
        rounds.len(),
        BOUND * 100.0,
        ALLOWED.as_millis()
    );
    ensure!(
        between <= BOUND || seconds <= ALLOWED.as_secs_f64(),
        "the loop adds more than it may"
    );
    Ok(())
}

fn round(project: Project, known: &Known, honest: &Honest, folder: &Path) -> Result<Round> {
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir()?;
    let (place, kept) = (folder.join("scene"), folder.join("seeds"));
    let edit = |repo: &Path| match project {
        Project::Engine => honest.edit_policy(repo),
        Project::Fixture => Ok(()),
    };
    let scene = Scene::seeded(project, (&known.patch()?, 0), &place, runtime.path(), edit)?;
    let product = Product::new(&scene);
    let measured = measured(&scene, &product, known, &kept);
    // Whatever happened, nothing is left running.
    let stopped = product.call(&["stop"]);
    seeds::keep(&place, &kept)?;
    drop(scene);
    fs::remove_dir_all(&place)?;
    let measured = measured?;
    stopped?;
    Ok(measured)
}

fn measured(scene: &Scene, product: &Product<'_>, known: &Known, kept: &Path) -> Result<Round> {
    seeds::bring(product, kept)?;
    let run = product.expect(6, &["run", &known.scope])?;
    let run_id = text(&run, "/run/run_id")?;
    let state = seeds::state_dir(product)?;
    product.expect(0, &["stop"])?;
    let hand = Hand::new(scene, known, &state)?;
    hand.warm()?;
    let mut round = Round::default();
    let claim_id = by_loop(scene, product, known, &run_id, &mut round)?;
    let (_, claim) = product.call(&["claim", "show", &claim_id])?;
    product.expect(0, &["stop"])?;
    hand.play(&claim, &mut round)?;
    Ok(round)
}

/// Proposes, gates and approves; answers with the claim.
fn by_loop(
    scene: &Scene,
    product: &Product<'_>,
    known: &Known,
    run_id: &str,
    round: &mut Round,
) -> Result<String> {
    let agent = Mcp::connect(scene, "honest")?;
    let (loop_id, draft) = known.prepare(scene, &agent, run_id)?;
    let pid = product.daemon_pid()?.context("no daemon runs")?;
    let (started, before) = (Instant::now(), daemon_cpu(pid)? + children_cpu()?);
    let request = json!({ "loop_id": loop_id, "draft": draft, "idempotency_key": "good" });
    let proposed = agent.call("propose_claim", request)?;
    round.proposed = started.elapsed();
    let claim_id = text(&proposed, "/claim_id").with_context(|| proposed.to_string())?;
    loop {
        let request = json!({ "loop_id": loop_id, "claim_id": claim_id, "max_wait_s": 50 });
        let gates = agent.call("run_gates", request)?;
        if gates["done"] == true {
            ensure!(gates["state"] == "staged", "the gates refused: {gates}");
            break;
        }
    }
    let key = scene.approver.to_string_lossy();
    product.expect(0, &["approve", &claim_id, "--key", &key])?;
    round.by_loop = Spent {
        wall: started.elapsed(),
        cpu: daemon_cpu(pid)? + children_cpu()? - before,
    };
    Ok(claim_id)
}

/// A person with the same rooms, toolchain and dependencies, and without the loop.
struct Hand {
    repo: DaemonRepo,
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
    fn new(scene: &Scene, known: &Known, state: &Path) -> Result<Self> {
        let environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let user = environment.get(OsStr::new("CARGO_HOME")).map(PathBuf::from);
        let home = environment.get(OsStr::new("HOME")).map(PathBuf::from);
        let user = user.or_else(|| home.map(|home| home.join(".cargo")));
        let (target, name) = known
            .pinned
            .split_once("::")
            .unwrap_or(("gpu_smoke", &known.pinned));
        Ok(Self {
            repo: DaemonRepo::open_or_init(&state.join("repo.git"), Transport::new(&environment)?)?,
            room: Rooms::open(&scene.work.join("hand"))?.room("main"),
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
    fn warm(&self) -> Result<()> {
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
    fn play(&self, claim: &Value, round: &mut Round) -> Result<()> {
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

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {value}"))
}

/// Processor time of the daemon and of every process that it has waited for.
fn daemon_cpu(pid: i32) -> Result<Duration> {
    let times = times(&format!("/proc/{pid}/stat"))?;
    Ok(times.iter().sum())
}

/// Processor time of the processes that this one has waited for.
fn children_cpu() -> Result<Duration> {
    let times = times("/proc/self/stat")?;
    Ok(times[2] + times[3])
}

/// `utime`, `stime`, `cutime` and `cstime` of proc(5).
fn times(path: &str) -> Result<[Duration; 4]> {
    let stat = fs::read_to_string(path)?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || -> Result<Duration> {
        let ticks = ticks.next().context("stat is short")??;
        Ok(Duration::from_millis(ticks * 1000 / USER_HZ))
    };
    Ok([next()?, next()?, next()?, next()?])
}

//! One loop, from red to confirmed, on real parts; each step says what it proved.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::support::agent::Said;
use crate::support::bin;
use crate::support::git::{attempt, git};
use crate::support::project::{Project, Scene};

/// Hears of each step; the demo prints, a test may collect.
pub trait Audience {
    /// A step begins.
    fn step(&mut self, number: usize, title: &str);
    /// Something was proved.
    fn proved(&mut self, text: &str);
}

/// Number of steps of [`play`].
pub const STEPS: usize = 8;

/// What a played story leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The pushed commit.
    pub commit: String,
    /// The claim.
    pub claim_id: String,
    /// State folder.
    pub state_dir: String,
}

/// The product's command line in a scene.
pub struct Product<'a> {
    scene: &'a Scene,
    repo: PathBuf,
    env: Vec<(OsString, OsString)>,
}

impl<'a> Product<'a> {
    /// The command line, pointed at the scene.
    #[must_use]
    pub fn new(scene: &'a Scene) -> Self {
        Self {
            scene,
            repo: scene.repo.clone(),
            env: Vec::new(),
        }
    }

    /// As [`Product::new`], for a repository that stands elsewhere.
    #[must_use]
    pub fn at(scene: &'a Scene, repo: &Path) -> Self {
        let repo = repo.to_owned();
        Self {
            repo,
            ..Self::new(scene)
        }
    }

    /// With a variable in the environment of every verb, and so of a daemon that it starts.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A verb with its arguments; JSON on standard output, progress on standard error.
    ///
    /// # Errors
    /// The binary is not built.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(bin("greenloop")?);
        command.args(args).arg("--json");
        command
            .arg("--repo")
            .arg(&self.repo)
            .arg("--config")
            .arg(&self.scene.config)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs a verb; answers with its exit code and its answer.
    ///
    /// # Errors
    /// It printed no JSON.
    pub fn call(&self, args: &[&str]) -> Result<(i32, Value)> {
        let output = self
            .command(args)?
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8(output.stdout).context("output is not text")?;
        let last = text.lines().last().unwrap_or("null");
        let value = serde_json::from_str(last)
            .with_context(|| format!("greenloop {} printed `{last}`", args.join(" ")))?;
        Ok((output.status.code().unwrap_or(-1), value))
    }

    /// Runs a verb that must end with that code.
    ///
    /// # Errors
    /// Another code.
    pub fn expect(&self, code: i32, args: &[&str]) -> Result<Value> {
        let (got, value) = self.call(args)?;
        ensure!(
            got == code,
            "greenloop {} ended with {got} instead of {code}: {value}",
            args.join(" ")
        );
        Ok(value)
    }

    /// Process id of the daemon, if one runs.
    ///
    /// # Errors
    /// `doctor` printed something else.
    pub fn daemon_pid(&self) -> Result<Option<i32>> {
        let found = self.doctor_found("daemon")?;
        Ok(found.strip_prefix("pid ").and_then(|pid| pid.parse().ok()))
    }

    /// What `doctor` found of one of the things that it looks at.
    ///
    /// # Errors
    /// `doctor` printed something else, or does not look at it.
    pub fn doctor_found(&self, name: &str) -> Result<String> {
        let (_, diagnosis) = self.call(&["doctor"])?;
        let findings = diagnosis
            .get("findings")
            .and_then(Value::as_array)
            .context("no findings")?;
        let found = findings
            .iter()
            .find(|finding| finding.get("name").and_then(Value::as_str) == Some(name))
            .and_then(|finding| finding.get("found")?.as_str());
        found
            .map(str::to_owned)
            .with_context(|| format!("doctor says nothing of the {name}"))
    }

    /// Kills the daemon as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// None runs, or it cannot be killed.
    pub fn kill_daemon(&self) -> Result<()> {
        let pid = self.daemon_pid()?.context("no daemon runs")?;
        let pid = rustix::process::Pid::from_raw(pid).context("not a process id")?;
        let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        let mut watched = [rustix::event::PollFd::new(
            &handle,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut watched, None)?;
        Ok(())
    }

    /// Runs a phase of the scripted agent; `heard` gets each step.
    ///
    /// # Errors
    /// The agent failed; it said why on standard error.
    pub fn agent(&self, phase: &str, mut heard: impl FnMut(&Said)) -> Result<Vec<Said>> {
        let mut child = Command::new(bin("scripted-agent")?)
            .arg("--greenloop")
            .arg(bin("greenloop")?)
            .arg("--repo")
            .arg(&self.repo)
            .arg("--config")
            .arg(&self.scene.config)
            .arg("--brief")
            .arg(&self.scene.brief_file)
            .args(["--phase", phase])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut all = Vec::new();
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let said: Said = serde_json::from_str(&line?).context("the agent printed no step")?;
            heard(&said);
            all.push(said);
        }
        let status = child.wait()?;
        ensure!(
            status.success(),
            "the scripted agent failed in phase {phase}"
        );
        Ok(all)
    }
}

/// Plays the story. `set_scene` makes the scene, so that its time counts.
///
/// # Errors
/// A step did not prove what it should.
pub fn play(
    project: Project,
    work: &Path,
    runtime: &Path,
    audience: &mut dyn Audience,
) -> Result<Ending> {
    audience.step(
        1,
        "a scratch clone with a seeded bug, a guarded remote over http, an approver's key",
    );
    let scene = Scene::set(project, work, runtime)?;
    audience.proved(&format!(
        "{} seeded; {} is at {}",
        scene.brief.bug_patch.display(),
        scene.url,
        &scene.base[..12]
    ));
    let product = Product::new(&scene);
    let ending = played(&scene, &product, audience);
    // Whatever happened, nothing is left running.
    let stopped = product.call(&["stop"]);
    let ending = ending?;
    stopped?;
    Ok(ending)
}

fn played(scene: &Scene, product: &Product<'_>, audience: &mut dyn Audience) -> Result<Ending> {
    audience.step(2, "a baseline run on this machine's device: red");
    baseline(scene, product, audience)?;

    audience.step(
        3,
        "an agent over MCP: evidence, ledger, a bad claim, a good one",
    );
    product.agent("claim", |said| {
        audience.proved(&format!("{}: {}", said.step, said.text))
    })?;

    audience.step(4, "gates in the clean room; the daemon makes the commit");
    let said = product.agent("gates", |said| {
        audience.proved(&format!("{}: {}", said.step, said.text))
    })?;
    let staged = said
        .last()
        .map(|said| said.data.clone())
        .context("the agent said nothing")?;
    let claim_id = string(&staged, "/summary/claim_id")?;
    let commit = string(&staged, "/summary/commit")?;

    audience.step(5, "SIGKILL the daemon; the next one resumes");
    survive_a_kill(product, audience)?;

    audience.step(
        6,
        "a person approves; the permit is spent in one atomic push",
    );
    let approved = product.expect(
        0,
        &[
            "approve",
            &claim_id,
            "--key",
            &scene.approver.to_string_lossy(),
        ],
    )?;
    audience.proved(&format!(
        "{} {} by {}",
        claim_id,
        string(&approved, "/state")?,
        string(&approved, "/signer")?
    ));

    audience.step(
        7,
        "the pushed commit runs; predictions and guards are graded",
    );
    product.agent("push", |said| {
        audience.proved(&format!("{}: {}", said.step, said.text))
    })?;
    confirmed(scene, product, &commit, audience)?;

    audience.step(
        8,
        "from a fresh clone, offline: audit, why, and an unapproved push",
    );
    let state_dir = string(&product.call(&["status"])?.1, "/state_dir")?;
    product.expect(0, &["stop"])?;
    audited(scene, product, &commit, audience)?;
    Ok(Ending {
        commit,
        claim_id,
        state_dir,
    })
}

fn string(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {value}"))
}

fn baseline(scene: &Scene, product: &Product<'_>, audience: &mut dyn Audience) -> Result<()> {
    let started = Instant::now();
    let answer = product.expect(6, &["run", &scene.brief.scope])?;
    let jobs = answer
        .pointer("/run/jobs")
        .and_then(Value::as_array)
        .context("no jobs")?;
    for job in jobs {
        audience.proved(&format!(
            "{}: {}, {} bytes in {} lines, {}",
            string(job, "/cell")?,
            string(job, "/conclusion")?,
            job.pointer("/log/total_bytes").unwrap_or(&Value::Null),
            job.pointer("/log/total_lines").unwrap_or(&Value::Null),
            string(job, "/log/log_id")?,
        ));
    }
    let run_id = string(&answer, "/run/run_id")?;
    let class = product.expect(6, &["classify", &run_id])?;
    let anchor = class
        .pointer("/anchors/0")
        .context("the class rests on no line")?;
    audience.proved(&format!(
        "class {} ({}), rests on {} line {}: {}",
        string(&class, "/class")?,
        string(&class, "/disposition")?,
        string(anchor, "/cell")?,
        anchor.pointer("/line").unwrap_or(&Value::Null),
        string(anchor, "/summary")?
    ));
    audience.proved(&format!(
        "first divergence at line {}: {}",
        class
            .pointer("/first_divergence/line")
            .context("no first divergence")?,
        string(&class, "/first_divergence/summary")?
    ));
    audience.proved(&format!(
        "red after {:.1} s, the build of the clean room included",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// What must be the same after a kill: everything but the ages of signals.
fn remembered(status: &Value) -> Value {
    let keep = [
        "claims",
        "hypotheses",
        "journal_head",
        "journal_seq",
        "open_loops",
    ];
    keep.iter()
        .map(|key| (*key).to_owned())
        .zip(
            keep.iter()
                .map(|key| status.get(key).cloned().unwrap_or_default()),
        )
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn survive_a_kill(product: &Product<'_>, audience: &mut dyn Audience) -> Result<()> {
    let before = remembered(&product.expect(4, &["status"])?);
    product.kill_daemon()?;
    ensure!(
        product.daemon_pid()?.is_none(),
        "the daemon survived SIGKILL"
    );
    let after = remembered(&product.expect(4, &["status"])?);
    ensure!(
        before == after,
        "the resumed loop differs:\n{before}\n{after}"
    );
    let digest = string(&after, "/claims/0/claim_digest")?;
    audience.proved(&format!(
        "same loop, claim {digest}, journal record {} with the same hash",
        after.pointer("/journal_seq").unwrap_or(&Value::Null)
    ));
    Ok(())
}

fn confirmed(
    scene: &Scene,
    product: &Product<'_>,
    commit: &str,
    audience: &mut dyn Audience,
) -> Result<()> {
    let tips = git(&scene.repo, &["ls-remote", "origin"])?;
    for wanted in [
        "refs/heads/main".to_owned(),
        format!("refs/greenloop/attest/{commit}"),
        format!("refs/greenloop/verdict/{commit}"),
    ] {
        ensure!(
            tips.lines().any(|line| line.ends_with(&wanted)),
            "{wanted} is not at the remote:\n{tips}"
        );
    }
    let main = tips
        .lines()
        .find(|line| line.ends_with("refs/heads/main"))
        .unwrap_or_default();
    ensure!(main.starts_with(commit), "main is {main}, not {commit}");
    let status = product.expect(0, &["status"])?;
    let claim = status
        .pointer("/claims")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let state = claim
        .filter(|claim| claim.get("commit").and_then(Value::as_str) == Some(commit))
        .find_map(|claim| claim.get("state")?.as_str());
    ensure!(state == Some("confirmed"), "the claim is {state:?}");
    audience.proved("branch, attestation and verdict are at the remote; the scope is green with engagement proof");
    Ok(())
}

fn audited(
    scene: &Scene,
    product: &Product<'_>,
    commit: &str,
    audience: &mut dyn Audience,
) -> Result<()> {
    let clone = scene.work.join("audit");
    if clone.exists() {
        std::fs::remove_dir_all(&clone)?;
    }
    git(&scene.work, &["clone", "--quiet", &scene.url, "audit"])?;
    git(
        &clone,
        &[
            "fetch",
            "--quiet",
            "origin",
            "refs/greenloop/*:refs/greenloop/*",
        ],
    )?;
    let signers = scene.signers.to_string_lossy().into_owned();
    let clone_text = clone.to_string_lossy().into_owned();
    let audit = Command::new(bin("greenloop-verify")?)
        .args([
            "audit",
            &clone_text,
            "--commit",
            commit,
            "--signers",
            &signers,
        ])
        .output()?;
    if !audit.status.success() {
        bail!(
            "the audit failed: {}{}",
            String::from_utf8_lossy(&audit.stdout),
            String::from_utf8_lossy(&audit.stderr)
        );
    }
    let summary = String::from_utf8_lossy(&audit.stdout);
    audience.proved(&format!(
        "greenloop-verify audit: {}",
        summary.lines().last().unwrap_or_default()
    ));
    product.expect(0, &["why", commit, "--clone", &clone_text])?;
    ensure!(product.daemon_pid()?.is_none(), "why needed a daemon");
    audience.proved("greenloop why replays the same decision from the clone, with no daemon");
    unapproved(&clone, audience)
}

/// A plain push to the guarded branch, by git itself, must be refused by the remote.
fn unapproved(clone: &Path, audience: &mut dyn Audience) -> Result<()> {
    git(
        clone,
        &["commit", "--quiet", "--allow-empty", "-m", "just this once"],
    )?;
    let (pushed, _, said) = attempt(clone, &["push", "origin", "HEAD:refs/heads/main"])?;
    git(clone, &["reset", "--quiet", "--hard", "HEAD^"])?;
    ensure!(!pushed, "an unapproved push reached the remote");
    ensure!(
        said.contains("pre-receive hook declined"),
        "refused for another reason: {said}"
    );
    let why = said
        .lines()
        .find(|line| line.contains("refused"))
        .unwrap_or("pre-receive hook declined");
    audience.proved(&format!(
        "an unapproved push: {}",
        why.trim_start_matches("remote:").trim()
    ));
    Ok(())
}

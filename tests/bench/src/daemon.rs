//! A running daemon of the real program, asked over its operator's socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use discipline::model::{Conclusion, RunStatus};
use serde_json::{Value, json};
use state::OpenOptions;

use crate::journal::{append, created, of};
use crate::table::{Row, print, within};

/// What showing the latest run may take.
const BOUND: Duration = Duration::from_millis(5);
/// Times that it is asked.
const ASKED: usize = 201;

/// A repository and what its daemon is given.
struct Home {
    folder: tempfile::TempDir,
    program: PathBuf,
}

pub(crate) fn run(program: &Path, runs: u64, events: u64) -> anyhow::Result<()> {
    let program = program
        .canonicalize()
        .with_context(|| program.display().to_string())?;
    // In memory where that is possible: the disk's syncs are another measurement.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let home = Home { folder, program };
    let root_commit = home.repository()?;
    home.state(&root_commit, runs, events)?;
    home.greenloop(&["daemon"])?;
    let asked = home.ask(runs);
    home.greenloop(&["stop"])?;
    let (mut times, latest) = asked?;
    ensure!(
        latest == format!("R{runs}"),
        "{latest} was shown as the latest"
    );
    times.sort_unstable();
    let at = |tenths: usize| {
        let last = times.len().saturating_sub(1);
        times.get(last * tenths / 10).copied().unwrap_or_default()
    };
    let row = |name: &str, tenths| -> Row {
        let what = format!("a running daemon shows the latest of {runs} runs, {name}");
        within(what, at(tenths), BOUND)
    };
    let rows = [row("median", 5), row("9 of 10", 9)];
    let missed = print(&rows, &mut std::io::stdout())?;
    ensure!(missed == 0, "{missed} of {} bounds are missed", rows.len());
    Ok(())
}

impl Home {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program in an environment of its own; its output on success.
    fn said(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("clone"))
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        // Cargo and toolchain are found where they are.
        for (name, place) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
            if let (None, Some(home)) = (std::env::var_os(name), std::env::var_os("HOME")) {
                command.env(name, Path::new(&home).join(place));
            }
        }
        let done = command
            .output()
            .with_context(|| program.display().to_string())?;
        let error = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success(),
            "{} {arguments:?}: {error}",
            program.display()
        );
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        self.said(Path::new("git"), &[&who, arguments].concat())
    }

    fn greenloop(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let state = self.path("state");
        let state = state.to_str().context("a path of text")?;
        let program = self.program.clone();
        self.said(&program, &[&["--state", state], arguments].concat())
    }

    fn remote(&self) -> anyhow::Result<String> {
        let path = self.path("remote.git");
        Ok(path.to_str().context("a path of text")?.to_owned())
    }

    /// A commit at a remote; its id.
    fn repository(&self) -> anyhow::Result<String> {
        for name in ["clone", "run", "config"] {
            std::fs::create_dir(self.path(name))?;
        }
        let remote = self.remote()?;
        self.git(&["init", "--quiet", "-b", "main"])?;
        std::fs::write(self.path("clone/greenloop.toml"), "schema = 1\n")?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "-m", "Begin"])?;
        self.git(&["init", "--quiet", "--bare", &remote])?;
        self.git(&["remote", "add", "origin", &remote])?;
        self.git(&["push", "--quiet", "origin", "main"])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// A state of so many runs, all ended, so that the daemon has nothing else to do.
    fn state(&self, root_commit: &str, runs: u64, events: u64) -> anyhow::Result<()> {
        let mut options = OpenOptions::new(0);
        options.reserve_bytes = 1 << 20;
        let place = (root_commit, self.remote()?);
        let place = (place.0, place.1.as_str());
        let (mut dir, mut state) = created(&self.path("state"), &options, place)?;
        for number in 0..events.saturating_sub(runs) {
            append(&mut dir, &mut state, of(number % runs, number))?;
        }
        for number in 0..runs {
            let mut run = of(number, events);
            run.status = RunStatus::Completed;
            run.conclusion = Some(Conclusion::Cancelled);
            run.finished_ms = Some(run.created_ms);
            append(&mut dir, &mut state, run)?;
        }
        Ok(())
    }

    /// Asks for the latest run again and again over one connection: how long each took, and its id.
    fn ask(&self, runs: u64) -> anyhow::Result<(Vec<Duration>, String)> {
        let mut sockets = std::fs::read_dir(self.path("run/greenloop"))?
            .filter_map(|entry| Some(entry.ok()?.path().join("operator.sock")))
            .filter(|path| path.exists());
        let socket = sockets.next().context("the daemon has no socket")?;
        let mut writer = UnixStream::connect(&socket)?;
        let mut reader = BufReader::new(writer.try_clone()?);
        let mut line = String::new();
        let hello = json!({"version": "bench", "name": "bench"});
        writeln!(writer, "{hello}")?;
        reader.read_line(&mut line)?;
        let arguments = json!({"limit": 1});
        let call = json!({"call": {"command": "list_runs", "arguments": arguments}}).to_string();
        let (mut times, mut latest) = (Vec::new(), String::new());
        for _ in 0..ASKED {
            let start = Instant::now();
            writeln!(writer, "{call}")?;
            line.clear();
            reader.read_line(&mut line)?;
            times.push(start.elapsed());
            let answer: Value = serde_json::from_str(&line)?;
            let run = &answer["answer"]["answer"]["runs"][0]["run_id"];
            let run = run.as_str();
            latest = run
                .with_context(|| format!("no run among {runs}: {line}"))?
                .to_owned();
        }
        Ok((times, latest))
    }
}

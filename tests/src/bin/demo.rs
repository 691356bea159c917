//! Plays one loop on the engine, prints what each step proved, and leaves no process behind.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints for a person"
)]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use acceptance::story::{Audience, STEPS, play};
use acceptance::support::project::Project;
use acceptance::support::{bin, repository_root};
use anyhow::{Context, Result};
use clap::Parser;

/// Plays one loop from red to confirmed.
#[derive(Debug, Parser)]
struct Args {
    /// Folder that keeps everything; a new one under the system's temporary folder when absent
    #[arg(long)]
    work: Option<PathBuf>,
    /// Play on the small project instead of the engine
    #[arg(long)]
    fixture: bool,
}

struct Stage {
    started: Instant,
    step: Option<(usize, Instant)>,
}

impl Stage {
    fn close_step(&mut self) {
        if let Some((number, began)) = self.step.take() {
            println!(
                "      step {number} took {:.1} s",
                began.elapsed().as_secs_f32()
            );
        }
    }
}

impl Audience for Stage {
    fn step(&mut self, number: usize, title: &str) {
        self.close_step();
        println!("\n[{number}/{STEPS}] {title}");
        self.step = Some((number, Instant::now()));
    }

    fn proved(&mut self, text: &str) {
        println!("      {text}");
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match show(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args) -> Result<()> {
    let work = match &args.work {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            dir.clone()
        }
        None => tempfile::Builder::new()
            .prefix("greenloop-demo-")
            .tempdir()?
            .keep(),
    };
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir()?;
    println!("everything is kept in {}", work.display());
    on_interrupt(&work);
    let project = if args.fixture {
        Project::Fixture
    } else {
        Project::Engine
    };
    let mut stage = Stage {
        started: Instant::now(),
        step: None,
    };
    let ending = play(project, &work, runtime.path(), &mut stage)?;
    stage.close_step();
    let options = options(&work);
    println!("\nlook around (the state folder is {}):", ending.state_dir);
    for verb in [
        "status".to_owned(),
        format!("claim {}", ending.claim_id),
        format!("why {}", &ending.commit[..12]),
        "stop".to_owned(),
    ] {
        println!("  {} {verb} {options}", bin("greenloop")?.display());
    }
    println!(
        "\nloop closed in {:.0} s: {} confirmed, {} pushed",
        stage.started.elapsed().as_secs_f32(),
        ending.claim_id,
        &ending.commit[..12]
    );
    Ok(())
}

fn options(work: &std::path::Path) -> String {
    format!(
        "--repo {} --config {}",
        work.join("clone").display(),
        work.join("config.toml").display()
    )
}

/// On Ctrl-C or SIGTERM: stops the daemon, says how to continue, ends.
fn on_interrupt(work: &std::path::Path) {
    let work = work.to_owned();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        if runtime.block_on(interrupted()).is_err() {
            return;
        }
        if let Ok(greenloop) = bin("greenloop") {
            let stopped = Command::new(greenloop)
                .args(["stop", "--repo"])
                .arg(work.join("clone"))
                .arg("--config")
                .arg(work.join("config.toml"))
                .current_dir(repository_root())
                .status();
            if !stopped.is_ok_and(|status| status.success()) {
                eprintln!("demo: no daemon was there to stop");
            }
        }
        eprintln!("\nstopped; nothing is left running");
        eprintln!(
            "continue the loop by hand: greenloop status {}",
            options(&work)
        );
        eprintln!("or play it again from the start: script/demo");
        std::process::exit(130);
    });
}

async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("cannot hear Ctrl-C"),
        _ = term.recv() => Ok(()),
    }
}

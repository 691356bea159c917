//! What the loop adds to the time that a claim's gates take: from the proposal to the approval through the product,
//! against the same commands run by hand in rooms that were made ready beforehand.
//!
//! By hand is: the pinned test on the base, every gate, the pinned test on the head, every canary; in the loop's order,
//! with its arguments, environment and toolchain, each in a room at a stable path with the same copy of the dependencies.
//! The loop's alone are: checking the claim, filling and emptying rooms, `cargo fetch` and `cargo metadata`, inventories
//! of tests, transcripts, journal, staging and approval. Dependencies are built before either side begins. In a round the
//! hand plays what the loop has just played, so whatever the page cache helps, it helps the hand.
//!
//! Two figures come of it. *Over the hand* compares two playings and carries the noise of both; it also holds what the
//! removal of an old room takes from the gate beside it. *Between* compares the loop's time outside of its processes with
//! that inside, of one playing; it is the one that is bounded.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints for a person"
)]

mod hand;
mod large;
mod round;
mod spent;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use acceptance::story::Product;
use acceptance::support::honest::{self, Honest, Known};
use acceptance::support::mcp::Mcp;
use acceptance::support::project::{Project, Scene};
use acceptance::support::seeds;
use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

use hand::Hand;
use large::large;
use round::{Round, summary};
use spent::{Spent, children_cpu, daemon_cpu};

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

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {value}"))
}

//! Plants seeded bugs of `engine/bugs` one by one, runs the scope that shows each, and proposes the
//! honest fix over MCP: it must be accepted at the first try.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints for a person"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use acceptance::story::Product;
use acceptance::support::honest::{self, Honest, Known};
use acceptance::support::mcp::Mcp;
use acceptance::support::project::{Project, Scene};
use acceptance::support::seeds;
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;

/// Proposes honest fixes of seeded bugs; all must pass at first try.
#[derive(Debug, Parser)]
struct Args {
    /// Bugs, as engine/bugs names them; all that have a claim in tests/stories/honest.toml when absent
    bugs: Vec<String>,
    /// Only those that are tried at every change
    #[arg(long, conflicts_with = "bugs")]
    short: bool,
    /// Only those that are not tried at every change
    #[arg(long, conflicts_with_all = ["bugs", "short"])]
    rest: bool,
    /// Print the names and end
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match work(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("honest-claims: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &Args) -> Result<()> {
    let honest = honest::read()?;
    let chosen = choose(args, &honest)?;
    if args.list {
        chosen.iter().for_each(|known| println!("{}", known.bug));
        return Ok(());
    }
    let work = tempfile::Builder::new()
        .prefix("greenloop-honest-")
        .tempdir()?;
    let (mut failed, mut port) = (Vec::new(), 0);
    for known in &chosen {
        let started = Instant::now();
        let said = match attempt(&honest, known, work.path(), &mut port) {
            Ok(said) => said,
            Err(error) => {
                failed.push(known.bug.as_str());
                format!("FAILED: {error:#}")
            }
        };
        println!(
            "{}: {said} ({:.0} s)",
            known.bug,
            started.elapsed().as_secs_f32()
        );
    }
    ensure!(
        failed.is_empty(),
        "{} of {} failed: {}",
        failed.len(),
        chosen.len(),
        failed.join(", ")
    );
    println!("{} honest claims accepted at first try", chosen.len());
    Ok(())
}

fn choose<'h>(args: &Args, honest: &'h Honest) -> Result<Vec<&'h Known>> {
    let all = &honest.claim;
    if args.bugs.is_empty() {
        let wanted = |known: &&Known| (!args.short || known.short) && (!args.rest || !known.short);
        return Ok(all.iter().filter(wanted).collect());
    }
    let find = |name: &String| {
        let known = all.iter().find(|known| &known.bug == name);
        known.with_context(|| {
            format!("tests/stories/honest.toml has no claim for `{name}`; see --list")
        })
    };
    args.bugs.iter().map(find).collect()
}

/// One bug in a scene of its own; what was built of foreign crates stays for the next.
fn attempt(honest: &Honest, known: &Known, work: &Path, port: &mut u16) -> Result<String> {
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir()?;
    let place = work.join("scene");
    let kept = work.join("seeds");
    let played = propose(honest, known, &place, &kept, runtime.path(), port);
    seeds::keep(&place, &kept)?;
    std::fs::remove_dir_all(&place)?;
    played
}

fn propose(
    honest: &Honest,
    known: &Known,
    place: &Path,
    seeds_folder: &Path,
    runtime: &Path,
    port: &mut u16,
) -> Result<String> {
    let edit = |repo: &Path| honest.edit_policy(repo);
    let seed = (known.patch()?, *port);
    let scene = Scene::seeded(Project::Engine, (&seed.0, seed.1), place, runtime, edit)?;
    *port = scene.forge.port();
    let product = Product::new(&scene);
    let ready = seeds::bring(&product, seeds_folder);
    let run = ready.and_then(|()| product.expect(6, &["run", &known.scope]));
    let refusals = run.and_then(|answer| {
        let run_id = answer.pointer("/run/run_id").and_then(Value::as_str);
        let run_id = run_id.with_context(|| format!("no run in {answer}"))?;
        let agent = Mcp::connect(&scene, "honest")?;
        known.propose(&scene, &agent, run_id)
    });
    // Whatever happened, nothing is left running.
    let stopped = product.call(&["stop"]);
    let refusals = refusals?;
    stopped?;
    if !refusals.none() {
        bail!("refused falsely: {refusals:?}");
    }
    Ok(format!(
        "{} accepted, 0 refusals",
        refusals.claim_id.unwrap_or_default()
    ))
}

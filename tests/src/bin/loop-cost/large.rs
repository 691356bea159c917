//! A fix among thousands of changed lines, proposed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use acceptance::story::Product;
use acceptance::support::honest::Known;
use acceptance::support::mcp::Mcp;
use acceptance::support::project::{Project, Scene};
use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::text;

/// What `propose_claim` may take with a diff of 2,000 lines.
const PROPOSED_WITHIN: Duration = Duration::from_secs(1);
/// Lines of each file that is changed beside a fix.
const PER_FILE: usize = 100;

/// Proposes the fixture's fix among `lines` other changed ones.
pub(crate) fn large(known: &Known, lines: usize, rounds: usize, folder: &Path) -> Result<()> {
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

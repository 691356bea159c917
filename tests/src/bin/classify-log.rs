//! `classify-log FOLDER`: what the logs of a scope's cells say together, without a daemon.
//!
//! Exit codes: 0 green, 1 internal, 2 usage, 5 no signal, 6 red or unproven.
#![allow(clippy::print_stdout, reason = "the command line's answer")]

use std::path::PathBuf;
use std::process::ExitCode;

use acceptance::classify::{CellLog, Judged, judge};
use anyhow::{Context, Result};
use clap::Parser;
use discipline::green::Colour;
use discipline::policy::Policy;

/// Classify the logs of a scope's cells: FOLDER/CELL/smoke.log with the exit code of the tests in FOLDER/CELL/exit.
#[derive(Parser)]
#[command(name = "classify-log")]
struct Arguments {
    /// Folder with one folder per cell, as `script/smoke` fills it.
    folder: PathBuf,
    /// Policy whose scope is judged.
    #[arg(long, default_value = "greenloop.toml")]
    policy: PathBuf,
    /// Proof scope.
    #[arg(long, default_value = "vulkan_kernel_correctness")]
    scope: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let text = std::fs::read_to_string(&arguments.policy)
        .with_context(|| format!("cannot read {}", arguments.policy.display()))?;
    let policy = Policy::parse(&text)?;
    let logs = CellLog::read_all(&arguments.folder, &policy, &arguments.scope)?;
    let judged = judge(&policy, &arguments.scope, &logs)?;
    if arguments.json {
        print_json(&judged)?;
    } else {
        print_lines(&logs, &judged);
    }
    Ok(ExitCode::from(match judged.report.colour {
        Colour::Green => 0,
        Colour::NoSignal => 5,
        Colour::Red | Colour::GreenUnproven => 6,
    }))
}

fn print_json(judged: &Judged) -> Result<()> {
    let value = serde_json::json!({
        "schema": 1,
        "classification": judged.classification,
        "colour": judged.report.colour,
        "reasons": judged.report.reasons,
        "engagement": judged.engagement,
        "diagnostics": judged.diagnostics,
    });
    println!("{}", serde_json::to_string_pretty(&value)?);
    Ok(())
}

fn print_lines(logs: &[CellLog], judged: &Judged) {
    let class = &judged.classification;
    let sub = class.sub.as_deref().unwrap_or("-");
    println!(
        "class {} ({sub}), {}",
        class.class,
        judged.report.colour.as_str()
    );
    for log in logs {
        println!(
            "  cell {}: exit {}, {} B",
            log.cell,
            log.exit,
            log.log.len()
        );
    }
    for reason in &judged.report.reasons {
        println!("  because {reason}");
    }
    for anchor in class.anchors.iter().take(20) {
        println!("  {}:{} {}", anchor.cell, anchor.line, anchor.marker);
    }
    for grade in &judged.engagement {
        println!(
            "  engagement `{}`: {:?} ({})",
            grade.predicate, grade.truth, grade.observed
        );
    }
    for (cell, diagnostic) in judged.diagnostics.iter().take(20) {
        println!("  {cell}: {diagnostic:?}");
    }
}

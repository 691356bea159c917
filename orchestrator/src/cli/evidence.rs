//! `greenloop evidence`

use anyhow::{Result, bail};
use clap::Subcommand;
use discipline::retention::{Entry as Stored, plan};
use discipline::state::LoopState;
use discipline::step::step;
use serde::Serialize;
use state::{Anchor, Entry, EvidenceStore, Note, OpenOptions, Record, StateDir};

use super::Context;
use crate::client::{Client, caller_name};
use crate::exit::Exit;
use crate::place::Place;

/// Look after the evidence store
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hash every stored log and blob again; a daemon may be at work meanwhile
    Verify,
    /// Drop bytes of old runs until the store takes no more than this; what a claim, a hypothesis or
    /// an observation rests on stays
    Prune {
        /// Megabytes that may stay
        #[arg(long, value_name = "MB")]
        keep: u64,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Serialize)]
struct Verified {
    intact: u64,
    damaged: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Pruned {
    dropped: Vec<String>,
    dropped_bytes: u64,
    kept_bytes: u64,
    within_budget: bool,
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let place = context.place()?;
    match args.action {
        Action::Verify => verify(&place, context),
        Action::Prune { keep, dry_run } => prune(&place, context, keep, dry_run),
    }
}

fn verify(place: &Place, context: &Context<'_>) -> Result<Exit> {
    let report = EvidenceStore::read_only(&place.state.join("evidence")).verify_all()?;
    let verified = Verified {
        intact: u64::try_from(report.intact)?,
        damaged: report.damaged.iter().map(ToString::to_string).collect(),
    };
    context.output.answer(&verified, |verified| {
        let damaged = verified.damaged.iter();
        let lines: String = damaged.map(|line| format!("damaged: {line}\n")).collect();
        format!("{lines}{} entries hash to their names", verified.intact)
    })?;
    Ok(match verified.damaged.is_empty() {
        true => Exit::Done,
        false => Exit::Internal,
    })
}

fn prune(place: &Place, context: &Context<'_>, keep: u64, dry_run: bool) -> Result<Exit> {
    if Client::try_connect(place).is_ok() {
        bail!("a daemon holds the state folder; `greenloop stop` first");
    }
    let now = (service::system_clock())();
    let mut options = OpenOptions::new(now);
    options.by = caller_name();
    let mut dir = StateDir::open(&place.state, &options)?;
    let mut state = LoopState::default();
    for logged in dir.journal.iter() {
        if let Some(event) = logged?.record.as_event() {
            step(&mut state, event)?;
        }
    }
    let files = dir.evidence.list()?;
    let mut stored = Vec::with_capacity(files.len());
    for file in &files {
        stored.push(Stored {
            digest: file.digest.clone(),
            bytes: dir.evidence.size(file)?,
        });
    }
    let total: u64 = stored.iter().map(|entry| entry.bytes).sum();
    let budget = keep.saturating_mul(1_000_000);
    let going = plan(&state, &stored, budget);
    let dropped_bytes: u64 = going.iter().map(|entry| entry.bytes).sum();
    let dropped: Vec<String> = going.iter().map(|entry| entry.digest.to_string()).collect();
    if !dry_run && !going.is_empty() {
        // The record first: a file that is gone without one would be a riddle.
        let note = Note::Pruned {
            files: dropped.clone(),
            bytes: dropped_bytes,
        };
        let record = Record {
            at_ms: now,
            uid: options.uid,
            by: options.by,
            entry: Entry::Note(note),
        };
        dir.journal.append(&record, Anchor::Now)?;
        for file in &files {
            if going.iter().any(|entry| entry.digest == file.digest) {
                dir.evidence.remove(file)?;
            }
        }
    }
    let pruned = Pruned {
        dropped,
        dropped_bytes,
        kept_bytes: total - dropped_bytes,
        within_budget: total - dropped_bytes <= budget,
        dry_run,
    };
    context.output.answer(&pruned, said)?;
    Ok(Exit::Done)
}

fn said(pruned: &Pruned) -> String {
    let verb = match pruned.dry_run {
        true => "would drop",
        false => "dropped",
    };
    let mut text = format!(
        "{verb} {} files of {} bytes; {} bytes stay",
        pruned.dropped.len(),
        pruned.dropped_bytes,
        pruned.kept_bytes
    );
    if !pruned.within_budget {
        text.push_str("\nthat is more than asked for: something rests on the others");
    }
    text
}

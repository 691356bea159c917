//! `greenloop state`

use anyhow::{Result, bail};
use clap::Subcommand;
use serde::Serialize;
use state::{OpenOptions, StateDir};

use super::Context;
use crate::client::{Client, caller_name};
use crate::exit::Exit;

/// Look after the state folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Go on with a state folder that was restored from a backup, or whose end is damaged
    ///
    /// Keeps the journal's valid records, moves the rest to quarantine and records why. State that
    /// opens without this is left alone.
    AcceptRestore {
        /// Why the journal is shorter than it was
        #[arg(long)]
        reason: String,
    },
    /// Hash every stored log and blob again
    Verify,
}

#[derive(Debug, Serialize)]
struct Accepted {
    journal_seq: u64,
    journal_head: String,
}

#[derive(Debug, Serialize)]
struct Verified {
    intact: u64,
    damaged: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let place = context.place()?;
    if let Ok(client) = Client::try_connect(&place) {
        bail!(
            "a daemon (pid {}) holds the state folder; `greenloop stop` first",
            client.daemon.name
        );
    }
    let mut options = OpenOptions::new((service::system_clock())());
    options.by = caller_name();
    match &args.action {
        Action::AcceptRestore { reason } => {
            let opened = StateDir::accept_restore(&place.state, &options, reason)?;
            let head = opened.journal.head();
            let accepted = Accepted {
                journal_seq: head.seq,
                journal_head: head.hash.to_string(),
            };
            context.output.answer(&accepted, |accepted| {
                format!(
                    "accepted; the journal goes on after record {}",
                    accepted.journal_seq
                )
            })?;
        }
        Action::Verify => {
            let opened = StateDir::open(&place.state, &options)?;
            let report = opened.evidence.verify_all()?;
            let damaged: Vec<String> = report.damaged.iter().map(ToString::to_string).collect();
            let verified = Verified {
                intact: u64::try_from(report.intact)?,
                damaged,
            };
            context.output.answer(&verified, |verified| {
                let lines: String = verified
                    .damaged
                    .iter()
                    .map(|line| format!("damaged: {line}\n"))
                    .collect();
                format!("{lines}{} entries hash to their names", verified.intact)
            })?;
            if !verified.damaged.is_empty() {
                return Ok(Exit::Internal);
            }
        }
    }
    Ok(Exit::Done)
}

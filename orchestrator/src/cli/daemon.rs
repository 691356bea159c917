//! `greenloop daemon`

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::client::{Client, start_daemon};
use crate::exit::Exit;

/// Start the daemon, the only writer of state
///
/// It goes into the background once its sockets accept. Other verbs start it when they need it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stay in the foreground and log to standard error
    #[arg(long)]
    foreground: bool,
    #[arg(long, hide = true)]
    detached: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let place = context.place()?;
    if args.foreground || args.detached {
        crate::daemon::run(&place, args.detached)?;
        return Ok(Exit::Done);
    }
    let started = Client::try_connect(&place).is_err();
    if started {
        start_daemon(&place)?;
    }
    let pid = Client::try_connect(&place)?.daemon.name;
    let answer = Answer {
        pid,
        started,
        state_dir: place.state.display().to_string(),
    };
    context
        .output
        .answer(&answer, |answer| match answer.started {
            true => format!(
                "daemon ready (pid {}); state in {}",
                answer.pid, answer.state_dir
            ),
            false => format!("a daemon already runs (pid {})", answer.pid),
        })?;
    Ok(Exit::Done)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    pid: String,
    /// False when one ran already.
    started: bool,
    state_dir: String,
}

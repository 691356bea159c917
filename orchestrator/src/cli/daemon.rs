//! `greenloop daemon`

use anyhow::Result;

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
    if let Ok(client) = Client::try_connect(&place) {
        context.output.note(&format!(
            "a daemon already runs (pid {})",
            client.daemon.name
        ));
        return Ok(Exit::Done);
    }
    start_daemon(&place)?;
    context
        .output
        .note(&format!("daemon ready; state in {}", place.state.display()));
    Ok(Exit::Done)
}

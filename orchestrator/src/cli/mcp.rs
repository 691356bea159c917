//! `greenloop mcp`

use anyhow::Result;

use super::Context;
use crate::client::Client;
use crate::exit::Exit;

/// Speak MCP on standard input and output: what an agent's client launches
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Hide and refuse every tool that writes
    #[arg(long)]
    read_only: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let place = context.place()?;
    if !place.agent_socket().exists() || Client::try_connect(&place).is_err() {
        // Starts the daemon, or says why it may not.
        Client::connect(&place)?;
    }
    crate::daemon::pipe_mcp(&place, args.read_only)?;
    Ok(Exit::Done)
}

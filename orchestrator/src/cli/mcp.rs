//! `greenloop mcp`

use std::net::SocketAddr;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::client::Client;
use crate::door::{Door, parse_address};
use crate::exit::Exit;
use crate::place::Place;

/// Speak MCP on standard input and output: what an agent's client launches
///
/// With `--http` it serves MCP over HTTP on a loopback port instead, for clients that want a URL. They
/// must show the bearer token of the file that is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Hide and refuse every tool that writes
    #[arg(long)]
    read_only: bool,
    /// Serve HTTP at this loopback address instead, such as 127.0.0.1:8130; port 0 takes any
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    http: Option<SocketAddr>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let place = context.place()?;
    if !place.agent_socket().exists() || Client::try_connect(&place).is_err() {
        // Starts the daemon, or says why it may not.
        Client::connect(&place)?;
    }
    match args.http {
        Some(address) => serve_http(&place, address, args.read_only, context)?,
        None => crate::daemon::pipe_mcp(&place, args.read_only)?,
    }
    Ok(Exit::Done)
}

/// What is printed once the port accepts.
#[derive(Debug, Serialize)]
struct Answer {
    url: String,
    /// File with the bearer token; its owner alone reads it.
    token_file: String,
    read_only: bool,
}

fn serve_http(
    place: &Place,
    address: SocketAddr,
    read_only: bool,
    context: &Context<'_>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let door = Door::open(place, address, read_only).await?;
        let answer = Answer {
            url: door.url()?,
            token_file: door.token_file().display().to_string(),
            read_only,
        };
        context.output.answer(&answer, |answer| {
            format!(
                "MCP at {}\nbearer token in {}\nCtrl-C ends it",
                answer.url, answer.token_file
            )
        })?;
        door.serve().await
    })
}

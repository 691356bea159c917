//! The greenloop daemon and command line.
//!
//! Flow: [`cli`] parses a verb; [`place`] finds repository, state folder and sockets; a verb asks
//! the daemon over the operator's socket ([`client`], starting one when none runs) and prints the
//! service's answer ([`output`]), as text or, with `--json`, as it came. `daemon` is the other side:
//! it opens the service and serves two sockets, the agent's (MCP only) and the operator's.
//!
//! # Architecture invariants
//! - Verbs decide nothing: what is refused was refused by the service.
//! - `--json` prints the service's answer type; it is the MCP tool's structured output.
//! - Exit codes stand in [`exit`] and nowhere else.
//! - Text from logs and agents reaches a terminal through [`page`], which makes it printable.
//! - Nothing but [`output`] prints; standard output of `greenloop mcp` carries protocol bytes only.
//! - The only private key that is ever used here is used by `ssh-keygen`, never read by us.

mod card;
mod cli;
mod client;
mod config;
mod daemon;
mod doctor;
mod door;
mod exit;
mod init;
mod output;
mod page;
mod place;
mod sign;
mod times;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    start_tracing();
    cli::run(&cli).into()
}

/// Diagnostics go to standard error, as `RUST_LOG` asks.
fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,greenloop=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

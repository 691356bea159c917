//! `greenloop stop`

use anyhow::Result;
use service::api::{ShutdownAnswer, ShutdownRequest};

use super::Context;
use crate::client::Client;
use crate::exit::Exit;

/// Stop the daemon; what was in flight is resumed by the next one
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &Context<'_>) -> Result<Exit> {
    let place = context.place()?;
    let Ok(mut client) = Client::try_connect(&place) else {
        context.output.answer(
            &ShutdownAnswer {
                interrupted: Vec::new(),
            },
            |_| "no daemon runs for this repository and state folder".into(),
        )?;
        return Ok(Exit::Done);
    };
    let answer = client.ask(ShutdownRequest {})?;
    client.wait_until_gone();
    context
        .output
        .answer(&answer, |answer| match answer.interrupted.as_slice() {
            [] => "daemon stopped".into(),
            work => format!(
                "daemon stopped; resumed at its next start: {}",
                work.join(", ")
            ),
        })?;
    Ok(Exit::Done)
}

//! `greenloop completions`

use anyhow::Result;
use clap_complete::Shell;

use super::{Context, command_line};
use crate::exit::Exit;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line(), "greenloop", &mut script);
    context.output.raw(&String::from_utf8(script)?);
    Ok(Exit::Done)
}

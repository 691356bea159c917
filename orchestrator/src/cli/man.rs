//! `greenloop man`

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{Context, command_line};
use crate::exit::Exit;

/// Print the manual page, or write a page per verb into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder to write greenloop.1, greenloop-VERB.1 … into
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
            clap_mangen::generate_to(command_line(), dir)
                .with_context(|| format!("cannot write into {}", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command_line()).render(&mut page)?;
            context.output.raw(&String::from_utf8(page)?);
        }
    }
    Ok(Exit::Done)
}

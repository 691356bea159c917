//! `greenloop man`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use discipline::policy::Policy;

use super::{Context, command_line};
use crate::exit::Exit;

/// Print the manual page, or write a page per verb into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder to write greenloop.1, greenloop-VERB.1 … into
    #[arg(long, value_name = "DIR", conflicts_with = "configuration")]
    dir: Option<PathBuf>,
    /// Print the reference of both configuration files, as Markdown
    #[arg(long)]
    configuration: bool,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    if args.configuration {
        context.output.raw(&configuration());
        return Ok(Exit::Done);
    }
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

/// `docs/configuration.md`: both files, from the lists that their readers check.
fn configuration() -> String {
    let policy = Policy::reference();
    let policy = policy.strip_prefix("# greenloop.toml\n").unwrap_or(&policy);
    let settings = crate::config::reference();
    format!(
        "<!-- Written by `greenloop man --configuration`; a test compares the two. -->\n\
         # Configuration\n\n\
         Two files, read by two readers that share nothing: **policy** belongs to the repository and is judged like\n\
         code, **settings** belong to the machine and are out of the repository's reach. An unknown key is an error\n\
         that names the nearest valid one.\n\n\
         # Policy: greenloop.toml\n\n\
         At the root of the repository under care, read from the tree of the commit at the remote's branch and never\n\
         from a work tree. `greenloop init` proposes one.\n\
         {policy}\n\
         # Settings: config.toml\n\n\
         `~/.config/greenloop/config.toml`, else `/etc/greenloop/config.toml`, else the file that `--config` names.\n\
         Policy may restrict them, never widen them.\n\n\
         {settings}"
    )
}

//! `greenloop init`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;
use service::api::RefusalView;

use super::Context;
use crate::exit::Exit;
use crate::init::{Approver, POLICY_FILE, Proposal, SIGNERS_FILE, Survey, email, plan};
use crate::output::{Output, Tone, refusals};

/// Look at this repository and write a greenloop.toml that works in it
///
/// Reads what git, cargo and the workflow files say; builds, runs and fetches nothing. Proposes one
/// proof scope per integration-test suite, gates, a budget, and a law file with one law that an existing
/// test pins where there is none. Says what to type next.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
    /// Print the files and write nothing
    #[arg(long)]
    print: bool,
    /// Public key of whoever may approve; writes `allowed_signers`
    #[arg(long, value_name = "KEY.pub")]
    approver: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// True when the files were written.
    written: bool,
    #[serde(flatten)]
    proposal: Option<Proposal>,
    refused: Vec<RefusalView>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    let from = match &context.global.repo {
        Some(repo) => repo.clone(),
        None => std::env::current_dir().context("cannot tell the current folder")?,
    };
    let approver = match &args.approver {
        Some(path) => Some(Approver::read(path, email(&from).as_deref())?),
        None => None,
    };
    let (survey, proposal) = match plan(&from, approver.as_ref())? {
        Ok(planned) => planned,
        Err(refused) => return refuse(output, refused),
    };
    let refused = in_the_way(&survey, &proposal);
    if !args.print && !args.force && !refused.is_empty() {
        return refuse(output, refused);
    }
    if !args.print {
        write(&survey, &proposal)?;
    }
    let answer = Answer {
        written: !args.print,
        proposal: Some(proposal),
        refused: Vec::new(),
    };
    output.answer(&answer, |answer| text(output, answer))?;
    Ok(Exit::Done)
}

fn refuse(output: Output, refused: Vec<RefusalView>) -> Result<Exit> {
    let answer = Answer {
        refused,
        ..Answer::default()
    };
    output.answer(&answer, |answer| refusals(output, &answer.refused))?;
    Ok(Exit::Refused)
}

/// Files that exist already are somebody's work.
fn in_the_way(survey: &Survey, proposal: &Proposal) -> Vec<RefusalView> {
    let there = proposal.files.iter().filter(|file| {
        // Approvers are added to those who stand there.
        file.path != SIGNERS_FILE && survey.root.join(&file.path).exists()
    });
    there
        .map(|file| RefusalView {
            code: "file_exists".into(),
            field: file.path.clone(),
            reason: format!("{} exists", file.path),
            remedy:
                "look at the proposal with `greenloop init --print`, or overwrite it with --force"
                    .into(),
        })
        .collect()
}

fn write(survey: &Survey, proposal: &Proposal) -> Result<()> {
    for file in &proposal.files {
        let path = survey.root.join(&file.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(&path, &file.text)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn text(output: Output, answer: &Answer) -> String {
    let Some(proposal) = &answer.proposal else {
        return String::new();
    };
    let mut page = String::new();
    for file in &proposal.files {
        match answer.written {
            true => page.push_str(&format!(
                "{} {}\n",
                output.paint(Tone::Good, "wrote"),
                file.path
            )),
            // The policy alone stands on standard output as it would in the file.
            false if file.path == POLICY_FILE => page.push_str(&file.text),
            false => page.push_str(&format!("\n# ---- {} ----\n{}", file.path, file.text)),
        }
    }
    if !answer.written {
        return page;
    }
    page.push_str(&format!("scopes  {}\n", proposal.scopes.join(", ")));
    page.push_str(&format!("gates   {}\n", proposal.gates.join(", ")));
    for note in &proposal.notes {
        page.push_str(&format!("{}    {note}\n", output.paint(Tone::Warn, "note")));
    }
    page.push_str("\nnext:\n");
    for next in &proposal.next {
        page.push_str(&format!("  {}\n      {}\n", next.command, next.why));
    }
    page
}

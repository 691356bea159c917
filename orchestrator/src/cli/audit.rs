//! `greenloop audit`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gitread::GitReader;
use verify::{Evidence, Trust};

use super::Context;
use crate::exit::Exit;

/// Replay every attested push of a clone; no daemon, no network
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Clone that has the attestation refs
    #[arg(default_value = ".")]
    clone: PathBuf,
    /// Folder of raw logs to derive the observations from again
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Allowed-signers file; the base commit's, labelled self-asserted, when absent
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let signers = args.signers.clone().or(context.settings()?.signers);
    let reader = open(&args.clone)?;
    let trust = Trust::from_signers(signers.as_deref())?;
    let evidence = args.evidence.as_deref().map(Evidence::read).transpose()?;
    let report = verify::audit::audit(&reader, None, &args.clone, &trust, evidence.as_ref())?;
    context.output.answer(&report, verify::audit_text)?;
    Ok(if report.accepted {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// Opens a clone to replay from.
pub(super) fn open(clone: &Path) -> Result<GitReader> {
    GitReader::open(clone)
        .with_context(|| format!("{} is no clone to replay from", clone.display()))
}

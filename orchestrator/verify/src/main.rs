//! `greenloop-verify`: pre-receive hook and offline auditor.
//!
//! Exit codes: 0 accepted, 3 refused, 2 usage (also a policy or signers file that cannot be used),
//! 1 anything else. A hook refuses a push with every code but 0.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gitread::{GitReadError, GitReader};
use verify::audit::{audit, why};
use verify::prereceive::{MAX_INPUT_BYTES, check_push, parse_updates};
use verify::{Evidence, PinnedPolicy, Trust, VerifyError};

const REFUSED: u8 = 3;
const USAGE: u8 = 2;
const INTERNAL: u8 = 1;

/// Replays the decision behind a push.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a push that is being received (reads `OLD NEW REF` lines, as git's hook gets them).
    PreReceive {
        /// Pinned policy; by default the file that `git config greenloop.policy` names.
        #[arg(long)]
        policy: Option<PathBuf>,
        /// Print the report as JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Replay every attested push of a clone, or one commit of it.
    Audit {
        /// The clone: its root, its `.git`, or a bare repository.
        clone: PathBuf,
        /// Audit this commit alone.
        #[arg(long)]
        commit: Option<String>,
        #[command(flatten)]
        terms: TermArguments,
    },
    /// Explain why a commit was pushed.
    Why {
        /// The commit: an id, an abbreviation, a branch or a tag.
        commit: String,
        /// The clone.
        #[arg(long, default_value = ".")]
        clone: PathBuf,
        #[command(flatten)]
        terms: TermArguments,
    },
}

#[derive(clap::Args)]
struct TermArguments {
    /// Folder of raw logs to re-derive observations from.
    #[arg(long)]
    evidence: Option<PathBuf>,
    /// Allowed-signers file; by default the one of the base commit, which is self-asserted.
    #[arg(long)]
    signers: Option<PathBuf>,
    /// Pinned policy with trusted root and signers.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Commit that the audit ends at.
    #[arg(long)]
    trusted_root: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl TermArguments {
    fn trust(&self) -> Result<Trust, VerifyError> {
        let mut trust = match &self.policy {
            Some(path) => Trust::from_policy(&PinnedPolicy::read(path)?, self.signers.as_deref())?,
            None => Trust::from_signers(self.signers.as_deref())?,
        };
        if self.trusted_root.is_some() {
            trust.trusted_root.clone_from(&self.trusted_root);
        }
        Ok(trust)
    }

    fn evidence(&self) -> Result<Option<Evidence>, VerifyError> {
        self.evidence.as_deref().map(Evidence::read).transpose()
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(accepted) if accepted => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(REFUSED),
        Err(error) => {
            // A closed standard error leaves only the exit code.
            let _ = writeln!(std::io::stderr(), "greenloop-verify: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<VerifyError>() {
        Some(
            VerifyError::File { .. }
            | VerifyError::PinnedPolicy { .. }
            | VerifyError::NoPolicy
            | VerifyError::Signers { .. }
            | VerifyError::HookInput { .. }
            | VerifyError::Git(
                GitReadError::Open { .. }
                | GitReadError::Unresolved { .. }
                | GitReadError::ObjectId { .. },
            ),
        ) => USAGE,
        _ => INTERNAL,
    }
}

/// Whether the answer is "accepted".
fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::PreReceive { policy, json } => pre_receive(policy, json),
        Command::Audit {
            clone,
            commit,
            terms,
        } => match commit {
            Some(commit) => explain(&clone, &commit, &terms),
            None => {
                let reader = GitReader::open(&clone).map_err(VerifyError::from)?;
                let (trust, evidence) = (terms.trust()?, terms.evidence()?);
                let report = audit(&reader, None, &clone, &trust, evidence.as_ref())?;
                print(&report, || verify::audit_text(&report), terms.json)?;
                Ok(report.accepted)
            }
        },
        Command::Why {
            commit,
            clone,
            terms,
        } => explain(&clone, &commit, &terms),
    }
}

fn explain(clone: &Path, commit: &str, terms: &TermArguments) -> anyhow::Result<bool> {
    let reader = GitReader::open(clone).map_err(VerifyError::from)?;
    let (trust, evidence) = (terms.trust()?, terms.evidence()?);
    let report = why(&reader, commit, clone, &trust, evidence.as_ref())?;
    print(&report, || verify::why_text(&report), terms.json)?;
    Ok(report.accepted)
}

fn pre_receive(policy: Option<PathBuf>, json: bool) -> anyhow::Result<bool> {
    let reader = GitReader::open_quarantine().map_err(VerifyError::from)?;
    let named = match policy {
        Some(path) => path,
        None => reader
            .own_config("greenloop.policy")
            .map_err(VerifyError::from)?
            .map(PathBuf::from)
            .ok_or(VerifyError::NoPolicy)?,
    };
    let policy = PinnedPolicy::read(&named)?;
    let trust = Trust::from_policy(&policy, None)?;
    let mut input = Vec::new();
    std::io::stdin()
        .take(MAX_INPUT_BYTES as u64 + 1)
        .read_to_end(&mut input)
        .context("reading the hook's input")?;
    let updates = parse_updates(&input)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970; set it")?;
    let now_ms = i64::try_from(now.as_millis()).context("the clock is out of range; set it")?;
    let report = check_push(&reader, &updates, &policy, &trust, now_ms)?;
    if json {
        print(&report, String::new, true)?;
    } else {
        // Git forwards a hook's standard error to the pusher.
        std::io::stderr().write_all(verify::push_text(&report).as_bytes())?;
    }
    Ok(report.accepted)
}

fn print<T: serde::Serialize>(
    report: &T,
    text: impl FnOnce() -> String,
    json: bool,
) -> anyhow::Result<()> {
    let text = match json {
        true => serde_json::to_string_pretty(report)? + "\n",
        false => text(),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

//! Looks at a repository and proposes its policy.
//!
//! Flow: [`survey`] gathers facts (git, cargo, workflows, law), [`propose`] chooses scopes and gates,
//! [`render`] writes them down. Nothing is built, run or fetched, and nothing is written here.
//!
//! What cannot be proposed for is a refusal with its remedy, all of them at once where that is
//! possible.

mod law;
mod propose;
mod render;
mod survey;
mod test_functions;

use std::path::Path;

use anyhow::{Context, Result};
use discipline::policy::Policy;
use invariants::Law;
use serde::Serialize;
use service::api::RefusalView;

pub(crate) use propose::SIGNERS_FILE;
pub(crate) use survey::{Approver, Survey, email};

/// Name of the policy file.
pub(crate) const POLICY_FILE: &str = "greenloop.toml";

/// A file that `init` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProposedFile {
    /// Path from the root.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A command to type next, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NextCommand {
    /// As a shell takes it.
    pub command: String,
    /// What it gives.
    pub why: String,
}

/// What a repository should be put under care with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Proposal {
    /// Proof scopes, by name.
    pub scopes: Vec<String>,
    /// Gates, by name.
    pub gates: Vec<String>,
    /// Files to write; the policy is the first. A signers file keeps what it held.
    pub files: Vec<ProposedFile>,
    /// What a person should know or decide.
    pub notes: Vec<String>,
    /// What to type next.
    pub next: Vec<NextCommand>,
}

/// Why nothing is proposed.
pub(crate) type Refusals = Vec<RefusalView>;

/// One refusal; `field` is what it is about.
fn refuse(code: &str, field: &str, reason: impl Into<String>, remedy: &str) -> RefusalView {
    RefusalView {
        code: code.into(),
        field: field.into(),
        reason: reason.into(),
        remedy: remedy.into(),
    }
}

/// Surveys the repository that `from` stands in and proposes its files.
///
/// # Errors
/// A program could not be started, or a proposal did not pass the daemon's own check, which is a
/// defect of this module.
pub(crate) fn plan(
    from: &Path,
    approver: Option<&Approver>,
) -> Result<Result<(Survey, Proposal), Refusals>> {
    let survey = match survey::survey(from)? {
        Ok(survey) => survey,
        Err(refused) => return Ok(Err(refused)),
    };
    let law = match law::choose(&survey) {
        Ok(law) => law,
        Err(refused) => return Ok(Err(vec![refused])),
    };
    let choice = propose::choose(&survey);
    let policy = render::policy(&survey, &choice, &law.path);
    // The same reader as the daemon's; it would refuse the file only later, at its first run.
    Policy::parse(&policy).context("the proposed policy does not pass its own check")?;
    let mut files = vec![ProposedFile {
        path: POLICY_FILE.into(),
        text: policy,
    }];
    if let Some(text) = law.text {
        Law::parse(&text).context("the proposed law does not pass its own check")?;
        files.push(ProposedFile {
            path: law.path.clone(),
            text,
        });
    }
    if let Some(approver) = approver {
        let known = std::fs::read_to_string(survey.root.join(SIGNERS_FILE));
        files.push(ProposedFile {
            path: SIGNERS_FILE.into(),
            text: approver.added_to(&known.unwrap_or_default()),
        });
    }
    let notes = propose::notes(&survey, &choice, approver);
    let next = propose::next(
        &survey,
        &choice,
        &law.path,
        approver.is_some() || survey.root.join(SIGNERS_FILE).exists(),
    );
    let proposal = Proposal {
        scopes: choice
            .scopes
            .iter()
            .map(|scope| scope.name.clone())
            .collect(),
        gates: choice.gates.iter().map(|gate| gate.name.clone()).collect(),
        files,
        notes,
        next,
    };
    Ok(Ok((survey, proposal)))
}

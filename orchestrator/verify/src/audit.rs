//! A clone, any time later: one commit, or a branch back to where trust begins.

use std::path::Path;

use attest::attestation::ATTEST_REF_PREFIX;
use discipline::model::Refusal;
use gitread::{GitReadError, GitReader};
use serde::{Deserialize, Serialize};

use crate::VerifyError;
use crate::check::{Moment, Terms, check_commit};
use crate::checkpoint;
use crate::evidence::Evidence;
use crate::report::{CommitReport, Warning};
use crate::trust::Trust;

/// Most commits audited in one go.
const MAX_COMMITS: usize = 10_000;

/// What an audit says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// True when nothing refuses.
    pub accepted: bool,
    /// Commit the audit began at.
    pub tip: String,
    /// Where it ended: the trusted root, or the newest commit that it takes as given.
    pub until: Option<String>,
    /// Refusals of the branch as a whole.
    pub refused: Vec<Refusal>,
    /// What weakens the answer.
    pub warnings: Vec<Warning>,
    /// Newest first.
    pub commits: Vec<CommitReport>,
}

/// The command that brings the attestations of a clone's remote.
#[must_use]
pub fn fetch_command(clone: &Path) -> String {
    format!(
        "git -C {} fetch origin 'refs/greenloop/*:refs/greenloop/*'",
        clone.display()
    )
}

/// Explains one commit: the report that `greenloop why` prints.
///
/// # Errors
/// Only when the clone cannot be read or has no such commit.
pub fn why(
    reader: &GitReader,
    commit: &str,
    clone: &Path,
    trust: &Trust,
    evidence: Option<&Evidence>,
) -> Result<CommitReport, VerifyError> {
    let commit = reader.resolve_commit(commit)?;
    let terms = Terms {
        trust,
        moment: Moment::Audit,
        evidence,
    };
    let mut report = check_one(reader, &commit, &terms)?;
    for refusal in &mut report.refused {
        if refusal.code == "attestation_missing" {
            refusal.remedy = fetch_command(clone);
        }
    }
    Ok(report)
}

/// Audits a branch from `start` (a commit or ref; `HEAD` by default) back to the trusted root.
///
/// Without a trusted root the audit ends below the oldest attested commit of an unbroken chain and
/// says so: nothing before it is vouched for.
///
/// # Errors
/// Only when the clone cannot be read or has no such commit.
pub fn audit(
    reader: &GitReader,
    start: Option<&str>,
    clone: &Path,
    trust: &Trust,
    evidence: Option<&Evidence>,
) -> Result<AuditReport, VerifyError> {
    let tip = reader.resolve_commit(start.unwrap_or("HEAD"))?;
    let terms = Terms {
        trust,
        moment: Moment::Audit,
        evidence,
    };
    let mut report = AuditReport {
        tip: tip.clone(),
        ..AuditReport::default()
    };
    match &trust.trusted_root {
        Some(root) => to_root(reader, &tip, root, &terms, &mut report)?,
        None => while_attested(reader, &tip, &terms, &mut report)?,
    }
    checkpoint::check_chain(reader, clone, &mut report)?;
    let remedy = fetch_command(clone);
    let commits = report
        .commits
        .iter_mut()
        .flat_map(|commit| &mut commit.refused);
    for refusal in commits.filter(|refusal| refusal.code == "attestation_missing") {
        refusal.remedy.clone_from(&remedy);
    }
    report.accepted =
        report.refused.is_empty() && report.commits.iter().all(|commit| commit.accepted);
    Ok(report)
}

fn check_one(
    reader: &GitReader,
    commit: &str,
    terms: &Terms<'_>,
) -> Result<CommitReport, VerifyError> {
    let object = reader.read_ref(&format!("{ATTEST_REF_PREFIX}{commit}"))?;
    check_commit(reader, commit, object.as_deref(), None, terms)
}

/// Every commit down to the root must be attested.
fn to_root(
    reader: &GitReader,
    tip: &str,
    root: &str,
    terms: &Terms<'_>,
    report: &mut AuditReport,
) -> Result<(), VerifyError> {
    let mut at = tip.to_owned();
    while at != root {
        if report.commits.len() >= MAX_COMMITS {
            report.refused.push(Refusal::new(
                "too_many_commits",
                "audit",
                format!("there are more than {MAX_COMMITS} commits above the trusted root"),
                "give a newer `--trusted-root`, and audit what lies before it with `--commit`",
            ));
            return Ok(());
        }
        report.commits.push(check_one(reader, &at, terms)?);
        match reader.commit_info(&at)?.parents.first() {
            Some(parent) => at.clone_from(parent),
            None => {
                report.refused.push(Refusal::new(
                    "root_untrusted",
                    "audit",
                    format!("{tip} does not descend from the trusted root {root}"),
                    "compare the root with the one that the operator pinned, and pass that as `--trusted-root`",
                ));
                return Ok(());
            }
        }
    }
    report.until = Some(at);
    Ok(())
}

/// The tip must be attested; the chain below it is followed as far as it goes.
fn while_attested(
    reader: &GitReader,
    tip: &str,
    terms: &Terms<'_>,
    report: &mut AuditReport,
) -> Result<(), VerifyError> {
    let mut at = tip.to_owned();
    loop {
        let attested = reader
            .read_ref(&format!("{ATTEST_REF_PREFIX}{at}"))?
            .is_some();
        if !attested && !report.commits.is_empty() || report.commits.len() >= MAX_COMMITS {
            break;
        }
        report.commits.push(check_one(reader, &at, terms)?);
        let parent = match reader.commit_info(&at) {
            Ok(info) => info.parents.first().cloned(),
            Err(GitReadError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        match parent {
            Some(parent) => at = parent,
            None => return Ok(()),
        }
    }
    report.warnings.push(Warning {
        code: "root_unpinned".to_owned(),
        text: format!(
            "no trusted root is given, so {at} and everything before it is taken as it is"
        ),
    });
    report.until = Some(at);
    Ok(())
}

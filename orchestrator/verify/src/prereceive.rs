//! A push that is being received: which refs it moves, and whether each may move so.
//!
//! Input and meaning of the lines: githooks(5), "pre-receive".

use attest::attestation::{ATTEST_REF_PREFIX, LOG_REF, VERDICT_REF_PREFIX};
use attest::namespace::Namespace;
use discipline::model::Refusal;
use gitread::{CommitInfo, GitReadError, GitReader};
use serde::Serialize;

use crate::VerifyError;
use crate::check::{Moment, Terms, check_commit};
use crate::load::load_verdict;
use crate::report::{CommitReport, Warning};
use crate::trust::{PinnedPolicy, SignerSource, Trust, is_object_id};

/// Largest input read, in bytes: some 10,000 refs.
pub const MAX_INPUT_BYTES: usize = 2 << 20;

const OWN_REFS: &str = "refs/greenloop/";
const THROUGH_GREENLOOP: &str = "push through greenloop: `request_push` or `greenloop push`";

/// One ref of a push. Ids are 40 hex digits; `None` stands for all zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// Where it points; `None`: it does not exist.
    pub old: Option<String>,
    /// Where it shall point; `None`: it is deleted.
    pub new: Option<String>,
    /// Its full name.
    pub name: String,
}

/// What the hook says about a push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushReport {
    /// True when nothing refuses.
    pub accepted: bool,
    /// Refusals of refs.
    pub refused: Vec<Refusal>,
    /// What weakens the answer.
    pub warnings: Vec<Warning>,
    /// One per new commit on a guarded ref.
    pub commits: Vec<CommitReport>,
}

impl PushReport {
    fn refuse(&mut self, code: &str, ref_name: &str, reason: impl Into<String>, remedy: &str) {
        self.refused
            .push(Refusal::new(code, ref_name, reason, remedy));
    }
}

/// Parses what git writes to a pre-receive hook.
///
/// # Errors
/// The first line that is not `OLD NEW REF`, and input beyond the cap.
pub fn parse_updates(input: &[u8]) -> Result<Vec<RefUpdate>, VerifyError> {
    if input.len() > MAX_INPUT_BYTES {
        return Err(VerifyError::HookInput { line: 0 });
    }
    let lines = input.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| parse_update(line).ok_or(VerifyError::HookInput { line: index + 1 }))
        .collect()
}

fn parse_update(line: &[u8]) -> Option<RefUpdate> {
    let line = std::str::from_utf8(line).ok()?;
    let mut parts = line.splitn(3, ' ');
    let (old, new, name) = (parts.next()?, parts.next()?, parts.next()?);
    if !is_object_id(old) || !is_object_id(new) || !name.starts_with("refs/") {
        return None;
    }
    let id = |text: &str| {
        text.bytes()
            .any(|byte| byte != b'0')
            .then(|| text.to_owned())
    };
    Some(RefUpdate {
        old: id(old),
        new: id(new),
        name: name.to_owned(),
    })
}

/// Judges a push: every refusal of every ref at once.
///
/// # Errors
/// Only when the repository cannot be read.
pub fn check_push(
    reader: &GitReader,
    updates: &[RefUpdate],
    policy: &PinnedPolicy,
    trust: &Trust,
    now_ms: i64,
) -> Result<PushReport, VerifyError> {
    let push = Push {
        reader,
        updates,
        policy,
        trust,
        now_ms,
    };
    let mut report = PushReport::default();
    for update in updates {
        if policy.guards(&update.name) {
            push.check_guarded(update, &mut report)?;
        } else if update.name.starts_with(OWN_REFS) {
            push.check_own(update, &mut report)?;
        } else if update.name.starts_with("refs/replace/") {
            report.refuse(
                "ref_not_allowed",
                &update.name,
                "replace refs make objects look like others",
                "delete them: `git replace -d`",
            );
        }
    }
    report.accepted =
        report.refused.is_empty() && report.commits.iter().all(|commit| commit.accepted);
    Ok(report)
}

struct Push<'a> {
    reader: &'a GitReader,
    updates: &'a [RefUpdate],
    policy: &'a PinnedPolicy,
    trust: &'a Trust,
    now_ms: i64,
}

impl Push<'_> {
    fn check_guarded(
        &self,
        update: &RefUpdate,
        report: &mut PushReport,
    ) -> Result<(), VerifyError> {
        let Some(new) = &update.new else {
            report.refuse(
                "ref_deleted",
                &update.name,
                "a guarded ref is not deleted",
                THROUGH_GREENLOOP,
            );
            return Ok(());
        };
        let Some(old) = &update.old else {
            self.check_start(&update.name, new, report);
            return Ok(());
        };
        let info = match self.reader.commit_info(new) {
            Ok(info) => info,
            Err(error) => {
                report.refuse(
                    "not_a_commit",
                    &update.name,
                    error.to_string(),
                    THROUGH_GREENLOOP,
                );
                return Ok(());
            }
        };
        let shape_refused = self.check_shape(&info, old, &update.name, report)?;
        self.check_root(&info, &update.name, report)?;
        let attest_name = format!("{ATTEST_REF_PREFIX}{new}");
        let sent = self.updates.iter().find(|other| other.name == attest_name);
        let object = sent.and_then(|other| other.new.as_deref());
        if shape_refused && object.is_none() {
            return Ok(());
        }
        let terms = Terms {
            trust: self.trust,
            moment: Moment::Hook {
                now_ms: self.now_ms,
            },
            evidence: None,
        };
        let name = Some(update.name.as_str());
        report
            .commits
            .push(check_commit(self.reader, new, object, name, &terms)?);
        Ok(())
    }

    /// A guarded ref begins at the root that the operator pinned.
    fn check_start(&self, name: &str, new: &str, report: &mut PushReport) {
        match self.policy.trusted_root.as_deref() {
            Some(root) if root == new => {}
            Some(root) => report.refuse(
                "start_untrusted",
                name,
                format!("a new guarded ref starts at the trusted root {root}, not at {new}"),
                "push the trusted root first, then claims",
            ),
            None => report.refuse(
                "start_untrusted",
                name,
                "no trusted_root is pinned, so that no guarded ref can begin",
                "add trusted_root = \"COMMIT\" to the pinned policy on the server",
            ),
        }
    }

    /// One commit, one parent, on top of the old tip.
    fn check_shape(
        &self,
        info: &CommitInfo,
        old: &str,
        name: &str,
        report: &mut PushReport,
    ) -> Result<bool, VerifyError> {
        if info.parents.len() > 1 {
            report.refuse(
                "merge",
                name,
                "a guarded ref takes no merges",
                "rebase onto the tip and claim the result",
            );
            return Ok(true);
        }
        if info.parents.first().map(String::as_str) == Some(old) {
            return Ok(false);
        }
        let forward = match self.reader.is_ancestor(old, &info.id) {
            Ok(forward) => forward,
            Err(GitReadError::Missing { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if forward {
            report.refuse(
                "more_than_one_commit",
                name,
                format!("{} does not stand directly on {old}", info.id),
                "push one claimed commit at a time",
            );
        } else {
            report.refuse(
                "force_push",
                name,
                format!("{} does not descend from {old}", info.id),
                "rebase onto the tip and claim the result; history of a guarded ref stays",
            );
        }
        Ok(true)
    }

    fn check_root(
        &self,
        info: &CommitInfo,
        name: &str,
        report: &mut PushReport,
    ) -> Result<(), VerifyError> {
        let Some(root) = &self.policy.trusted_root else {
            report.warnings.push(Warning {
                code: "root_unpinned".to_owned(),
                text: format!("{name}: no trusted_root is pinned, so that history before this push is taken as it is"),
            });
            return Ok(());
        };
        let descends = match self.reader.is_ancestor(root, &info.id) {
            Ok(descends) => descends,
            Err(GitReadError::Missing { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if !descends {
            report.refuse(
                "root_untrusted",
                name,
                format!("{} does not descend from the trusted root {root}", info.id),
                "start from the repository's own history",
            );
        }
        Ok(())
    }

    fn check_own(&self, update: &RefUpdate, report: &mut PushReport) -> Result<(), VerifyError> {
        let name = update.name.as_str();
        if let Some(commit) = name
            .strip_prefix(ATTEST_REF_PREFIX)
            .filter(|id| is_object_id(id))
        {
            self.check_write_once(update, report);
            self.check_accompanied(name, commit, report);
        } else if let Some(commit) = name
            .strip_prefix(VERDICT_REF_PREFIX)
            .filter(|id| is_object_id(id))
        {
            if self.check_write_once(update, report) {
                self.check_verdict(update, commit, report)?;
            }
        } else if name == LOG_REF {
            self.check_log(update, report)?;
        } else {
            report.refuse(
                "ref_not_allowed",
                name,
                "refs/greenloop/ holds attest/<commit>, verdict/<commit> and log, nothing else",
                "push to a branch of another name",
            );
        }
        Ok(())
    }

    fn check_write_once(&self, update: &RefUpdate, report: &mut PushReport) -> bool {
        let first_time = update.old.is_none() && update.new.is_some();
        if !first_time {
            report.refuse(
                "written_once",
                &update.name,
                "this ref is written once and never moved or deleted",
                "leave it; a new push has a new commit and a new ref",
            );
        }
        first_time
    }

    /// An attestation without its commit would keep the real one out.
    fn check_accompanied(&self, name: &str, commit: &str, report: &mut PushReport) {
        let moves = |update: &RefUpdate| {
            update.new.as_deref() == Some(commit) && !update.name.starts_with(OWN_REFS)
        };
        if !self.updates.iter().any(moves) {
            report.refuse(
                "attestation_alone",
                name,
                "an attestation arrives in one push with its commit",
                THROUGH_GREENLOOP,
            );
        }
    }

    fn check_verdict(
        &self,
        update: &RefUpdate,
        commit: &str,
        report: &mut PushReport,
    ) -> Result<(), VerifyError> {
        let remedy = "let the daemon publish its verdict";
        let attest = format!("{ATTEST_REF_PREFIX}{commit}");
        if self.reader.read_ref(&attest)?.is_none() {
            report.refuse(
                "verdict_without_attestation",
                &update.name,
                format!("there is no {attest}"),
                remedy,
            );
            return Ok(());
        }
        let tree = self.reader.commit_info(commit)?.tree;
        let object = update.new.as_deref().unwrap_or_default();
        match load_verdict(self.reader, object, commit, &tree)? {
            Err(error) => {
                report.refuse("verdict_malformed", &update.name, error.to_string(), remedy)
            }
            Ok(verdict) => {
                if let SignerSource::Pinned(signers) = &self.trust.signers
                    && signers.has_signer_for(Namespace::Verdict)
                    && let Err(error) = signers.allow(&verdict.signature, Some(self.now_ms))
                {
                    report.refuse("signer_unknown", &update.name, error.to_string(), remedy);
                }
            }
        }
        Ok(())
    }

    /// Checkpoints of the journal only ever grow.
    fn check_log(&self, update: &RefUpdate, report: &mut PushReport) -> Result<(), VerifyError> {
        let grows = match (&update.old, &update.new) {
            (None, Some(_)) => true,
            (Some(old), Some(new)) => match self.reader.is_ancestor(old, new) {
                Ok(grows) => grows,
                Err(GitReadError::Missing { .. } | GitReadError::Kind { .. }) => false,
                Err(error) => return Err(error.into()),
            },
            (_, None) => false,
        };
        if !grows {
            report.refuse(
                "log_rewritten",
                &update.name,
                "checkpoints are only added",
                "push checkpoints on top of those that are there",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hook_input_is_parsed_strictly() {
        let id = "1".repeat(40);
        let zero = "0".repeat(40);
        let good = format!("{zero} {id} refs/heads/a b\n{id} {zero} refs/heads/c\n");
        let updates = parse_updates(good.as_bytes()).unwrap();
        assert_eq!(updates[0].old, None);
        assert_eq!(updates[0].name, "refs/heads/a b");
        assert_eq!(updates[1].new, None);
        for bad in [
            "x".to_owned(),
            format!("{id} {id}"),
            format!("{id} {id} HEAD"),
            format!("{} {id} refs/heads/a", &id[1..]),
        ] {
            let refused = parse_updates(format!("{good}{bad}\n").as_bytes());
            assert!(
                matches!(refused, Err(VerifyError::HookInput { line: 3 })),
                "{bad}"
            );
        }
    }
}

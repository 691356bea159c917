//! What a rollback takes back: looked up by the daemon from its own repository, and recomputed here from a clone.

use attest::claim::ClaimKind;
use discipline::decision::{DecisionInput, RevertedFacts};
use gitread::{GitReadError, GitReader};

use crate::VerifyError;
use crate::check::UNCHANGED;
use crate::report::CommitReport;

/// What a pushed commit changed, and the tree that stood before it.
///
/// # Errors
/// The commit or its parent is missing, or their trees cannot be read.
pub fn reverted_facts(
    reader: &GitReader,
    claim_id: &str,
    commit: &str,
) -> Result<RevertedFacts, VerifyError> {
    let info = reader.commit_info(commit)?;
    let Some(parent) = info.parents.first() else {
        return Err(GitReadError::Missing {
            id: format!("the parent of {commit}"),
        }
        .into());
    };
    let parent_tree = reader.commit_info(parent)?.tree;
    let changed = reader.diff_trees(&parent_tree, &info.tree)?.changed_paths();
    Ok(RevertedFacts {
        claim_id: claim_id.to_owned(),
        commit: commit.to_owned(),
        parent_tree,
        changed: Some(changed),
    })
}

/// The reverted commit lies in the history of the claim's parent and is as the decision's input says. One that cannot
/// be read is none that anybody can answer for.
pub(crate) fn check(reader: &GitReader, input: &DecisionInput, report: &mut CommitReport) {
    let Some(stated) = &input.reverted else {
        return;
    };
    let body = &input.body;
    let found = reverted_facts(reader, &stated.claim_id, &stated.commit);
    let as_stated = found.is_ok_and(|found| found == *stated);
    let in_history = matches!(reader.is_ancestor(&stated.commit, &body.parent), Ok(true));
    if body.kind != ClaimKind::Rollback || !as_stated || !in_history {
        report.refuse(
            "attestation_mismatch",
            "decision-input.reverted",
            format!(
                "{} is no commit below the claim's parent that changed what the decision says",
                stated.commit
            ),
            UNCHANGED,
        );
    }
}

//! From a draft on the wire to a canonical body: the tree is imported, the parent is the remote's
//! tip, and nothing is judged yet.

use attest::claim::{
    CLAIM_SCHEMA, ClaimBody, ClaimBudget, ClaimKind, Guard, Outcome, PinnedTest, Site,
};
use repo::RepoError;

use super::parse_word;
use crate::ServiceError;
use crate::api::{ChangeView, ClaimDraft};
use crate::shared::{Ctx, Shared, Target};
use crate::views;

/// A claim with more text than this is not read by anybody.
const MAX_TEXT: usize = 1 << 20;

const KINDS: &str = "fix, baseline, diagnostic, policy_change, rollback";

/// The body that this draft asserts on the target as it is now.
pub(super) fn body(
    shared: &Shared,
    ctx: Ctx<'_>,
    draft: &ClaimDraft,
    target: &Target,
) -> Result<ClaimBody, ServiceError> {
    let kind: ClaimKind = parse_word(&draft.kind, "kind", KINDS)?;
    bounded(draft)?;
    let tree = import(shared, ctx, &draft.change)?;
    let reader = shared.reader()?;
    let base_tree = reader.commit_info(&target.tip)?.tree;
    let diff = reader.diff_trees(&base_tree, &tree)?;
    let evidence = draft
        .evidence
        .iter()
        .map(|citation| views::citation(citation, "evidence"));
    let author = ctx.caller.name.clone();
    Ok(ClaimBody {
        schema: CLAIM_SCHEMA,
        repo: shared.root_commit.clone(),
        ref_name: target.ref_name.clone(),
        kind,
        proof_scope: draft.proof_scope.clone(),
        failing_invariant: draft.failing_invariant.clone().unwrap_or_default(),
        parent: target.tip.clone(),
        tree,
        diff_digest: diff.digest()?,
        evidence: evidence.collect::<Result<_, _>>()?,
        baseline_run: draft.baseline_run.clone().unwrap_or_default(),
        sites: draft
            .sites
            .iter()
            .map(|site| Site {
                file: site.file.clone(),
                function: site.function.clone(),
                line_start: site.line_start,
                line_end: site.line_end,
            })
            .collect(),
        reasoning: draft.reasoning.clone(),
        hypothesis_id: draft.hypothesis_id.clone().unwrap_or_default(),
        predictions: draft.prediction.clone(),
        outcomes: draft
            .outcomes
            .iter()
            .map(|row| Outcome {
                predicate: row.predicate.clone(),
                kills: row.kills.clone(),
            })
            .collect(),
        guards: draft
            .guards
            .iter()
            .map(|guard| Guard {
                scope: guard.scope.clone(),
                predicate: guard.predicate.clone(),
            })
            .collect(),
        gates: draft.gates.clone(),
        pinned_test: draft.pinned_test.as_ref().map(|pin| PinnedTest {
            package: pin.package.clone(),
            target: pin.target.clone(),
            name: pin.name.clone(),
            files: pin.files.clone(),
        }),
        rollback_if: draft.rollback_if.clone(),
        budget: ClaimBudget {
            runner_minutes: draft.budget.runner_minutes,
            runs: draft.budget.runs,
            cancels: draft.budget.cancels.clone(),
        },
        message: draft.message.clone(),
        author,
    })
}

/// Refuses a draft whose text, the change itself left out, is longer than a person could read.
fn bounded(draft: &ClaimDraft) -> Result<(), ServiceError> {
    let words = ClaimDraft {
        change: ChangeView::Patch {
            patch: String::new(),
            base: String::new(),
        },
        ..draft.clone()
    };
    let text =
        serde_json::to_vec(&words).map_err(|error| ServiceError::Internal(error.to_string()))?;
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    Err(ServiceError::BadArgument {
        field: "draft",
        reason: format!(
            "it has {} bytes, a claim has at most {MAX_TEXT}",
            text.len()
        ),
        remedy: "say it in fewer words; logs are cited by place and not copied".into(),
    })
}

/// Takes the tree of the change, and nothing else of it.
fn import(shared: &Shared, ctx: Ctx<'_>, change: &ChangeView) -> Result<String, ServiceError> {
    let taken = match change {
        ChangeView::Commit { repo_path, commit } => {
            shared
                .repo
                .import(std::path::Path::new(repo_path), commit, ctx.cancel)
        }
        ChangeView::Patch { patch, base } => {
            shared.repo.import_patch(base, patch.as_bytes(), ctx.cancel)
        }
    };
    taken.map_err(|error| match error {
        RepoError::Cancelled { .. } => ServiceError::Cancelled,
        own @ (RepoError::Exec(_) | RepoError::Io { .. } | RepoError::Objects { .. }) => own.into(),
        theirs => ServiceError::BadArgument {
            field: "change",
            reason: theirs.to_string(),
            remedy:
                "give `repo_path` (root of a clone) with a full `commit`, or `patch` with `base`"
                    .into(),
        },
    })
}

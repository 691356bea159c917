//! What each kind of claim may change.

use attest::claim::ClaimKind;

use super::Case;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let changes = !case.input.diff.changed.is_empty();
    match case.body().kind {
        ClaimKind::Fix if !changes => vec![Refusal::new(
            "change_empty",
            "change",
            "the tree is the parent's own; a fix changes something",
            "commit the fix and propose that commit, or run the scope by hand with `greenloop run`",
        )],
        ClaimKind::Baseline => baseline(case, changes),
        ClaimKind::Diagnostic if !changes => vec![Refusal::new(
            "change_empty",
            "change",
            "the tree is the parent's own; a diagnostic adds what is to be seen",
            "observe the tree as it is with `greenloop run SCOPE`",
        )],
        ClaimKind::PolicyChange => policy_change(case, changes),
        ClaimKind::Rollback if case.input.target.scope_closed.is_none() => vec![Refusal::new(
            "rollback_not_due",
            "kind",
            format!(
                "scope `{}` is open, so nothing has to be rolled back",
                case.body().proof_scope
            ),
            "propose the change as a `fix`",
        )],
        ClaimKind::Rollback => rollback(case),
        ClaimKind::Fix | ClaimKind::Diagnostic => Vec::new(),
    }
}

/// A rollback is asked for no cause, no test and no sites: it may carry nothing but the way back. Files
/// that came to differ after the reverted commit are merged by hand, and a person reads them.
fn rollback(case: &Case<'_>) -> Vec<Refusal> {
    let Some((reverted, undone)) = case
        .input
        .reverted
        .as_ref()
        .and_then(|reverted| Some((reverted, reverted.changed.as_ref()?)))
    else {
        return Vec::new();
    };
    let changed = case.input.diff.changed.iter();
    let more = changed.filter(|changed| {
        let of_commit = undone.iter().find(|one| one.path == changed.path);
        of_commit.is_none_or(|one| changed.old == one.new && changed.new != one.old)
    });
    more.map(|changed| {
        Refusal::new(
            "rollback_carries_more",
            "change",
            format!(
                "`{}` does not become what it was before {} of {}",
                changed.path, reverted.commit, reverted.claim_id
            ),
            format!(
                "propose what `git revert {}` makes and nothing else; the rest is a claim of its own",
                reverted.commit
            ),
        )
    })
    .collect()
}

fn baseline(case: &Case<'_>, changes: bool) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if changes {
        refused.push(Refusal::new(
            "baseline_changes_files",
            "change",
            "a baseline pushes an unchanged tree",
            "propose the parent's own tree, or set `kind` to `fix`",
        ));
    }
    if case.input.target.signal_exists {
        refused.push(Refusal::new(
            "signal_exists",
            "kind",
            "this commit already has an executed run in this scope; another tells nothing new",
            "read that run with `list_runs` and `pull_full_log`",
        ));
    }
    refused
}

fn policy_change(case: &Case<'_>, changes: bool) -> Vec<Refusal> {
    if !changes {
        return vec![Refusal::new(
            "change_empty",
            "change",
            "the tree is the parent's own; a policy change changes policy",
            "commit the change of policy and propose that commit",
        )];
    }
    let policy = &case.input.policy.policy;
    let code = case
        .input
        .diff
        .changed
        .iter()
        .filter(|changed| !policy.is_protected(&changed.path));
    code.map(|changed| {
        Refusal::new(
            "policy_change_with_code",
            "change",
            format!(
                "`{}` is not policy, and policy never rides with code",
                changed.path
            ),
            "move it into a claim of its own with `kind` = `fix`",
        )
    })
    .collect()
}

//! Places: every declared site is real and hit, every finding of the diff stands.

use attest::claim::ClaimKind;

use super::Case;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let missing =
        case.demands().sites && case.body().sites.is_empty() && !case.input.diff.changed.is_empty();
    if missing {
        return vec![Refusal::new(
            "sites_missing",
            "sites",
            "the claim declares no place it touches",
            "declare file, function and base lines of every hunk (`git diff -U0` prints them)",
        )];
    }
    case.input.diff.site_findings.clone()
}

pub(super) fn judge_findings(case: &Case<'_>) -> Vec<Refusal> {
    let policy = &case.input.policy.policy;
    let kind = case.body().kind;
    let paths = case.changed_paths();
    let (mut refused, _) = policy.judged(kind, &case.input.diff.findings, &paths);
    // Reverting a regression waits for no rule of the project's own.
    if kind != ClaimKind::Rollback {
        refused.extend(policy.judged_paths(kind, &paths).0);
    }
    refused
}

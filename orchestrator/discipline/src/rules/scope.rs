//! The claim names one proof scope that the policy declares.

use super::Case;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let scope = &case.body().proof_scope;
    if case.scope().is_some() {
        return Vec::new();
    }
    let declared: Vec<_> = case
        .input
        .policy
        .policy
        .scope
        .keys()
        .map(String::as_str)
        .collect();
    let (code, reason) = match scope.is_empty() {
        true => (
            "proof_scope_missing",
            "a claim names the one scope whose run grades it".to_owned(),
        ),
        false => (
            "proof_scope_unknown",
            format!("`{scope}` is no scope of the parent's greenloop.toml"),
        ),
    };
    let remedy = match declared.is_empty() {
        true => "declare `[scope.NAME]` in greenloop.toml with a `policy_change` claim".to_owned(),
        false => format!("name one of: {}", declared.join(", ")),
    };
    vec![Refusal::new(code, "proof_scope", reason, remedy)]
}

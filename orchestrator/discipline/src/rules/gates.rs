//! The named gates exist, and every gate that the changed files call for is named.

use std::collections::BTreeSet;

use super::Case;
use crate::model::Refusal;

const FIELD: &str = "gates";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let declared = &case.input.policy.policy.gate;
    let named = &case.body().gates;
    let required = case
        .input
        .policy
        .policy
        .required_gates(&case.changed_paths());
    if named.is_empty() {
        let remedy = match (required.is_empty(), declared.is_empty()) {
            (false, _) => format!("name {}", required.join(", ")),
            (true, false) => format!(
                "name one of {}",
                declared.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
            (true, true) => {
                "declare `[gate.NAME]` in greenloop.toml with a `policy_change` claim".to_owned()
            }
        };
        return vec![Refusal::new(
            "gates_missing",
            FIELD,
            "the claim names no local gate",
            remedy,
        )];
    }
    let mut refused = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, name) in named.iter().enumerate() {
        if !declared.contains_key(name) {
            let known: Vec<_> = declared.keys().map(String::as_str).collect();
            refused.push(Refusal::new(
                "gate_unknown",
                format!("{FIELD}[{index}]"),
                format!("no gate `{name}` stands in the parent's greenloop.toml"),
                format!("name one of: {}", known.join(", ")),
            ));
        }
        if !seen.insert(name) {
            refused.push(Refusal::new(
                "gate_named_twice",
                format!("{FIELD}[{index}]"),
                format!("`{name}` is named already"),
                "name each gate once",
            ));
        }
    }
    let left_out = required.into_iter().filter(|name| !named.contains(name));
    refused.extend(left_out.map(|name| {
        let always = declared.get(&name).is_none_or(|gate| gate.when.is_empty());
        let reason = match always {
            true => format!("`{name}` is required for every claim"),
            false => format!("the changed files call for `{name}`"),
        };
        Refusal::new(
            "gate_required",
            FIELD,
            reason,
            format!("add `{name}` to `gates`"),
        )
    }));
    refused
}

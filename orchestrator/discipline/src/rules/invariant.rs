//! The failing invariant is a law of the parent's own law file, and something pins it there.

use super::Case;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let id = case.body().failing_invariant.trim();
    let law = &case.input.policy.law;
    if id.is_empty() {
        return match case.demands().invariant {
            false => Vec::new(),
            true => vec![refuse(
                "failing_invariant_missing",
                "the claim names no law that fails today".to_owned(),
                "name its id as `list_invariants` prints it, such as §4".to_owned(),
            )],
        };
    }
    let Some(found) = law.iter().find(|fact| fact.id == id) else {
        let ids: Vec<_> = law.iter().map(|fact| fact.id.as_str()).collect();
        let near = ids
            .iter()
            .max_by(|a, b| strsim::jaro(a, id).total_cmp(&strsim::jaro(b, id)));
        let remedy = match near {
            Some(near) => format!("did you mean {near}? The laws are: {}", ids.join(", ")),
            None => "add the law with a `policy_change` claim first".to_owned(),
        };
        return vec![refuse(
            "invariant_unknown",
            format!("no law `{id}` stands in the parent's law file"),
            remedy,
        )];
    };
    if found.pins.is_empty() {
        return vec![refuse(
            "invariant_unpinned",
            format!("no type or test pins {id} ({})", found.title),
            "add a pin to the law with a `policy_change` claim, or name a law that has one"
                .to_owned(),
        )];
    }
    let missing = found.missing_pins.iter().map(|pin| {
        refuse(
            "invariant_pin_missing",
            format!("{id} says that `{pin}` pins it, and the parent's tree has no such thing"),
            "correct the pin with a `policy_change` claim, or name a law whose pins exist"
                .to_owned(),
        )
    });
    missing.collect()
}

fn refuse(code: &str, reason: String, remedy: String) -> Refusal {
    Refusal::new(code, "failing_invariant", reason, remedy)
}

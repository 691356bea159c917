//! A fix acts on a hypothesis that is alive.

use super::Case;
use crate::model::Refusal;

const FIELD: &str = "hypothesis_id";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let body = case.body();
    if body.hypothesis_id.is_empty() {
        return match case.demands().hypothesis {
            false => Vec::new(),
            true => vec![Refusal::new(
                "hypothesis_missing",
                FIELD,
                "the claim acts on no hypothesis of the ledger",
                "open one with `open_hypothesis` and name its id",
            )],
        };
    }
    let facts = case
        .input
        .hypothesis
        .as_ref()
        .filter(|facts| facts.id == body.hypothesis_id);
    let Some(facts) = facts else {
        return vec![Refusal::new(
            "hypothesis_unknown",
            FIELD,
            format!("the ledger has no hypothesis `{}`", body.hypothesis_id),
            "open it with `open_hypothesis`, or name one that `loop_status` lists",
        )];
    };
    let mut refused = Vec::new();
    if !facts.alive {
        refused.push(Refusal::new(
            "hypothesis_falsified",
            FIELD,
            format!(
                "{} is {}; a fix of a dead cause fixes nothing",
                facts.id, facts.status
            ),
            "act on an open or surviving hypothesis; `loop_status` lists them with their killers",
        ));
    }
    if facts.scope != body.proof_scope {
        refused.push(Refusal::new(
            "hypothesis_other_scope",
            FIELD,
            format!(
                "{} explains `{}`, the claim is about `{}`",
                facts.id, facts.scope, body.proof_scope
            ),
            format!(
                "open a hypothesis for `{}` with `open_hypothesis`",
                body.proof_scope
            ),
        ));
    }
    refused
}

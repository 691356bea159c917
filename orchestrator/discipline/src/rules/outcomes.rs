//! A diagnostic is the legal way to look: it decides between live hypotheses, says beforehand what
//! each outcome kills, costs a run of its own budget, and is removed when it has spoken.

use std::collections::BTreeSet;

use attest::claim::{ClaimKind, Outcome};

use super::Case;
use super::case::Stated;
use crate::model::Refusal;

const FIELD: &str = "outcomes";
/// Fewer causes than these leave nothing to decide.
const CAUSES: usize = 2;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let outcomes = &case.body().outcomes;
    if case.body().kind != ClaimKind::Diagnostic {
        return match outcomes.is_empty() {
            true => Vec::new(),
            false => vec![Refusal::new(
                "outcomes_without_diagnostic",
                FIELD,
                "only a diagnostic decides between causes; other kinds predict",
                "set `kind` to `diagnostic`, or move the predicates to `prediction`",
            )],
        };
    }
    let mut refused = Vec::from_iter(budget(case));
    refused.extend(table(outcomes));
    refused.extend(kills(case));
    let unreadable = case.unreadable(&case.outcomes);
    match unreadable.is_empty() {
        true => refused.extend(
            case.outcomes
                .iter()
                .filter_map(|stated| today(case, stated)),
        ),
        false => refused.extend(unreadable),
    }
    refused
}

fn budget(case: &Case<'_>) -> Option<Refusal> {
    let left = case.input.target.diagnostics_left.unwrap_or(0);
    (left == 0).then(|| {
        Refusal::new(
            "diagnostic_budget_spent",
            "kind",
            "no diagnostic run is left today",
            "reason from the logs that exist (`contrast`, `compare_runs`), or run the scope by hand with `greenloop run`",
        )
    })
}

/// At least two outcomes, which between them strike out different causes.
fn table(outcomes: &[Outcome]) -> Option<Refusal> {
    let sets: BTreeSet<BTreeSet<&String>> = outcomes
        .iter()
        .map(|outcome| outcome.kills.iter().collect())
        .collect();
    let causes: BTreeSet<&String> = outcomes.iter().flat_map(|outcome| &outcome.kills).collect();
    let reason = if outcomes.len() < 2 {
        "it names fewer than two things that the run may show"
    } else if causes.len() < CAUSES {
        "its outcomes kill fewer than two hypotheses, so it decides between none"
    } else if sets.len() < 2 {
        "every outcome kills the same hypotheses, so it does not matter which one occurs"
    } else {
        return None;
    };
    Some(Refusal::new(
        "outcomes_decide_nothing",
        FIELD,
        reason,
        "list {predicate, kills: [hypothesis ids]} for each thing the run may show; `list_hypotheses` names the live ones",
    ))
}

fn kills(case: &Case<'_>) -> Vec<Refusal> {
    let scope = &case.body().proof_scope;
    let mut refused = Vec::new();
    for (index, outcome) in case.body().outcomes.iter().enumerate() {
        let field = format!("{FIELD}[{index}].kills");
        if outcome.kills.is_empty() {
            refused.push(Refusal::new(
                "outcome_kills_nothing",
                &field,
                format!(
                    "`{}` may hold or not, nothing follows from it",
                    outcome.predicate
                ),
                "name the hypothesis that cannot be true when it holds, or leave the row out",
            ));
        }
        for id in &outcome.kills {
            let facts = case.input.rivals.iter().find(|facts| &facts.id == id);
            let (code, reason) = match facts {
                None => (
                    "hypothesis_unknown",
                    format!("the ledger has no hypothesis `{id}`"),
                ),
                Some(facts) if !facts.alive => (
                    "hypothesis_falsified",
                    format!(
                        "{id} is {} already; nothing has to be spent on it",
                        facts.status
                    ),
                ),
                Some(facts) if &facts.scope != scope => (
                    "hypothesis_other_scope",
                    format!(
                        "{id} explains `{}`, the claim is about `{scope}`",
                        facts.scope
                    ),
                ),
                Some(_) => continue,
            };
            refused.push(Refusal::new(
                code,
                &field,
                reason,
                "name open or surviving hypotheses of this scope; `list_hypotheses` lists them",
            ));
        }
    }
    refused
}

/// What the baseline run already shows needs no run; what no cell could show gives no answer.
fn today(case: &Case<'_>, stated: &Stated<'_>) -> Option<Refusal> {
    let verdict = case.on_baseline(stated.predicate.as_ref().ok()?)?;
    case.no_news(
        stated,
        &verdict,
        (
            "outcome_already_known",
            "strike the hypothesis out today with `falsify_hypothesis` and those lines",
        ),
        "outcome_unobservable",
    )
}

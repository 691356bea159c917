//! A fix acts on a hypothesis that is alive, that the baseline run does not contradict, and that more
//! than somebody's word stands for.

use markers::Truth;

use super::Case;
use crate::decision::HypothesisFacts;
use crate::model::Refusal;
use crate::observation::Grade;

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
    refused.extend(contradicted(case, facts));
    if facts.alive && refused.is_empty() {
        refused.extend(unproven(case, facts));
    }
    refused
}

/// The run that the claim starts from already shows what the hypothesis forbids.
fn contradicted(case: &Case<'_>, facts: &HypothesisFacts) -> Option<Refusal> {
    let shown = facts
        .forbids
        .iter()
        .find(|text| today(case, text) == Some(Truth::Holds))?;
    Some(Refusal::new(
        "hypothesis_contradicted",
        FIELD,
        format!(
            "{} forbids `{shown}`, and {} shows it",
            facts.id,
            case.body().baseline_run
        ),
        "strike it out with `falsify_hypothesis` and those lines, and act on another cause",
    ))
}

/// What people and agents say, and what is known elsewhere, decides nothing: a cause that is acted on
/// has log bytes for it, or predicts something that the baseline run shows.
fn unproven(case: &Case<'_>, facts: &HypothesisFacts) -> Option<Refusal> {
    let tested = |texts: &[String], wanted| {
        let mut graded = texts.iter().map(|text| today(case, text));
        graded.any(|truth| truth == Some(wanted))
    };
    let survives = case.demands().hypothesis
        && facts.grade < Grade::Derived
        && case.input.baseline.is_some()
        && !tested(&facts.predicts, Truth::Holds)
        && !tested(&facts.forbids, Truth::Fails);
    survives.then(|| {
        Refusal::new(
            "hypothesis_unproven",
            FIELD,
            format!(
                "{} is graded `{}`, and {} shows nothing of what it predicts",
                facts.id,
                facts.grade.as_str(),
                case.body().baseline_run
            ),
            "cite log bytes that show it with `record_observation` (kind `measurement` or `derivation`)",
        )
    })
}

fn today(case: &Case<'_>, text: &str) -> Option<Truth> {
    let predicate = case.rulebook.parse(text, FIELD).ok()?;
    Some(case.on_baseline(&predicate)?.truth)
}

//! Predictions read, can be shown by the cells that will run, and at least one is false today.

use markers::{Catalogue, Cells, Literal, Op, Predicate, Truth};

use super::Case;
use crate::model::Refusal;
use crate::rulebook::blind_cell;

const FIELD: &str = "prediction";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    if case.predictions.is_empty() {
        return match case.demands().prediction {
            false => Vec::new(),
            true => vec![Refusal::new(
                "prediction_missing",
                FIELD,
                "the claim predicts no change of telemetry",
                "state what the next run will show and this one does not, such as `absent first_divergence @*`",
            )],
        };
    }
    let mut refused = case.unreadable(&case.predictions);
    if !refused.is_empty() {
        return refused;
    }
    refused.extend(unobservable(case));
    if case.demands().prediction && refused.is_empty() {
        refused.extend(predicts_nothing(case));
        refused.extend(only_moves(case));
    }
    refused
}

fn unobservable(case: &Case<'_>) -> Vec<Refusal> {
    let stated = case
        .predictions
        .iter()
        .filter_map(|s| Some((s, s.predicate.as_ref().ok()?)));
    stated
        .filter_map(|(stated, predicate)| {
            let verdict = case.on_baseline(predicate)?;
            let (cell, why) = blind_cell(&verdict)?;
            let remedy = match predicate.cells() {
                Cells::Every => "name a cell that can show it, such as `@noop-0-full`".to_owned(),
                Cells::One(_) => {
                    format!(
                        "predict a field that this mode prints, in one of: {}",
                        case.cell_names().join(", ")
                    )
                }
            };
            let reason = format!("`{}` cannot be seen in cell `{cell}`: {why}", stated.text);
            Some(Refusal::new(
                "prediction_unobservable",
                &stated.field,
                reason,
                remedy,
            ))
        })
        .collect()
}

/// A prediction that is true already is no prediction; one that nobody can see is none either.
fn predicts_nothing(case: &Case<'_>) -> Option<Refusal> {
    let parsed = case
        .predictions
        .iter()
        .filter_map(|stated| stated.predicate.as_ref().ok());
    let truths: Vec<_> = parsed
        .map(|p| case.on_baseline(p).map(|v| v.truth))
        .collect::<Option<_>>()?;
    if truths.contains(&Truth::Fails) {
        return None;
    }
    let run = &case.body().baseline_run;
    let remedy = "predict something that the baseline run shows otherwise; `extract_markers` prints what it shows";
    Some(match truths.iter().all(|truth| *truth == Truth::Holds) {
        true => Refusal::new(
            "prediction_already_holds",
            FIELD,
            format!("every prediction already holds on {run}, so the fix predicts nothing"),
            remedy,
        ),
        false => Refusal::new(
            "prediction_not_false_today",
            FIELD,
            format!(
                "no prediction is seen to be false on {run}; those that do not hold cannot be seen there"
            ),
            remedy,
        ),
    })
}

/// Recovery means equal to the reference: a claim whose every prediction that is false today says only
/// that some output moves predicts no recovery.
fn only_moves(case: &Case<'_>) -> Option<Refusal> {
    let parsed = case
        .predictions
        .iter()
        .filter_map(|stated| Some((stated, stated.predicate.as_ref().ok()?)));
    let news: Vec<_> = parsed
        .filter(|(_, predicate)| {
            case.on_baseline(predicate)
                .is_some_and(|verdict| verdict.truth == Truth::Fails)
        })
        .collect();
    let moves = |predicate| moved_from_reference(predicate, &case.rulebook.catalogue);
    if !news.iter().all(|(_, predicate)| moves(predicate).is_some()) {
        return None;
    }
    let (stated, predicate) = news.first()?;
    Some(Refusal::new(
        "recovery_is_not_equality",
        &stated.field,
        format!(
            "`{}` holds for wrong values as well; recovery means equal to the reference",
            stated.text
        ),
        format!("predict `{}`", moves(predicate)?),
    ))
}

/// What would say recovery, for a comparison that only says that a value is not what it was.
fn moved_from_reference(predicate: &Predicate, catalogue: &Catalogue) -> Option<String> {
    let Predicate::Compare {
        selector,
        field,
        op,
        value,
        ..
    } = predicate
    else {
        return None;
    };
    let marker = catalogue.marker(&selector.marker)?;
    let field = marker.fields.iter().find(|own| own.name == field.field)?;
    let equal = match value {
        Literal::Number { .. } => *op == Op::Eq,
        Literal::Word(_) | Literal::Quoted(_) | Literal::List(_) => false,
    };
    field.recovered_when.clone().filter(|_| !equal)
}

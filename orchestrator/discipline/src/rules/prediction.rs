//! Predictions read, can be shown by the cells that will run, and at least one is false today.

use markers::{Catalogue, Cells, Decimal, Literal, Op, Predicate, Selector, Tolerance, Truth};

use super::Case;
use super::case::Stated;
use crate::model::Refusal;
use crate::rulebook::blind_cell;

const FIELD: &str = "prediction";
/// Rows that say which tests there are, and the fields that say how they ended.
const TEST_ROWS: &[&str] = &["cargo_test", "cargo_summary", "cargo_running"];
const OUTCOMES: &[&str] = &["outcome", "status"];

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
        refused.extend(only_counts_tests(case));
    }
    refused
}

/// Predictions that are false on the baseline run: what the claim says will be new.
fn news<'a>(case: &'a Case<'_>) -> Vec<(&'a Stated<'a>, &'a Predicate)> {
    let parsed = case
        .predictions
        .iter()
        .filter_map(|stated| Some((stated, stated.predicate.as_ref().ok()?)));
    parsed
        .filter(|(_, predicate)| {
            case.on_baseline(predicate)
                .is_some_and(|verdict| verdict.truth == Truth::Fails)
        })
        .collect()
}

/// A change adds and removes tests as it likes: that they are there is no telemetry of what they test.
fn only_counts_tests(case: &Case<'_>) -> Option<Refusal> {
    let news = news(case);
    let (stated, _) = news.first()?;
    let all = news
        .iter()
        .all(|(_, predicate)| counts_tests(case, predicate));
    all.then(|| {
        Refusal::new(
            "prediction_names_no_outcome",
            &stated.field,
            format!(
                "`{}` says that tests are there, and the change itself decides that",
                stated.text
            ),
            "predict what a test of today will say, such as `cargo_test{name=…}.outcome == ok`, or what \
             the telemetry will show",
        )
    })
}

fn counts_tests(case: &Case<'_>, predicate: &Predicate) -> bool {
    let (Predicate::Presence { selector, .. } | Predicate::Count { selector, .. }) = predicate
    else {
        return false;
    };
    if !TEST_ROWS.contains(&selector.marker.as_str()) {
        return false;
    }
    let filters = selector.filters.iter().flatten();
    let (outcomes, others): (Vec<_>, Vec<_>) =
        filters.partition(|filter| OUTCOMES.contains(&filter.field.as_str()));
    let there = Predicate::Presence {
        present: true,
        selector: Selector {
            marker: selector.marker.clone(),
            filters: Some(others.into_iter().cloned().collect()),
        },
        cells: None,
    };
    let today = case.on_baseline(&there).map(|verdict| verdict.truth);
    outcomes.is_empty() || today == Some(Truth::Fails)
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
    let news = news(case);
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
        tolerance,
        ..
    } = predicate
    else {
        return None;
    };
    let marker = catalogue.marker(&selector.marker)?;
    let field = marker.fields.iter().find(|own| own.name == field.field)?;
    let equal = match value {
        Literal::Number { value, .. } => *op == Op::Eq && !is_wide(value, tolerance.as_ref()),
        Literal::Word(_) | Literal::Quoted(_) | Literal::List(_) => false,
    };
    field.recovered_when.clone().filter(|_| !equal)
}

/// A tolerance of more than a hundredth of the value: within it lie values that are wrong.
fn is_wide(value: &Decimal, tolerance: Option<&Tolerance>) -> bool {
    match tolerance {
        None => false,
        Some(Tolerance::Percent(percent)) => *percent > Decimal::from(1_u64),
        Some(Tolerance::Absolute { value: slack, .. }) => {
            slack.times(&Decimal::from(100_u64)) > value.abs()
        }
    }
}

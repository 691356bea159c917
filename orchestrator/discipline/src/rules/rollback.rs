//! Telemetry that means revert: named, readable, visible, and not there today.

use super::Case;
use super::case::Stated;
use super::certain::certain;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    if case.rollback_if.is_empty() {
        return match case.demands().rollback_if {
            false => Vec::new(),
            true => vec![Refusal::new(
                "rollback_missing",
                "rollback_if",
                "the claim names no telemetry that means revert",
                "name at least one predicate, such as `present worker_exit{class=driver_crash} @*`",
            )],
        };
    }
    let refused = case.unreadable(&case.rollback_if);
    if !refused.is_empty() {
        return refused;
    }
    let stated = case.rollback_if.iter();
    stated
        .filter_map(|stated| never(stated).or_else(|| on_baseline(case, stated)))
        .collect()
}

/// A condition that no telemetry can meet closes nothing.
fn never(stated: &Stated<'_>) -> Option<Refusal> {
    let predicate = stated.predicate.as_ref().ok()?;
    (certain(predicate) == Some(false)).then(|| {
        Refusal::new(
            "rollback_cannot_hold",
            &stated.field,
            format!("`{}` holds for no run, so it never means revert", stated.text),
            "name telemetry that a worse tree would show, such as `present worker_exit{class=driver_crash} @*`",
        )
    })
}

fn on_baseline(case: &Case<'_>, stated: &Stated<'_>) -> Option<Refusal> {
    let verdict = case.alarm_on_baseline(stated.predicate.as_ref().ok()?)?;
    case.no_news(
        stated,
        &verdict,
        (
            "rollback_already_holds",
            "name telemetry that only a worse tree shows; what fails today belongs into `predictions`",
        ),
        "rollback_unobservable",
    )
}

//! What the push may spend, and what it would cancel.

use super::Case;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let (budget, target) = (&case.body().budget, &case.input.target);
    let mut refused = Vec::new();
    if budget.runs == 0 {
        refused.push(Refusal::new(
            "budget_without_runs",
            "budget.runs",
            "a push starts at least one run",
            "set `budget.runs` to the runs the push starts, at least 1",
        ));
    }
    if budget.runner_minutes == 0 {
        refused.push(Refusal::new(
            "budget_without_minutes",
            "budget.runner_minutes",
            "a run costs at least a minute of the runner",
            "set `budget.runner_minutes` to what the last run of this scope took",
        ));
    }
    if budget.runner_minutes > target.minutes_left {
        refused.push(Refusal::new(
            "budget_exceeded",
            "budget.runner_minutes",
            format!(
                "it asks for {} minutes, {} are left today",
                budget.runner_minutes, target.minutes_left
            ),
            format!(
                "ask for at most {}, push when the day's minutes are renewed, or have a person type \
                 `greenloop override budget_exceeded {} --reason …`",
                target.minutes_left,
                case.body().proof_scope
            ),
        ));
    }
    // Once the claim is staged, a run that was to be cancelled may end by itself.
    let staged = target.commit.is_some();
    for (index, run) in budget.cancels.iter().enumerate() {
        let met = target.forecast.meets.iter().any(|met| &met.run == run);
        if !staged && !met && !target.live_runs.iter().any(|live| live.as_str() == run) {
            refused.push(Refusal::new(
                "budget_cancels_no_live_run",
                format!("budget.cancels[{index}]"),
                format!("`{run}` is no live run that the push would meet"),
                "name only live runs, as `list_runs` prints them, or leave `cancels` empty",
            ));
        }
    }
    refused.extend(unnamed(case));
    refused
}

/// Superseding is approved run by run: a budget that names one run has to name all that are lost.
fn unnamed(case: &Case<'_>) -> Option<Refusal> {
    let named = &case.body().budget.cancels;
    let lost = case.input.target.forecast.lost();
    let missing: Vec<&str> = lost
        .map(|met| met.run.as_str())
        .filter(|run| !named.iter().any(|name| name == run))
        .collect();
    if named.is_empty() || missing.is_empty() {
        return None;
    }
    Some(Refusal::new(
        "budget_cancels_incomplete",
        "budget.cancels",
        format!("the push would also cost {}", missing.join(", ")),
        format!(
            "name every run that the push costs ({}), or leave `cancels` empty and push when they have ended",
            missing.join(", ")
        ),
    ))
}

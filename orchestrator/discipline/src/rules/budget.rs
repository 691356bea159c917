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
        if !staged && !target.live_runs.iter().any(|live| live.as_str() == run) {
            refused.push(Refusal::new(
                "budget_cancels_no_live_run",
                format!("budget.cancels[{index}]"),
                format!("`{run}` is no live run of this scope"),
                "name only live runs, as `list_runs` prints them, or leave `cancels` empty",
            ));
        }
    }
    refused
}

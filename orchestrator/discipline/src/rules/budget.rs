//! What the push may spend, and what it would cancel.

use super::Case;
use super::guards::demanded;
use crate::model::Refusal;
use crate::policy::SourceKind;
use crate::state::guarded_scopes;

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
    refused.extend(too_few(case));
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

/// Where this machine runs pushes, each scope whose guards the claim states costs a run of its own.
fn too_few(case: &Case<'_>) -> Option<Refusal> {
    let policy = &case.input.policy.policy;
    // Those of guards that are still missing too: whoever adds them pays for them.
    let demanded = demanded(case);
    let mut others = guarded_scopes(case.body());
    others.extend(demanded.iter().map(|guard| guard.scope.as_str()));
    others.retain(|scope| policy.scope.contains_key(*scope) && *scope != case.body().proof_scope);
    let (runs, starts) = (case.body().budget.runs, others.len().saturating_add(1));
    let short = usize::try_from(runs).is_ok_and(|runs| (1..starts).contains(&runs));
    if policy.source.kind != SourceKind::Local || case.scope().is_none() || !short {
        return None;
    }
    let others: Vec<String> = others.iter().map(|scope| format!("`{scope}`")).collect();
    Some(Refusal::new(
        "budget_runs_too_few",
        "budget.runs",
        format!(
            "the push starts {starts} runs: of `{}`, and of {}, whose guards the claim states or has to state",
            case.body().proof_scope,
            others.join(", ")
        ),
        format!(
            "set `budget.runs` to {starts}, and `budget.runner_minutes` to what they take together"
        ),
    ))
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

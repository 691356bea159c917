//! Remote, scope and runs at the moment of the push.

use attest::claim::ClaimKind;

use super::Case;
use crate::forecast::RunnerFact;
use crate::model::Refusal;
use crate::overrides::SCOPE_CLOSED;
use crate::spend::EMPTY_IN_A_ROW;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let mut refused = remote(case);
    let (body, target) = (case.body(), &case.input.target);
    if target.already_pushed {
        refused.push(Refusal::new(
            "already_pushed",
            "claim",
            "this claim was pushed before; a permit is spent once",
            "see what became of it with `greenloop claim`",
        ));
    }
    if let Some(why) = target
        .scope_closed
        .as_ref()
        .filter(|_| body.kind != ClaimKind::Rollback)
    {
        refused.push(Refusal::new(
            SCOPE_CLOSED,
            "proof_scope",
            format!("scope `{}` is closed: {why}", body.proof_scope),
            format!(
                "push the rollback first (`kind` = `rollback`), or have a person type `greenloop reopen {} --reason …`",
                body.proof_scope
            ),
        ));
    }
    refused.extend(empty_results(case));
    refused.extend(forecast(case));
    let met = target.forecast.meets.iter().map(|met| met.run.as_str());
    let mut live: Vec<&str> = target
        .live_runs
        .iter()
        .map(|run| run.as_str())
        .chain(met)
        .collect();
    live.sort_unstable();
    live.dedup();
    live.retain(|run| !body.budget.cancels.iter().any(|named| named == run));
    refused.extend(live.into_iter().map(|run| {
        Refusal::new(
            "run_live",
            "budget.cancels",
            format!("{run} of the same group is live, and this push would cancel it"),
            format!(
                "ask again when {run} has ended, or propose a claim whose `budget.cancels` names it"
            ),
        )
    }));
    refused
}

/// A push to a runner that is not there costs days of queue; a forecast with holes forecasts nothing.
fn forecast(case: &Case<'_>) -> Vec<Refusal> {
    let (body, forecast) = (case.body(), &case.input.target.forecast);
    let offline = match &forecast.runner {
        RunnerFact::Offline { names } => Some(format!("is offline: {}", names.join(", "))),
        RunnerFact::NoneFits { labels } => Some(format!(
            "is missing: none has the labels {}",
            labels.join(", ")
        )),
        _ => None,
    };
    let mut refused: Vec<Refusal> = offline
        .into_iter()
        .map(|what| {
            Refusal::new(
                "runner_offline",
                "proof_scope",
                format!(
                    "the runner of `{}` {what}; the push would wait in its queue",
                    body.proof_scope
                ),
                format!(
                    "start the runner and ask again, or have a person type `greenloop override \
                     runner_offline {} --reason …`",
                    body.proof_scope
                ),
            )
        })
        .collect();
    if !forecast.unknown.is_empty() {
        refused.push(Refusal::new(
            "forecast_unknown",
            "budget.cancels",
            format!(
                "which runs the push would cancel is not known: {}",
                forecast.unknown.join("; ")
            ),
            "mend what cannot be read, then ask for the push again",
        ));
    }
    refused
}

/// Pushes that told nothing are not repeated until a person has looked at why.
fn empty_results(case: &Case<'_>) -> Option<Refusal> {
    let (body, empty) = (case.body(), &case.input.target.empty_results);
    if body.kind == ClaimKind::Rollback || empty.len() < EMPTY_IN_A_ROW {
        return None;
    }
    Some(Refusal::new(
        "empty_results_in_a_row",
        "proof_scope",
        format!(
            "the last {} pushes of `{}` bought nothing: {}",
            empty.len(),
            body.proof_scope,
            empty.join("; ")
        ),
        format!(
            "find out why with `classify_run`; then a person types `greenloop override \
             empty_results_in_a_row {} --reason …`",
            body.proof_scope
        ),
    ))
}

fn remote(case: &Case<'_>) -> Vec<Refusal> {
    let (body, target) = (case.body(), &case.input.target);
    let mut refused = Vec::new();
    if target.commit.is_none() {
        refused.push(Refusal::new(
            "not_staged",
            "commit",
            "the daemon has made no commit of this claim",
            "run its gates with `run_gates`; a claim whose gates pass is staged",
        ));
    }
    if target.remote_tip.as_ref() != Some(&body.parent) {
        let tip = target.remote_tip.as_deref().unwrap_or("absent");
        refused.push(Refusal::new(
            "remote_moved",
            "parent",
            format!(
                "`{}` is {tip} at the remote, the claim is made on {}",
                body.ref_name, body.parent
            ),
            "rebase the change on the remote's tip and propose it again",
        ));
    }
    refused
}

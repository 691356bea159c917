//! The run on which predictions are false today.

use super::Case;
use crate::decision::BaselineFacts;
use crate::model::Refusal;

const FIELD: &str = "baseline_run";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let body = case.body();
    let run_scope = format!(
        "start one with `greenloop run {}` and name its id",
        body.proof_scope
    );
    if body.baseline_run.is_empty() {
        return match case.demands().evidence {
            false => Vec::new(),
            true => vec![Refusal::new(
                "baseline_run_missing",
                FIELD,
                "no run is named on which the predictions are false today",
                "name a red run of the parent commit; `list_runs` has them",
            )],
        };
    }
    match &case.input.baseline {
        Some(facts) if facts.run_id.as_str() == body.baseline_run => {
            judge_facts(case, facts, &run_scope)
        }
        _ => vec![Refusal::new(
            "baseline_run_unknown",
            FIELD,
            format!("no run `{}` is on record", body.baseline_run),
            run_scope,
        )],
    }
}

fn judge_facts(case: &Case<'_>, facts: &BaselineFacts, run_scope: &str) -> Vec<Refusal> {
    let (scope, run) = (&case.body().proof_scope, &facts.run_id);
    let findings = [
        (
            &facts.scope != scope,
            "baseline_other_scope",
            format!(
                "{run} ran scope `{}`, the claim is about `{scope}`",
                facts.scope
            ),
        ),
        (
            !facts.executed,
            "baseline_not_executed",
            format!("{run} executed no step, so it shows nothing"),
        ),
        (
            !facts.current,
            "baseline_stale",
            format!(
                "{run} ran {}, and files of `sites` changed since",
                facts.head_sha
            ),
        ),
    ];
    let holds = findings.into_iter().filter(|(holds, ..)| *holds);
    holds
        .map(|(_, code, reason)| Refusal::new(code, FIELD, reason, run_scope))
        .collect()
}

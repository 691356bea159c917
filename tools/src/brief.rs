//! A loop's status as the facts of a brief.

use prompts::Brief;
use service::api::LoopStatusAnswer;

/// The facts that a brief tells; ages are left out, so that it changes only with the loop.
pub(crate) fn brief_of(status: &LoopStatusAnswer) -> Brief {
    let of_loop = status.r#loop.as_ref();
    Brief {
        loop_id: of_loop.map(|found| found.loop_id.clone()),
        goal: of_loop.map(|found| found.goal.clone()).unwrap_or_default(),
        phase: status.phase.clone(),
        scopes: status
            .scopes
            .iter()
            .map(|scope| {
                (
                    scope.scope.clone(),
                    scope.signal.clone(),
                    scope.run_id.clone(),
                )
            })
            .collect(),
        claims: status
            .claims
            .iter()
            .map(|claim| {
                (
                    claim.claim_id.clone(),
                    claim.state.clone(),
                    claim.subject.clone(),
                )
            })
            .collect(),
        hypotheses: status
            .hypotheses
            .iter()
            .map(|found| {
                (
                    found.hypothesis_id.clone(),
                    found.status.clone(),
                    found.statement.clone(),
                )
            })
            .collect(),
        next_actions: status
            .next_actions
            .iter()
            .map(|action| (action.tool.clone(), action.why.clone()))
            .collect(),
        drift: status.drift.clone(),
    }
}

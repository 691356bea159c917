//! What there is to do now.

use super::{NextAction, ScopeSummary, not_green, summary};
use crate::green::Colour;
use crate::model::LoopId;
use crate::state::{Claim, ClaimPhase, HypothesisStatus, LoopState};

/// Legal next actions, most useful first; never empty for an open loop.
#[must_use]
pub fn next_actions(state: &LoopState, loop_id: &LoopId) -> Vec<NextAction> {
    let Some(found) = state.loops.get(loop_id).filter(|found| found.open) else {
        return vec![action("open_loop", "no loop is open here".to_owned())];
    };
    let claims = state.claims_of(loop_id);
    let mut actions: Vec<_> = claims
        .iter()
        .filter_map(|claim| of_claim(state, claim))
        .collect();
    for scope in &found.scopes {
        actions.extend(of_scope(state, scope, &claims));
    }
    let green = |scope: &String| summary(state, scope, i64::MAX).colour == Colour::Green;
    if not_green(state, found).is_empty() && found.scopes.iter().all(green) {
        actions.push(action(
            "end_turn",
            "every scope of the loop is green: end with `green`".to_owned(),
        ));
    } else {
        let newest = claims.iter().rev().find(|claim| !claim.phase.is_final());
        let law = newest.map_or("the failing law", |claim| {
            claim.body.failing_invariant.as_str()
        });
        actions.push(action(
            "edit",
            format!("write an integration test in `tests/` that fails because of {law}, and the smallest fix that passes it"),
        ));
    }
    actions
}

/// Tools that only look, or end the turn; everything else moves the loop on.
const LOOKS: &[&str] = &["end_turn", "get_claim"];

/// The most useful action that writes something; the end of the turn when there is nothing to write.
#[must_use]
pub fn next_write(state: &LoopState, loop_id: &LoopId) -> Option<NextAction> {
    let actions = next_actions(state, loop_id);
    let writes = |action: &&NextAction| !LOOKS.contains(&action.tool.as_str());
    let chosen = actions.iter().find(writes).or_else(|| actions.first());
    chosen.cloned()
}

fn action(tool: &str, why: String) -> NextAction {
    NextAction {
        tool: tool.to_owned(),
        why,
    }
}

fn of_claim(state: &LoopState, claim: &Claim) -> Option<NextAction> {
    let id = &claim.id;
    let newer = state
        .claims_of(&claim.loop_id)
        .last()
        .is_some_and(|last| &last.id != id);
    match claim.phase {
        ClaimPhase::Drafted if !newer => {
            let mut codes: Vec<_> = claim
                .refused
                .iter()
                .map(|refusal| refusal.code.as_str())
                .collect();
            codes.dedup();
            Some(action(
                "propose_claim",
                format!(
                    "{id} is refused for {}; propose it corrected",
                    codes.join(", ")
                ),
            ))
        }
        ClaimPhase::Checked => Some(match state.ahead_of(&claim.body, Some(id)) {
            Some(ahead) => action(
                "get_claim",
                format!("{id} queues behind {}, which is {}", ahead.id, ahead.phase),
            ),
            None if claim.refused.is_empty() => action(
                "run_gates",
                format!("{id} is checked; its gates decide next"),
            ),
            None => action(
                "propose_claim",
                format!("the gates of {id} refused it; propose a tree that passes"),
            ),
        }),
        ClaimPhase::Staged => Some(action(
            "end_turn",
            format!("{id} is staged and a person is asked: end with `staged`, or work on"),
        )),
        ClaimPhase::Approved => Some(action("request_push", format!("{id} is approved"))),
        _ => None,
    }
}

fn of_scope(state: &LoopState, scope: &str, claims: &[&Claim]) -> Vec<NextAction> {
    let mut actions = Vec::new();
    if let Some(closure) = state.closed_scopes.get(scope) {
        let why = format!(
            "`{scope}` waits for the rollback of {}: {}",
            closure.claim_id, closure.reason
        );
        actions.push(action("propose_claim", why));
    }
    let alive: Vec<_> = state
        .hypotheses
        .values()
        .filter(|h| h.body.scope == scope && h.status != HypothesisStatus::Falsified)
        .map(|h| h.id.as_str())
        .collect();
    let claimed = claims
        .iter()
        .any(|claim| claim.body.proof_scope == scope && !claim.phase.is_final());
    match (summary(state, scope, i64::MAX), alive.as_slice()) {
        (
            ScopeSummary {
                colour: Colour::Green,
                ..
            },
            _,
        ) => {}
        (ScopeSummary { run_id: None, .. }, _) => {
            let why = format!(
                "no run of `{scope}` has executed: propose a claim of kind `baseline`, or run it by hand"
            );
            actions.push(action("propose_claim", why));
        }
        (
            ScopeSummary {
                run_id: Some(run), ..
            },
            [],
        ) => {
            actions.push(action(
                "open_hypothesis",
                format!("{run} is red and no cause is on the ledger"),
            ));
        }
        (_, [_, _, ..]) => {
            let why = format!(
                "{} compete: kill one with bytes that it forbids",
                alive.join(", ")
            );
            actions.push(action("falsify_hypothesis", why));
        }
        (_, [one]) if !claimed => {
            actions.push(action(
                "propose_claim",
                format!("{one} stands: fix it, pin it with a test, and propose"),
            ));
        }
        (_, [_]) => {}
    }
    actions
}

//! `open_loop`, `end_turn`.

use discipline::event::{Event, TurnEnd};
use discipline::model::{LoopId, Refusal};
use discipline::state::Operation;
use discipline::turn::judge_end_turn;

use super::{check_key, find_loop};
use crate::ServiceError;
use crate::api::{EndHow, EndTurnAnswer, EndTurnRequest, OpenLoopAnswer, OpenLoopRequest};
use crate::shared::{Ctx, Shared};
use crate::views;

/// Opens a loop; the same key opens it once.
pub(super) fn open_loop(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: OpenLoopRequest,
) -> Result<OpenLoopAnswer, ServiceError> {
    check_key(&request.idempotency_key)?;
    if let Some(answer) = known(shared, &request)? {
        return Ok(answer);
    }
    let refused = unmet(shared, ctx, &request)?;
    if !refused.is_empty() {
        return Ok(OpenLoopAnswer {
            loop_id: None,
            refused: views::refusals(&refused),
        });
    }
    let mut opened = None;
    let key = request.idempotency_key.clone();
    shared.append_with(&ctx.caller.author(), |core| {
        // Somebody else's retry may have come first.
        if let Some(id) = core.state.known(Operation::OpenLoop, &key) {
            opened = Some(LoopId::from(id));
            return Ok(None);
        }
        let loop_id = core.state.next_loop_id();
        opened = Some(loop_id.clone());
        Ok(Some(Event::LoopOpened {
            loop_id,
            goal: request.goal,
            scopes: request.scopes,
            idempotency_key: request.idempotency_key,
            author: ctx.caller.author(),
        }))
    })?;
    Ok(OpenLoopAnswer {
        loop_id: opened.map(|id| id.to_string()),
        refused: Vec::new(),
    })
}

fn known(
    shared: &Shared,
    request: &OpenLoopRequest,
) -> Result<Option<OpenLoopAnswer>, ServiceError> {
    let core = shared.core();
    let Some(id) = core
        .state
        .known(Operation::OpenLoop, &request.idempotency_key)
    else {
        return Ok(None);
    };
    let found = find_loop(&core.state, id)?;
    if found.goal != request.goal || found.scopes != request.scopes {
        return Err(ServiceError::KeyReused {
            key: request.idempotency_key.clone(),
            other: format!("loop {id} with another goal or scopes"),
        });
    }
    Ok(Some(OpenLoopAnswer {
        loop_id: Some(id.to_owned()),
        refused: Vec::new(),
    }))
}

fn unmet(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &OpenLoopRequest,
) -> Result<Vec<Refusal>, ServiceError> {
    let target = shared.known_target(ctx.cancel)?;
    let base = shared.base(&target.tip)?;
    let scopes = &base.facts.policy.scope;
    let valid: Vec<&str> = scopes.keys().map(String::as_str).collect();
    let mut refused = Vec::new();
    if request.goal.trim().is_empty() {
        refused.push(Refusal::new(
            "goal_missing",
            "goal",
            "the loop has no goal",
            "say in one sentence what it is for",
        ));
    }
    if request.scopes.is_empty() {
        refused.push(Refusal::new(
            "scopes_missing",
            "scopes",
            "the loop works on no scope",
            format!("name at least one of {}", valid.join(", ")),
        ));
    }
    for (index, scope) in request.scopes.iter().enumerate() {
        if !scopes.contains_key(scope) {
            refused.push(Refusal::new(
                "scope_unknown",
                format!("scopes[{index}]"),
                format!(
                    "the policy of {} has no scope of this name",
                    target.ref_name
                ),
                format!("name one of {}", valid.join(", ")),
            ));
        }
    }
    Ok(refused)
}

/// Ends a turn in one of the legal ways, or answers with what can be done meanwhile.
pub(super) fn end_turn(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: EndTurnRequest,
) -> Result<EndTurnAnswer, ServiceError> {
    let end = match request.end {
        EndHow::Staged => TurnEnd::Staged,
        EndHow::Green => TurnEnd::Green,
        EndHow::Blocked { what, unblocked_by } => TurnEnd::Blocked { what, unblocked_by },
    };
    let mut judged = None;
    shared.append_with(&ctx.caller.author(), |core| {
        let found = super::open_loop(&core.state, &request.loop_id)?;
        let judgement = judge_end_turn(&core.state, &found.id, &end);
        let event = Event::TurnEndAsked {
            loop_id: found.id.clone(),
            end,
            refused: judgement.refused.clone(),
            author: ctx.caller.author(),
        };
        judged = Some(judgement);
        Ok(Some(event))
    })?;
    let judged = judged.ok_or_else(|| ServiceError::Internal("nothing was judged".into()))?;
    Ok(EndTurnAnswer {
        accepted: judged.refused.is_empty(),
        refused: views::refusals(&judged.refused),
        work: views::actions(&judged.work),
    })
}

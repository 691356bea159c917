//! `override_rule`, `list_overrides`: a person's word against a rule of cost.

use discipline::event::Event;
use discipline::overrides::{OVERRIDABLE, Override, expiry, unmet};

use crate::ServiceError;
use crate::api::{
    ListOverridesAnswer, ListOverridesRequest, OverrideRuleAnswer, OverrideRuleRequest,
};
use crate::shared::{Ctx, Shared};
use crate::views;

/// Grants an override; the reason is journalled with who gave it, and goes into the attestation of
/// every push that it lets pass.
pub(super) fn override_rule(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &OverrideRuleRequest,
) -> Result<OverrideRuleAnswer, ServiceError> {
    let target = shared.known_target(ctx.cancel)?;
    let base = shared.base(&target.tip)?;
    let scopes: Vec<&str> = base.facts.policy.scope.keys().map(String::as_str).collect();
    let (code, scope) = (&request.code, &request.scope);
    let refused = unmet(code, scope, &request.reason, request.hours, &scopes);
    if !refused.is_empty() {
        return Ok(OverrideRuleAnswer {
            granted: None,
            refused: views::refusals(&refused),
        });
    }
    let now = shared.now();
    let mut made = None;
    shared.append_with(&ctx.caller.author(), |core| {
        let granted = Override {
            id: core.state.next_override_id(),
            code: code.clone(),
            scope: scope.clone(),
            reason: request.reason.trim().to_owned(),
            granted_ms: now,
            expires_ms: expiry(now, request.hours),
            author: ctx.caller.author(),
        };
        made = Some(granted.clone());
        Ok(Some(Event::OverrideGranted { granted }))
    })?;
    Ok(OverrideRuleAnswer {
        granted: made.map(|granted| views::granted(&granted, now)),
        refused: Vec::new(),
    })
}

/// Every override, those that have ended included.
pub(super) fn list_overrides(shared: &Shared, _: ListOverridesRequest) -> ListOverridesAnswer {
    let now = shared.now();
    let core = shared.core();
    let mut newest_first: Vec<&Override> = core.state.overrides.values().collect();
    newest_first.sort_by_key(|granted| std::cmp::Reverse(granted.granted_ms));
    ListOverridesAnswer {
        overrides: newest_first
            .into_iter()
            .map(|granted| views::granted(granted, now))
            .collect(),
        overridable: OVERRIDABLE.iter().map(|code| (*code).to_owned()).collect(),
    }
}

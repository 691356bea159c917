//! A person's word against a rule of cost, or for a scope that waits for its rollback: which refusal
//! it passes over, in which scope, why and until when. Overrides are never removed, so that every one can be read years later.

use serde::{Deserialize, Serialize};

use crate::decision::Overridden;
use crate::event::Author;
use crate::model::{OverrideId, Refusal};
use crate::state::LoopState;

/// Longest life of an override, hours.
pub const MAX_HOURS: u32 = 7 * 24;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Refusal of a push into a scope that waits for its rollback.
pub const SCOPE_CLOSED: &str = "scope_closed";
/// Refusals that a person may pass over: those of cost, and the wait for a rollback. Proof, evidence,
/// gates and approval have no override.
pub const OVERRIDABLE: &[&str] = &[
    "budget_exceeded",
    "diagnostic_budget_spent",
    "empty_results_in_a_row",
    "runner_offline",
    SCOPE_CLOSED,
];

/// One override, as granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Its id.
    pub id: OverrideId,
    /// Code of the refusal that it passes over.
    pub code: String,
    /// Scope whose claims it is for.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// When it was granted, unix milliseconds.
    pub granted_ms: i64,
    /// When it ends, unix milliseconds.
    pub expires_ms: i64,
    /// Who granted it.
    pub author: Author,
}

impl Override {
    /// True while it counts.
    #[must_use]
    pub fn in_force(&self, now_ms: i64) -> bool {
        self.granted_ms <= now_ms && now_ms < self.expires_ms
    }
}

/// When an override that is granted now for so many hours ends.
#[must_use]
pub fn expiry(now_ms: i64, hours: u32) -> i64 {
    now_ms.saturating_add(i64::from(hours).saturating_mul(HOUR_MS))
}

/// Every reason against granting an override; `scopes` are those of the policy.
#[must_use]
pub fn unmet(code: &str, scope: &str, reason: &str, hours: u32, scopes: &[&str]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if !OVERRIDABLE.contains(&code) {
        refused.push(Refusal::new(
            "not_overridable",
            "code",
            format!("`{code}` is no refusal that a person's word passes over"),
            format!("name one of: {}", OVERRIDABLE.join(", ")),
        ));
    }
    if !scopes.contains(&scope) {
        refused.push(Refusal::new(
            "scope_unknown",
            "scope",
            format!("the policy has no scope `{scope}`"),
            format!("name one of: {}", scopes.join(", ")),
        ));
    }
    if reason.split_whitespace().count() < 2 {
        refused.push(Refusal::new(
            "reason_missing",
            "reason",
            "who audits the push later will ask why the rule was passed over",
            "say why, in one sentence: `--reason \"…\"`",
        ));
    }
    if hours == 0 || hours > MAX_HOURS {
        refused.push(Refusal::new(
            "expiry_out_of_range",
            "hours",
            format!("an override lasts 1 to {MAX_HOURS} hours, not {hours}"),
            format!("write `--hours N` with N from 1 to {MAX_HOURS}"),
        ));
    }
    refused
}

/// Parts refusals into those that stand and those that an override in force passes over. The list
/// of what may be overridden is asked again here, so that a forged input overrides no more.
pub(crate) fn part(
    refused: Vec<Refusal>,
    overrides: &[Override],
    scope: &str,
    now_ms: i64,
) -> (Vec<Refusal>, Vec<Overridden>) {
    let passes = |refusal: &Refusal| {
        overrides.iter().find(|granted| {
            granted.code == refusal.code
                && granted.scope == scope
                && OVERRIDABLE.contains(&granted.code.as_str())
                && granted.in_force(now_ms)
        })
    };
    let (mut stand, mut overridden) = (Vec::new(), Vec::new());
    for refusal in refused {
        match passes(&refusal) {
            Some(granted) => overridden.push(Overridden {
                by: granted.id.clone(),
                refusal,
            }),
            None => stand.push(refusal),
        }
    }
    (stand, overridden)
}

impl LoopState {
    /// Overrides that count in a scope at this moment, oldest first.
    #[must_use]
    pub fn overrides_in_force(&self, scope: &str, now_ms: i64) -> Vec<Override> {
        let granted = self.overrides.values();
        let mut counting: Vec<Override> = granted
            .filter(|granted| granted.scope == scope && granted.in_force(now_ms))
            .cloned()
            .collect();
        counting.sort_by_key(|granted| granted.granted_ms);
        counting
    }
}

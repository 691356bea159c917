//! Every scope that the change can reach keeps the guards its policy demands.

use attest::claim::Guard;
use markers::{Predicate, Truth};

use super::Case;
use super::certain::certain;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let mut refused = case.unreadable(&case.guards);
    let policy = &case.input.policy.policy;
    let guards = case.body().guards.iter().enumerate();
    refused.extend(
        guards
            .filter(|(_, guard)| !policy.scope.contains_key(&guard.scope))
            .map(|(index, guard)| {
                let scopes: Vec<_> = policy.scope.keys().map(String::as_str).collect();
                Refusal::new(
                    "guard_scope_unknown",
                    format!("guards[{index}].scope"),
                    format!(
                        "`{}` is no scope of the parent's greenloop.toml",
                        guard.scope
                    ),
                    format!("name one of: {}", scopes.join(", ")),
                )
            }),
    );
    refused.extend(unbreakable(case));
    refused.extend(missing(case));
    refused.extend(broken_today(case));
    refused
}

/// A guard that holds whatever a run shows guards nothing.
fn unbreakable(case: &Case<'_>) -> Vec<Refusal> {
    let always = case.guards.iter().filter(|stated| {
        let predicate = stated.predicate.as_ref().ok();
        predicate.and_then(certain) == Some(true)
    });
    always
        .map(|stated| {
            Refusal::new(
                "guard_cannot_break",
                &stated.field,
                format!(
                    "`{}` holds for every run, so nothing can break it",
                    stated.text
                ),
                "guard something that a worse tree would show otherwise, or leave the guard out",
            )
        })
        .collect()
}

/// Guards that the policy demands for the proof scope and for every scope the changed files reach.
pub(super) fn demanded(case: &Case<'_>) -> Vec<Guard> {
    let policy = &case.input.policy.policy;
    policy.demanded_guards(&case.body().proof_scope, &case.changed_paths())
}

fn missing(case: &Case<'_>) -> Vec<Refusal> {
    let stated = &case.body().guards;
    demanded(case)
        .into_iter()
        .filter(|Guard { scope, predicate }| {
            let states = |own: &Guard| own.scope == *scope && same(own, predicate);
            !stated.iter().any(states)
        })
        .map(|Guard { scope, predicate }| {
            Refusal::new(
                "guard_missing",
                "guards",
                format!(
                    "the change reaches scope `{scope}`, whose policy demands the guard `{predicate}`"
                ),
                format!("add {{\"scope\": \"{scope}\", \"predicate\": {predicate:?}}} to `guards`"),
            )
        })
        .collect()
}

/// Two spellings of one predicate are one guard.
fn same(own: &Guard, demanded: &str) -> bool {
    let read = |text: &str| text.parse::<Predicate>().ok();
    own.predicate == demanded || read(&own.predicate).is_some_and(|own| Some(own) == read(demanded))
}

/// A guard of the claim's own choice that is broken today would close the scope at once.
fn broken_today(case: &Case<'_>) -> Vec<Refusal> {
    let scope = &case.body().proof_scope;
    let demanded = case
        .scope()
        .map(|policy| policy.guards.as_slice())
        .unwrap_or_default();
    let own = case
        .guards
        .iter()
        .zip(&case.body().guards)
        .filter(|(_, guard)| {
            &guard.scope == scope && !demanded.iter().any(|text| same(guard, text))
        });
    own.filter_map(|(stated, guard)| {
        let verdict = case.on_baseline(stated.predicate.as_ref().ok()?)?;
        (verdict.truth == Truth::Fails).then(|| {
            Refusal::new(
                "guard_broken_today",
                &stated.field,
                format!(
                    "`{}` is already false on {}: {}",
                    guard.predicate,
                    case.body().baseline_run,
                    verdict.why
                ),
                "guard what works today; what does not work yet belongs into `predictions`",
            )
        })
    })
    .collect()
}

//! A fix that touches what an earlier attempt touched says what differs, and carries that failure's
//! fingerprint, so that the same failure cannot pass unseen.

use attest::claim::Guard;

use super::Case;
use crate::decision::AttemptFact;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let overlapping = case
        .input
        .attempts
        .iter()
        .filter(|attempt| attempt.overlaps);
    let answers = overlapping.flat_map(|attempt| {
        let mut refused = Vec::from_iter(unanswered(case, attempt));
        refused.extend(uncarried(case, attempt));
        refused
    });
    repeated(case).into_iter().chain(answers).collect()
}

/// The runner has answered for this very tree.
fn repeated(case: &Case<'_>) -> Option<Refusal> {
    let mut attempts = case.input.attempts.iter();
    let same = attempts.find(|attempt| attempt.tree == case.body().tree)?;
    Some(Refusal::new(
        "attempt_repeated",
        "change",
        format!(
            "this is the tree of {}, which failed{}; another run of it shows the same",
            same.claim_id,
            fingerprint(same)
        ),
        format!(
            "change what {0} broke or left broken; `get_claim` of {0} shows it",
            same.claim_id
        ),
    ))
}

fn unanswered(case: &Case<'_>, attempt: &AttemptFact) -> Option<Refusal> {
    let mut words = case.body().reasoning.split(|c: char| !c.is_alphanumeric());
    let named = words.any(|word| word == attempt.claim_id);
    (!named).then(|| {
        Refusal::new(
            "attempt_unanswered",
            "reasoning",
            format!(
                "{} changed the same files for the same invariant, and failed{}",
                attempt.claim_id,
                fingerprint(attempt)
            ),
            format!(
                "read `get_claim` of {0}, and say in `reasoning` what this change does differently from {0}",
                attempt.claim_id
            ),
        )
    })
}

fn fingerprint(attempt: &AttemptFact) -> String {
    let elsewhere = attempt.broken_elsewhere.iter();
    let mut parts = attempt
        .held_rollbacks
        .iter()
        .chain(&attempt.broken_guards)
        .chain(elsewhere.map(|guard| &guard.predicate));
    parts
        .next()
        .map_or_else(String::new, |first| format!(": `{first}`"))
}

fn uncarried<'a>(case: &'a Case<'_>, attempt: &'a AttemptFact) -> impl Iterator<Item = Refusal> {
    let body = case.body();
    let refusal = |field: &str, text: &String| {
        Refusal::new(
            "fingerprint_not_carried",
            field,
            format!(
                "`{text}` is how {} failed, and this claim does not watch for it",
                attempt.claim_id
            ),
            format!("add `{text}` to `{field}`"),
        )
    };
    let guarded = |text: &String| {
        let demanded = case
            .scope()
            .is_some_and(|scope| scope.guards.contains(text));
        let own = |guard: &attest::claim::Guard| {
            guard.scope == body.proof_scope && &guard.predicate == text
        };
        demanded || body.guards.iter().any(own)
    };
    let guards = attempt
        .broken_guards
        .iter()
        .filter(move |text| !guarded(text));
    let conditions = attempt
        .held_rollbacks
        .iter()
        .filter(|text| !body.rollback_if.contains(text));
    let elsewhere = attempt
        .broken_elsewhere
        .iter()
        .filter(|guard| !body.guards.contains(guard));
    guards
        .map(move |text| refusal("guards", text))
        .chain(conditions.map(move |text| refusal("rollback_if", text)))
        .chain(elsewhere.map(move |guard| uncarried_elsewhere(attempt, guard)))
}

fn uncarried_elsewhere(attempt: &AttemptFact, guard: &Guard) -> Refusal {
    let Guard { scope, predicate } = guard;
    Refusal::new(
        "fingerprint_not_carried",
        "guards",
        format!(
            "`{predicate}` broke in scope `{scope}` under {}, and this claim does not watch for it",
            attempt.claim_id
        ),
        format!("add {{\"scope\": \"{scope}\", \"predicate\": {predicate:?}}} to `guards`"),
    )
}

//! Scopes that a pushed claim guards besides its own: their runs of the pushed commit, and what those
//! show of the guards. Every step looks at the journal first, so that it can be asked for any number
//! of times.
//!
//! Where this machine runs pushes, the daemon starts the runs; a forge starts its own, and the
//! follower finds them. A scope whose run does not come is graded as not seen, so that no runner that
//! is away keeps the verdict from being published for ever.

use discipline::event::Event;
use discipline::model::{ClaimId, Run, RunId, RunStatus, ScopeGuards};
use discipline::policy::{Policy, SourceKind};
use discipline::state::Claim;
use discipline::verification::Pushed;
use discipline::verification::guards::{grade, not_seen, witness_of};
use markers::CellObservations;
use verify::BaseFacts;

use crate::follow::was_lost;
use crate::queue::Job;
use crate::shared::{Shared, daemon};
use crate::source::is_being_pulled;
use crate::{ServiceError, observe, runs};

/// How long after the end of the claim's own run a run that the same push started is waited for.
const ENDS_WITHIN_MS: i64 = 24 * HOUR_MS;
/// How long after the end of the claim's own run the forge may take to list one that the same push started.
const LISTED_WITHIN_MS: i64 = HOUR_MS / 4;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// Runs of a scope that are looked through for the last one without the change.
const MOST_BEFORE: usize = 50;

/// Starts the runs that show the guards of other scopes, where this machine runs pushes; again, where
/// one was lost with an earlier daemon.
pub(crate) fn begin(shared: &Shared, id: &ClaimId) -> Result<(), ServiceError> {
    let Some(claim) = shared.core().state.claims.get(id).cloned() else {
        return Ok(());
    };
    let base = shared.base(&claim.body.parent)?;
    let policy = &base.facts.policy;
    if policy.source.kind != SourceKind::Local {
        return Ok(());
    }
    for scope in claim.ungraded_scopes() {
        if let Some(run_id) = start(shared, &claim, policy, scope)? {
            shared.queue.add(Job::Run(run_id));
        }
    }
    Ok(())
}

/// Journals a queued run of the scope, unless there is one that shows the guards or will.
fn start(
    shared: &Shared,
    claim: &Claim,
    policy: &Policy,
    scope: &str,
) -> Result<Option<RunId>, ServiceError> {
    let Some(commit) = &claim.commit else {
        return Ok(None);
    };
    let now = shared.now();
    let mut started = None;
    shared.append_with(&daemon(), |core| {
        let known = witness_of(core.state.runs.values(), scope, commit);
        if known.is_some_and(|run| !was_lost(&core.state, run)) {
            return Ok(None);
        }
        let run = runs::run_of_push(&core.state, claim, policy, scope, now);
        started = Some(run.run_id.clone());
        Ok(Some(Event::RunChanged { run }))
    })?;
    Ok(started)
}

/// Grades the guards of every scope whose run has ended, and of those that no run can follow.
pub(crate) fn advance(shared: &Shared, id: &ClaimId) -> Result<(), ServiceError> {
    let Some(claim) = shared.core().state.claims.get(id).cloned() else {
        return Ok(());
    };
    let open: Vec<String> = claim
        .ungraded_scopes()
        .into_iter()
        .map(str::to_owned)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let base = shared.base(&claim.body.parent)?;
    for scope in open {
        if let Some(guards) = judged(shared, &claim, &base, &scope)? {
            record(shared, id, guards)?;
        }
    }
    Ok(())
}

/// What a scope showed; `None` while its run is waited for.
fn judged(
    shared: &Shared,
    claim: &Claim,
    base: &BaseFacts,
    scope: &str,
) -> Result<Option<ScopeGuards>, ServiceError> {
    let policy = &base.facts.policy;
    let commit = claim.commit.as_deref().unwrap_or_default();
    let (run, class) = {
        let core = shared.core();
        let run = witness_of(core.state.runs.values(), scope, commit).cloned();
        let class = run
            .as_ref()
            .and_then(|run| core.state.classifications.get(&run.run_id));
        (run, class.map(|found| found.classification.clone()))
    };
    let Some(run) = run.filter(has_ended) else {
        return Ok(never(policy, scope));
    };
    let catalogue = &base.rulebook.catalogue;
    let cells = observe::cells_of(shared, &run, catalogue)?;
    let before = before(shared, claim, scope)?;
    let before: Option<Vec<CellObservations>> = before
        .map(|run| observe::cells_of(shared, &run, catalogue))
        .transpose()?;
    Ok(Some(grade(
        &Pushed {
            body: &claim.body,
            commit,
            policy,
            run: &run,
            classification: class.as_ref(),
            cells: &cells,
            before: before.as_deref(),
        },
        &base.rulebook,
    )))
}

fn has_ended(run: &Run) -> bool {
    let pulling = run.forge.as_ref().is_some_and(is_being_pulled);
    run.status == RunStatus::Completed && !pulling
}

/// What is said of a scope that no push can start.
fn never(policy: &Policy, scope: &str) -> Option<ScopeGuards> {
    let own = policy.scope.get(scope);
    let workflow = own.and_then(|own| own.workflow.as_ref());
    let why = format!("scope `{scope}` names no workflow, so no run of it follows a push");
    let forge = policy.source.kind == SourceKind::Github;
    (forge && workflow.is_none()).then(|| not_seen(scope, why))
}

/// Waits no longer for the run of a scope where that has had its time. `listed`: the forge, asked just now, shows it and
/// it has not ended.
pub(crate) fn give_up_if_late(
    shared: &Shared,
    claim: &Claim,
    scope: &str,
    listed: bool,
) -> Result<(), ServiceError> {
    let own_ended_ms = {
        let core = shared.core();
        let verdict = claim.verdict.as_ref();
        verdict.and_then(|verdict| core.state.runs.get(&verdict.run_id)?.finished_ms)
    };
    let Some(waited_ms) = own_ended_ms.map(|ended_ms| shared.now().saturating_sub(ended_ms)) else {
        return Ok(());
    };
    let why = match listed {
        true if waited_ms > ENDS_WITHIN_MS => format!(
            "the run of `{scope}` has not ended within {} h of the claim's own",
            ENDS_WITHIN_MS / HOUR_MS
        ),
        false if waited_ms > LISTED_WITHIN_MS => {
            format!("the push has started no run of `{scope}`")
        }
        _ => return Ok(()),
    };
    record(shared, &claim.id, not_seen(scope, why))?;
    shared.queue.add(Job::Follow(claim.id.clone()));
    Ok(())
}

/// Journals what a scope showed, unless somebody has.
fn record(shared: &Shared, id: &ClaimId, guards: ScopeGuards) -> Result<(), ServiceError> {
    shared
        .append_with(&daemon(), |core| {
            let claim = core.state.claims.get(id);
            let open = claim.is_some_and(|claim| {
                let open = claim.ungraded_scopes();
                open.contains(&guards.scope.as_str())
            });
            Ok(open.then(|| Event::GuardsGraded {
                claim_id: id.clone(),
                guards: Box::new(guards),
            }))
        })
        .map(|_| ())
}

/// The run that a claim's predictions were false on.
pub(crate) fn baseline_of(shared: &Shared, claim: &Claim) -> Option<Run> {
    let id = RunId::from(claim.body.baseline_run.as_str());
    shared.core().state.runs.get(&id).cloned()
}

/// The last run of a scope without the claim's change: at its parent, or at an ancestor of it.
pub(crate) fn before(
    shared: &Shared,
    claim: &Claim,
    scope: &str,
) -> Result<Option<Run>, ServiceError> {
    let candidates: Vec<Run> = {
        let core = shared.core();
        let runs = core.state.runs_of_scope(scope).into_iter();
        let told = runs.filter(|run| run.status == RunStatus::Completed && run.executed());
        told.take(MOST_BEFORE).cloned().collect()
    };
    let reader = shared.reader()?;
    let parent = &claim.body.parent;
    // A history that is not all there leaves the guard without a comparison, and no claim ungraded.
    let led_here = |run: &Run| matches!(reader.is_ancestor(&run.head_sha, parent), Ok(true));
    Ok(candidates.into_iter().find(led_here))
}

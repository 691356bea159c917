//! `list_runs`, `wait_for_run`, `start_run`.

use std::time::{Duration, Instant};

use ci::forge::model::millis;
use ci::forge::{RunQuery, run_key};
use discipline::event::Event;
use discipline::model::{Conclusion, Refusal, Run, RunId, RunStatus, Trigger};
use discipline::policy::Policy;
use discipline::spend::{minutes_left, reserved_minutes};
use discipline::state::LoopState;

use super::{cursor, find_run, unknown};
use crate::ServiceError;
use crate::api::{
    ListRunsAnswer, ListRunsRequest, SourceRunView, StartRunAnswer, StartRunRequest,
    WaitForRunAnswer, WaitForRunRequest,
};
use crate::queue::Job;
use crate::runs::new_run;
use crate::shared::{Ctx, Shared};
use crate::{source, views};

/// Longest wait of one `wait_for_run`, seconds.
const MAX_WAIT_S: u32 = 50;
/// A run by hand is waited for without a limit of its own; the scope's limits end it.
const UNTIL_IT_ENDS: Duration = Duration::from_secs(24 * 3600);

/// Runs, newest first, a page at a time.
pub(super) fn list_runs(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ListRunsRequest,
) -> Result<ListRunsAnswer, ServiceError> {
    let of_source = match request.source {
        true => of_source(shared, ctx, &request)?,
        false => Vec::new(),
    };
    let start = cursor(request.cursor.as_deref())?;
    let limit = usize::try_from(request.limit.unwrap_or(20).clamp(1, 100)).unwrap_or(20);
    let core = shared.core();
    let runs = newest_first(&core.state, &request);
    let page: Vec<_> = runs.iter().skip(start).take(limit).collect();
    let end = start + page.len();
    Ok(ListRunsAnswer {
        runs: page
            .into_iter()
            .map(|run| views::run(&core.state, run))
            .collect(),
        next_cursor: (end < runs.len()).then(|| end.to_string()),
        storm_count: storm(&runs),
        of_source,
    })
}

/// The source's newest runs of the workflows that own a scope.
fn of_source(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &ListRunsRequest,
) -> Result<Vec<SourceRunView>, ServiceError> {
    let base = source::base(shared, ctx.cancel)?;
    let policy = &base.facts.policy;
    let Some(forge) = source::open(shared, &policy.source)? else {
        return Ok(Vec::new());
    };
    let scope = request.scope.as_ref();
    let query = RunQuery {
        workflow: scope
            .and_then(|scope| policy.scope.get(scope))
            .and_then(|scope| scope.workflow.clone()),
        head_sha: request.head_sha.clone().filter(|sha| sha.len() == 40),
        most: usize::try_from(request.limit.unwrap_or(20).clamp(1, 100)).unwrap_or(20),
        ..RunQuery::default()
    };
    let listed = forge.runs(&query, ctx.cancel).map_err(source::failed)?;
    let core = shared.core();
    let views = listed.iter().map(|run| {
        let id = run_key(run);
        let known = source::known(&core.state, forge.label(), &id, None);
        let text = |text: &Option<String>| text.as_deref().map(crate::page::plain);
        SourceRunView {
            run_id: known.map(|run| run.run_id.to_string()),
            attempt: run.attempt(),
            workflow: run.workflow_file().map(crate::page::plain),
            scope: source::scope_of(policy, run.workflow_file(), None).ok(),
            event: text(&run.event),
            branch: text(&run.head_branch),
            head_sha: run.head_sha.clone(),
            status: run.status.clone().map(String::from).unwrap_or_default(),
            conclusion: text(&run.conclusion),
            created_ms: millis(run.created_at.as_deref()),
            source_run_id: id,
        }
    });
    Ok(views.collect())
}

fn newest_first<'a>(state: &'a LoopState, request: &ListRunsRequest) -> Vec<&'a Run> {
    let matches = |run: &&Run| {
        request
            .scope
            .as_ref()
            .is_none_or(|scope| &run.scope == scope)
            && request
                .head_sha
                .as_ref()
                .is_none_or(|head| run.head_sha.starts_with(head.as_str()))
    };
    let mut runs: Vec<&Run> = state.runs.values().filter(matches).collect();
    let place = |run: &&'a Run| {
        let id = run.run_id.as_str();
        (run.created_ms, id.len(), id)
    };
    runs.sort_unstable_by(|a, b| place(b).cmp(&place(a)));
    runs
}

/// Cancelled runs that executed nothing since the last executed one.
fn storm(newest_first: &[&Run]) -> u32 {
    let silent = newest_first
        .iter()
        .filter(|run| run.status == RunStatus::Completed)
        .take_while(|run| !run.executed());
    let cancelled = silent.filter(|run| run.conclusion == Some(Conclusion::Cancelled));
    u32::try_from(cancelled.count()).unwrap_or(u32::MAX)
}

/// Waits until a run has ended, or the time is over.
pub(super) fn wait_for_run(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: WaitForRunRequest,
) -> Result<WaitForRunAnswer, ServiceError> {
    let id = find_run(&shared.core().state, &request.run_id)?
        .run_id
        .clone();
    let wait = Duration::from_secs(u64::from(request.max_wait_s.min(MAX_WAIT_S)));
    let deadline = Instant::now() + wait;
    let ended = shared.wait(ctx, deadline, |core| finished(shared, &core.state, &id))?;
    let core = shared.core();
    let run = find_run(&core.state, &request.run_id)?;
    Ok(WaitForRunAnswer {
        run: views::run(&core.state, run),
        done: ended.is_some(),
    })
}

/// Ended and, where it executed, classified. One that the daemon follows is pulled first.
fn finished(shared: &Shared, state: &LoopState, id: &RunId) -> Option<()> {
    let run = state.runs.get(id)?;
    let pulling = run.forge.as_ref().is_some_and(source::is_being_pulled)
        && state.is_followed(run, shared.now());
    let classified = state.classifications.contains_key(id) || !run.executed();
    (run.status == RunStatus::Completed && !pulling && classified).then_some(())
}

/// Runs a scope by hand.
pub(super) fn start_run(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: StartRunRequest,
) -> Result<StartRunAnswer, ServiceError> {
    let commit = commit(shared, ctx, &request)?;
    let base = shared.base(&commit)?;
    let policy = &base.facts.policy;
    let Some(scope) = policy.scope.get(&request.scope) else {
        let valid = policy.scope.keys().map(String::as_str);
        return Err(unknown("scope", &request.scope, valid));
    };
    if let Some(refusal) = source::not_the_runner(policy) {
        return Ok(StartRunAnswer {
            run: None,
            refused: views::refusals(&[refusal]),
        });
    }
    let cells = match &request.cell {
        None => policy.effective_cells(&request.scope),
        Some(cell) => ci::cells_of(scope, Some(cell)).map_err(unknown_cell)?,
    };
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.name).collect();
    let tree = shared.reader()?.commit_info(&commit)?.tree;
    let now = shared.now();
    let (mut id, mut refused) = (None, Vec::new());
    shared.append_with(&ctx.caller.author(), |core| {
        // Under the writer's lock: of two callers at once, the second sees the first one's run.
        refused = unmet(&core.state, now, &request.scope, policy);
        if !refused.is_empty() {
            return Ok(None);
        }
        let place = (commit.as_str(), tree.as_str());
        let run = new_run(
            &core.state,
            &request.scope,
            place,
            Trigger::Manual,
            cells,
            now,
        );
        id = Some(run.run_id.clone());
        Ok(Some(Event::RunChanged { run }))
    })?;
    let Some(id) = id else {
        return Ok(StartRunAnswer {
            run: None,
            refused: views::refusals(&refused),
        });
    };
    shared.queue.add(Job::Run(id.clone()));
    if request.wait {
        let deadline = Instant::now() + UNTIL_IT_ENDS;
        let waited = shared.wait(ctx, deadline, |core| finished(shared, &core.state, &id));
        if matches!(waited, Err(ServiceError::Cancelled)) && ctx.cancel.is_cancelled() {
            crate::runs::cancel(shared, &id)?;
        }
        waited?;
    }
    let core = shared.core();
    let run = core
        .state
        .runs
        .get(&id)
        .map(|run| views::run(&core.state, run));
    Ok(StartRunAnswer {
        run,
        refused: Vec::new(),
    })
}

/// The commit asked for, from the daemon's repository or the clone under care.
fn commit(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &StartRunRequest,
) -> Result<String, ServiceError> {
    let Some(wanted) = &request.commit else {
        return Ok(shared.refresh_target(ctx.cancel)?.tip);
    };
    super::known_commit(shared, ctx, wanted)
}

fn unknown_cell(error: ci::CiError) -> ServiceError {
    match error {
        ci::CiError::UnknownCell { cell, valid } => {
            unknown("cell", &cell, valid.iter().map(String::as_str))
        }
        other => other.into(),
    }
}

/// What a run of a scope would cost or meet now.
pub(super) fn unmet(state: &LoopState, now_ms: i64, scope: &str, policy: &Policy) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if let Some(live) = state.live_runs(scope).first() {
        refused.push(Refusal::new(
            "run_live",
            "scope",
            format!("{live} of scope `{scope}` is live"),
            format!("wait for it with `greenloop wait {live}`; an agent waits with `wait_for_run`"),
        ));
    }
    if minutes_left(state, policy, scope, None, now_ms) == 0 {
        let (spent, of_scope) = (
            state.runner_minutes_today(None, now_ms),
            state.runner_minutes_today(Some(scope), now_ms),
        );
        let kept = reserved_minutes(state, None, None, now_ms);
        refused.push(Refusal::new(
            "budget_spent",
            "scope",
            format!(
                "no runner minute is left today: {spent} are spent, {of_scope} of them by `{scope}`, and \
                 {kept} are kept for claims that are signed"
            ),
            "run it tomorrow, or raise `runner_minutes_per_day` by a policy_change claim",
        ));
    }
    refused
}

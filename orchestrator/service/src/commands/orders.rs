//! `cancel_run`, `rerun`: a person's order about a run, recorded before it is carried out. One to the forge is
//! sent once; a run of this machine is ended here.

use ci::forge::model::WorkflowRun;
use ci::forge::{Forge, ForgeError, run_key};
use ci::github::{Github, Rerun};
use discipline::event::Event;
use discipline::model::{Refusal, Run, RunId, RunStatus};
use discipline::orders::{Order, OrderKind, OrderOutcome, Wanted, unmet};
use discipline::policy::SourceKind;
use verify::BaseFacts;

use super::runs;
use crate::ServiceError;
use crate::api::{CancelRunRequest, OrderAnswer, RerunRequest};
use crate::follower::begun;
use crate::orders::{read_back, settle};
use crate::runs as local;
use crate::shared::{Ctx, Shared};
use crate::source::{self, failed};
use crate::views;

/// What is asked for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    kind: OrderKind,
    run_id: &'a str,
    reason: &'a str,
    claim: Option<&'a str>,
}

/// Cancels a run that has not ended.
pub(super) fn cancel_run(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &CancelRunRequest,
) -> Result<OrderAnswer, ServiceError> {
    let asked = Asked {
        kind: OrderKind::Cancel,
        run_id: &request.run_id,
        reason: &request.reason,
        claim: request.claim_id.as_deref(),
    };
    give(shared, ctx, asked)
}

/// Runs a run again as its next attempt.
pub(super) fn rerun(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &RerunRequest,
) -> Result<OrderAnswer, ServiceError> {
    let asked = Asked {
        kind: match request.failed_only {
            true => OrderKind::RerunFailed,
            false => OrderKind::Rerun,
        },
        run_id: &request.run_id,
        reason: &request.reason,
        claim: None,
    };
    give(shared, ctx, asked)
}

fn give(shared: &Shared, ctx: Ctx<'_>, asked: Asked<'_>) -> Result<OrderAnswer, ServiceError> {
    let base = source::base(shared, ctx.cancel)?;
    let known = {
        let core = shared.core();
        core.state.runs.get(&RunId::from(asked.run_id)).cloned()
    };
    match known {
        Some(own) if own.forge.is_none() => here(shared, ctx, asked, &own, &base),
        known => there(shared, ctx, asked, known.as_ref(), &base),
    }
}

/// Of a run of this machine.
fn here(
    shared: &Shared,
    ctx: Ctx<'_>,
    asked: Asked<'_>,
    run: &Run,
    base: &BaseFacts,
) -> Result<OrderAnswer, ServiceError> {
    if asked.kind != OrderKind::Cancel {
        let refusal = Refusal::new(
            "source_takes_no_orders",
            "run_id",
            format!("{} was executed on this machine", run.run_id),
            format!("run its scope again: `greenloop run {}`", run.scope),
        );
        return Ok(refused(&[refusal]));
    }
    let mut order = None;
    if run.status != RunStatus::Completed {
        match record(shared, ctx, asked, run, base)? {
            Ok(given) => order = Some(given),
            Err(refusals) => return Ok(refused(&refusals)),
        }
    }
    if let Some(order) = &order {
        local::cancel(shared, &run.run_id)?;
        settle(shared, order, OrderOutcome::Taken)?;
    }
    let core = shared.core();
    let now = core.state.runs.get(&run.run_id);
    Ok(OrderAnswer {
        order_id: order.as_ref().map(|order| order.id.to_string()),
        had_ended: order.is_none(),
        run: now.map(|run| views::run(&core.state, run)),
        refused: Vec::new(),
    })
}

/// Of a run at the forge.
fn there(
    shared: &Shared,
    ctx: Ctx<'_>,
    asked: Asked<'_>,
    known: Option<&Run>,
    base: &BaseFacts,
) -> Result<OrderAnswer, ServiceError> {
    let policy = &base.facts.policy;
    let id = match at_forge(policy.source.kind, known, asked.run_id) {
        Ok(id) => id,
        Err(refusal) => return Ok(refused(&[refusal])),
    };
    let github = source::github(shared, &policy.source)?;
    let described = github.run(&id, None, ctx.cancel).map_err(failed)?;
    if asked.kind == OrderKind::Cancel && described.is_completed() {
        return Ok(had_ended(shared, &*github, &described));
    }
    let scope = source::scope_of(policy, described.workflow_file(), None);
    if scope.is_err() {
        return Ok(refused(&[of_no_scope(&described)]));
    }
    let run = begun(shared, base, &*github, &described)?;
    settle_earlier(shared, &run, &described)?;
    let order = match record(shared, ctx, asked, &run, base)? {
        Ok(order) => order,
        Err(refusals) => return Ok(refused(&refusals)),
    };
    let after = send(shared, ctx, &github, &id, &order)?;
    let run = begun(shared, base, &*github, &after)?;
    let core = shared.core();
    Ok(OrderAnswer {
        order_id: Some(order.id.to_string()),
        had_ended: false,
        run: Some(views::run(&core.state, &run)),
        refused: Vec::new(),
    })
}

/// The run's id at the forge, or why there is none to give orders about.
fn at_forge(source: SourceKind, known: Option<&Run>, run_id: &str) -> Result<String, Refusal> {
    if source != SourceKind::Github {
        return Err(Refusal::new(
            "source_takes_no_orders",
            "run_id",
            format!("`{run_id}` is no run of this machine, and runs do not come from a forge here"),
            "name a run of this machine, as `greenloop runs` lists them; runs of a forge need `[source] kind = \
             \"github\"`",
        ));
    }
    let at = known.and_then(|run| run.forge.as_ref());
    Ok(at.map_or_else(|| run_id.to_owned(), |forge| forge.id.clone()))
}

fn of_no_scope(described: &WorkflowRun) -> Refusal {
    let workflow = described
        .workflow_file()
        .unwrap_or("none that the forge tells");
    Refusal::new(
        "run_of_no_scope",
        "run_id",
        format!(
            "its workflow, {}, owns no scope of the policy, so the run is not this loop's",
            crate::page::plain(workflow)
        ),
        "name the workflow as `workflow` of a scope in greenloop.toml, or give the order at the forge itself",
    )
}

fn refused(refusals: &[Refusal]) -> OrderAnswer {
    OrderAnswer {
        order_id: None,
        had_ended: false,
        run: None,
        refused: views::refusals(refusals),
    }
}

/// Nothing is left to cancel, so nothing is sent or recorded.
fn had_ended(shared: &Shared, forge: &dyn Forge, described: &WorkflowRun) -> OrderAnswer {
    let core = shared.core();
    let (id, attempt) = (run_key(described), Some(described.attempt()));
    let known = source::known(&core.state, forge.label(), &id, attempt);
    OrderAnswer {
        order_id: None,
        had_ended: true,
        run: known.map(|run| views::run(&core.state, run)),
        refused: Vec::new(),
    }
}

/// An order whose answer was lost is settled by the run before another is given.
fn settle_earlier(shared: &Shared, run: &Run, described: &WorkflowRun) -> Result<(), ServiceError> {
    let earlier = {
        let core = shared.core();
        let open = core.state.open_order(run).cloned();
        open.and_then(|open| {
            let ordered = core.state.runs.get(&open.order.run_id).cloned();
            ordered.map(|ordered| (open, ordered))
        })
    };
    match earlier {
        Some((open, ordered)) => read_back(shared, &open, &ordered, described),
        None => Ok(()),
    }
}

/// Records the order, or says every reason against it. Of two callers at once, the second sees the
/// first one's order.
fn record(
    shared: &Shared,
    ctx: Ctx<'_>,
    asked: Asked<'_>,
    run: &Run,
    base: &BaseFacts,
) -> Result<Result<Order, Vec<Refusal>>, ServiceError> {
    let now = shared.now();
    let (mut given, mut refusals) = (None, Vec::new());
    shared.append_with(&ctx.caller.author(), |core| {
        let wanted = Wanted {
            kind: asked.kind,
            run,
            claim: asked.claim,
            reason: asked.reason,
        };
        refusals = unmet(&core.state, &wanted);
        if asked.kind != OrderKind::Cancel {
            let policy = &base.facts.policy;
            refusals.extend(runs::unmet(&core.state, now, &run.scope, policy));
        }
        if !refusals.is_empty() {
            return Ok(None);
        }
        let order = Order {
            id: core.state.next_order_id(),
            kind: asked.kind,
            run_id: run.run_id.clone(),
            reason: asked.reason.trim().to_owned(),
            claim_id: asked.claim.map(Into::into),
            given_ms: now,
            author: ctx.caller.author(),
        };
        given = Some(order.clone());
        Ok(Some(Event::RunOrdered { order }))
    })?;
    Ok(given.ok_or(refusals))
}

/// Sends the order, once, and journals what became of it.
fn send(
    shared: &Shared,
    ctx: Ctx<'_>,
    github: &Github,
    id: &str,
    order: &Order,
) -> Result<WorkflowRun, ServiceError> {
    let sent = match order.kind {
        OrderKind::Cancel => github.cancel_run(id, ctx.cancel),
        OrderKind::Rerun => github.rerun(id, Rerun::All, ctx.cancel),
        OrderKind::RerunFailed => github.rerun(id, Rerun::Failed, ctx.cancel),
    };
    let outcome = match &sent {
        Ok(_) => OrderOutcome::Taken,
        Err(error) => outcome_of(error),
    };
    settle(shared, order, outcome)?;
    sent.map_err(failed)
}

/// Only an answer of the forge says that it did not take an order.
fn outcome_of(error: &ForgeError) -> OrderOutcome {
    let message = error.to_string();
    match error {
        ForgeError::NotTaken { .. }
        | ForgeError::Forbidden { .. }
        | ForgeError::Unauthorised { .. }
        | ForgeError::NoSuchRun { .. }
        | ForgeError::RateLimited { .. }
        | ForgeError::Settings { .. } => OrderOutcome::Refused { message },
        ForgeError::Network { .. }
        | ForgeError::Malformed { .. }
        | ForgeError::Redirect { .. }
        | ForgeError::Io { .. }
        | ForgeError::Store { .. }
        | ForgeError::Cancelled => OrderOutcome::Unknown { message },
    }
}

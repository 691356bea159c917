//! Orders to the forge after they were given: whether one arrived is read from the run, and the run
//! is followed to its end, so that the ledger knows what it has cost.

use std::sync::Arc;

use ci::forge::Forge;
use ci::forge::model::WorkflowRun;
use discipline::event::Event;
use discipline::model::Run;
use discipline::orders::{ARRIVES_WITHIN_MS, GivenOrder, Order, OrderKind, OrderOutcome};
use discipline::policy::SourceKind;

use crate::follower::{begun, pulled};
use crate::shared::{Shared, daemon};
use crate::source::failed;
use crate::{ServiceError, classes, source};

/// Journals what became of an order.
pub(crate) fn settle(
    shared: &Shared,
    order: &Order,
    outcome: OrderOutcome,
) -> Result<(), ServiceError> {
    shared.append_with(&daemon(), |core| {
        let given = core.state.orders.get(&order.id);
        let open = given.is_some_and(GivenOrder::is_open);
        Ok(open.then(|| Event::RunOrderSettled {
            order_id: order.id.clone(),
            outcome,
        }))
    })?;
    Ok(())
}

/// Reads from the newest attempt of a run whether an order about an attempt of it arrived; one that
/// nothing shows after a while did not.
pub(crate) fn read_back(
    shared: &Shared,
    given: &GivenOrder,
    ordered: &Run,
    newest: &WorkflowRun,
) -> Result<(), ServiceError> {
    if !given.is_open() {
        return Ok(());
    }
    let order = &given.order;
    let again = newest.attempt() > ordered.attempt;
    let arrived = match order.kind {
        OrderKind::Cancel => again || newest.is_completed(),
        OrderKind::Rerun | OrderKind::RerunFailed => again,
    };
    let late = shared.now().saturating_sub(order.given_ms) > ARRIVES_WITHIN_MS;
    match (arrived, late) {
        (true, _) => settle(shared, order, OrderOutcome::Taken),
        (false, true) => {
            let message = "nothing shows that it arrived".to_owned();
            settle(shared, order, OrderOutcome::Refused { message })
        }
        (false, false) => Ok(()),
    }
}

/// Looks at the run of an order once, and pulls it when it has ended.
pub(crate) fn look(shared: &Shared, given: &GivenOrder, ordered: &Run) -> Result<(), ServiceError> {
    let base = classes::base_of(shared, ordered)?;
    let policy = &base.facts.policy;
    if policy.source.kind != SourceKind::Github {
        return Ok(());
    }
    let forge: Arc<dyn Forge + Send + Sync> = source::github(shared, &policy.source)?;
    let cancel = &shared.queue.stop;
    let id = ordered.forge.as_ref().map_or("", |forge| forge.id.as_str());
    let newest = forge.run(id, None, cancel).map_err(failed)?;
    read_back(shared, given, ordered, &newest)?;
    let again = newest.attempt() > ordered.attempt;
    let described = match given.order.kind {
        OrderKind::Cancel if again => {
            let attempt = Some(ordered.attempt);
            forge.run(id, attempt, cancel).map_err(failed)?
        }
        OrderKind::Cancel => newest,
        OrderKind::Rerun | OrderKind::RerunFailed if again => newest,
        // The forge has taken it and does not show the attempt yet.
        OrderKind::Rerun | OrderKind::RerunFailed => return Ok(()),
    };
    let run = begun(shared, &base, &*forge, &described)?;
    if !described.is_completed() {
        return Ok(());
    }
    pulled(shared, &base, &forge, &run)?;
    Ok(())
}

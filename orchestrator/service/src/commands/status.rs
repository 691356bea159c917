//! `loop_status`: one cheap screen of state.

use discipline::model::LoopId;
use discipline::spend::{ledger, minutes_left};
use discipline::state::{Loop, LoopState};
use discipline::turn::{Orientation, next_actions, orient, summary};

use super::find_loop;
use crate::ServiceError;
use crate::api::{LoopStatusAnswer, LoopStatusRequest, LoopView};
use crate::core::Core;
use crate::drift;
use crate::shared::{Ctx, Shared};
use crate::views;

/// Rows of the spend ledger that one screen takes.
const SPENDING: usize = 8;

/// Answers from the fold, and from trees of the daemon's repository when the branch has moved; the
/// remote is not read.
pub(super) fn loop_status(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: LoopStatusRequest,
) -> Result<LoopStatusAnswer, ServiceError> {
    let target = shared.last_target();
    let now = shared.now();
    let tip = target.as_ref().map(|target| target.tip.as_str());
    let drift = drift::drift(shared, tip);
    let policy = tip.and_then(|tip| shared.base(tip).ok());
    let left = |state: &LoopState, scope: &str| {
        let policy = &policy.as_ref()?.facts.policy;
        Some(minutes_left(state, policy, scope, None, now))
    };
    let mut core = shared.core();
    let loop_id = match &request.loop_id {
        Some(id) => Some(find_loop(&core.state, id)?.id.clone()),
        None => newest_open(&core),
    };
    let looked = loop_id.as_ref().map(|id| reoriented(&mut core, ctx, id));
    let state = &core.state;
    let found = loop_id.as_ref().and_then(|id| state.loops.get(id));
    let scopes: Vec<String> = match found {
        Some(found) => of_loop(&core, found),
        None => scopes_with_runs(&core),
    };
    let claims = match &loop_id {
        Some(id) => state.claims_of(id),
        None => state.claims.values().collect(),
    };
    let mut claims: Vec<_> = claims.into_iter().map(views::claim).collect();
    claims.reverse();
    let of_loop = |hypothesis: &&discipline::state::Hypothesis| {
        loop_id.as_ref().is_none_or(|id| &hypothesis.loop_id == id)
    };
    let actions = match &loop_id {
        Some(id) => next_actions(state, id),
        None => next_actions(state, &LoopId::from("")),
    };
    let head = core.dir.journal.head();
    Ok(LoopStatusAnswer {
        r#loop: found.map(|found| loop_view(&core, found)),
        open_loops: state
            .loops
            .values()
            .filter(|found| found.open)
            .map(|found| found.id.to_string())
            .collect(),
        phase: phase(&core).into(),
        scopes: scopes
            .iter()
            .map(|scope| views::scope(&summary(state, scope, now), left(state, scope)))
            .collect(),
        claims,
        hypotheses: state
            .hypotheses
            .values()
            .filter(of_loop)
            .map(views::hypothesis)
            .collect(),
        next_actions: views::actions(&actions),
        drift,
        unchanged_since_last_call: looked.as_ref().is_some_and(|looked| looked.nothing_new),
        note: looked.as_ref().and_then(|looked| looked.note.clone()),
        next_write: looked
            .and_then(|looked| looked.next_write)
            .map(|next| views::action(&next)),
        spending: ledger(state, loop_id.as_ref(), now, SPENDING)
            .iter()
            .map(views::spend)
            .collect(),
        hit_rates: views::hit_rates(state),
        overrides: state
            .overrides
            .values()
            .filter(|granted| granted.in_force(now))
            .map(|granted| views::granted(granted, now))
            .collect(),
        branch_tip: target.map(|target| target.tip),
        journal_seq: head.seq,
        journal_head: head.hash.to_string(),
        state_dir: core.dir.paths.root.display().to_string(),
    })
}

/// Notes what the caller has seen; a second look without news is counted.
fn reoriented(core: &mut Core, ctx: Ctx<'_>, id: &LoopId) -> Orientation {
    let key = (ctx.caller.uid, ctx.caller.name.clone(), id.clone());
    let seen = core.seen.get(&key).copied();
    let orientation = orient(&core.state, id, seen);
    core.seen.insert(key, orientation.news_seq);
    if orientation.nothing_new {
        core.count(id, "reorientations");
    }
    orientation
}

pub(super) fn newest_open(core: &Core) -> Option<LoopId> {
    let open = core.state.loops.values().filter(|found| found.open);
    open.map(|found| found.id.clone())
        .max_by_key(|id| (id.as_str().len(), id.clone()))
}

/// The loop's own scopes, and those that a claim of it closed.
fn of_loop(core: &Core, found: &Loop) -> Vec<String> {
    let closed = core.state.closed_scopes.iter().filter(|(_, closure)| {
        let claim = core.state.claims.get(&closure.claim_id);
        claim.is_some_and(|claim| claim.loop_id == found.id)
    });
    let mut scopes = found.scopes.clone();
    let others = closed.map(|(scope, _)| scope.clone());
    scopes.extend(others.filter(|scope| !found.scopes.contains(scope)));
    scopes
}

fn scopes_with_runs(core: &Core) -> Vec<String> {
    let mut scopes: Vec<String> = core
        .state
        .runs
        .values()
        .map(|run| run.scope.clone())
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

fn loop_view(core: &Core, found: &discipline::state::Loop) -> LoopView {
    let mut counters = views::counters(&found.counters);
    counters.reads += core.pending(&found.id, "reads");
    counters.reorientations += core.pending(&found.id, "reorientations");
    LoopView {
        loop_id: found.id.to_string(),
        goal: found.goal.clone(),
        scopes: found.scopes.clone(),
        counters,
    }
}

fn phase(core: &Core) -> &'static str {
    use discipline::model::RunStatus;
    use discipline::state::ClaimPhase as P;
    let any = |phases: &[P]| {
        core.state
            .claims
            .values()
            .any(|claim| phases.contains(&claim.phase))
    };
    let running = core
        .state
        .runs
        .values()
        .any(|run| run.status != RunStatus::Completed);
    match () {
        () if any(&[P::PushIntent, P::PushUnknown]) => "pushing",
        () if any(&[P::Pushed, P::Verifying]) => "verifying",
        () if any(&[P::Gating, P::Gated]) => "gating",
        () if running => "running",
        () if any(&[P::Staged]) => "awaiting_approval",
        () => "idle",
    }
}

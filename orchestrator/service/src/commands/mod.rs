//! One file per group of commands; each command is one function from request to answer.

mod approve;
mod artifact;
mod claims;
mod classify;
mod compare;
mod contrast;
mod draft;
mod explain;
mod export;
mod extract;
mod gates;
mod hypotheses;
mod invariants;
mod ledger;
mod logs;
mod loops;
mod machine;
mod orders;
mod overrides;
mod path_delta;
pub(crate) mod pull;
mod push;
mod review;
mod revive;
pub(crate) mod rollback;
mod runs;
mod search;
mod signing;
mod status;
mod verify;
mod withdraw;

use discipline::model::{ClaimId, HypothesisId, LoopId, RunId};
use discipline::state::{Claim, Loop, LoopState};

use crate::ServiceError;
use crate::api::{Request, Response};
use crate::shared::{Ctx, Shared};

/// Answers a request of any kind.
pub(crate) fn dispatch(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: Request,
) -> Result<Response, ServiceError> {
    use Request as Q;
    use Response as A;
    Ok(match request {
        Q::LoopStatus(r) => A::LoopStatus(status::loop_status(shared, ctx, r)?),
        Q::OpenLoop(r) => A::OpenLoop(loops::open_loop(shared, ctx, r)?),
        Q::EndTurn(r) => A::EndTurn(loops::end_turn(shared, ctx, r)?),
        Q::ListRuns(r) => A::ListRuns(runs::list_runs(shared, ctx, r)?),
        Q::WaitForRun(r) => A::WaitForRun(runs::wait_for_run(shared, ctx, r)?),
        Q::PullFullLog(r) => A::PullFullLog(pull::pull_full_log(shared, ctx, r)?),
        Q::PullArtifact(r) => A::PullArtifact(artifact::pull_artifact(shared, ctx, r)?),
        Q::ReadLog(r) => A::ReadLog(logs::read_log(shared, r)?),
        Q::SearchLog(r) => A::SearchLog(search::search_log(shared, ctx, &r)?),
        Q::ExtractMarkers(r) => A::ExtractMarkers(extract::extract_markers(shared, r)?),
        Q::ClassifyRun(r) => A::ClassifyRun(classify::classify_run(shared, ctx, r)?),
        Q::Contrast(r) => A::Contrast(contrast::contrast(shared, r)?),
        Q::CompareRuns(r) => A::CompareRuns(compare::compare_runs(shared, &r)?),
        Q::PathDelta(r) => A::PathDelta(path_delta::path_delta(shared, ctx, &r)?),
        Q::ListInvariants(r) => A::ListInvariants(invariants::list_invariants(shared, ctx, r)?),
        Q::OpenHypothesis(r) => A::OpenHypothesis(hypotheses::open(shared, ctx, r)?),
        Q::RecordObservation(r) => A::RecordObservation(ledger::record(shared, ctx, r)?),
        Q::FalsifyHypothesis(r) => A::FalsifyHypothesis(hypotheses::falsify(shared, ctx, r)?),
        Q::ListHypotheses(r) => A::ListHypotheses(ledger::list(shared, &r)?),
        Q::CheckClaim(r) => A::CheckClaim(claims::check_claim(shared, ctx, r)?),
        Q::ProposeClaim(r) => A::ProposeClaim(claims::propose_claim(shared, ctx, r)?),
        Q::RunGates(r) => A::RunGates(gates::run_gates(shared, ctx, r)?),
        Q::GetClaim(r) => A::GetClaim(claims::get_claim(shared, r)?),
        Q::WithdrawClaim(r) => A::WithdrawClaim(withdraw::withdraw_claim(shared, ctx, &r)?),
        Q::RequestPush(r) => A::RequestPush(push::request_push(shared, ctx, r)?),
        Q::ExplainPush(r) => A::ExplainPush(explain::explain_push(shared, r)?),
        Q::ExportMarkers(r) => A::ExportMarkers(export::export_markers(shared, &r)?),
        Q::StartRun(r) => A::StartRun(runs::start_run(shared, ctx, r)?),
        Q::CancelRun(r) => A::CancelRun(orders::cancel_run(shared, ctx, &r)?),
        Q::Rerun(r) => A::Rerun(orders::rerun(shared, ctx, &r)?),
        Q::PrepareApproval(r) => A::PrepareApproval(approve::prepare(shared, r)?),
        Q::ApproveClaim(r) => A::ApproveClaim(approve::approve(shared, ctx, r)?),
        Q::RejectClaim(r) => A::RejectClaim(approve::reject(shared, ctx, r)?),
        Q::VerifyClaim(r) => A::VerifyClaim(verify::verify_claim(shared, ctx, r)?),
        Q::ReviewClaim(r) => A::ReviewClaim(review::review_claim(shared, ctx, r)?),
        Q::PrepareRevival(r) => A::PrepareRevival(revive::prepare(shared, ctx, &r)?),
        Q::ReviveHypothesis(r) => A::ReviveHypothesis(revive::revive(shared, ctx, r)?),
        Q::ListClaims(r) => A::ListClaims(claims::list_claims(shared, &r)?),
        Q::OverrideRule(r) => A::OverrideRule(overrides::override_rule(shared, ctx, &r)?),
        Q::ListOverrides(r) => A::ListOverrides(overrides::list_overrides(shared, r)),
        Q::ReopenScope(r) => A::ReopenScope(rollback::reopen_scope(shared, ctx, r)?),
        Q::PrepareRollback(r) => A::PrepareRollback(rollback::prepare_rollback(shared, ctx, r)?),
        Q::DaemonInfo(_) => A::DaemonInfo(machine::daemon_info(shared)),
        Q::Shutdown(_) => A::Shutdown(machine::shutdown(shared)),
    })
}

/// Most ids that an error lists.
const LISTED: usize = 10;

fn unknown<'a>(kind: &'static str, id: &str, valid: impl Iterator<Item = &'a str>) -> ServiceError {
    let mut valid: Vec<String> = valid.map(str::to_owned).collect();
    valid.sort_by_key(|id| (id.len(), id.clone()));
    let newest = valid.split_off(valid.len().saturating_sub(LISTED));
    ServiceError::UnknownId {
        kind,
        id: id
            .chars()
            .take(80)
            .collect::<String>()
            .escape_default()
            .to_string(),
        valid: newest,
    }
}

fn find_loop<'a>(state: &'a LoopState, id: &str) -> Result<&'a Loop, ServiceError> {
    let valid = || state.loops.keys().map(LoopId::as_str);
    state
        .loops
        .get(&LoopId::from(id))
        .ok_or_else(|| unknown("loop", id, valid()))
}

/// A loop that still takes something new.
fn open_loop<'a>(state: &'a LoopState, id: &str) -> Result<&'a Loop, ServiceError> {
    let found = find_loop(state, id)?;
    match found.open {
        true => Ok(found),
        false => Err(ServiceError::WrongState {
            what: format!("loop {id}"),
            state: "closed: its goal was met".into(),
            remedy: "open another with `open_loop`".into(),
        }),
    }
}

fn find_claim<'a>(state: &'a LoopState, id: &str) -> Result<&'a Claim, ServiceError> {
    let valid = || state.claims.keys().map(ClaimId::as_str);
    state
        .claims
        .get(&ClaimId::from(id))
        .ok_or_else(|| unknown("claim", id, valid()))
}

/// A claim of this loop.
fn claim_of<'a>(state: &'a LoopState, loop_id: &str, id: &str) -> Result<&'a Claim, ServiceError> {
    let found = find_loop(state, loop_id)?;
    let claim = find_claim(state, id)?;
    if claim.loop_id == found.id {
        return Ok(claim);
    }
    let own = state
        .claims_of(&found.id)
        .into_iter()
        .map(|claim| claim.id.as_str());
    Err(unknown("claim", id, own))
}

fn find_run<'a>(
    state: &'a LoopState,
    id: &str,
) -> Result<&'a discipline::model::Run, ServiceError> {
    let valid = || state.runs.keys().map(RunId::as_str);
    state
        .runs
        .get(&RunId::from(id))
        .ok_or_else(|| unknown("run", id, valid()))
}

fn find_hypothesis<'a>(
    state: &'a LoopState,
    id: &str,
) -> Result<&'a discipline::state::Hypothesis, ServiceError> {
    let valid = || state.hypotheses.keys().map(HypothesisId::as_str);
    state
        .hypotheses
        .get(&HypothesisId::from(id))
        .ok_or_else(|| unknown("hypothesis", id, valid()))
}

fn check_key(key: &str) -> Result<(), ServiceError> {
    let length = key.chars().count();
    if (1..=200).contains(&length) && !key.chars().any(char::is_control) {
        return Ok(());
    }
    Err(ServiceError::BadArgument {
        field: "idempotency_key",
        reason: "it is empty, longer than 200 characters, or holds control characters".into(),
        remedy: "pass a text of your own that names this one request".into(),
    })
}

/// A snake_case word of a closed set.
fn parse_word<T: serde::de::DeserializeOwned>(
    text: &str,
    field: &'static str,
    valid: &str,
) -> Result<T, ServiceError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        ServiceError::BadArgument {
            field,
            reason: format!(
                "`{}` is not one of its values",
                text.chars().take(60).collect::<String>().escape_default()
            ),
            remedy: format!("use one of {valid}"),
        }
    })
}

/// Position in a list, as `next_cursor` carries it.
fn cursor(text: Option<&str>) -> Result<usize, ServiceError> {
    text.map_or(Ok(0), |text| {
        text.parse().map_err(|_| ServiceError::BadArgument {
            field: "cursor",
            reason: "it is not one that was given out".into(),
            remedy: "pass `next_cursor` of the page before, or nothing for the first page".into(),
        })
    })
}

/// A commit that the daemon has, or that it can take from the clone under care.
fn known_commit(shared: &Shared, ctx: Ctx<'_>, wanted: &str) -> Result<String, ServiceError> {
    let reader = shared.reader()?;
    let full = reader
        .resolve_commit(wanted)
        .unwrap_or_else(|_| wanted.to_owned());
    if reader.commit_info(&full).is_ok() {
        return Ok(full);
    }
    let clone = &shared.config.repo_path;
    let full = gitread::GitReader::open(clone)
        .and_then(|clone| clone.resolve_commit(wanted))
        .unwrap_or(full);
    shared
        .repo
        .import(clone, &full, ctx.cancel)
        .map_err(|error| ServiceError::BadArgument {
            field: "commit",
            reason: error.to_string(),
            remedy: elsewhere(clone),
        })?;
    Ok(full)
}

/// The clone under care is the one that the daemon was started in.
fn elsewhere(clone: &std::path::Path) -> String {
    if clone.exists() {
        return "pass a full commit id of the repository under care".into();
    }
    format!(
        "the clone that the daemon was started in, {}, is gone; end it with `greenloop stop` and ask again where the clone is now",
        clone.display()
    )
}

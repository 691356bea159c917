//! `open_hypothesis`, `falsify_hypothesis`: the ledger of causes.

use discipline::event::{Event, HypothesisBody, Mechanism, QuotedSite};
use discipline::hypothesis::{HypothesisLookups, admit, admit_falsification};
use discipline::model::{HypothesisId, Refusal};
use discipline::state::{LoopState, Operation};
use markers::Catalogue;

use super::{check_key, find_hypothesis, find_loop, parse_word};
use crate::ServiceError;
use crate::api::{
    FalsifyHypothesisAnswer, FalsifyHypothesisRequest, HypothesisView, OpenHypothesisAnswer,
    OpenHypothesisRequest,
};
use crate::facts::{self, citation_exists};
use crate::shared::{Ctx, Shared};
use crate::views;

const MECHANISMS: &str = "missing_barrier, skipped_work, wrong_lifetime, wrong_upload_path, \
     stale_cache_key, unregistered_side_effect, wrong_constant, precision, wrong_reference, \
     environment, other";

/// Writes a cause into the ledger; the same key writes it once.
pub(super) fn open(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: OpenHypothesisRequest,
) -> Result<OpenHypothesisAnswer, ServiceError> {
    check_key(&request.idempotency_key)?;
    let loop_id = find_loop(&shared.core().state, &request.loop_id)?
        .id
        .clone();
    let body = body(shared, ctx, &request)?;
    let operation = Operation::OpenHypothesis(&loop_id);
    let key = &request.idempotency_key;
    let earlier = known(&shared.core().state, operation, key, &body)?;
    if let Some(id) = earlier {
        return answer(shared, &id, Vec::new());
    }
    let base = shared.base(&body.commit)?;
    let lookups = lookups(shared, &body, &base.rulebook.catalogue)?;
    let mut opened = None;
    let mut refused = Vec::new();
    shared.append_with(&ctx.caller.author(), |core| {
        super::open_loop(&core.state, &request.loop_id)?;
        if let Some(id) = known(&core.state, operation, &request.idempotency_key, &body)? {
            opened = Some(id);
            return Ok(None);
        }
        refused = admit(
            &core.state,
            &loop_id,
            &body,
            &lookups,
            &base.rulebook,
            &base.playbooks,
        );
        if !refused.is_empty() {
            return Ok(None);
        }
        let hypothesis_id = core.state.next_hypothesis_id();
        opened = Some(hypothesis_id.clone());
        Ok(Some(Event::HypothesisOpened {
            hypothesis_id,
            loop_id: loop_id.clone(),
            body: body.clone(),
            idempotency_key: request.idempotency_key.clone(),
            author: ctx.caller.author(),
        }))
    })?;
    match opened {
        Some(id) => answer(shared, &id, Vec::new()),
        None => Ok(OpenHypothesisAnswer {
            hypothesis: None,
            refused: views::refusals(&refused),
        }),
    }
}

fn known(
    state: &LoopState,
    operation: Operation<'_>,
    key: &str,
    body: &HypothesisBody,
) -> Result<Option<HypothesisId>, ServiceError> {
    let Some(id) = state.known(operation, key) else {
        return Ok(None);
    };
    let found = find_hypothesis(state, id)?;
    // The commit defaults to a tip that may have moved since.
    let same = HypothesisBody {
        commit: found.body.commit.clone(),
        ..body.clone()
    };
    match found.body == same {
        true => Ok(Some(found.id.clone())),
        false => Err(ServiceError::KeyReused {
            key: key.to_owned(),
            other: format!("hypothesis {id} with another content"),
        }),
    }
}

fn answer(
    shared: &Shared,
    id: &HypothesisId,
    refused: Vec<Refusal>,
) -> Result<OpenHypothesisAnswer, ServiceError> {
    Ok(OpenHypothesisAnswer {
        hypothesis: Some(view(shared, id)?),
        refused: views::refusals(&refused),
    })
}

pub(super) fn view(shared: &Shared, id: &HypothesisId) -> Result<HypothesisView, ServiceError> {
    let core = shared.core();
    Ok(views::hypothesis(find_hypothesis(
        &core.state,
        id.as_str(),
    )?))
}

fn body(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &OpenHypothesisRequest,
) -> Result<HypothesisBody, ServiceError> {
    let mechanism: Mechanism = parse_word(&request.mechanism, "mechanism", MECHANISMS)?;
    let commit = match &request.commit {
        Some(commit) => super::known_commit(shared, ctx, commit)?,
        None => shared.known_target(ctx.cancel)?.tip,
    };
    let evidence = request
        .evidence
        .iter()
        .map(|citation| views::citation(citation, "evidence"));
    Ok(HypothesisBody {
        scope: request.scope.clone(),
        mechanism,
        statement: request.statement.clone(),
        commit,
        sites: request
            .sites
            .iter()
            .map(|site| QuotedSite {
                file: site.file.clone(),
                line: site.line,
                quote: site.quote.clone(),
            })
            .collect(),
        predicts: request.predicts.clone(),
        forbids: request.forbids.clone(),
        rivals: request.rivals.clone(),
        evidence: evidence.collect::<Result<_, _>>()?,
    })
}

fn lookups(
    shared: &Shared,
    body: &HypothesisBody,
    catalogue: &Catalogue,
) -> Result<HypothesisLookups, ServiceError> {
    let reader = shared.reader()?;
    let tree = reader.commit_info(&body.commit)?.tree;
    let line = |site: &QuotedSite| -> Option<String> {
        let bytes = reader.blob_at(&tree, &site.file).ok()??;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let index = usize::try_from(site.line).ok()?.checked_sub(1)?;
        text.lines().nth(index).map(str::to_owned)
    };
    Ok(HypothesisLookups {
        lines: body.sites.iter().map(line).collect(),
        evidence: facts::cited_bytes(shared, &body.evidence, catalogue)?,
    })
}

/// Strikes a cause out with the bytes that contradict it.
pub(super) fn falsify(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: FalsifyHypothesisRequest,
) -> Result<FalsifyHypothesisAnswer, ServiceError> {
    let id = {
        let core = shared.core();
        super::open_loop(&core.state, &request.loop_id)?;
        find_hypothesis(&core.state, &request.hypothesis_id)?
            .id
            .clone()
    };
    let killer = request
        .killer
        .iter()
        .map(|citation| views::citation(citation, "killer"))
        .collect::<Result<Vec<_>, _>>()?;
    let exists = killer
        .iter()
        .map(|citation| citation_exists(shared, citation))
        .collect::<Result<Vec<_>, _>>()?;
    let mut refused = Vec::new();
    shared.append_with(&ctx.caller.author(), |core| {
        if already(&core.state, &id, &killer, &request.reason) {
            return Ok(None);
        }
        refused = admit_falsification(&core.state, &id, &killer, &exists, &request.reason);
        Ok(refused.is_empty().then(|| Event::HypothesisFalsified {
            hypothesis_id: id.clone(),
            killer: killer.clone(),
            reason: request.reason.clone(),
            author: ctx.caller.author(),
        }))
    })?;
    Ok(FalsifyHypothesisAnswer {
        hypothesis: Some(view(shared, &id)?),
        refused: views::refusals(&refused),
    })
}

/// The same bytes killed it before: a retry.
fn already(
    state: &LoopState,
    id: &HypothesisId,
    killer: &[attest::claim::Citation],
    reason: &str,
) -> bool {
    let found = state
        .hypotheses
        .get(id)
        .and_then(|found| found.killer.as_ref());
    found.is_some_and(|found| found.citations == killer && found.reason == reason)
}

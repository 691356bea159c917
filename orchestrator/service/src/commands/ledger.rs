//! `record_observation`, `list_hypotheses`: what speaks for and against the causes.

use attest::claim::Citation;
use attest::digest::Digest;
use discipline::cited::Books;
use discipline::event::Event;
use discipline::model::ObservationId;
use discipline::observation::{
    MAX_QUOTED_BYTES, ObservationBody, Quoted, admit_observation, grade, grade_of,
};
use discipline::state::{Hypothesis, HypothesisStatus, LoopState, Operation, RecordedObservation};

use super::{check_key, cursor, find_hypothesis, find_loop, parse_word};
use crate::api::{
    CitationView, HypothesisDetail, KillerView, ListHypothesesAnswer, ListHypothesesRequest,
    QuotedSiteView, RecordObservationAnswer, RecordObservationRequest, RecordedView,
};
use crate::shared::{Ctx, Shared};
use crate::{ServiceError, facts, page, views};

const KINDS: &str = "measurement, derivation, citation, statement";
const MEMORIES: &str = "device, host, none";
const BEARINGS: &str = "for, against";
const STATUSES: &str = "open, surviving, falsified";
/// Most bytes of a cited passage that an answer shows.
const EXCERPT_BYTES: usize = 2000;

/// Writes an entry beside a hypothesis; the same key writes it once.
pub(super) fn record(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: RecordObservationRequest,
) -> Result<RecordObservationAnswer, ServiceError> {
    check_key(&request.idempotency_key)?;
    let (loop_id, hypothesis) = {
        let core = shared.core();
        let found = super::open_loop(&core.state, &request.loop_id)?;
        let hypothesis = find_hypothesis(&core.state, &request.hypothesis_id)?;
        (found.id.clone(), hypothesis.clone())
    };
    let body = body(&request, &hypothesis)?;
    let base = shared.base(&hypothesis.body.commit)?;
    let bytes = facts::cited_bytes(shared, &body.citations, &base.rulebook.catalogue)?;
    let books = Books {
        catalogue: &base.rulebook.catalogue,
        playbooks: &base.playbooks,
    };
    let operation = Operation::RecordObservation(&loop_id);
    let (mut recorded, mut refused) = (None, Vec::new());
    let mut record = |state: &LoopState| -> Result<Option<Event>, ServiceError> {
        if let Some(id) = known(state, operation, &request.idempotency_key, &body)? {
            recorded = Some(id);
            return Ok(None);
        }
        let found = super::open_loop(state, &request.loop_id)?;
        refused = admit_observation(found, &hypothesis, &body, &bytes, books);
        if !refused.is_empty() {
            return Ok(None);
        }
        if let Some(bytes) = &request.bytes {
            shared.evidence.put_blob(bytes.as_bytes())?;
        }
        let observation_id = state.next_observation_id();
        recorded = Some(observation_id.clone());
        Ok(Some(Event::ObservationRecorded {
            observation_id,
            loop_id: loop_id.clone(),
            body: body.clone(),
            idempotency_key: request.idempotency_key.clone(),
            author: ctx.caller.author(),
        }))
    };
    shared.append_with(&ctx.caller.author(), |core| record(&core.state))?;
    let core = shared.core();
    let found = recorded.and_then(|id| core.state.observations.get(&id).cloned());
    let graded = found.as_ref().and_then(|found| {
        let about = core.state.hypotheses.get(&found.body.hypothesis_id)?;
        Some(grade_of(&core.state, about).as_str().to_owned())
    });
    drop(core);
    let view = found.map(|found| view(shared, &found, &hypothesis));
    Ok(RecordObservationAnswer {
        observation: view.transpose()?,
        hypothesis_grade: graded,
        refused: views::refusals(&refused),
    })
}

fn body(
    request: &RecordObservationRequest,
    hypothesis: &Hypothesis,
) -> Result<ObservationBody, ServiceError> {
    let memory = request.memory.as_deref();
    let citations = request
        .citations
        .iter()
        .map(|citation| views::citation(citation, "citations"));
    let quoted = request.bytes.as_ref().map(|bytes| Quoted {
        source: request.source.clone().unwrap_or_default(),
        digest: Digest::of(bytes.as_bytes()),
        bytes: bytes.len() as u64,
    });
    if let Some(quoted) = quoted.as_ref().filter(|q| q.bytes > 4 * MAX_QUOTED_BYTES) {
        return Err(ServiceError::BadArgument {
            field: "bytes",
            reason: format!("it brings {} bytes", quoted.bytes),
            remedy: format!("quote the passage alone, at most {MAX_QUOTED_BYTES} bytes"),
        });
    }
    Ok(ObservationBody {
        hypothesis_id: hypothesis.id.clone(),
        kind: parse_word(&request.kind, "kind", KINDS)?,
        memory: memory
            .map(|memory| parse_word(memory, "memory", MEMORIES))
            .transpose()?,
        bearing: parse_word(&request.bearing, "bearing", BEARINGS)?,
        statement: request.statement.clone(),
        citations: citations.collect::<Result<_, _>>()?,
        quoted,
    })
}

fn known(
    state: &LoopState,
    operation: Operation<'_>,
    key: &str,
    body: &ObservationBody,
) -> Result<Option<ObservationId>, ServiceError> {
    let Some(id) = state.known(operation, key).map(ObservationId::from) else {
        return Ok(None);
    };
    match state.observations.get(&id) {
        Some(found) if &found.body == body => Ok(Some(id)),
        _ => Err(ServiceError::KeyReused {
            key: key.to_owned(),
            other: format!("observation {id} with another content"),
        }),
    }
}

fn view(
    shared: &Shared,
    found: &RecordedObservation,
    about: &Hypothesis,
) -> Result<RecordedView, ServiceError> {
    let body = &found.body;
    let excerpt = match &body.quoted {
        None => None,
        Some(quoted) => {
            let bytes = shared.evidence.get_blob(&quoted.digest)?;
            let shown = bytes.get(..EXCERPT_BYTES).unwrap_or(&bytes);
            Some(page::fenced(shown, &super::logs::nonce()?))
        }
    };
    Ok(RecordedView {
        observation_id: found.id.to_string(),
        hypothesis_id: body.hypothesis_id.to_string(),
        kind: views::word(&body.kind),
        memory: body.memory.as_ref().map(views::word),
        bearing: views::word(&body.bearing),
        statement: body.statement.clone(),
        grade: grade(body, about.body.mechanism).as_str().into(),
        citations: body.citations.iter().map(citation).collect(),
        source: body
            .quoted
            .as_ref()
            .map(|quoted| page::plain(&quoted.source)),
        bytes_sha256: body.quoted.as_ref().map(|quoted| quoted.digest.to_string()),
        excerpt,
        by: found.author.name.clone(),
    })
}

fn citation(citation: &Citation) -> CitationView {
    CitationView {
        log_id: citation.log_id.to_string(),
        byte_start: citation.byte_start,
        byte_end: citation.byte_end,
        line_start: citation.line_start,
        line_end: citation.line_end,
    }
}

/// The ledger, oldest first, a page at a time.
pub(super) fn list(
    shared: &Shared,
    request: &ListHypothesesRequest,
) -> Result<ListHypothesesAnswer, ServiceError> {
    let start = cursor(request.cursor.as_deref())?;
    let limit = usize::try_from(request.limit.unwrap_or(20).clamp(1, 50)).unwrap_or(20);
    let state = shared.core().state.clone();
    if let Some(id) = &request.loop_id {
        find_loop(&state, id)?;
    }
    let status: Option<HypothesisStatus> = request
        .status
        .as_deref()
        .map(|status| parse_word(status, "status", STATUSES))
        .transpose()?;
    let mut chosen: Vec<&Hypothesis> = state
        .hypotheses
        .values()
        .filter(|found| {
            let of_loop = request.loop_id.as_deref();
            of_loop.is_none_or(|id| found.loop_id.as_str() == id)
                && request
                    .scope
                    .as_ref()
                    .is_none_or(|s| s == &found.body.scope)
                && status.is_none_or(|status| status == found.status)
        })
        .collect();
    chosen.sort_by_key(|found| (found.id.as_str().len(), found.id.clone()));
    let page = chosen.iter().skip(start).take(limit);
    let hypotheses = page
        .map(|found| detail(shared, &state, found))
        .collect::<Result<Vec<_>, _>>()?;
    let end = start + hypotheses.len();
    Ok(ListHypothesesAnswer {
        hypotheses,
        next_cursor: (end < chosen.len()).then(|| end.to_string()),
        untrusted: true,
    })
}

fn detail(
    shared: &Shared,
    state: &LoopState,
    found: &Hypothesis,
) -> Result<HypothesisDetail, ServiceError> {
    let body = &found.body;
    let observations = state.observations_of(&found.id);
    let observations = observations
        .into_iter()
        .map(|recorded| view(shared, recorded, found));
    let site = |site: &discipline::event::QuotedSite| QuotedSiteView {
        file: site.file.clone(),
        line: site.line,
        quote: site.quote.clone(),
    };
    Ok(HypothesisDetail {
        summary: views::hypothesis(found),
        loop_id: found.loop_id.to_string(),
        grade: grade_of(state, found).as_str().into(),
        commit: body.commit.clone(),
        sites: body.sites.iter().map(site).collect(),
        predicts: body.predicts.clone(),
        forbids: body.forbids.clone(),
        rivals: body.rivals.clone(),
        evidence: body.evidence.iter().map(citation).collect(),
        observations: observations.collect::<Result<_, _>>()?,
        killer: found.killer.as_ref().map(|killer| KillerView {
            citations: killer.citations.iter().map(citation).collect(),
            reason: killer.reason.clone(),
            by: killer.author.name.clone(),
        }),
        by: found.author.name.clone(),
    })
}

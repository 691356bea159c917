//! Who enters the ledger of causes, and what it takes to strike one out.

use std::collections::BTreeSet;

use attest::claim::Citation;
use attest::digest::Digest;
use markers::{CellObservations, Truth};
use playbooks::Playbooks;

use crate::cited::{self, Books, Cause, CitedBytes};
use crate::event::{HypothesisBody, Mechanism, QuotedSite};
use crate::model::{HypothesisId, LoopId, ObservationId, Refusal, Run, RunId};
use crate::observation::{Bearing, ObservationKind};
use crate::rulebook::Rulebook;
use crate::state::{Hypothesis, HypothesisStatus, Killer, LoopState};

/// Fewer words than this state no cause.
pub(crate) const STATEMENT_WORDS: usize = 4;
/// Words of Rust and of prose that stand in any line and make two sites no more alike.
const COMMON: [&str; 28] = [
    "as", "async", "await", "const", "else", "enum", "false", "fn", "for", "if", "impl", "in",
    "let", "loop", "match", "mut", "pub", "ref", "return", "self", "Self", "static", "struct",
    "true", "use", "where", "while", "mod",
];

/// What the caller looked up for a hypothesis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HypothesisLookups {
    /// Text of each quoted line in the tree of `body.commit`, in order of `sites`; `None` where the
    /// tree has no such line.
    pub lines: Vec<Option<String>>,
    /// The citations of `body.evidence`, looked up.
    pub evidence: CitedBytes,
}

/// Every reason why a hypothesis may not enter the ledger.
#[must_use]
pub fn admit(
    state: &LoopState,
    loop_id: &LoopId,
    body: &HypothesisBody,
    lookups: &HypothesisLookups,
    rulebook: &Rulebook,
    playbooks: &Playbooks,
) -> Vec<Refusal> {
    let books = Books {
        catalogue: &rulebook.catalogue,
        playbooks,
    };
    let mut refused = Vec::from_iter(scope(state, loop_id, body));
    refused.extend(statement(body));
    refused.extend(quotes(body, &lookups.lines));
    refused.extend(predicates(body, rulebook));
    refused.extend(rivals(state, body));
    refused.extend(citations(
        "evidence",
        &body.evidence,
        &lookups.evidence.exists(),
    ));
    refused.extend(cited::judge(
        "evidence",
        &lookups.evidence,
        &Cause::of(body),
        books,
    ));
    if let Some(dead) = resembles_dead(state, body) {
        refused.push(resemblance(dead));
    }
    refused
}

/// Every reason why a hypothesis may not be struck out by these bytes.
#[must_use]
pub fn admit_falsification(
    state: &LoopState,
    id: &HypothesisId,
    killer: &[Citation],
    killer_exists: &[bool],
    reason: &str,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    match state.hypotheses.get(id) {
        None => refused.push(Refusal::new(
            "hypothesis_unknown",
            "hypothesis_id",
            format!("the ledger has no hypothesis `{id}`"),
            "name one that `loop_status` lists",
        )),
        Some(found) if found.status == HypothesisStatus::Falsified => refused.push(Refusal::new(
            "hypothesis_falsified",
            "hypothesis_id",
            format!("{id} is dead already: {}", killer_reason(found)),
            "leave it; a dead hypothesis keeps its killer",
        )),
        Some(_) => {}
    }
    if killer.is_empty() {
        refused.push(Refusal::new(
            "killer_missing",
            "killer",
            "nothing is cited that kills it",
            "cite the bytes that it forbids or that it predicted otherwise, from `extract_markers`",
        ));
    }
    refused.extend(citations("killer", killer, killer_exists));
    if reason.split_whitespace().count() < STATEMENT_WORDS {
        refused.push(Refusal::new(
            "reason_missing",
            "reason",
            "it is not said why these bytes kill it",
            "say in a sentence what they show that it forbids",
        ));
    }
    refused
}

/// Digest of what killed a hypothesis, as a signature for its revival names it.
///
/// # Errors
/// When the killer has no canonical form.
pub fn killer_digest(killer: &Killer) -> Result<Digest, attest::AttestError> {
    Ok(Digest::of(&attest::json::canonical(killer)?))
}

/// What the run of one citation showed, for a dead hypothesis that is to live again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerRun {
    /// The run.
    pub run_id: RunId,
    /// Its cells.
    pub cells: Vec<CellObservations>,
}

/// Measurements for the hypothesis from runs that are newer than every run that its killer cites,
/// each with those runs: what could contradict the killer at all.
#[must_use]
pub fn newer_measurements(
    state: &LoopState,
    id: &HypothesisId,
) -> Vec<(ObservationId, BTreeSet<RunId>)> {
    let Some(killer) = state
        .hypotheses
        .get(id)
        .and_then(|dead| dead.killer.as_ref())
    else {
        return Vec::new();
    };
    let runs_of = |citations: &[Citation]| -> Vec<&Run> {
        let of_log = |citation: &Citation| state.run_of_log(&citation.log_id);
        citations.iter().filter_map(of_log).collect()
    };
    let killed_ms = runs_of(&killer.citations)
        .into_iter()
        .map(|run| run.created_ms)
        .max();
    let newer = |run: &&Run| killed_ms.is_none_or(|killed_ms| run.created_ms > killed_ms);
    let measured = state.observations_of(id).into_iter().filter(|found| {
        found.body.kind == ObservationKind::Measurement && found.body.bearing == Bearing::For
    });
    measured
        .map(|found| {
            let runs = runs_of(&found.body.citations).into_iter().filter(newer);
            let ids: BTreeSet<RunId> = runs.map(|run| run.run_id.clone()).collect();
            (found.id.clone(), ids)
        })
        .filter(|(_, runs)| !runs.is_empty())
        .collect()
}

/// Every reason why a dead hypothesis stays dead. `runs` are those of [`newer_measurements`].
#[must_use]
pub fn admit_revival(
    state: &LoopState,
    id: &HypothesisId,
    runs: &[NewerRun],
    reason: &str,
    rulebook: &Rulebook,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let Some(dead) = state
        .hypotheses
        .get(id)
        .filter(|found| found.status == HypothesisStatus::Falsified)
    else {
        return vec![Refusal::new(
            "hypothesis_not_dead",
            "hypothesis_id",
            format!("{id} lives, or the ledger has no such hypothesis"),
            "act on it as it is; `greenloop hypotheses --status falsified` lists the dead",
        )];
    };
    if reason.split_whitespace().count() < STATEMENT_WORDS {
        refused.push(Refusal::new(
            "reason_missing",
            "reason",
            "it is not said why the newer evidence counts for more",
            "say in a sentence what it shows that the killer did not",
        ));
    }
    if runs.is_empty() {
        refused.push(Refusal::new(
            "evidence_not_newer",
            "observations",
            format!(
                "nothing measured for {id} comes from a run newer than what killed it: {}",
                killer_reason(dead)
            ),
            format!(
                "run `{}` again and record what it shows with `record_observation` (kind `measurement`, for {id})",
                dead.body.scope
            ),
        ));
    }
    let shown = |texts: &[String], run: &NewerRun| {
        let mut graded = texts
            .iter()
            .filter_map(|text| rulebook.parse(text, "predicts").ok())
            .map(|predicate| rulebook.evaluate(&predicate, &run.cells).truth);
        graded.any(|truth| truth == Truth::Holds)
    };
    let contradicts = |run: &&NewerRun| {
        let predicted = dead.body.predicts.is_empty() || shown(&dead.body.predicts, run);
        predicted && !shown(&dead.body.forbids, run)
    };
    if !runs.is_empty() && !runs.iter().any(|run| contradicts(&run)) {
        refused.push(Refusal::new(
            "evidence_does_not_contradict",
            "observations",
            format!("no newer run shows what {id} predicts and nothing that it forbids"),
            format!("leave {id} dead, and open the cause that the newer run does show"),
        ));
    }
    refused
}

/// The dead hypothesis that a new one repeats in other words: same scope, same mechanism, and half of
/// the symbols of the quoted lines. `other` names no mechanism, so it is the same as any.
#[must_use]
pub fn resembles_dead<'a>(state: &'a LoopState, body: &HypothesisBody) -> Option<&'a Hypothesis> {
    let own = symbols(&body.sites);
    state.hypotheses.values().find(|dead| {
        let theirs = symbols(&dead.body.sites);
        let common = own.intersection(&theirs).count();
        dead.status == HypothesisStatus::Falsified
            && dead.body.scope == body.scope
            && same_mechanism(dead.body.mechanism, body.mechanism)
            && common > 0
            && common * 2 >= own.len().min(theirs.len())
    })
}

fn same_mechanism(dead: Mechanism, new: Mechanism) -> bool {
    dead == new || new == Mechanism::Other
}

fn resemblance(dead: &Hypothesis) -> Refusal {
    Refusal::new(
        "resembles_dead_hypothesis",
        "statement",
        format!(
            "it looks like {}, which died of: {}",
            dead.id,
            killer_reason(dead)
        ),
        format!(
            "quote other lines or name another mechanism; to revive {0}, record what a newer run shows for it and have a person run `greenloop revive {0}`",
            dead.id
        ),
    )
}

fn killer_reason(dead: &Hypothesis) -> String {
    let Some(killer) = &dead.killer else {
        return "no recorded killer".to_owned();
    };
    match killer.citations.first() {
        Some(at) => format!(
            "{} ({} lines {}-{})",
            killer.reason, at.log_id, at.line_start, at.line_end
        ),
        None => killer.reason.clone(),
    }
}

fn symbols(sites: &[QuotedSite]) -> BTreeSet<&str> {
    let words = sites
        .iter()
        .flat_map(|site| site.quote.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words
        .filter(|word| {
            word.len() > 1
                && !word.starts_with(|c: char| c.is_ascii_digit())
                && !COMMON.contains(word)
        })
        .collect()
}

fn scope(state: &LoopState, loop_id: &LoopId, body: &HypothesisBody) -> Option<Refusal> {
    let Some(found) = state.loops.get(loop_id) else {
        return Some(Refusal::new(
            "loop_unknown",
            "loop_id",
            format!("no loop `{loop_id}` exists"),
            "open one with `open_loop`, or name one that `loop_status` lists",
        ));
    };
    (!found.scopes.contains(&body.scope)).then(|| {
        Refusal::new(
            "scope_not_of_loop",
            "scope",
            format!("loop {loop_id} does not work on `{}`", body.scope),
            format!("name one of: {}", found.scopes.join(", ")),
        )
    })
}

fn statement(body: &HypothesisBody) -> Option<Refusal> {
    (body.statement.split_whitespace().count() < STATEMENT_WORDS).then(|| {
        Refusal::new(
            "statement_missing",
            "statement",
            "it does not say what causes what",
            "say the cause in one sentence: which operation does what wrong, and when",
        )
    })
}

fn quotes(body: &HypothesisBody, lines: &[Option<String>]) -> Vec<Refusal> {
    if body.sites.is_empty() {
        return vec![Refusal::new(
            "sites_missing",
            "sites",
            "no line is quoted that implements the mechanism",
            "quote the line: {file, line, quote}, as it stands in `commit`",
        )];
    }
    let judged = body.sites.iter().enumerate().filter_map(|(index, site)| {
        let field = format!("sites[{index}]");
        let place = format!("{}:{}", site.file, site.line);
        match lines.get(index).and_then(Option::as_ref) {
            None => Some(Refusal::new(
                "site_not_found",
                field,
                format!("{place} does not exist in {}", body.commit),
                "name a file and line of that commit, the path from the root",
            )),
            Some(text) if site.quote.trim().is_empty() || text.trim() != site.quote.trim() => {
                Some(Refusal::new(
                    "quote_differs",
                    field,
                    format!("{place} does not read as quoted"),
                    format!(
                        "read the line in {} and quote it whole; reading it is the cheapest killer",
                        body.commit
                    ),
                ))
            }
            Some(_) => None,
        }
    });
    judged.collect()
}

fn predicates(body: &HypothesisBody, rulebook: &Rulebook) -> Vec<Refusal> {
    if body.predicts.is_empty() && body.forbids.is_empty() {
        return vec![Refusal::new(
            "falsifier_missing",
            "forbids",
            "nothing could show it to be wrong",
            "name a predicate that holds if it is true (`predicts`) or cannot hold if it is true (`forbids`)",
        )];
    }
    let lists = [("predicts", &body.predicts), ("forbids", &body.forbids)];
    let stated = lists.into_iter().flat_map(|(list, texts)| {
        texts
            .iter()
            .enumerate()
            .map(move |(index, text)| (format!("{list}[{index}]"), text))
    });
    stated
        .filter_map(|(field, text)| rulebook.parse(text, &field).err())
        .collect()
}

fn rivals(state: &LoopState, body: &HypothesisBody) -> Vec<Refusal> {
    let unknown = body.rivals.iter().enumerate().filter(|(_, rival)| {
        !state
            .hypotheses
            .contains_key(&HypothesisId((*rival).clone()))
    });
    unknown
        .map(|(index, rival)| {
            Refusal::new(
                "rival_unknown",
                format!("rivals[{index}]"),
                format!("the ledger has no hypothesis `{rival}`"),
                "name ids that `loop_status` lists, or leave `rivals` empty",
            )
        })
        .collect()
}

pub(crate) fn citations(list: &str, cited: &[Citation], exists: &[bool]) -> Vec<Refusal> {
    let missing = cited
        .iter()
        .enumerate()
        .filter(|(index, _)| !exists.get(*index).copied().unwrap_or(false));
    missing
        .map(|(index, cite)| {
            Refusal::new(
                "citation_not_found",
                format!("{list}[{index}]"),
                format!("no stored log has bytes {}-{} of {}", cite.byte_start, cite.byte_end, cite.log_id),
                "pull the log with `pull_full_log` and copy the spans that `extract_markers` prints",
            )
        })
        .collect()
}

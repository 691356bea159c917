//! Gathers the one argument of `decide`: what a clone can recompute comes from `verify`, the rest
//! from journal, evidence store and remote.

use std::collections::BTreeSet;
use std::sync::Arc;

use attest::approval::{Approval, claim_digest};
use attest::claim::{Citation, ClaimBody, ClaimKind, Site};
use attest::json::canonical;
use attest::signers::Signers;
use discipline::cited::{Cited, CitedBytes};
use discipline::decision::{
    ApprovalFacts, BaselineFacts, DecisionInput, EvidenceFact, ExhibitFact, GateFacts,
    HypothesisFacts, RULES_VERSION, RevertedFacts, TargetFacts, predicates_read,
};
use discipline::forecast::ForecastFacts;
use discipline::model::{HypothesisId, RunId};
use discipline::observation::grade_of;
use discipline::spend::{empty_in_a_row, minutes_left};
use discipline::state::{Claim, ClaimPhase, HypothesisStatus, LoopState};
use gitread::GitReader;
use markers::{Catalogue, Observation, Predicate};
use playbooks::{Demanded, Playbooks, blamed_reference, demanded_exhibits};
use verify::BaseFacts;

use crate::ServiceError;
use crate::forecast::{self, ForgeNow};
use crate::observe;
use crate::shared::Shared;

/// Rows that are a failure by themselves.
const FAILURES: &[&str] = &[
    "backend_fallback",
    "build_error",
    "cargo_test_failed",
    "chunk_abort",
    "compile_error",
    "device_lost",
    "first_divergence",
    "infra_failure",
    "panic_site",
    "process_death",
    "step_exit",
    "validation_message",
    "vulkan_unavailable",
    "worker_invalidated",
    "worker_timeout",
];

/// A decision's input with the base it was judged against.
pub(crate) struct Gathered {
    pub(crate) input: DecisionInput,
    pub(crate) base: Arc<BaseFacts>,
}

/// What the claim is judged with besides its body.
pub(crate) struct Circumstances<'a> {
    /// The journalled claim, once there is one.
    pub(crate) claim: Option<&'a Claim>,
    /// Tip of the ref at the remote, as read for this decision.
    pub(crate) remote_tip: Option<String>,
    /// What the forge said for this decision; `None` when it was not asked, or there is none.
    pub(crate) forge: Option<ForgeNow>,
}

/// Gathers everything about a claim as it stands now.
pub(crate) fn gather(
    shared: &Shared,
    body: &ClaimBody,
    circumstances: &Circumstances<'_>,
) -> Result<Gathered, ServiceError> {
    let now_ms = shared.now();
    let state = shared.core().state.clone();
    let base = shared.base(&body.parent)?;
    let reader = shared.reader()?;
    let base_tree = reader.commit_info(&body.parent)?.tree;
    let diff = verify::change_facts(&reader, &base_tree, body, &base)?;
    let place = Place {
        shared,
        reader: &reader,
        body,
        catalogue: &base.rulebook.catalogue,
        playbooks: &base.playbooks,
    };
    let (mut evidence, mut cited) = (Vec::new(), Vec::new());
    for citation in &body.evidence {
        let (fact, rows) = place.evidence(citation)?;
        evidence.push(fact);
        cited.extend(rows);
    }
    let approval = match circumstances.claim {
        Some(claim) => approval_facts(shared, &base, body, claim)?,
        None => None,
    };
    let changed: BTreeSet<String> = diff.changed.iter().map(|one| one.path.clone()).collect();
    let input = DecisionInput {
        rules_version: RULES_VERSION,
        now_ms,
        body: body.clone(),
        claim_digest: claim_digest(&canonical(body)?),
        policy: base.facts.clone(),
        diff,
        evidence,
        exhibits: place.exhibits(&cited),
        baseline: place.baseline(&state)?,
        hypothesis: hypothesis_facts(&state, body),
        rivals: rivals(&state, body),
        overrides: state.overrides_in_force(&body.proof_scope, now_ms),
        attempts: state.failed_attempts(body, &changed),
        reverted: reverted(&reader, &state, body)?,
        gates: circumstances
            .claim
            .and_then(|claim| gate_facts(&state, claim)),
        approval,
        target: TargetFacts {
            forecast: forecast::forecast(
                shared,
                &reader,
                &state,
                (
                    body,
                    circumstances
                        .claim
                        .and_then(|claim| claim.commit.as_deref()),
                ),
                &base.facts.policy,
                circumstances.forge.as_ref(),
            )?,
            ..target_facts(&state, body, circumstances, &base, now_ms)
        },
    };
    Ok(Gathered { input, base })
}

struct Place<'a> {
    shared: &'a Shared,
    reader: &'a GitReader,
    body: &'a ClaimBody,
    catalogue: &'a Catalogue,
    playbooks: &'a Playbooks,
}

impl Place<'_> {
    /// What is true of a citation, and the rows on its lines.
    fn evidence(
        &self,
        citation: &Citation,
    ) -> Result<(EvidenceFact, Vec<Observation>), ServiceError> {
        let origin = observe::origin(self.shared, &citation.log_id);
        let run = origin.as_ref().map(|origin| &origin.run);
        let exists = citation_exists(self.shared, citation)?;
        let rows = match exists {
            true => cited_rows(self.shared, citation, self.catalogue)?,
            false => Vec::new(),
        };
        let fact = EvidenceFact {
            citation: citation.clone(),
            run_id: run.map(|run| run.run_id.clone()),
            scope: run.map(|run| run.scope.clone()),
            commit: run.map(|run| run.head_sha.clone()),
            exists,
            complete: origin.as_ref().is_some_and(|origin| origin.log.complete),
            current: match run {
                Some(run) => self.current(&run.head_sha)?,
                None => false,
            },
            shows_failure: rows.iter().any(is_failure),
            blames_reference: blamed_reference(self.playbooks, self.catalogue, &rows)
                .map(str::to_owned),
        };
        Ok((fact, rows))
    }

    fn exhibits(&self, cited: &[Observation]) -> Vec<ExhibitFact> {
        let pinned = self.body.pinned_test.as_ref();
        let pinned = pinned.map(|test| test.name.as_str());
        let demanded = demanded_exhibits(self.playbooks, pinned, cited);
        let fact = |demanded: Demanded<'_>| ExhibitFact {
            marker: demanded.exhibit.marker.clone(),
            field: demanded.exhibit.field.clone(),
            family: demanded.family.to_owned(),
            test: demanded.test,
            missing: demanded.missing,
            show: demanded.exhibit.show.clone(),
        };
        demanded.into_iter().map(fact).collect()
    }

    fn baseline(&self, state: &LoopState) -> Result<Option<BaselineFacts>, ServiceError> {
        let id = RunId::from(self.body.baseline_run.as_str());
        let Some(run) = state.runs.get(&id) else {
            return Ok(None);
        };
        let cells = observe::cells_of(self.shared, run, self.catalogue)?;
        Ok(Some(BaselineFacts {
            run_id: run.run_id.clone(),
            scope: run.scope.clone(),
            head_sha: run.head_sha.clone(),
            executed: run.executed(),
            current: self.current(&run.head_sha)?,
            cells: observe::only(
                cells,
                &kinds_of(
                    self.body,
                    hypothesis_facts(state, self.body).as_ref(),
                    self.catalogue,
                ),
            ),
        }))
    }

    /// The commit is the claim's parent, or an ancestor since which no site file changed.
    fn current(&self, commit: &str) -> Result<bool, ServiceError> {
        let parent = self.body.parent.as_str();
        if commit == parent {
            return Ok(true);
        }
        if !self.reader.has_object(commit)? || !self.reader.is_ancestor(commit, parent)? {
            return Ok(false);
        }
        let then = self.reader.commit_info(commit)?.tree;
        let now = self.reader.commit_info(parent)?.tree;
        let files: BTreeSet<&str> = self.body.sites.iter().map(site_file).collect();
        for file in files {
            let entry = |tree: &str| self.reader.entry_at(tree, file);
            if entry(&then)? != entry(&now)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn site_file(site: &Site) -> &str {
    &site.file
}

/// A failed test, a panic, a divergence, an error marker.
fn is_failure(row: &Observation) -> bool {
    let says = |field: &str, word: &str| {
        row.text(field)
            .is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    match row.kind.as_str() {
        "cargo_test" => says("outcome", "failed"),
        "cargo_summary" => says("status", "failed"),
        "worker_exit" => row.text("class").is_some_and(|class| class != "clean"),
        kind => FAILURES.contains(&kind),
    }
}

/// The cited bytes exist in a stored log and are the cited lines.
pub(crate) fn citation_exists(shared: &Shared, citation: &Citation) -> Result<bool, ServiceError> {
    let reader = match shared.evidence.open_log(&citation.log_id) {
        Ok(reader) => reader,
        Err(state::Error::NoEvidence { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let (start, end) = (citation.byte_start, citation.byte_end);
    if start >= end || end > reader.total_bytes() {
        return Ok(false);
    }
    Ok(reader.offset_to_line(start)? == Some(citation.line_start)
        && reader.offset_to_line(end - 1)? == Some(citation.line_end))
}

/// Citations of the ledger: whether their bytes stand in the log of a run or a gate, the rows on their
/// lines, and what their runs showed.
pub(crate) fn cited_bytes(
    shared: &Shared,
    citations: &[Citation],
    catalogue: &Catalogue,
) -> Result<CitedBytes, ServiceError> {
    let mut bytes = CitedBytes::default();
    for citation in citations {
        let ours = observe::log_ref(shared, &citation.log_id).is_some();
        if !ours || !citation_exists(shared, citation)? {
            bytes.cited.push(Cited::default());
            continue;
        }
        let run = observe::origin(shared, &citation.log_id).map(|origin| origin.run);
        if let Some(run) = run
            .as_ref()
            .filter(|run| !bytes.runs.contains_key(&run.run_id))
        {
            let cells = observe::cells_of(shared, run, catalogue)?;
            bytes.runs.insert(run.run_id.clone(), cells);
        }
        bytes.cited.push(Cited {
            exists: true,
            rows: cited_rows(shared, citation, catalogue)?,
            run: run.map(|run| run.run_id),
        });
    }
    Ok(bytes)
}

/// Rows on the lines of a citation that exists.
fn cited_rows(
    shared: &Shared,
    citation: &Citation,
    catalogue: &Catalogue,
) -> Result<Vec<Observation>, ServiceError> {
    let scan = observe::scan_of(shared, &citation.log_id, catalogue)?;
    let cited =
        |row: &&Observation| row.line >= citation.line_start && row.line <= citation.line_end;
    Ok(scan.observations.iter().filter(cited).cloned().collect())
}

/// Marker kinds that the predicates of the claim and of its hypothesis read.
fn kinds_of(
    body: &ClaimBody,
    hypothesis: Option<&HypothesisFacts>,
    catalogue: &Catalogue,
) -> BTreeSet<String> {
    let texts = predicates_read(body, hypothesis).into_iter();
    let parsed: Vec<Predicate> = texts
        .filter_map(|text| Predicate::parse_checked(text, catalogue).ok())
        .collect();
    let kinds = parsed
        .iter()
        .flat_map(|predicate| predicate.kinds(catalogue));
    kinds.map(str::to_owned).collect()
}

/// The pushed commit that a rollback of this scope takes back.
pub(crate) fn reverted(
    reader: &GitReader,
    state: &LoopState,
    body: &ClaimBody,
) -> Result<Option<RevertedFacts>, ServiceError> {
    if body.kind != ClaimKind::Rollback {
        return Ok(None);
    }
    let closure = state.closed_scopes.get(&body.proof_scope);
    let claim = closure.and_then(|closure| state.claims.get(&closure.claim_id));
    let Some((claim, commit)) = claim.and_then(|claim| Some((claim, claim.commit.as_ref()?)))
    else {
        return Ok(None);
    };
    let facts = verify::reverted_facts(reader, claim.id.as_str(), commit)?;
    Ok(Some(facts))
}

fn hypothesis_facts(state: &LoopState, body: &ClaimBody) -> Option<HypothesisFacts> {
    ledger_facts(state, &body.hypothesis_id)
}

/// The hypotheses that a diagnostic's outcomes name.
fn rivals(state: &LoopState, body: &ClaimBody) -> Vec<HypothesisFacts> {
    let named: BTreeSet<&String> = body.outcomes.iter().flat_map(|row| &row.kills).collect();
    let facts = named.into_iter().filter_map(|id| ledger_facts(state, id));
    facts.collect()
}

fn ledger_facts(state: &LoopState, id: &str) -> Option<HypothesisFacts> {
    let found = state.hypotheses.get(&HypothesisId::from(id))?;
    Some(HypothesisFacts {
        id: found.id.to_string(),
        scope: found.body.scope.clone(),
        mechanism: found.body.mechanism,
        alive: found.status != HypothesisStatus::Falsified,
        status: found.status.as_str().to_owned(),
        grade: grade_of(state, found),
        predicts: found.body.predicts.clone(),
        forbids: found.body.forbids.clone(),
    })
}

/// Results of the gate run that gated the claim, or of the one that is about to.
fn gate_facts(state: &LoopState, claim: &Claim) -> Option<GateFacts> {
    let results = match (&claim.gates_digest, &claim.gate_run_id) {
        (Some(_), _) if claim.phase != ClaimPhase::Gating => claim.results.clone(),
        (_, Some(id)) => state.gate_runs.get(id)?.results.clone(),
        _ => return None,
    };
    let gates_digest = discipline::decision::gates_digest(&results).ok()?;
    Some(GateFacts {
        results,
        gates_digest,
    })
}

fn approval_facts(
    shared: &Shared,
    base: &BaseFacts,
    body: &ClaimBody,
    claim: &Claim,
) -> Result<Option<ApprovalFacts>, ServiceError> {
    let Some(record) = &claim.approval else {
        return Ok(None);
    };
    let approval = Approval {
        subject: record.subject.clone(),
        signature: record.signature.clone(),
    };
    let signers = signers(shared, base, body)?;
    // A key that was allowed when it signed and no longer is: not an approval any more.
    Ok(match approval.verify(&signers, Some(shared.now())) {
        Ok(approver) => Some(ApprovalFacts {
            subject: approval.subject,
            signer: approver.principal,
            key_type: approver.key_type,
        }),
        Err(error) => {
            tracing::warn!(%error, claim = %claim.id, "approval no longer verifies");
            None
        }
    })
}

/// Who may approve: the machine's pinned file, else the base commit's own.
pub(crate) fn signers(
    shared: &Shared,
    base: &BaseFacts,
    body: &ClaimBody,
) -> Result<Signers, ServiceError> {
    signers_at(shared, base, &body.parent)
}

/// As [`signers`], at a commit with its facts.
pub(crate) fn signers_at(
    shared: &Shared,
    base: &BaseFacts,
    commit: &str,
) -> Result<Signers, ServiceError> {
    if let Some(path) = &shared.config.machine.signers {
        let bytes = std::fs::read(path).map_err(ServiceError::io(format!(
            "cannot read pinned signers {}",
            path.display()
        )))?;
        return Ok(Signers::parse(&bytes)?);
    }
    let reader = shared.reader()?;
    let tree = reader.commit_info(commit)?.tree;
    let path = &base.facts.policy.repo.signers;
    let bytes = reader.blob_at(&tree, path)?.unwrap_or_default();
    Ok(Signers::parse(&bytes)?)
}

fn target_facts(
    state: &LoopState,
    body: &ClaimBody,
    circumstances: &Circumstances<'_>,
    base: &BaseFacts,
    now_ms: i64,
) -> TargetFacts {
    let scope = &body.proof_scope;
    let policy = &base.facts.policy;
    let own = circumstances.claim.map(|claim| &claim.id);
    let pushed = |claim: &Claim| claim.phase.is_pushed();
    TargetFacts {
        commit: circumstances.claim.and_then(|claim| claim.commit.clone()),
        remote_tip: circumstances.remote_tip.clone(),
        // Also for a rollback, whose rules ask whether anything is closed at all.
        scope_closed: state
            .closed_scopes
            .get(scope)
            .map(|closure| closure.reason.clone()),
        live_runs: state.live_runs(scope),
        minutes_left: minutes_left(state, policy, scope, own, now_ms),
        diagnostics_left: (body.kind == ClaimKind::Diagnostic).then(|| {
            let allowed = policy.budget.diagnostic_runs;
            allowed.saturating_sub(state.diagnostics_today(now_ms))
        }),
        forecast: ForecastFacts::default(),
        empty_results: empty_in_a_row(state, scope),
        already_pushed: circumstances.claim.is_some_and(pushed),
        signal_exists: state.signal_exists(scope, &body.parent),
    }
}

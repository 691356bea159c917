//! `explain_push`: why a push was allowed, replayed from its attestation.

use discipline::decision::Decision;
use discipline::state::Claim;
use verify::{CommitReport, Moment, Terms, Trust, check_commit};

use super::find_claim;
use crate::ServiceError;
use crate::api::{ExplainPushAnswer, ExplainPushRequest, RuleView};
use crate::shared::Shared;
use crate::views;

/// Shortest prefix of a commit id.
const MIN_DIGITS: usize = 7;

/// Replays the decision behind a push.
pub(super) fn explain_push(
    shared: &Shared,
    request: ExplainPushRequest,
) -> Result<ExplainPushAnswer, ServiceError> {
    let claim = chosen(shared, &request)?;
    let commit = claim.commit.clone().unwrap_or_default();
    let (Some(push), false) = (&claim.push, commit.is_empty()) else {
        return Err(ServiceError::WrongState {
            what: format!("claim {}", claim.id),
            state: claim.phase.as_str().into(),
            remedy: "only a push can be explained; `get_claim` says what it still needs".into(),
        });
    };
    let trust = Trust::from_signers(shared.config.machine.signers.as_deref())?;
    let terms = Terms {
        trust: &trust,
        moment: Moment::Audit,
        evidence: None,
    };
    let reader = shared.reader()?;
    let ref_name = Some(claim.body.ref_name.as_str());
    let report = check_commit(&reader, &commit, Some(&push.attestation), ref_name, &terms)?;
    Ok(answer(shared, &claim, &report))
}

fn chosen(shared: &Shared, request: &ExplainPushRequest) -> Result<Claim, ServiceError> {
    let core = shared.core();
    let state = &core.state;
    if let Some(id) = &request.claim_id {
        return Ok(find_claim(state, id)?.clone());
    }
    let Some(commit) = &request.commit else {
        return Err(ServiceError::BadArgument {
            field: "commit",
            reason: "neither `commit` nor `claim_id` is given".into(),
            remedy: "give one of them".into(),
        });
    };
    let hex = commit.len() >= MIN_DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit());
    let is_it = |claim: &&Claim| {
        let own = claim.commit.as_deref();
        hex && own.is_some_and(|own| own.starts_with(commit.as_str()))
    };
    let found = state.claims.values().find(is_it);
    found.cloned().ok_or_else(|| {
        let valid = state
            .claims
            .values()
            .filter_map(|claim| claim.commit.as_deref());
        super::unknown("commit", commit, valid)
    })
}

fn answer(shared: &Shared, claim: &Claim, report: &CommitReport) -> ExplainPushAnswer {
    let id = &claim.body.failing_invariant;
    let title = shared.base(&claim.body.parent).ok().and_then(|base| {
        let law = base.facts.law.iter().find(|law| &law.id == id)?;
        Some(law.title.clone())
    });
    ExplainPushAnswer {
        claim: views::claim(claim),
        invariant: match title {
            Some(title) => format!("{id} {title}"),
            None => id.clone(),
        },
        rules: report.decision.as_ref().map(rules).unwrap_or_default(),
        identical: report.accepted,
        allowed: report
            .decision
            .as_ref()
            .is_some_and(|decision| decision.allowed),
        approved_by: claim.approval.as_ref().map(|record| record.signer.clone()),
        verdict: views::verdict(claim),
        overrides: report
            .overrides
            .iter()
            .map(|granted| views::granted(granted, shared.now()))
            .collect(),
        attestation_ref: claim.commit.as_deref().map(repo::attestation_ref),
    }
}

fn rules(decision: &Decision) -> Vec<RuleView> {
    let view = |rule: &discipline::decision::RuleResult| RuleView {
        rule: rule.rule.clone(),
        stage: views::word(&rule.stage),
        refused: views::refusals(&rule.refused),
        overridden: rule
            .overridden
            .iter()
            .map(|passed| format!("{} passes over {}", passed.by, passed.refusal.code))
            .collect(),
    };
    decision.rules.iter().map(view).collect()
}

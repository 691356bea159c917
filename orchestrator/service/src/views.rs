//! From the model to the wire.

use attest::claim::Citation;
use attest::digest::Digest;
use discipline::hit_rate::{HitRate, by_author};
use discipline::model::{
    Counters, GateResult, GateVerdict, Grade, Job, LogRef, Refusal, Run, RunStatus, ScopeGuards,
    Trigger, VerdictKind, WhyEmpty,
};
use discipline::overrides::Override;
use discipline::spend::Spend;
use discipline::state::{Claim, Hypothesis, LoopState};
use discipline::turn::{NextAction, ScopeSummary};
use markers::{Observation, Truth};

use crate::ServiceError;
use crate::api::{
    ActionView, CitationView, ClaimSummary, CountersView, GateView, GradeView, HitRateView,
    HypothesisView, JobView, LogView, ObservationView, OverrideView, RefusalView, RunView,
    ScopeGuardsView, ScopeView, SpendView, VerdictView,
};

pub(crate) fn refusals(refused: &[Refusal]) -> Vec<RefusalView> {
    refused.iter().map(refusal).collect()
}

pub(crate) fn refusal(refusal: &Refusal) -> RefusalView {
    RefusalView {
        code: refusal.code.clone(),
        field: refusal.field.clone(),
        reason: refusal.reason.clone(),
        remedy: refusal.remedy.clone(),
    }
}

pub(crate) fn log(log: &LogRef) -> LogView {
    LogView {
        log_id: log.log_id.to_string(),
        total_bytes: log.bytes,
        total_lines: log.lines,
        complete: log.complete,
    }
}

pub(crate) fn status_word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Queued => "queued",
        RunStatus::InProgress => "in_progress",
        RunStatus::Completed => "completed",
    }
}

pub(crate) fn why_empty_word(why: WhyEmpty) -> &'static str {
    match why {
        WhyEmpty::NeverStarted => "never_started",
        WhyEmpty::InProgress => "in_progress",
        WhyEmpty::Expired => "expired",
        WhyEmpty::Missing => "missing",
        WhyEmpty::Suppressed => "suppressed",
        WhyEmpty::ZeroBytes => "zero_bytes",
        WhyEmpty::Forbidden => "forbidden",
    }
}

fn job(job: &Job) -> JobView {
    JobView {
        cell: job.cell.clone(),
        status: status_word(job.status).into(),
        conclusion: job
            .conclusion
            .as_ref()
            .map(|conclusion| conclusion.word().to_owned()),
        log: job.log.as_ref().map(log),
        why_empty: job.why_empty.map(|why| why_empty_word(why).into()),
        duration_ms: job.steps.iter().map(|step| step.duration_ms).sum(),
    }
}

pub(crate) fn run(state: &LoopState, run: &Run) -> RunView {
    let classified = state.classifications.get(&run.run_id);
    let claim_id = match &run.trigger {
        Trigger::Manual => None,
        Trigger::Push { claim } => Some(claim.to_string()),
    };
    RunView {
        run_id: run.run_id.to_string(),
        source: run.source.clone(),
        scope: run.scope.clone(),
        attempt: run.attempt,
        head_sha: run.head_sha.clone(),
        trigger: if claim_id.is_some() { "push" } else { "manual" }.into(),
        claim_id,
        status: status_word(run.status).into(),
        conclusion: run
            .conclusion
            .as_ref()
            .map(|conclusion| conclusion.word().to_owned()),
        class: classified.map(|found| found.classification.class.to_string()),
        green: classified.map(|found| found.green),
        jobs: run.jobs.iter().map(job).collect(),
        created_ms: run.created_ms,
        finished_ms: run.finished_ms,
    }
}

pub(crate) fn scope(summary: &ScopeSummary, minutes_left: Option<u32>) -> ScopeView {
    ScopeView {
        scope: summary.scope.clone(),
        signal: summary.colour.as_str().into(),
        run_id: summary.run_id.as_ref().map(ToString::to_string),
        head_sha: summary.commit.clone(),
        age_ms: summary.age_ms,
        closed: summary.closed.clone(),
        minutes_left,
    }
}

pub(crate) fn actions(actions: &[NextAction]) -> Vec<ActionView> {
    actions.iter().map(action).collect()
}

pub(crate) fn action(action: &NextAction) -> ActionView {
    ActionView {
        tool: action.tool.clone(),
        why: action.why.clone(),
    }
}

pub(crate) fn claim(claim: &Claim) -> ClaimSummary {
    ClaimSummary {
        claim_id: claim.id.to_string(),
        loop_id: claim.loop_id.to_string(),
        state: claim.phase.as_str().into(),
        regressed: claim.rollback_due(),
        scope: claim.body.proof_scope.clone(),
        subject: claim.body.message.lines().next().unwrap_or_default().into(),
        claim_digest: claim.digest.to_string(),
        commit: claim.commit.clone(),
    }
}

/// A word of serde's for an enum, such as a mechanism.
pub(crate) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

pub(crate) fn hypothesis(found: &Hypothesis) -> HypothesisView {
    HypothesisView {
        hypothesis_id: found.id.to_string(),
        scope: found.body.scope.clone(),
        mechanism: word(&found.body.mechanism),
        statement: found.body.statement.clone(),
        status: found.status.as_str().into(),
        killed_because: found.killer.as_ref().map(|killer| killer.reason.clone()),
    }
}

pub(crate) fn gate(result: &GateResult) -> GateView {
    let verdict = match result.verdict {
        GateVerdict::Passed => "passed",
        GateVerdict::Vacuous => "vacuous",
        GateVerdict::Refused => "refused",
    };
    GateView {
        gate: result.gate.clone(),
        role: result.role.as_str().into(),
        verdict: verdict.into(),
        refused: refusals(&result.refused),
        argv: result.argv.clone(),
        passed: result.tests.passed,
        failed: result.tests.failed,
        failed_tests: result.failed_tests.clone(),
        listed: result.listed,
        reused_from: result.reused_from.as_ref().map(ToString::to_string),
        duration_ms: result.duration_ms,
        transcript: result.transcript.as_ref().map(log),
    }
}

pub(crate) fn truth_word(truth: Truth) -> &'static str {
    match truth {
        Truth::Holds => "holds",
        Truth::Fails => "fails",
        Truth::NotObservable => "not_observable",
    }
}

fn grade(grade: &Grade) -> GradeView {
    GradeView {
        role: grade.role.clone(),
        predicate: grade.predicate.clone(),
        truth: truth_word(grade.truth).into(),
        observed: grade.observed.clone(),
    }
}

/// The verdict of a claim, with the scopes that it guards as far as they are graded.
pub(crate) fn verdict(claim: &Claim) -> Option<VerdictView> {
    let verdict = claim.verdict.as_ref()?;
    let kind = match verdict.kind {
        VerdictKind::Confirmed => "confirmed",
        VerdictKind::Refuted => "refuted",
        VerdictKind::Inconclusive => "inconclusive",
    };
    let graded = claim.other_scopes.values().map(scope_guards);
    let waiting = claim.ungraded_scopes().into_iter();
    let waiting = waiting.map(|scope| ScopeGuardsView {
        scope: scope.to_owned(),
        run_id: None,
        outcome: "waiting".into(),
        grades: Vec::new(),
        reasons: Vec::new(),
    });
    Some(VerdictView {
        kind: kind.into(),
        run_id: verdict.run_id.to_string(),
        commit: verdict.commit.clone(),
        grades: verdict.grades.iter().map(grade).collect(),
        rollback_due: claim.rollback_due(),
        reasons: verdict.reasons.clone(),
        other_scopes: graded.chain(waiting).collect(),
    })
}

fn scope_guards(guards: &ScopeGuards) -> ScopeGuardsView {
    ScopeGuardsView {
        scope: guards.scope.clone(),
        run_id: guards.run_id.as_ref().map(ToString::to_string),
        outcome: guards.outcome.as_str().into(),
        grades: guards.grades.iter().map(grade).collect(),
        reasons: guards.reasons.clone(),
    }
}

pub(crate) fn counters(counters: &Counters) -> CountersView {
    CountersView {
        reads: counters.reads,
        reorientations: counters.reorientations,
        proposals: counters.proposals,
        gate_runs: counters.gate_runs,
        hypotheses_opened: counters.hypotheses_opened,
        hypotheses_killed: counters.hypotheses_killed,
        pushes: counters.pushes,
        runner_ms: counters.runner_ms,
        refused_ends: counters.refused_ends,
        lines_written: counters.lines_written,
        tests_added: counters.tests_added,
    }
}

pub(crate) fn spend(row: &Spend) -> SpendView {
    SpendView {
        scope: row.scope.clone(),
        loop_id: row.loop_id.as_ref().map(ToString::to_string),
        claim_id: row.claim_id.as_ref().map(ToString::to_string),
        runs: row.runs.iter().map(ToString::to_string).collect(),
        state: row.state.as_str().into(),
        reserved_minutes: row.reserved_minutes,
        spent_ms: row.spent_ms,
        bought: row.bought.as_ref().map(|bought| bought.what.clone()),
        empty: row.bought.as_ref().is_some_and(|bought| bought.empty),
    }
}

pub(crate) fn hit_rates(state: &LoopState) -> Vec<HitRateView> {
    let view = |rate: &HitRate| HitRateView {
        author: rate.author.clone(),
        claims: rate.claims,
        hits: rate.hits,
        misses: rate.misses,
        not_observable: rate.not_observable,
        percent: rate.percent(),
    };
    by_author(state).iter().map(view).collect()
}

pub(crate) fn granted(granted: &Override, now_ms: i64) -> OverrideView {
    OverrideView {
        override_id: granted.id.to_string(),
        code: granted.code.clone(),
        scope: granted.scope.clone(),
        reason: granted.reason.clone(),
        by: granted.author.name.clone(),
        granted_ms: granted.granted_ms,
        expires_ms: granted.expires_ms,
        in_force: granted.in_force(now_ms),
    }
}

pub(crate) fn observation(row: &Observation) -> ObservationView {
    ObservationView {
        kind: row.kind.clone(),
        fields: row
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), field(value)))
            .collect(),
        test: row.test.clone(),
        line: row.line,
        byte_start: row.span.start,
        byte_end: row.span.end,
    }
}

/// Numbers stay decimal text; lists and buckets keep their shape.
fn field(value: &markers::Value) -> serde_json::Value {
    use markers::{Buckets, Value};
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Nothing => serde_json::Value::Null,
        Value::List(items) => items.iter().map(field).collect(),
        Value::Buckets(Buckets::Populated(buckets)) => buckets
            .iter()
            .map(|bucket| {
                serde_json::json!({
                    "name": bucket.name,
                    "count": bucket.count.to_string(),
                    "us": bucket.us.to_string(),
                })
            })
            .collect(),
        other => other.to_string().into(),
    }
}

/// A citation of the wire as the model keeps it.
pub(crate) fn citation(view: &CitationView, field: &'static str) -> Result<Citation, ServiceError> {
    Ok(Citation {
        log_id: digest(&view.log_id, field)?,
        byte_start: view.byte_start,
        byte_end: view.byte_end,
        line_start: view.line_start,
        line_end: view.line_end,
    })
}

/// A digest of the wire.
pub(crate) fn digest(text: &str, field: &'static str) -> Result<Digest, ServiceError> {
    text.parse().map_err(|_| ServiceError::BadArgument {
        field,
        reason: format!(
            "`{}` is no digest",
            text.chars().take(80).collect::<String>().escape_default()
        ),
        remedy: "pass `sha256:` and 64 lower-case hex digits, as `pull_full_log` gives them".into(),
    })
}

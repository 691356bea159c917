//! What kind of failure a completed run is, under the data of its base.

use std::sync::Arc;

use discipline::event::Event;
use discipline::green;
use discipline::model::{Conclusion, ProcessExit, Run};
use playbooks::{RunFacts, RunnerState};
use verify::BaseFacts;

use crate::ServiceError;
use crate::observe;
use crate::runs::policy_commit;
use crate::shared::{Shared, daemon};

/// Classifies a completed run under its base's catalogue and playbooks, and journals the class.
pub(crate) fn classify(shared: &Shared, run: &Run, base: &BaseFacts) -> Result<(), ServiceError> {
    let catalogue = &base.rulebook.catalogue;
    let cells = observe::cells_of(shared, run, catalogue)?;
    let policy = &base.facts.policy;
    let engage = green::engagement(policy, run, &cells, &base.rulebook);
    let facts = run_facts(run, base, green::engaged(&engage));
    let classification = playbooks::classify(&base.playbooks, catalogue, &facts, &cells);
    let green = green::is_green(run, Some(&classification), &engage, policy, &cells);
    shared.append(
        &daemon(),
        Event::RunClassified {
            run_id: run.run_id.clone(),
            classification,
            green,
            catalogue: base.rulebook.catalogue_digest(),
        },
    )
}

fn run_facts(run: &Run, base: &BaseFacts, engaged: markers::Truth) -> RunFacts {
    let steps: Vec<_> = run.jobs.iter().flat_map(|job| &job.steps).collect();
    let failed = steps
        .iter()
        .find(|step| step.exit != ProcessExit::Code(0))
        .or_else(|| steps.last());
    let wanted = base.facts.policy.effective_cells(&run.scope);
    let has_log = |cell: &str| {
        run.jobs
            .iter()
            .any(|job| job.cell == cell && job.log.is_some())
    };
    let duration = run
        .finished_ms
        .map(|end| end.saturating_sub(run.created_ms) / 1000);
    RunFacts {
        status: Some("completed".into()),
        conclusion: run.conclusion.as_ref().map(conclusion_word),
        exit_code: failed.and_then(|step| match step.exit {
            ProcessExit::Code(code) => Some(i64::from(code)),
            _ => None,
        }),
        signal: failed.and_then(|step| match step.exit {
            ProcessExit::Signal(signal) => Some(signal),
            _ => None,
        }),
        executed_steps: u64::try_from(steps.len()).unwrap_or(u64::MAX),
        hosted: false,
        duration_s: duration.and_then(|seconds| u64::try_from(seconds).ok()),
        superseded: false,
        duplicate_event: false,
        runner: RunnerState::Idle,
        cancelled_in_a_row: 0,
        all_cells: wanted.iter().all(|cell| has_log(&cell.name)),
        engaged,
    }
}

/// The word a forge uses for a conclusion.
pub(crate) fn conclusion_word(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Success => "success".into(),
        Conclusion::Failure => "failure".into(),
        Conclusion::Cancelled => "cancelled".into(),
        Conclusion::TimedOut => "timed_out".into(),
        Conclusion::Unknown(text) => text.clone(),
    }
}

/// The base that a completed run is read under.
pub(crate) fn base_of(shared: &Shared, run: &Run) -> Result<Arc<BaseFacts>, ServiceError> {
    let commit = policy_commit(&shared.core().state, run);
    shared.base(&commit)
}

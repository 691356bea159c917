//! What kind of failure a completed run is, under the data of its base.

use std::sync::Arc;

use discipline::event::Event;
use discipline::green;
use discipline::model::{Conclusion, ProcessExit, Run};
use discipline::state::LoopState;
use playbooks::{RunFacts, RunnerState};
use verify::BaseFacts;

use crate::observe;
use crate::runs::policy_commit;
use crate::shared::{Shared, daemon};
use crate::{Cancel, ServiceError};

/// Classifies a completed run under its base's catalogue and playbooks, and journals the class.
pub(crate) fn classify(shared: &Shared, run: &Run, base: &BaseFacts) -> Result<(), ServiceError> {
    let catalogue = &base.rulebook.catalogue;
    let cells = observe::cells_of(shared, run, catalogue)?;
    let policy = &base.facts.policy;
    let engage = green::engagement(policy, run, &cells, &base.rulebook);
    let facts = run_facts(shared, run, base, green::engaged(&engage));
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

fn run_facts(shared: &Shared, run: &Run, base: &BaseFacts, engaged: markers::Truth) -> RunFacts {
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
    let around = Around::of(&shared.core().state, run);
    RunFacts {
        status: Some("completed".into()),
        conclusion: conclusion_of(run),
        exit_code: failed.and_then(|step| match step.exit {
            ProcessExit::Code(code) => Some(i64::from(code)),
            _ => None,
        }),
        signal: failed.and_then(|step| match step.exit {
            ProcessExit::Signal(signal) => Some(signal),
            _ => None,
        }),
        executed_steps: u64::try_from(steps.len()).unwrap_or(u64::MAX),
        hosted: !run.jobs.is_empty() && run.jobs.iter().all(on_hosted_runner),
        duration_s: duration.and_then(|seconds| u64::try_from(seconds).ok()),
        superseded: around.superseded,
        duplicate_event: around.duplicate,
        runner: match run.forge {
            // This machine is the runner of its own runs.
            None => RunnerState::Idle,
            Some(_) => RunnerState::Unknown,
        },
        cancelled_in_a_row: around.cancelled_in_a_row,
        all_cells: wanted.iter().all(|cell| has_log(&cell.name)),
        engaged,
    }
}

/// What the run ended with. A run of this machine that could not be started has its reason for a
/// conclusion; to the classes it is what a forge calls a failure to start.
fn conclusion_of(run: &Run) -> Option<String> {
    match &run.conclusion {
        Some(Conclusion::Unknown(_)) if run.forge.is_none() && !run.executed() => {
            Some("startup_failure".to_owned())
        }
        other => other.as_ref().map(conclusion_word),
    }
}

fn on_hosted_runner(job: &discipline::model::Job) -> bool {
    job.forge.as_ref().is_some_and(|forge| forge.hosted)
}

/// What the runs around a run say about it.
#[derive(Default)]
struct Around {
    superseded: bool,
    duplicate: bool,
    cancelled_in_a_row: u64,
}

impl Around {
    fn of(state: &LoopState, run: &Run) -> Around {
        let Some(forge) = &run.forge else {
            return Around::default();
        };
        let silent = |run: &&&Run| run.conclusion == Some(Conclusion::Cancelled) && !run.executed();
        let of_scope = state.runs_of_scope(&run.scope);
        let older = of_scope
            .iter()
            .filter(|other| other.created_ms <= run.created_ms);
        let in_a_row = older.take_while(silent).count();
        let same_event = |other: &&&Run| {
            other.run_id != run.run_id
                && other.head_sha == run.head_sha
                && other.created_ms <= run.created_ms
                && other
                    .forge
                    .as_ref()
                    .is_some_and(|other| other.id != forge.id && other.event == forge.event)
        };
        Around {
            superseded: silent(&&run)
                && of_scope
                    .iter()
                    .any(|other| other.created_ms > run.created_ms),
            duplicate: of_scope.iter().any(|other| same_event(&other)),
            cancelled_in_a_row: u64::try_from(in_a_row).unwrap_or(u64::MAX),
        }
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

/// The base that a completed run is read under. A run of another place may have executed a commit
/// that is not here; it is read under the policy of the branch under care.
pub(crate) fn base_of(shared: &Shared, run: &Run) -> Result<Arc<BaseFacts>, ServiceError> {
    let commit = policy_commit(&shared.core().state, run);
    match shared.base(&commit) {
        Err(_) if run.forge.is_some() => crate::source::base(shared, &Cancel::new()?),
        base => base,
    }
}

//! A run as the facts that playbooks ask for.

use markers::Truth;
use playbooks::{RunFacts, RunnerState};

use crate::model::{Conclusion, Job, ProcessExit, Run};
use crate::policy::Policy;
use crate::state::LoopState;

/// What the classes ask about a completed run, besides what its logs show.
#[must_use]
pub fn run_facts(run: &Run, policy: &Policy, around: &Around, engaged: Truth) -> RunFacts {
    let steps: Vec<_> = run.jobs.iter().flat_map(|job| &job.steps).collect();
    let failed = steps
        .iter()
        .find(|step| step.exit != ProcessExit::Code(0))
        .or_else(|| steps.last());
    let wanted = policy.effective_cells(&run.scope);
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
        other => other
            .as_ref()
            .map(|conclusion| conclusion.word().to_owned()),
    }
}

fn on_hosted_runner(job: &Job) -> bool {
    job.forge.as_ref().is_some_and(|forge| forge.hosted)
}

/// What the runs around a run say about it; nothing for a run of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    superseded: bool,
    duplicate: bool,
    cancelled_in_a_row: u64,
}

impl Around {
    /// Looks at the other runs of the scope.
    #[must_use]
    pub fn of(state: &LoopState, run: &Run) -> Around {
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

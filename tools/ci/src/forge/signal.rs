//! The last run that executed anything, and the silent ones since.

use exec::Cancel;

use super::model::{WorkflowRun, millis};
use super::{Forge, ForgeError, RunQuery};

/// A run that carries no signal, passed on the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The forge's id.
    pub run_id: String,
    /// Commit.
    pub head_sha: String,
    /// How it ended, or how far it is.
    pub word: String,
}

/// The newest run with a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSignal {
    /// That run.
    pub run: WorkflowRun,
    /// Its age when it ended, milliseconds before `now`.
    pub age_ms: Option<i64>,
    /// Newer ones without a signal, newest first.
    pub passed: Vec<Passed>,
}

/// Walks back past runs that executed nothing, cancelled ones first of all.
///
/// # Errors
/// The source cannot be read.
pub fn last_signal(
    forge: &dyn Forge,
    query: &RunQuery,
    now_ms: i64,
    cancel: &Cancel,
) -> Result<Option<LastSignal>, ForgeError> {
    let mut passed = Vec::new();
    for run in forge.runs(query, cancel)? {
        let id = run_key(&run);
        if executed(forge, &run, &id, cancel)? {
            let ended = millis(run.updated_at.as_deref());
            return Ok(Some(LastSignal {
                age_ms: ended.map(|ended| now_ms.saturating_sub(ended)),
                run,
                passed,
            }));
        }
        let word = run.conclusion.clone();
        passed.push(Passed {
            run_id: id,
            head_sha: run.head_sha.clone(),
            word: word.unwrap_or_else(|| run.status.clone().map(String::from).unwrap_or_default()),
        });
    }
    Ok(None)
}

/// The forge's id, or the name that a recorded folder has instead.
#[must_use]
pub fn run_key(run: &WorkflowRun) -> String {
    match (run.id, &run.name) {
        (0, Some(name)) => name.clone(),
        (id, _) => id.to_string(),
    }
}

/// A completed run whose jobs executed steps.
fn executed(
    forge: &dyn Forge,
    run: &WorkflowRun,
    id: &str,
    cancel: &Cancel,
) -> Result<bool, ForgeError> {
    if !run.is_completed() {
        return Ok(false);
    }
    let jobs = forge.jobs(id, run.attempt(), cancel)?;
    let mut steps = jobs.iter().flat_map(|job| &job.steps);
    Ok(steps.any(|step| step.executed()))
}

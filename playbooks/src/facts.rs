//! What a run's record says, apart from its logs.

use markers::Truth;
use serde::{Deserialize, Serialize};

/// Facts about one run, from the forge or from the local runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunFacts {
    /// `queued`, `in_progress`, `completed`, …
    pub status: Option<String>,
    /// `success`, `failure`, `cancelled`, `timed_out`, `skipped`, …; `None` while it runs.
    pub conclusion: Option<String>,
    /// Exit code of the step that failed, or of the last one.
    pub exit_code: Option<i64>,
    /// Signal that ended that step.
    pub signal: Option<i32>,
    /// Steps that began, over all jobs.
    pub executed_steps: u64,
    /// Ran on a runner of the forge, which has no GPU.
    pub hosted: bool,
    /// Wall time in seconds.
    pub duration_s: Option<u64>,
    /// A newer run took its place before it began.
    pub superseded: bool,
    /// The event that started it was delivered before: another run of the same commit and workflow answers for it.
    pub duplicate_event: bool,
    /// State of the runner it waited for.
    pub runner: RunnerState,
    /// Runs of the same concurrency group that were cancelled in a row, this one included.
    pub cancelled_in_a_row: u64,
    /// Every cell of the scope has a log.
    pub all_cells: bool,
    /// Whether the scope's engagement predicates hold, all of them.
    pub engaged: Truth,
}

impl Default for RunFacts {
    /// A run of which nothing is known: no cell, nothing proven.
    fn default() -> Self {
        Self {
            status: None,
            conclusion: None,
            exit_code: None,
            signal: None,
            executed_steps: 0,
            hosted: false,
            duration_s: None,
            superseded: false,
            duplicate_event: false,
            runner: RunnerState::Unknown,
            cancelled_in_a_row: 0,
            all_cells: false,
            engaged: Truth::NotObservable,
        }
    }
}

/// What is known of the runner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// Nobody asked.
    #[default]
    Unknown,
    /// Not connected.
    Offline,
    /// Connected, without work.
    Idle,
    /// Connected, at work.
    Busy,
}

/// Facts that must all be as stated. What is left out does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactRule {
    /// One of these statuses.
    pub status: Vec<String>,
    /// One of these conclusions.
    pub conclusion: Vec<String>,
    /// One of these exit codes.
    pub exit_code: Vec<i64>,
    /// One of these signals.
    pub signal: Vec<i32>,
    /// Whether any step began.
    pub executed: Option<bool>,
    /// Whether it ran on a runner of the forge.
    pub hosted: Option<bool>,
    /// Took at most so many seconds.
    pub max_duration_s: Option<u64>,
    /// Whether a newer run took its place.
    pub superseded: Option<bool>,
    /// Whether the event that started it was delivered before.
    pub duplicate_event: Option<bool>,
    /// One of these runner states.
    pub runner: Vec<RunnerState>,
    /// At least so many runs were cancelled in a row.
    pub min_cancelled_in_a_row: Option<u64>,
    /// Whether every cell has a log.
    pub all_cells: Option<bool>,
    /// One of these answers of the engagement proof.
    pub engaged: Vec<Truth>,
}

impl FactRule {
    /// The facts that make the rule hold, as text; `None` where it does not hold. A rule without conditions holds.
    #[must_use]
    pub fn holds(&self, facts: &RunFacts) -> Option<Vec<String>> {
        let mut because = Vec::new();
        one_of(&mut because, "status", &self.status, facts.status.as_ref())?;
        one_of(
            &mut because,
            "conclusion",
            &self.conclusion,
            facts.conclusion.as_ref(),
        )?;
        one_of(
            &mut because,
            "exit_code",
            &self.exit_code,
            facts.exit_code.as_ref(),
        )?;
        one_of(&mut because, "signal", &self.signal, facts.signal.as_ref())?;
        one_of(&mut because, "runner", &self.runner, Some(&facts.runner))?;
        one_of(&mut because, "engaged", &self.engaged, Some(&facts.engaged))?;
        is(
            &mut because,
            "executed",
            self.executed,
            facts.executed_steps > 0,
        )?;
        is(&mut because, "hosted", self.hosted, facts.hosted)?;
        is(
            &mut because,
            "superseded",
            self.superseded,
            facts.superseded,
        )?;
        is(
            &mut because,
            "duplicate_event",
            self.duplicate_event,
            facts.duplicate_event,
        )?;
        is(&mut because, "all_cells", self.all_cells, facts.all_cells)?;
        if let Some(limit) = self.max_duration_s {
            let duration = facts.duration_s.filter(|duration| *duration <= limit)?;
            because.push(format!("duration_s = {duration}"));
        }
        if let Some(least) = self.min_cancelled_in_a_row {
            let count = Some(facts.cancelled_in_a_row).filter(|count| *count >= least)?;
            because.push(format!("cancelled_in_a_row = {count}"));
        }
        Some(because)
    }

    /// Whether it states no condition at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn one_of<T: PartialEq + std::fmt::Debug>(
    because: &mut Vec<String>,
    name: &str,
    allowed: &[T],
    fact: Option<&T>,
) -> Option<()> {
    if allowed.is_empty() {
        return Some(());
    }
    let fact = fact.filter(|fact| allowed.contains(fact))?;
    because.push(format!("{name} = {fact:?}"));
    Some(())
}

fn is(because: &mut Vec<String>, name: &str, wanted: Option<bool>, fact: bool) -> Option<()> {
    match wanted {
        None => {}
        Some(wanted) if wanted == fact => because.push(format!("{name} = {fact}")),
        Some(_) => return None,
    }
    Some(())
}

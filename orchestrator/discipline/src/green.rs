//! Green means proven: success, engagement proof, every cell, and no rule of any other class.

use markers::{CellObservations, Truth};
use playbooks::{ClassName, Classification, Disposition};
use serde::{Deserialize, Serialize};

use crate::model::{Conclusion, Grade, Run, RunStatus};
use crate::policy::Policy;
use crate::rulebook::Rulebook;

/// What a run says about its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Success with proof.
    Green,
    /// Success without proof, which is not green.
    GreenUnproven,
    /// It failed.
    Red,
    /// Nothing executed, or it was stopped.
    NoSignal,
}

impl Colour {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::GreenUnproven => "green_unproven",
            Self::Red => "red",
            Self::NoSignal => "no_signal",
        }
    }
}

/// A colour with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourReport {
    /// The colour.
    pub colour: Colour,
    /// One line per reason; empty for green.
    pub reasons: Vec<String>,
}

/// Grades the engagement proof of a run's scope over its cells; a cell that is missing proves nothing.
#[must_use]
pub fn engagement(
    policy: &Policy,
    run: &Run,
    cells: &[CellObservations],
    rulebook: &Rulebook,
) -> Vec<Grade> {
    let names: Vec<_> = policy
        .effective_cells(&run.scope)
        .into_iter()
        .map(|cell| cell.name)
        .collect();
    let cells = rulebook.whole_matrix(&names, cells);
    let engage = policy
        .scope
        .get(&run.scope)
        .map(|scope| scope.engage.as_slice())
        .unwrap_or_default();
    engage
        .iter()
        .map(|text| rulebook.grade("engage", text, &cells))
        .collect()
}

/// All engagement predicates as one answer, for [`playbooks::RunFacts::engaged`]. None declared proves nothing.
#[must_use]
pub fn engaged(engage: &[Grade]) -> Truth {
    let any = |truth| engage.iter().any(|grade| grade.truth == truth);
    match () {
        () if any(Truth::Fails) => Truth::Fails,
        () if engage.is_empty() || any(Truth::NotObservable) => Truth::NotObservable,
        () => Truth::Holds,
    }
}

/// The colour of a run: `cells` are the observations of those cells whose logs were read.
#[must_use]
pub fn colour(
    run: &Run,
    classification: Option<&Classification>,
    engage: &[Grade],
    policy: &Policy,
    cells: &[CellObservations],
) -> ColourReport {
    let report = |colour, reasons| ColourReport { colour, reasons };
    if let Some(why) = no_signal(run, classification) {
        return report(Colour::NoSignal, vec![why]);
    }
    let red = failures(run, classification);
    if !red.is_empty() {
        return report(Colour::Red, red);
    }
    let mut unproven: Vec<_> = engage
        .iter()
        .filter(|grade| grade.truth != Truth::Holds)
        .map(|grade| {
            format!(
                "engagement `{}` is not proven: {}",
                grade.predicate, grade.observed
            )
        })
        .collect();
    if engage.is_empty() {
        unproven.push(format!(
            "scope `{}` declares no engagement proof",
            run.scope
        ));
    }
    unproven.extend(missing_cells(run, policy, cells));
    match classification {
        None => unproven.push("the run is not classified yet".to_owned()),
        Some(class) if class.class != ClassName::PASSED && unproven.is_empty() => {
            unproven.push(format!("its class is {}", class.class));
        }
        Some(_) => {}
    }
    report(
        if unproven.is_empty() {
            Colour::Green
        } else {
            Colour::GreenUnproven
        },
        unproven,
    )
}

/// True only for a proven success.
#[must_use]
pub fn is_green(
    run: &Run,
    classification: Option<&Classification>,
    engage: &[Grade],
    policy: &Policy,
    cells: &[CellObservations],
) -> bool {
    colour(run, classification, engage, policy, cells).colour == Colour::Green
}

fn no_signal(run: &Run, classification: Option<&Classification>) -> Option<String> {
    if run.status != RunStatus::Completed {
        return Some(format!("{} has not ended", run.run_id));
    }
    if !run.executed() {
        return Some(format!("{} executed no step", run.run_id));
    }
    if run.conclusion == Some(Conclusion::Cancelled) {
        return Some(format!("{} was cancelled", run.run_id));
    }
    let silent = classification.filter(|class| class.disposition == Disposition::NoSignal);
    silent.map(|class| format!("{} is of class {}", run.run_id, class.class))
}

/// A conclusion other than success, or a rule of a failing class under a success, such as a run that
/// fell back to the CPU with every assertion passing.
fn failures(run: &Run, classification: Option<&Classification>) -> Vec<String> {
    let mut red = Vec::new();
    if run.conclusion != Some(Conclusion::Success) {
        red.push(match &run.conclusion {
            Some(conclusion) => format!("{} ended with {conclusion:?}", run.run_id).to_lowercase(),
            None => format!("{} ended without a conclusion", run.run_id),
        });
    }
    // Assertions that pass on the wrong device are no success.
    let environment = classification
        .filter(|class| matches!(class.disposition, Disposition::FixEnvironment { .. }));
    red.extend(environment.map(|class| format!("{} is of class {}", run.run_id, class.class)));
    red
}

fn missing_cells(run: &Run, policy: &Policy, cells: &[CellObservations]) -> Vec<String> {
    let names = policy
        .effective_cells(&run.scope)
        .into_iter()
        .map(|cell| cell.name);
    names
        .filter_map(|name| {
            let job = run.jobs.iter().find(|job| job.cell == name);
            let whole = cells.iter().any(|cell| cell.cell == name && cell.complete);
            match job {
                None => Some(format!("cell `{name}` did not run")),
                Some(job) if job.conclusion != Some(Conclusion::Success) => {
                    Some(format!("cell `{name}` did not succeed"))
                }
                Some(_) if !whole => Some(format!("the log of cell `{name}` is not complete")),
                Some(_) => None,
            }
        })
        .collect()
}

//! Grades the guards that a claim states for a scope other than its proof scope, on that scope's run of the
//! pushed commit.
//!
//! They decide nothing about the claim's own verdict: a fix may be confirmed and have broken something
//! else. A guard that breaks makes the rollback due and closes both scopes. One that no run shows takes
//! nothing from the verdict and is listed as not seen.

use attest::claim::ClaimBody;
use markers::{CellObservations, Truth};
use playbooks::Classification;

use super::{describe_alarm, no_engagement_proof, no_signal, sentences};
use crate::model::{Conclusion, Grade, GuardOutcome, Run, RunStatus, ScopeGuards};
use crate::policy::Policy;
use crate::rulebook::Rulebook;

/// A run of another scope at the pushed commit.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'a> {
    /// The claim.
    pub body: &'a ClaimBody,
    /// Policy of the claim's parent.
    pub policy: &'a Policy,
    /// The run; its scope is the one whose guards are graded.
    pub run: &'a Run,
    /// Its class, once classified.
    pub classification: Option<&'a Classification>,
    /// What its cells showed.
    pub cells: &'a [CellObservations],
    /// What the cells of the scope's last run without the change showed, where there is one.
    pub before: Option<&'a [CellObservations]>,
}

/// Grades the guards of the run's scope.
#[must_use]
pub fn grade(witness: &Witness<'_>, rulebook: &Rulebook) -> ScopeGuards {
    let run = witness.run;
    let grades = grades(witness, rulebook);
    let broken: Vec<&Grade> = grades.iter().filter(|g| g.is_broken_guard()).collect();
    let (outcome, reasons) = match broken.is_empty() {
        false => (
            GuardOutcome::Broke,
            broken.into_iter().map(describe_alarm).collect(),
        ),
        true => match unseen(witness, &grades) {
            reasons if reasons.is_empty() => (GuardOutcome::Held, reasons),
            reasons => (GuardOutcome::NotSeen, reasons),
        },
    };
    ScopeGuards {
        scope: run.scope.clone(),
        run_id: Some(run.run_id.clone()),
        outcome,
        grades,
        reasons,
    }
}

/// The answer for a scope of which there is no run to read.
#[must_use]
pub fn not_seen(scope: &str, why: String) -> ScopeGuards {
    ScopeGuards {
        scope: scope.to_owned(),
        run_id: None,
        outcome: GuardOutcome::NotSeen,
        grades: Vec::new(),
        reasons: vec![why],
    }
}

fn grades(witness: &Witness<'_>, rulebook: &Rulebook) -> Vec<Grade> {
    let name = &witness.run.scope;
    let cells = witness.policy.effective_cells(name);
    let names: Vec<String> = cells.into_iter().map(|cell| cell.name).collect();
    let cells = rulebook.whole_matrix(&names, witness.cells);
    let before = witness
        .before
        .map(|before| rulebook.whole_matrix(&names, before));
    let guards = witness
        .body
        .guards
        .iter()
        .filter(|guard| &guard.scope == name);
    let guards =
        guards.map(|guard| rulebook.grade_guard(&guard.predicate, before.as_deref(), &cells));
    let engage = witness.policy.scope.get(name).into_iter();
    let engage = engage.flat_map(|scope| &scope.engage);
    let engage = engage.map(|text| rulebook.grade("engage", text, &cells));
    guards.chain(engage).collect()
}

/// Why what was graded does not mean that every guard holds.
fn unseen(witness: &Witness<'_>, grades: &[Grade]) -> Vec<String> {
    if let Some(why) = no_signal(witness.run, witness.classification) {
        return vec![why];
    }
    if !grades.iter().any(|grade| grade.role == "engage") {
        return vec![no_engagement_proof(&witness.run.scope)];
    }
    let open = grades.iter().filter(|grade| {
        grade.truth == Truth::NotObservable
            || (grade.role == "engage" && grade.truth == Truth::Fails)
    });
    sentences(open)
}

/// The run of a scope that shows its guards for a commit: the newest that has executed, else the newest
/// that is live, else the newest of all.
#[must_use]
pub fn witness_of<'a>(
    runs: impl IntoIterator<Item = &'a Run>,
    scope: &str,
    commit: &str,
) -> Option<&'a Run> {
    let rank = |run: &Run| {
        let cancelled = run.conclusion == Some(Conclusion::Cancelled);
        match run.status {
            RunStatus::Completed if run.executed() && !cancelled => 2,
            RunStatus::Completed => 0,
            RunStatus::Queued | RunStatus::InProgress => 1,
        }
    };
    let of_commit = runs.into_iter().filter(|run| {
        let told = run
            .forge
            .as_ref()
            .is_none_or(|forge| forge.event.as_deref() == Some("push"));
        run.scope == scope && run.head_sha == commit && told
    });
    of_commit.max_by_key(|run| (rank(run), run.created_ms))
}

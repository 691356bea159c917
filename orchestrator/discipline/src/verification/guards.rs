//! Grades the guards that a claim states for a scope other than its proof scope, on that scope's run of the
//! pushed commit.
//!
//! They decide nothing about the claim's own verdict: a fix may be confirmed and have broken something
//! else. A guard that breaks makes the rollback due and closes both scopes. One that no run shows takes
//! nothing from the verdict and is listed as not seen.

use markers::Truth;

use super::{Pushed, Shown, describe_alarm, no_engagement_proof, no_signal, sentences};
use crate::model::{Conclusion, Grade, GuardOutcome, Run, RunStatus, ScopeGuards};
use crate::rulebook::Rulebook;

/// Grades the guards that the claim states for the scope of the run; what it showed before is that scope's last run
/// without the change.
#[must_use]
pub fn grade(pushed: &Pushed<'_>, rulebook: &Rulebook) -> ScopeGuards {
    let run = pushed.run;
    let grades = grades(pushed, rulebook);
    let broken: Vec<&Grade> = grades.iter().filter(|g| g.is_broken_guard()).collect();
    let (outcome, reasons) = match broken.is_empty() {
        false => (
            GuardOutcome::Broke,
            broken.into_iter().map(describe_alarm).collect(),
        ),
        true => match unseen(pushed, &grades) {
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

fn grades(pushed: &Pushed<'_>, rulebook: &Rulebook) -> Vec<Grade> {
    let name = &pushed.run.scope;
    let shown = Shown::of(pushed, name, rulebook);
    let guards = pushed.body.guards.iter();
    let guards = guards.filter(|guard| &guard.scope == name);
    let guards = guards.map(|guard| shown.guard(&guard.predicate));
    let engage = pushed.policy.scope.get(name).into_iter();
    let engage = engage.flat_map(|scope| &scope.engage);
    guards
        .chain(engage.map(|text| shown.grade("engage", text)))
        .collect()
}

/// Why what was graded does not mean that every guard holds.
fn unseen(pushed: &Pushed<'_>, grades: &[Grade]) -> Vec<String> {
    if let Some(why) = no_signal(pushed.run, pushed.classification) {
        return vec![why];
    }
    if !grades.iter().any(|grade| grade.role == "engage") {
        return vec![no_engagement_proof(&pushed.run.scope)];
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

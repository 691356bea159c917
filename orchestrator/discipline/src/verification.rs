//! Grades a pushed claim on the run of its commit.
//!
//! - `inconclusive`: another commit ran, nothing executed, it was cancelled, the machine was at fault,
//!   the engagement proof fails, or something that must hold could not be seen.
//! - `refuted`: a prediction or a guard of the proof scope is false.
//! - For a diagnostic, `confirmed` means that one of its outcomes occurred; its removal is due at once.
//! - `confirmed`: every prediction, guard and engagement predicate holds.
//!
//! `rollback_due` is independent of the three: a rollback condition that holds in any cell or a guard that
//! breaks in one sets it, on whatever the run of this commit did show. A guard breaks in a cell where it
//! fails and did not fail before the push.
//!
//! Guards of other scopes are graded by themselves, each on its own scope's run of the commit; see [`guards`].

pub mod guards;

use attest::claim::{ClaimBody, ClaimKind};
use markers::{CellObservations, Truth};
use playbooks::{Classification, Disposition};

use crate::model::{Conclusion, Grade, Run, RunStatus, Verdict, VerdictKind};
use crate::policy::Policy;
use crate::rulebook::Rulebook;

/// Everything that grading reads.
#[derive(Debug, Clone, Copy)]
pub struct Pushed<'a> {
    /// The claim.
    pub body: &'a ClaimBody,
    /// Its commit.
    pub commit: &'a str,
    /// Policy of the claim's parent.
    pub policy: &'a Policy,
    /// The run that a push of the commit started.
    pub run: &'a Run,
    /// Its class, once classified.
    pub classification: Option<&'a Classification>,
    /// What its cells showed.
    pub cells: &'a [CellObservations],
    /// What the scope's cells showed without the change, on the claim's baseline run, where they can still be read.
    pub before: Option<&'a [CellObservations]>,
}

/// Grades every predicate of the claim and says what became of it.
#[must_use]
pub fn grade(pushed: &Pushed<'_>, rulebook: &Rulebook) -> Verdict {
    let verdict = |kind, grades, rollback_due, reasons| Verdict {
        run_id: pushed.run.run_id.clone(),
        commit: pushed.commit.to_owned(),
        kind,
        grades,
        rollback_due,
        reasons,
        other_scopes: Vec::new(),
    };
    if let Some(stranger) = of_another_push(pushed) {
        return verdict(VerdictKind::Inconclusive, Vec::new(), false, vec![stranger]);
    }
    let grades = grades(pushed, rulebook);
    let (kind, mut reasons) = kind(pushed, &grades);
    let alarms: Vec<_> = grades
        .iter()
        .filter(|grade| alarms(grade))
        .map(describe_alarm)
        .collect();
    let diagnostic = pushed.body.kind == ClaimKind::Diagnostic;
    reasons.extend(deaths(pushed.body, &grades));
    if diagnostic {
        reasons.push("rollback due: a diagnostic leaves the tree once it has run".to_owned());
    }
    let rollback_due = diagnostic || !alarms.is_empty();
    reasons.extend(alarms);
    verdict(kind, grades, rollback_due, reasons)
}

/// The hypotheses that the outcomes which occurred strike out, with the outcome that killed each.
#[must_use]
pub fn killed<'a>(body: &'a ClaimBody, grades: &[Grade]) -> Vec<(&'a str, &'a str)> {
    let occurred = |predicate: &str| {
        grades.iter().any(|grade| {
            grade.role == "outcome" && grade.predicate == predicate && grade.truth == Truth::Holds
        })
    };
    let rows = body.outcomes.iter().filter(|row| occurred(&row.predicate));
    rows.flat_map(|row| {
        row.kills
            .iter()
            .map(|id| (id.as_str(), row.predicate.as_str()))
    })
    .collect()
}

fn deaths(body: &ClaimBody, grades: &[Grade]) -> Vec<String> {
    let dead = killed(body, grades).into_iter();
    dead.map(|(id, predicate)| format!("`{predicate}` occurred and kills {id}"))
        .collect()
}

fn of_another_push(pushed: &Pushed<'_>) -> Option<String> {
    let (run, body) = (pushed.run, pushed.body);
    if run.head_sha != pushed.commit {
        return Some(format!(
            "{} ran commit {}, the claim's is {}",
            run.run_id, run.head_sha, pushed.commit
        ));
    }
    (run.scope != body.proof_scope).then(|| {
        format!(
            "{} ran scope `{}`, the claim's is `{}`",
            run.run_id, run.scope, body.proof_scope
        )
    })
}

/// Cells of a scope as predicates see them: of the run, and of what there was before it.
struct Shown<'a> {
    rulebook: &'a Rulebook,
    cells: Vec<CellObservations>,
    before: Option<Vec<CellObservations>>,
}

impl<'a> Shown<'a> {
    fn of(pushed: &Pushed<'_>, scope: &str, rulebook: &'a Rulebook) -> Self {
        let cells = pushed.policy.effective_cells(scope).into_iter();
        let names: Vec<String> = cells.map(|cell| cell.name).collect();
        let whole = |cells| rulebook.whole_matrix(&names, cells);
        Self {
            rulebook,
            cells: whole(pushed.cells),
            before: pushed.before.map(whole),
        }
    }

    fn grade(&self, role: &str, text: &str) -> Grade {
        self.rulebook.grade(role, text, &self.cells)
    }

    fn guard(&self, text: &str) -> Grade {
        self.rulebook
            .grade_guard(text, self.before.as_deref(), &self.cells)
    }
}

fn grades(pushed: &Pushed<'_>, rulebook: &Rulebook) -> Vec<Grade> {
    let (body, scope) = (
        pushed.body,
        pushed.policy.scope.get(&pushed.body.proof_scope),
    );
    let shown = Shown::of(pushed, &body.proof_scope, rulebook);
    let grade = |role: &str, text: &String| shown.grade(role, text);
    let own = body
        .guards
        .iter()
        .filter(|guard| guard.scope == body.proof_scope)
        .map(|guard| &guard.predicate);
    let mut guards: Vec<&String> = own.collect();
    let demanded = scope
        .map(|scope| scope.guards.as_slice())
        .unwrap_or_default();
    guards.extend(
        demanded
            .iter()
            .filter(|text| !body.guards.iter().any(|guard| &guard.predicate == *text)),
    );
    let engage = scope
        .map(|scope| scope.engage.as_slice())
        .unwrap_or_default();
    let mut graded: Vec<_> = body
        .predictions
        .iter()
        .map(|text| grade("prediction", text))
        .collect();
    graded.extend(
        body.outcomes
            .iter()
            .map(|row| grade("outcome", &row.predicate)),
    );
    graded.extend(guards.into_iter().map(|text| shown.guard(text)));
    graded.extend(engage.iter().map(|text| grade("engage", text)));
    graded.extend(
        body.rollback_if
            .iter()
            .map(|text| rulebook.grade_alarm("rollback_if", text, &shown.cells)),
    );
    graded
}

fn kind(pushed: &Pushed<'_>, grades: &[Grade]) -> (VerdictKind, Vec<String>) {
    if let Some(why) = no_signal(pushed.run, pushed.classification) {
        return (VerdictKind::Inconclusive, vec![why]);
    }
    if pushed.body.kind == ClaimKind::Diagnostic {
        return looked(grades);
    }
    let of = |roles: &[&str], truth| -> Vec<String> {
        sentences(
            grades
                .iter()
                .filter(|g| roles.contains(&g.role.as_str()) && g.truth == truth),
        )
    };
    let disengaged = of(&["engage"], Truth::Fails);
    if !disengaged.is_empty() {
        return (VerdictKind::Inconclusive, disengaged);
    }
    let mut missed = of(&["prediction"], Truth::Fails);
    missed.extend(sentences(grades.iter().filter(|g| g.is_broken_guard())));
    if !missed.is_empty() {
        return (VerdictKind::Refuted, missed);
    }
    let unseen = of(&["prediction", "guard", "engage"], Truth::NotObservable);
    if !unseen.is_empty() {
        return (VerdictKind::Inconclusive, unseen);
    }
    match grades.iter().any(|grade| grade.role == "engage") {
        true => (VerdictKind::Confirmed, Vec::new()),
        false => (
            VerdictKind::Inconclusive,
            vec![no_engagement_proof(&pushed.body.proof_scope)],
        ),
    }
}

fn no_engagement_proof(scope: &str) -> String {
    format!("scope `{scope}` declares no engagement proof")
}

/// A diagnostic looks at a run that is still red, so that only its own outcomes count.
fn looked(grades: &[Grade]) -> (VerdictKind, Vec<String>) {
    let mut outcomes = grades.iter().filter(|grade| grade.role == "outcome");
    match outcomes.any(|grade| grade.truth == Truth::Holds) {
        true => (VerdictKind::Confirmed, Vec::new()),
        false => {
            let why = "none of the outcomes that the diagnostic names occurred".to_owned();
            (VerdictKind::Inconclusive, vec![why])
        }
    }
}

/// Why a run says nothing about the change.
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
    let class = classification?;
    match class.disposition {
        Disposition::NoSignal | Disposition::FixEnvironment { .. } => Some(format!(
            "{} is of class {}, which says nothing about the change",
            run.run_id, class.class
        )),
        Disposition::FixLocally | Disposition::Debug => None,
    }
}

/// One sentence per grade.
fn sentences<'a>(grades: impl Iterator<Item = &'a Grade>) -> Vec<String> {
    grades
        .map(|g| {
            format!(
                "{} `{}` {}: {}",
                g.role,
                g.predicate,
                word(g.truth),
                g.observed
            )
        })
        .collect()
}

fn word(truth: Truth) -> &'static str {
    match truth {
        Truth::Holds => "holds",
        Truth::Fails => "fails",
        Truth::NotObservable => "is not observable",
    }
}

fn alarms(grade: &Grade) -> bool {
    (grade.role == "rollback_if" && grade.truth == Truth::Holds) || grade.is_broken_guard()
}

fn describe_alarm(grade: &Grade) -> String {
    match grade.role.as_str() {
        "guard" => format!(
            "rollback due: guard `{}` broke: {}",
            grade.predicate, grade.observed
        ),
        _ => format!(
            "rollback due: `{}` holds: {}",
            grade.predicate, grade.observed
        ),
    }
}

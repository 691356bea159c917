//! The prediction language in every kind of rule: what each quantifier and operator answers for each state of
//! a value, and what a claim and a run make of the answer. Every answer is written down here.

use std::sync::LazyLock;

use attest::claim::{ClaimBody, Guard};
use markers::{CellObservations, NonFinite, Observation, Truth, Value};

use crate::decision::{DecisionInput, Stage};
use crate::fixtures::{self, COMMIT, SCOPE, cells, good_input, redigested, run};
use crate::green::{engaged, engagement};
use crate::model::{Trigger, VerdictKind};
use crate::policy::Policy;
use crate::rulebook::Rulebook;
use crate::rules::decide;
use crate::verification::{Pushed, grade};

static RULEBOOK: LazyLock<Rulebook> = LazyLock::new(fixtures::rulebook);
static GOOD: LazyLock<DecisionInput> = LazyLock::new(good_input);

/// Kinds of rules.
const ROLES: [&str; 4] = ["prediction", "guard", "engage", "rollback_if"];

/// States of `gpu_perdispatch.sum_us` in a cell: the rows there are.
const STATES: [(&str, &[State]); 12] = [
    ("below", &[State::Us("90")]),
    ("equal", &[State::Us("100")]),
    ("above", &[State::Us("110")]),
    ("nan", &[State::Is(NonFinite::Nan)]),
    ("infinite", &[State::Is(NonFinite::Infinity)]),
    ("masked", &[State::Masked]),
    ("not available", &[State::NotAvailable]),
    ("a mode that cannot show it", &[State::Summary]),
    ("a row without the field", &[State::Without]),
    ("no row", &[]),
    ("below and masked", &[State::Us("90"), State::Masked]),
    ("below and above", &[State::Us("90"), State::Us("110")]),
];

#[derive(Clone, Copy)]
enum State {
    Us(&'static str),
    Is(NonFinite),
    Masked,
    NotAvailable,
    Summary,
    Without,
}

/// Predicates and their answers, one letter per state: `H` holds, `F` fails, `?` a row is there and cannot
/// show it, `-` nothing is there to show it, `X` the predicate means nothing.
const TABLE: &[(&str, &str)] = &[
    // quantifier and operator
    ("all gpu_perdispatch.sum_us == 100", "FHFFF????-FF"),
    ("all gpu_perdispatch.sum_us != 100", "HFHHH????-?H"),
    ("all gpu_perdispatch.sum_us < 100", "HFFFF????-?F"),
    ("all gpu_perdispatch.sum_us <= 100", "HHFFF????-?F"),
    ("all gpu_perdispatch.sum_us > 100", "FFHFH????-FF"),
    ("all gpu_perdispatch.sum_us >= 100", "FHHFH????-FF"),
    ("any gpu_perdispatch.sum_us == 100", "FHFFF????-?F"),
    ("any gpu_perdispatch.sum_us != 100", "HFHHH????-HH"),
    ("any gpu_perdispatch.sum_us < 100", "HFFFF????-HH"),
    ("any gpu_perdispatch.sum_us <= 100", "HHFFF????-HH"),
    ("any gpu_perdispatch.sum_us > 100", "FFHFH????-?H"),
    ("any gpu_perdispatch.sum_us >= 100", "FHHFH????-?H"),
    // the unwritten quantifier is `all`
    ("gpu_perdispatch.sum_us >= 100", "FHHFH????-FF"),
    // tolerances, absolute and relative; at the edge and inside it
    ("all gpu_perdispatch.sum_us == 100 ±10us", "HHHFF????-?H"),
    ("all gpu_perdispatch.sum_us == 100 ±10%", "HHHFF????-?H"),
    ("all gpu_perdispatch.sum_us == 100 ±9us", "FHFFF????-FF"),
    ("all gpu_perdispatch.sum_us == 100 ±9.9%", "FHFFF????-FF"),
    ("all gpu_perdispatch.sum_us != 100 ±10us", "FFFHH????-FF"),
    ("all gpu_perdispatch.sum_us < 100 ±10us", "HHFFF????-?F"),
    ("all gpu_perdispatch.sum_us <= 100 ±10us", "HHHFF????-?H"),
    ("all gpu_perdispatch.sum_us > 100 ±10us", "FHHFH????-FF"),
    ("all gpu_perdispatch.sum_us >= 100 ±10us", "HHHFH????-?H"),
    ("any gpu_perdispatch.sum_us == 100 ±9us", "FHFFF????-?F"),
    // units, which convert exactly
    ("all gpu_perdispatch.sum_us == 0.1ms", "FHFFF????-FF"),
    ("all gpu_perdispatch.sum_us == 100000ns", "FHFFF????-FF"),
    (
        "all gpu_perdispatch.sum_us == 0.1ms ±10000ns",
        "HHHFF????-?H",
    ),
    ("all gpu_perdispatch.sum_us <= 0.0001s", "HHFFF????-?F"),
    // what is no number
    ("all gpu_perdispatch.sum_us == nan", "FFFHF????-FF"),
    ("all gpu_perdispatch.sum_us != nan", "HHHFH????-?H"),
    ("any gpu_perdispatch.sum_us == inf", "FFFFH????-?F"),
    ("all gpu_perdispatch.sum_us < inf", "HHHFF????-?H"),
    ("all gpu_perdispatch.sum_us == none", "FFFFF????-FF"),
    // rows there or not; a row without a filtered field is not meant
    ("present gpu_perdispatch", "HHHHHHHHHFHH"),
    ("absent gpu_perdispatch", "FFFFFFFFFHFF"),
    ("present gpu_perdispatch{sum_us=100}", "FHFFF???FF?F"),
    ("absent gpu_perdispatch{sum_us=100}", "HFHHH???HH?H"),
    ("present gpu_perdispatch{sum_us=0.1ms}", "FHFFF???FF?F"),
    // numbers of rows; masked ones may or may not be meant
    ("count gpu_perdispatch == 1", "HHHHHHHHHFFF"),
    ("count gpu_perdispatch{sum_us=90} == 1", "HFFFF???FF?H"),
    ("count gpu_perdispatch{sum_us=90} != 1", "FHHHH???HH?F"),
    ("count gpu_perdispatch{sum_us=90} < 1", "FHHHH???HHFF"),
    ("count gpu_perdispatch{sum_us=90} <= 1", "HHHHHHHHHH?H"),
    ("count gpu_perdispatch{sum_us=90} > 1", "FFFFFFFFFF?F"),
    ("count gpu_perdispatch{sum_us=90} >= 1", "HFFFF???FFHH"),
    // what means nothing
    ("all gpu_perdispatch.sum_us == 100B", "XXXXXXXXXXXX"),
    ("all gpu_perdispatch.sum_us == 100 ±10MiB", "XXXXXXXXXXXX"),
    ("all gpu_perdispatch.sum_us == fast", "XXXXXXXXXXXX"),
    ("all gpu_perdispatch.sum_us == nan ±1", "XXXXXXXXXXXX"),
    ("all gpu_perdispatch.path < single_graph", "XXXXXXXXXXXX"),
    ("present gpu_perdispatch{sum_us=100B}", "XXXXXXXXXXXX"),
];

/// What a run makes of an answer: verdict, and whether a rollback is due.
const ON_THE_RUN: &[(&str, &str, VerdictKind, bool)] = &[
    ("prediction", "H", VerdictKind::Confirmed, false),
    ("prediction", "F", VerdictKind::Refuted, false),
    ("prediction", "?-X", VerdictKind::Inconclusive, false),
    ("guard", "H", VerdictKind::Confirmed, false),
    ("guard", "F", VerdictKind::Refuted, true),
    ("guard", "?-X", VerdictKind::Inconclusive, false),
    ("engage", "H", VerdictKind::Confirmed, false),
    ("engage", "F?-X", VerdictKind::Inconclusive, false),
    ("rollback_if", "H", VerdictKind::Confirmed, true),
    ("rollback_if", "F?-X", VerdictKind::Confirmed, false),
];

/// What a proposal makes of an answer on its baseline run.
const ON_THE_BASELINE: &[(&str, &str, &[&str])] = &[
    ("prediction", "H", &["prediction_already_holds"]),
    ("prediction", "F", &[]),
    ("prediction", "?", &["prediction_unobservable"]),
    ("prediction", "-", &["prediction_not_false_today"]),
    ("prediction", "X", &["predicate_type"]),
    ("guard", "H?-", &[]),
    ("guard", "F", &["guard_broken_today"]),
    ("guard", "X", &["predicate_type"]),
    ("rollback_if", "H", &["rollback_already_holds"]),
    ("rollback_if", "F-", &[]),
    ("rollback_if", "?", &["rollback_unobservable"]),
    ("rollback_if", "X", &["predicate_type"]),
];

/// Answers over two cells, by whether each of them shows `all gpu_perdispatch.sum_us == 100`: what holds has to
/// hold in every cell, and what means revert means it in any.
const CELLS: &[(Cell, Cell, &str, char, char)] = &[
    (Cell::Shows("100"), Cell::Shows("100"), "", 'H', 'H'),
    (Cell::Shows("100"), Cell::Shows("90"), "", 'F', 'H'),
    (Cell::Shows("90"), Cell::Shows("100"), "", 'F', 'H'),
    (Cell::Shows("90"), Cell::Shows("90"), "", 'F', 'F'),
    (Cell::Shows("100"), Cell::Masked, "", '?', 'H'),
    (Cell::Shows("90"), Cell::Masked, "", 'F', '?'),
    (Cell::Masked, Cell::Masked, "", '?', '?'),
    (Cell::Shows("100"), Cell::Missing, "", '?', 'H'),
    (Cell::Shows("90"), Cell::Missing, "", 'F', '?'),
    (Cell::Shows("100"), Cell::Cut("100"), "", '?', 'H'),
    (Cell::Shows("100"), Cell::Cut("90"), "", 'F', 'H'),
    (
        Cell::Shows("90"),
        Cell::Shows("100"),
        " @noop-0-full",
        'H',
        'H',
    ),
    (
        Cell::Shows("100"),
        Cell::Shows("90"),
        " @noop-0-full",
        'F',
        'F',
    ),
    (Cell::Shows("100"), Cell::Missing, " @noop-0-full", '?', '?'),
    (Cell::Shows("100"), Cell::Shows("90"), " @*", 'F', 'H'),
    (
        Cell::Shows("100"),
        Cell::Shows("100"),
        " @noop-7-full",
        '?',
        '?',
    ),
];

#[derive(Debug, Clone, Copy)]
enum Cell {
    Shows(&'static str),
    Masked,
    /// As `Shows`, in a log whose end is missing.
    Cut(&'static str),
    Missing,
}

/// A row of a pass in that state.
fn row(like: &Observation, state: State) -> Observation {
    let mut row = like.clone();
    row.fields.insert("ts".into(), Value::Text("full".into()));
    let value = match state {
        State::Us(number) => Value::Number(number.parse().unwrap()),
        State::Is(value) => Value::NonFinite(value),
        State::Masked => Value::Masked,
        State::NotAvailable => Value::NotAvailable,
        State::Summary => {
            row.fields
                .insert("ts".into(), Value::Text("summary".into()));
            Value::Number("100".parse().unwrap())
        }
        State::Without => {
            row.fields.remove("sum_us");
            return row;
        }
    };
    row.fields.insert("sum_us".into(), value);
    row
}

/// A green cell with these passes instead of its own.
fn with(cell: &CellObservations, states: &[State]) -> CellObservations {
    let mut cell = cell.clone();
    let own = |row: &Observation| row.kind == "gpu_perdispatch";
    let at = cell.observations.iter().position(own).unwrap();
    let like = cell.observations.remove(at);
    assert!(!cell.observations.iter().any(own));
    let rows = states.iter().map(|state| row(&like, *state));
    cell.observations.splice(at..at, rows);
    cell
}

/// A claim and a policy in which nothing but `text` decides, in that role.
fn alone(role: &str, text: &str) -> (ClaimBody, Policy) {
    let (mut body, mut policy) = (GOOD.body.clone(), GOOD.policy.policy.clone());
    body.predictions = vec!["all backend.backend == vulkan".into()];
    body.guards.clear();
    body.rollback_if = vec!["present chunk_abort".into()];
    let scope = policy.scope.get_mut(SCOPE).unwrap();
    scope.guards.clear();
    scope.engage = vec!["all backend.cpu_fallback == false".into()];
    match role {
        "prediction" => body.predictions = vec![text.into()],
        "guard" => {
            body.guards = vec![Guard {
                scope: SCOPE.into(),
                predicate: text.into(),
            }]
        }
        "engage" => scope.engage = vec![text.into()],
        _ => body.rollback_if = vec![text.into()],
    }
    (body, policy)
}

/// The grade of `text` on a run that showed `cells`, the verdict, and whether a rollback is due.
fn on_the_run(role: &str, text: &str, cells: &[CellObservations]) -> (Truth, VerdictKind, bool) {
    let (body, policy) = alone(role, text);
    let run = run("R2", COMMIT, Trigger::Push { claim: "C1".into() }, true);
    let verdict = grade(
        &Pushed {
            body: &body,
            commit: COMMIT,
            policy: &policy,
            run: &run,
            classification: None,
            cells,
            before: None,
        },
        &RULEBOOK,
    );
    let graded = verdict
        .grades
        .iter()
        .find(|grade| grade.role == role)
        .unwrap();
    assert_eq!(graded.predicate, text);
    if role == "engage" {
        // A run's colour asks the same question.
        assert_eq!(
            engaged(&engagement(&policy, &run, cells, &RULEBOOK)),
            graded.truth
        );
    }
    (graded.truth, verdict.kind, verdict.rollback_due)
}

/// Codes that a proposal meets about `text`, whose baseline run showed `cells`.
fn on_the_baseline(role: &str, text: &str, cells: &[CellObservations]) -> Vec<String> {
    let mut input = GOOD.clone();
    (input.body, input.policy.policy) = alone(role, text);
    input.baseline.as_mut().unwrap().cells = cells.to_vec();
    let decision = decide(&redigested(input), &RULEBOOK, Stage::Propose);
    let about = |field: &str| field.starts_with(role);
    let refused = decision.refused().filter(|refusal| about(&refusal.field));
    refused.map(|refusal| refusal.code.clone()).collect()
}

fn truth(letter: char) -> Truth {
    match letter {
        'H' => Truth::Holds,
        'F' => Truth::Fails,
        _ => Truth::NotObservable,
    }
}

#[test]
fn every_kind_of_rule_answers_the_same_and_acts_by_the_answer() {
    let green = cells(true);
    for (text, letters) in TABLE {
        assert_eq!(letters.chars().count(), STATES.len(), "{text}");
        for ((state, rows), letter) in STATES.iter().zip(letters.chars()) {
            let shown: Vec<_> = green.iter().map(|cell| with(cell, rows)).collect();
            for role in ROLES {
                let of_role = |row: &&(&str, &str, VerdictKind, bool)| {
                    row.0 == role && row.1.contains(letter)
                };
                let (_, _, kind, due) = ON_THE_RUN.iter().find(of_role).unwrap();
                assert_eq!(
                    on_the_run(role, text, &shown),
                    (truth(letter), *kind, *due),
                    "{role} `{text}`, {state}"
                );
            }
            for (role, letters, codes) in ON_THE_BASELINE {
                if letters.contains(letter) {
                    assert_eq!(
                        &on_the_baseline(role, text, &shown),
                        codes,
                        "{role} `{text}`, {state}, baseline"
                    );
                }
            }
        }
    }
}

#[test]
fn what_must_hold_holds_in_every_cell_and_what_means_revert_means_it_in_any() {
    let green = cells(true);
    for (first, second, suffix, every, any) in CELLS {
        let text = format!("all gpu_perdispatch.sum_us == 100{suffix}");
        let shown: Vec<_> = green
            .iter()
            .zip([first, second])
            .filter_map(|(cell, shows)| match shows {
                Cell::Shows(number) => Some(with(cell, &[State::Us(number)])),
                Cell::Masked => Some(with(cell, &[State::Masked])),
                Cell::Cut(number) => Some(CellObservations {
                    complete: false,
                    ..with(cell, &[State::Us(number)])
                }),
                Cell::Missing => None,
            })
            .collect();
        for role in ROLES {
            let letter = if role == "rollback_if" { any } else { every };
            let (found, _, due) = on_the_run(role, &text, &shown);
            assert_eq!(
                found,
                truth(*letter),
                "{role} `{text}` on {first:?}, {second:?}"
            );
            assert!(
                role != "rollback_if" || due == (*any == 'H'),
                "`{text}` on {first:?}, {second:?}"
            );
        }
    }
}

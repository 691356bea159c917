//! Where a run is right and where it is not, and which comparisons accuse their reference.

use std::collections::BTreeSet;

use markers::{Catalogue, CellObservations, Observation, Truth, evaluate};

use crate::Playbooks;
use crate::class::Grouping;

/// Field of rows that says which way through the program they speak about.
const PATH: &str = "path";

/// Tests and paths of one cell, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    /// Tests that failed.
    pub failing_tests: BTreeSet<String>,
    /// Tests that passed.
    pub passing_tests: BTreeSet<String>,
    /// Paths that part from the reference.
    pub failing_paths: BTreeSet<String>,
    /// Paths that ran and do not.
    pub passing_paths: BTreeSet<String>,
}

/// Reads which tests and paths of a cell failed and which did not, by the markers that failures are
/// grouped with. A cell that shows neither has four empty sets.
#[must_use]
pub fn sides(playbooks: &Playbooks, cell: &CellObservations) -> Sides {
    let grouping = playbooks
        .classes()
        .iter()
        .find_map(|class| class.grouping.as_ref());
    let Some(Grouping { form, .. }) = grouping else {
        return Sides::default();
    };
    let mut sides = Sides::default();
    let path = |row: &Observation| row.text(PATH).map(str::to_owned);
    for row in &cell.observations {
        if row.kind == form.signature.marker {
            sides.failing_paths.extend(path(row));
        } else {
            sides.passing_paths.extend(path(row));
        }
        if row.kind != form.test.marker {
            continue;
        }
        let name = row.text(&form.test.name).map(str::to_owned);
        match row.text(&form.test.outcome) {
            Some(outcome) if outcome == form.test.failed => sides.failing_tests.extend(name),
            Some(outcome) if outcome == form.test.passed => sides.passing_tests.extend(name),
            _ => {}
        }
    }
    let Sides {
        failing_tests,
        passing_tests,
        failing_paths,
        passing_paths,
    } = &mut sides;
    passing_tests.retain(|test| !failing_tests.contains(test));
    passing_paths.retain(|path| !failing_paths.contains(path));
    sides
}

/// What the playbooks say of rows whose comparison accuses the reference; `None` where they accuse
/// the device, or nobody.
#[must_use]
pub fn blamed_reference<'a>(
    playbooks: &'a Playbooks,
    catalogue: &Catalogue,
    rows: &[Observation],
) -> Option<&'a str> {
    let alone = [CellObservations {
        cell: String::new(),
        complete: false,
        observations: rows.to_vec(),
    }];
    let notes = playbooks.classes().iter().flat_map(|class| &class.notes);
    notes
        .filter(|note| note.blames_reference)
        .find(|note| evaluate(&note.when, catalogue, &alone).truth == Truth::Holds)
        .map(|note| note.text.as_str())
}

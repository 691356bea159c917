//! Log bytes that are to stand for a cause: what their lines say, and what the same run shows where
//! nothing is wrong.
//!
//! Bytes stand for a cause only when they speak about the device and not about a broken reference,
//! about the path that the cause names, and show something that the working side of the same run does
//! not show as well.

use std::collections::{BTreeMap, BTreeSet};

use markers::{Catalogue, CellObservations, Literal, Marker, Observation, Predicate};
use playbooks::{Playbooks, blamed_reference, sides};

use crate::contrast::{Segment, Selector, Separator, contrast, segments, spoken};
use crate::event::Mechanism;
use crate::model::{Refusal, RunId};

/// Fields that say where a row stands. They tell both sides of a contrast apart because the sides
/// were chosen by them, and explain nothing.
const COORDINATES: [&str; 3] = ["path", "phase", "test"];
/// Rows of a kind beyond which a field with mostly different values is an identity or a measurement.
const FEW_ROWS: usize = 8;

/// One citation, looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cited {
    /// The bytes exist, and are the cited lines.
    pub exists: bool,
    /// Rows on those lines.
    pub rows: Vec<Observation>,
    /// Run whose log it is; `None` for the transcript of a gate.
    pub run: Option<RunId>,
}

/// The citations of one entry of the ledger, in its order, and what their runs showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CitedBytes {
    /// One per citation.
    pub cited: Vec<Cited>,
    /// Cells of every run that is cited.
    pub runs: BTreeMap<RunId, Vec<CellObservations>>,
}

impl CitedBytes {
    /// Citations that exist or not, with no rows: what a caller without logs can say.
    #[must_use]
    pub fn bare(exists: &[bool]) -> Self {
        let cited = exists.iter().map(|exists| Cited {
            exists: *exists,
            ..Cited::default()
        });
        Self {
            cited: cited.collect(),
            runs: BTreeMap::new(),
        }
    }

    /// Whether each citation exists.
    #[must_use]
    pub fn exists(&self) -> Vec<bool> {
        self.cited.iter().map(|cited| cited.exists).collect()
    }
}

/// The data that cited rows are read with.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    /// Marker catalogue in force.
    pub catalogue: &'a Catalogue,
    /// Playbooks in force.
    pub playbooks: &'a Playbooks,
}

/// What a hypothesis says that bytes for it have to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) mechanism: Mechanism,
    /// Paths that its predicates name.
    pub(crate) paths: BTreeSet<String>,
}

impl Cause {
    pub(crate) fn of(body: &crate::event::HypothesisBody) -> Self {
        let texts = body.predicts.iter().chain(&body.forbids);
        let predicates = texts.filter_map(|text| text.parse::<Predicate>().ok());
        Self {
            mechanism: body.mechanism,
            paths: predicates.filter_map(|p| path_of(&p)).collect(),
        }
    }
}

/// The path that a predicate selects, if it selects one.
fn path_of(predicate: &Predicate) -> Option<String> {
    let filters = predicate.selector().filters.iter().flatten();
    filters
        .filter(|filter| filter.field == "path")
        .find_map(|filter| match &filter.value {
            Literal::Word(word) | Literal::Quoted(word) => Some(word.clone()),
            Literal::Number { .. } | Literal::List(_) => None,
        })
}

/// Every reason why cited bytes do not stand for the cause. `list` is the field they were given in.
pub(crate) fn judge(
    list: &str,
    bytes: &CitedBytes,
    cause: &Cause,
    books: Books<'_>,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for (index, cited) in bytes.cited.iter().enumerate() {
        let field = format!("{list}[{index}]");
        refused.extend(zeros(&field, cited, cause, books));
        let run = cited.run.as_ref().and_then(|run| bytes.runs.get(run));
        if let Some(cells) = run {
            refused.extend(also_good(&field, cited, cells, books));
        }
    }
    refused.extend(other_path(list, bytes, cause));
    refused
}

/// A comparison with a reference of zeros accuses the reference.
fn zeros(field: &str, cited: &Cited, cause: &Cause, books: Books<'_>) -> Option<Refusal> {
    if cause.mechanism == Mechanism::WrongReference {
        return None;
    }
    let said = blamed_reference(books.playbooks, books.catalogue, &cited.rows)?;
    Some(Refusal::new(
        "reference_is_zeros",
        field,
        said,
        "name the mechanism `wrong_reference`, or cite a comparison whose reference has values",
    ))
}

/// What shows on the working side as often as on the failing one separates nothing.
fn also_good(
    field: &str,
    cited: &Cited,
    cells: &[CellObservations],
    books: Books<'_>,
) -> Option<Refusal> {
    let mut fired = Vec::new();
    for row in &cited.rows {
        fired.push((row, fires_on_good_path(books, row, cells)?));
    }
    let (row, times) = fired.into_iter().max_by_key(|(_, times)| *times)?;
    Some(Refusal::new(
        "fires_on_good_path",
        field,
        format!(
            "`{}` on line {} also fires on the good path {times}×, and no value of it separates the two",
            row.kind, row.line
        ),
        "ask `contrast` for a separator without `also_on_good_path` and cite a row that shows it",
    ))
}

/// How many rows of the working side show the marker of `row`, when nothing in the row tells failing
/// from working; `None` when something does, or when the run has no working side that could show it.
#[must_use]
pub fn fires_on_good_path(
    books: Books<'_>,
    row: &Observation,
    cells: &[CellObservations],
) -> Option<u64> {
    let marker = books.catalogue.marker(&row.kind)?;
    let identities = identities(marker, cells);
    let related = related(marker, cells);
    let said = |(failing, passing): TwoSides| {
        let mut found = contrast(books.catalogue, &failing, &passing);
        found.retain(|separator| shows(row, separator) && !is_one_of(separator, &identities));
        found
    };
    let tests = said(by_test(books, cells, &related));
    let paths = said(by_path(books, cells, &related));
    let by_value = |separator: &Separator| separator.nameable_as_cause && separator.field.is_some();
    if tests.iter().any(|separator| separator.nameable_as_cause) || paths.iter().any(by_value) {
        return None;
    }
    // That only one path prints a marker at all is its nature; where a right test prints it too, that
    // tells nothing.
    presence(&tests).or_else(|| match paths.iter().any(|s| s.nameable_as_cause) {
        true => None,
        false => presence(&paths),
    })
}

/// Rows of the working side that show the marker at all, if any do.
fn presence(separators: &[Separator]) -> Option<u64> {
    let mut own = separators.iter().filter(|found| found.field.is_none());
    own.find_map(|found| (found.also_on_good_path > 0).then_some(found.also_on_good_path))
}

fn shows(row: &Observation, separator: &Separator) -> bool {
    if separator.marker != row.kind {
        return false;
    }
    match &separator.field {
        None => separator.value == "present",
        Some(field) => row
            .fields
            .get(field)
            .is_some_and(|value| spoken(value).contains(&separator.value)),
    }
}

fn is_one_of(separator: &Separator, fields: &BTreeSet<String>) -> bool {
    let field = separator.field.as_deref();
    field.is_some_and(|field| COORDINATES.contains(&field) || fields.contains(field))
}

/// Fields whose values are mostly different from row to row, such as keys and times.
fn identities(marker: &Marker, cells: &[CellObservations]) -> BTreeSet<String> {
    let rows: Vec<&Observation> = cells
        .iter()
        .flat_map(|cell| &cell.observations)
        .filter(|row| row.kind == marker.name)
        .collect();
    let differ = |field: &str| {
        let values: BTreeSet<String> = rows
            .iter()
            .filter_map(|row| Some(row.fields.get(field)?.to_string()))
            .collect();
        rows.len() > FEW_ROWS && values.len() * 2 > rows.len()
    };
    let names = marker.fields.iter().map(|field| field.name.clone());
    names.filter(|name| differ(name)).collect()
}

/// The cells with the rows of a marker and of what witnesses that it could have shown.
fn related(marker: &Marker, cells: &[CellObservations]) -> Vec<CellObservations> {
    let wanted = |row: &&Observation| {
        row.kind == marker.name || marker.witnesses.iter().any(|w| w.marker == row.kind)
    };
    cells
        .iter()
        .map(|cell| CellObservations {
            cell: cell.cell.clone(),
            complete: cell.complete,
            observations: cell.observations.iter().filter(wanted).cloned().collect(),
        })
        .collect()
}

type TwoSides = (Vec<Segment>, Vec<Segment>);

/// Segments of the tests that failed and of those that passed, cell by cell.
fn by_test(books: Books<'_>, cells: &[CellObservations], related: &[CellObservations]) -> TwoSides {
    let (mut failing, mut passing) = (Vec::new(), Vec::new());
    for (cell, rows) in cells.iter().zip(related) {
        let found = sides(books.playbooks, cell);
        let cut = |test: &String| {
            let selector = Selector {
                test: Some(test.clone()),
                ..Selector::default()
            };
            segments(books.catalogue, "", std::slice::from_ref(rows), &selector)
        };
        failing.extend(found.failing_tests.iter().flat_map(cut));
        passing.extend(found.passing_tests.iter().flat_map(cut));
    }
    (failing, passing)
}

/// Segments of the paths that part from the reference and of those that do not, cell by cell.
fn by_path(books: Books<'_>, cells: &[CellObservations], related: &[CellObservations]) -> TwoSides {
    let (mut failing, mut passing) = (Vec::new(), Vec::new());
    for (cell, rows) in cells.iter().zip(related) {
        let found = sides(books.playbooks, cell);
        let cut = |path: &String| {
            let selector = Selector {
                path: Some(path.clone()),
                ..Selector::default()
            };
            segments(books.catalogue, "", std::slice::from_ref(rows), &selector)
        };
        failing.extend(found.failing_paths.iter().flat_map(cut));
        passing.extend(found.passing_paths.iter().flat_map(cut));
    }
    (failing, passing)
}

/// Rows of other paths than the one that the hypothesis is about, and none of that one.
fn other_path(list: &str, bytes: &CitedBytes, cause: &Cause) -> Option<Refusal> {
    if cause.paths.is_empty() {
        return None;
    }
    let rows = bytes.cited.iter().enumerate();
    let of_paths = rows.flat_map(|(index, cited)| {
        let paths = cited.rows.iter().filter_map(|row| row.text("path"));
        paths.map(move |path| (index, path))
    });
    let found: Vec<(usize, &str)> = of_paths.collect();
    if found.iter().any(|(_, path)| cause.paths.contains(*path)) {
        return None;
    }
    let (index, path) = found.first()?;
    let wanted: Vec<&str> = cause.paths.iter().map(String::as_str).collect();
    Some(Refusal::new(
        "observation_other_path",
        format!("{list}[{index}]"),
        format!(
            "it is data of `{path}`, and the hypothesis speaks about {}",
            wanted.join(", ")
        ),
        format!(
            "cite a row of {}: `extract_markers` with `where` = {{\"path\": \"{}\"}}",
            wanted.join(", "),
            wanted.first().copied().unwrap_or_default()
        ),
    ))
}

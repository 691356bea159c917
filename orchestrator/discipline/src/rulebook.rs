//! The data that rules judge with: the marker catalogue in force, and how predicates read under it.

use attest::digest::Digest;
use markers::{Catalogue, CellObservations, Error, Predicate, Truth, Verdict};

use crate::model::{Grade, Refusal};

/// The marker catalogue of the claim's base commit.
#[derive(Debug, Clone)]
pub struct Rulebook {
    /// Catalogue that predicates are checked against and evaluated with.
    pub catalogue: Catalogue,
}

impl Rulebook {
    /// Rules over the catalogue that ships with the product.
    ///
    /// # Errors
    /// As [`Catalogue::builtin`].
    pub fn builtin() -> Result<Self, Error> {
        Ok(Self {
            catalogue: Catalogue::builtin()?,
        })
    }

    /// Rules over a project's catalogue.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue }
    }

    /// The catalogue's digest, as policy facts and classifications name it.
    #[must_use]
    pub fn catalogue_digest(&self) -> Digest {
        let printed = self.catalogue.digest();
        // A digest that does not read back is still one fixed value per catalogue.
        printed
            .parse()
            .unwrap_or_else(|_| Digest::of(printed.as_bytes()))
    }

    /// Parses a predicate and checks its marker, fields, types and units.
    ///
    /// # Errors
    /// A refusal at `field` that says what is wrong and what to write.
    pub fn parse(&self, text: &str, field: &str) -> Result<Predicate, Refusal> {
        Predicate::parse_checked(text, &self.catalogue).map_err(|error| {
            let (code, remedy) = match &error {
                Error::UnknownMarker { .. } => {
                    ("marker_unknown", "name a marker of the catalogue; `greenloop markers` lists them")
                }
                Error::UnknownField { .. } => {
                    ("field_unknown", "name a field of that marker; `greenloop markers` lists them")
                }
                Error::Type { .. } => {
                    ("predicate_type", "compare the field with a value of its own type and unit")
                }
                _ => (
                    "predicate_malformed",
                    "write MARKER{k=v}.field OP VALUE [@cell], present|absent MARKER{…}, or count MARKER{…} OP N",
                ),
            };
            Refusal::new(code, field, format!("`{text}`: {error}"), remedy)
        })
    }

    /// Evaluates a predicate over the cells of a run.
    #[must_use]
    pub fn evaluate(&self, predicate: &Predicate, cells: &[CellObservations]) -> Verdict {
        markers::evaluate(predicate, &self.catalogue, cells)
    }

    /// Evaluates a predicate that means revert. What must hold has to hold in every cell it speaks about; an alarm
    /// is one where it holds in any, and is off only where every cell could have shown it.
    #[must_use]
    pub fn alarm(&self, predicate: &Predicate, cells: &[CellObservations]) -> Verdict {
        let mut verdict = self.evaluate(predicate, cells);
        let decisive = [Truth::Holds, Truth::NotObservable, Truth::Fails]
            .into_iter()
            .find_map(|truth| verdict.cells.iter().find(|cell| cell.truth == truth));
        if let Some(cell) = decisive {
            verdict.truth = cell.truth;
            verdict.why = format!("{}: {}", cell.cell, cell.why);
        }
        verdict
    }

    /// The run's cells, and an empty incomplete one for each of `names` that is missing: a cell that
    /// did not run must not make a predicate over all cells easier.
    #[must_use]
    pub fn whole_matrix(
        &self,
        names: &[String],
        cells: &[CellObservations],
    ) -> Vec<CellObservations> {
        let absent = names
            .iter()
            .filter(|name| !cells.iter().any(|cell| &cell.cell == *name));
        let empty = absent.map(|name| CellObservations {
            cell: name.clone(),
            complete: false,
            observations: Vec::new(),
        });
        cells.iter().cloned().chain(empty).collect()
    }

    /// Grades the text of a predicate. One that does not read is not observable, and says why.
    #[must_use]
    pub fn grade(&self, role: &str, text: &str, cells: &[CellObservations]) -> Grade {
        self.graded(role, text, |predicate| self.evaluate(predicate, cells))
    }

    /// As [`Rulebook::grade`], of a predicate that means revert; see [`Rulebook::alarm`].
    #[must_use]
    pub fn grade_alarm(&self, role: &str, text: &str, cells: &[CellObservations]) -> Grade {
        self.graded(role, text, |predicate| self.alarm(predicate, cells))
    }

    /// As [`Rulebook::grade`], of what must not change. `before`: the cells without the change, where they are known.
    /// A guard that fails in no other cell than before was not broken by the change.
    #[must_use]
    pub fn grade_guard(
        &self,
        text: &str,
        before: Option<&[CellObservations]>,
        cells: &[CellObservations],
    ) -> Grade {
        let mut grade = self.grade("guard", text, cells);
        if let (Truth::Fails, Some(before), Ok(predicate)) =
            (grade.truth, before, self.parse(text, "guards"))
        {
            grade.failed_before = self.fails_in_no_other_cell(&predicate, before, cells);
        }
        if grade.failed_before {
            grade.observed.push_str(", as before the push");
        }
        grade
    }

    fn fails_in_no_other_cell(
        &self,
        predicate: &Predicate,
        before: &[CellObservations],
        cells: &[CellObservations],
    ) -> bool {
        let failing = |cells: &[CellObservations]| -> Vec<String> {
            let judged = self.evaluate(predicate, cells).cells;
            let failing = judged.into_iter().filter(|cell| cell.truth == Truth::Fails);
            failing.map(|cell| cell.cell).collect()
        };
        let (then, now) = (failing(before), failing(cells));
        !now.is_empty() && now.iter().all(|cell| then.contains(cell))
    }

    fn graded(&self, role: &str, text: &str, judge: impl Fn(&Predicate) -> Verdict) -> Grade {
        let (truth, observed) = match Predicate::parse_checked(text, &self.catalogue) {
            Ok(predicate) => {
                let verdict = judge(&predicate);
                (verdict.truth, verdict.why)
            }
            Err(error) => (Truth::NotObservable, error.to_string()),
        };
        Grade {
            role: role.to_owned(),
            predicate: text.to_owned(),
            truth,
            observed,
            failed_before: false,
        }
    }
}

/// What keeps a mode from ever showing a predicate: a cell in which rows were read and cannot decide.
#[must_use]
pub fn blind_cell(verdict: &Verdict) -> Option<(&str, &str)> {
    let blind = verdict
        .cells
        .iter()
        .filter(|cell| cell.truth == Truth::NotObservable);
    blind
        .filter(|cell| {
            cell.observed
                .iter()
                .any(|row| row.truth == Truth::NotObservable)
        })
        .map(|cell| (cell.cell.as_str(), cell.why.as_str()))
        .next()
}

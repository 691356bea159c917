//! What a fix cites besides the failure, by the family of the tests it is about.

use std::collections::BTreeSet;

use markers::{Catalogue, Observation};

use crate::class::{Family, predicate};
use crate::format::ExhibitFile;
use crate::{Error, Playbooks};

/// Lines that a fix of a family's test must cite: one of each value of a marker's field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhibit {
    /// The marker.
    pub marker: String,
    /// The field that tells its lines apart.
    pub field: String,
    /// Its values.
    pub values: Vec<String>,
    /// Command that prints the lines without a run.
    pub show: String,
}

impl Exhibit {
    /// The exhibit of a family, with its marker, field and values checked against the catalogue.
    pub(crate) fn compile(
        file: &str,
        family: &str,
        form: &ExhibitFile,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        if form.values.is_empty() || form.show.trim().is_empty() {
            return Err(Error::File {
                file: file.to_owned(),
                reason: format!("the exhibit of family `{family}` needs `values` and `show`"),
            });
        }
        for value in &form.values {
            let text = format!("present {}{{{}={value}}}", form.marker, form.field);
            predicate(file, &text, catalogue)?;
        }
        Ok(Self {
            marker: form.marker.clone(),
            field: form.field.clone(),
            values: form.values.clone(),
            show: form.show.clone(),
        })
    }
}

/// An exhibit that is due, and what of it no cited line shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demanded<'a> {
    /// The exhibit.
    pub exhibit: &'a Exhibit,
    /// Family that asks for it.
    pub family: &'a str,
    /// A test of that family which the claim is about.
    pub test: String,
    /// Values that stand on no cited line.
    pub missing: Vec<String>,
}

/// The exhibits of a claim that pins `pinned` and cites `rows`: those of every family that the pinned test or
/// a failure on the rows belongs to. Lines that a test of another family printed do not count.
#[must_use]
pub fn demanded_exhibits<'a>(
    playbooks: &'a Playbooks,
    pinned: Option<&str>,
    rows: &[Observation],
) -> Vec<Demanded<'a>> {
    let mut tests = failing_tests(playbooks, rows);
    tests.extend(pinned.map(str::to_owned));
    let families = playbooks.classes().iter().flat_map(|class| &class.families);
    families
        .filter_map(|family| {
            let exhibit = family.exhibit.as_ref()?;
            let test = tests.iter().find(|test| test.starts_with(&family.prefix))?;
            Some(Demanded {
                exhibit,
                family: &family.name,
                test: test.clone(),
                missing: missing(family, exhibit, rows),
            })
        })
        .collect()
}

/// Tests that the rows say failed, and those inside which a row shows a signature of failure or a panic.
fn failing_tests(playbooks: &Playbooks, rows: &[Observation]) -> BTreeSet<String> {
    let groupings = playbooks
        .classes()
        .iter()
        .filter_map(|class| class.grouping.as_ref());
    let mut tests = BTreeSet::new();
    for form in groupings.map(|grouping| &grouping.form) {
        for row in rows {
            if row.kind == form.signature.marker || row.kind == form.panic.marker {
                tests.extend(row.test.clone());
            }
            let failed = row.text(&form.test.outcome) == Some(form.test.failed.as_str());
            if row.kind == form.test.marker && failed {
                tests.extend(row.text(&form.test.name).map(str::to_owned));
            }
        }
    }
    tests
}

fn missing(family: &Family, exhibit: &Exhibit, rows: &[Observation]) -> Vec<String> {
    let own = |row: &&Observation| {
        let test = row.test.as_deref();
        row.kind == exhibit.marker && test.is_none_or(|test| test.starts_with(&family.prefix))
    };
    let shown: BTreeSet<&str> = rows
        .iter()
        .filter(own)
        .filter_map(|row| row.text(&exhibit.field))
        .collect();
    let values = exhibit.values.iter();
    values
        .filter(|value| !shown.contains(value.as_str()))
        .cloned()
        .collect()
}

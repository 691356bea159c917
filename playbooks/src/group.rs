//! Failing tests collapsed to groups of one signature, and the panics that nothing explains.

use std::collections::{BTreeMap, BTreeSet};

use markers::{Catalogue, CellObservations, Observation, Truth, Value, evaluate};
use serde::{Deserialize, Serialize};

use crate::Anchor;
use crate::class::Grouping;
use crate::format::GroupingFile;
use crate::report::anchor;

/// Failing tests that share a signature: probably one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What they share: `tensor_stage=attn_norm kind=zeros op=rms_norm`, a panic site, or nothing known.
    pub signature: String,
    /// The tests, in log order of their cells.
    pub tests: Vec<FailingTest>,
    /// Where they panicked, `file:line`.
    pub panic_sites: Vec<String>,
    /// False while a panic of one of them is unread.
    pub complete: bool,
}

/// One failing test in one cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailingTest {
    /// The cell.
    pub cell: String,
    /// The test.
    pub name: String,
    /// 1-based line of its outcome.
    pub line: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Grouped {
    pub(crate) groups: Vec<Group>,
    pub(crate) unread: Vec<Anchor>,
}

/// Names of the tests that passed in a cell.
pub(crate) fn passed_tests<'c>(
    grouping: &GroupingFile,
    cell: &'c CellObservations,
) -> BTreeSet<&'c str> {
    tests(grouping, cell, &grouping.test.passed)
        .map(|(name, _)| name)
        .collect()
}

pub(crate) fn groups(
    rules: &Grouping,
    catalogue: &Catalogue,
    cells: &[CellObservations],
) -> Grouped {
    let grouping = &rules.form;
    let mut by_signature: BTreeMap<String, Group> = BTreeMap::new();
    let mut grouped = Grouped::default();
    for cell in cells {
        let story = Story::of(rules, catalogue, cell);
        for (name, row) in tests(grouping, cell, &grouping.test.failed) {
            let signature = story.signature(name);
            let group = by_signature
                .entry(signature.clone())
                .or_insert_with(|| Group {
                    signature,
                    tests: Vec::new(),
                    panic_sites: Vec::new(),
                    complete: true,
                });
            group.tests.push(FailingTest {
                cell: cell.cell.clone(),
                name: name.to_owned(),
                line: row.line,
            });
            for site in story.panics(name).map(|row| site(grouping, row)) {
                if !group.panic_sites.contains(&site) {
                    group.panic_sites.push(site);
                }
            }
            group.complete &= story.panics(name).next().is_none() || story.explained.contains(name);
        }
        grouped.unread.extend(story.unread());
    }
    grouped.groups = by_signature.into_values().collect();
    grouped
        .groups
        .sort_by_key(|group| std::cmp::Reverse(group.tests.len()));
    grouped
}

fn tests<'c>(
    grouping: &GroupingFile,
    cell: &'c CellObservations,
    outcome: &str,
) -> impl Iterator<Item = (&'c str, &'c Observation)> {
    let (test, outcome) = (grouping.test.clone(), outcome.to_owned());
    cell.observations
        .iter()
        .filter(move |row| row.kind == test.marker && row.text(&test.outcome) == Some(&outcome))
        .filter_map({
            let name = grouping.test.name.clone();
            move |row| Some((row.text(&name)?, row))
        })
}

/// What happened in a cell, test by test.
struct Story<'c> {
    grouping: &'c GroupingFile,
    cell: &'c CellObservations,
    /// Panics with the test they belong to, where one is known.
    panics: Vec<(Option<&'c str>, &'c Observation)>,
    /// The first signature row of each test.
    first: BTreeMap<&'c str, &'c Observation>,
    /// Tests with a row that explains a panic.
    explained: BTreeSet<&'c str>,
    passed: BTreeSet<&'c str>,
}

impl<'c> Story<'c> {
    fn of(rules: &'c Grouping, catalogue: &Catalogue, cell: &'c CellObservations) -> Self {
        let grouping = &rules.form;
        let known: BTreeSet<&str> = cell
            .observations
            .iter()
            .filter(|row| row.kind == grouping.test.marker)
            .filter_map(|row| row.text(&grouping.test.name))
            .collect();
        let mut story = Self {
            grouping,
            cell,
            panics: Vec::new(),
            first: BTreeMap::new(),
            explained: BTreeSet::new(),
            passed: passed_tests(grouping, cell),
        };
        for row in &cell.observations {
            if row.kind == grouping.panic.marker {
                // libtest names a test's thread after the test.
                let thread = row
                    .text(&grouping.panic.thread)
                    .filter(|thread| known.contains(thread));
                story.panics.push((row.test.as_deref().or(thread), row));
                continue;
            }
            let Some(test) = row.test.as_deref() else {
                continue;
            };
            if row.kind == grouping.signature.marker {
                let first = story.first.entry(test).or_insert(row);
                if order(grouping, row) < order(grouping, first) {
                    *first = row;
                }
            }
        }
        let panicked: BTreeSet<&str> = story.panics.iter().filter_map(|(test, _)| *test).collect();
        story.explained = panicked
            .into_iter()
            .filter(|test| explains(rules, catalogue, cell, test))
            .collect();
        story
    }

    fn panics(&self, test: &str) -> impl Iterator<Item = &'c Observation> {
        self.panics
            .iter()
            .filter(move |(of, _)| *of == Some(test))
            .map(|(_, row)| *row)
    }

    fn signature(&self, test: &str) -> String {
        if let Some(row) = self.first.get(test) {
            let fields = self.grouping.signature.fields.iter();
            let parts: Vec<String> = fields
                .map(|name| format!("{name}={}", print(row, name)))
                .collect();
            return parts.join(" ");
        }
        match self.panics(test).next() {
            Some(row) => format!("panic {}", site(self.grouping, row)),
            None => "no signature".to_owned(),
        }
    }

    fn unread(&self) -> Vec<Anchor> {
        let read = |test: &Option<&str>| {
            test.is_some_and(|t| self.explained.contains(t) || self.passed.contains(t))
        };
        self.panics
            .iter()
            .filter(|(test, _)| !read(test))
            .map(|(_, row)| anchor(&self.cell.cell, row))
            .collect()
    }
}

/// Whether what a test showed explains that it panicked.
fn explains(rules: &Grouping, catalogue: &Catalogue, cell: &CellObservations, test: &str) -> bool {
    let own = |row: &&Observation| row.test.as_deref() == Some(test);
    let rows = CellObservations {
        cell: cell.cell.clone(),
        complete: cell.complete,
        observations: cell.observations.iter().filter(own).cloned().collect(),
    };
    let holds = |when| evaluate(when, catalogue, std::slice::from_ref(&rows)).truth == Truth::Holds;
    rules.explained_by.iter().any(holds)
}

/// Place of a signature row in its test: the numeric fields in turn, what has none comes last.
fn order(
    grouping: &GroupingFile,
    row: &Observation,
) -> (Vec<(bool, Option<markers::Decimal>)>, u64) {
    let key = |name: &String| {
        let number = row.number(name).cloned();
        (number.is_none(), number)
    };
    (grouping.signature.order.iter().map(key).collect(), row.line)
}

fn site(grouping: &GroupingFile, row: &Observation) -> String {
    let parts: Vec<String> = grouping
        .panic
        .site
        .iter()
        .map(|name| print(row, name))
        .collect();
    parts.join(":")
}

fn print(row: &Observation, field: &str) -> String {
    row.fields
        .get(field)
        .map_or_else(|| "?".to_owned(), Value::to_string)
}

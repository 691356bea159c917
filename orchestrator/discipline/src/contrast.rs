//! What separates failing from passing: markers and field values ranked by how well they tell the
//! two sides apart.
//!
//! Score after Ochiai (as in spectrum-based fault localisation): with `f` failing segments that show
//! a candidate, `F` failing segments that could have shown it, and `p` passing segments that show it,
//! the score is `f / sqrt(F * (f + p))`, here in thousandths. A candidate that also shows on the
//! passing side is printed with its count and is no cause.

use std::collections::{BTreeMap, BTreeSet};

use markers::{Block, Buckets, Catalogue, CellObservations, Marker, Observation, Value};
use serde::{Deserialize, Serialize};

/// Values of one field beyond which the field is a measurement and not a mode; it is then left out.
const MAX_VALUES: usize = 64;
/// Envelope fields that number lines and tell nothing apart.
const ENVELOPE: [&str; 3] = ["v", "run", "seq"];

/// Which part of a run one segment is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Only this cell.
    pub cell: Option<String>,
    /// Only rows of this path, such as `single_graph`; rows without a path belong to every path.
    pub path: Option<String>,
    /// Only rows of this phase; rows without a phase belong to every phase.
    pub phase: Option<String>,
    /// Only rows printed while this test ran.
    pub test: Option<String>,
}

/// One unit of comparison: the rows of one cell that a selector takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// How it is called in answers, such as `R1/noop-0-full/single_graph`.
    pub name: String,
    /// True when the cell's log is whole, so that absence says something.
    pub complete: bool,
    /// Its rows.
    pub observations: Vec<Observation>,
}

/// One candidate with its support on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Separator {
    /// Marker.
    pub marker: String,
    /// Field, or `None` when the marker's presence or absence itself is the candidate.
    pub field: Option<String>,
    /// Value of the field, or `present` or `absent`.
    pub value: String,
    /// Failing segments that show it.
    pub fail_support: u32,
    /// Failing segments that could have shown it.
    pub fail_observable: u32,
    /// Passing segments that show it.
    pub pass_support: u32,
    /// Passing segments that could have shown it.
    pub pass_observable: u32,
    /// Ochiai score in thousandths.
    pub score_permille: u32,
    /// Rows on the passing side that show it: "also fires on the good path N×".
    pub also_on_good_path: u64,
    /// True when it shows on the failing side only and the passing side could have shown it.
    pub nameable_as_cause: bool,
}

/// Cuts the selected rows of a run into segments, one per cell. Rows that speak about a path or phase and do not say
/// which are left out where one is selected: they may be another's.
#[must_use]
pub fn segments(
    catalogue: &Catalogue,
    run: &str,
    cells: &[CellObservations],
    selector: &Selector,
) -> Vec<Segment> {
    let meant = cells
        .iter()
        .filter(|cell| selector.cell.as_ref().is_none_or(|name| name == &cell.cell));
    meant
        .map(|cell| Segment {
            name: name(run, &cell.cell, selector),
            complete: cell.complete,
            observations: cell
                .observations
                .iter()
                .filter(|row| selector.takes(row, catalogue.marker(&row.kind)))
                .cloned()
                .collect(),
        })
        .collect()
}

fn name(run: &str, cell: &str, selector: &Selector) -> String {
    let parts = [&selector.path, &selector.phase, &selector.test];
    let mut name = format!("{run}/{cell}");
    for part in parts.into_iter().flatten() {
        name.push('/');
        name.push_str(part);
    }
    name
}

impl Selector {
    fn takes(&self, row: &Observation, marker: Option<&Marker>) -> bool {
        let block = marker.map_or(Block::Cell, |marker| marker.block);
        let fits = |field: &str, wanted: &Option<String>, belongs_to_one: bool| match (
            wanted,
            row.fields.get(field),
        ) {
            (Some(wanted), Some(value)) => &value.to_string() == wanted,
            (Some(_), None) => !belongs_to_one,
            (None, _) => true,
        };
        let test = self.test.is_none() || row.test == self.test;
        let of_path = matches!(block, Block::Path | Block::Phase);
        test && fits("path", &self.path, of_path)
            && fits("phase", &self.phase, block == Block::Phase)
    }
}

/// Ranks what separates the failing segments from the passing ones, best first.
#[must_use]
pub fn contrast(catalogue: &Catalogue, failing: &[Segment], passing: &[Segment]) -> Vec<Separator> {
    let mut found = Vec::new();
    for marker in catalogue.markers() {
        let shown = |side: &[Segment]| {
            side.iter()
                .any(|s| s.observations.iter().any(|row| row.kind == marker.name))
        };
        if shown(failing) || shown(passing) {
            found.extend(presence(marker, failing, passing));
            found.extend(values(marker, failing, passing));
        }
    }
    found.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| key(a).cmp(&key(b))));
    found
}

fn rank(s: &Separator) -> (bool, u32, u32) {
    (s.nameable_as_cause, s.score_permille, s.fail_support)
}

fn key(s: &Separator) -> (&str, Option<&str>, &str) {
    (&s.marker, s.field.as_deref(), &s.value)
}

/// What one segment says of a candidate: rows that show it, or `None` where it could not be seen.
type Said = Option<u64>;

fn presence(marker: &Marker, failing: &[Segment], passing: &[Segment]) -> Vec<Separator> {
    let rows = |s: &Segment| {
        s.observations
            .iter()
            .filter(|row| row.kind == marker.name)
            .count() as u64
    };
    let present = |s: &Segment| match rows(s) {
        0 => can_be_absent(marker, s).then_some(0),
        n => Some(n),
    };
    let absent = |s: &Segment| present(s).map(|n| u64::from(n == 0));
    let judged = [
        ("present", score(failing, passing, present)),
        ("absent", score(failing, passing, absent)),
    ];
    let judged = judged
        .into_iter()
        .filter_map(|(value, tally)| Some((value, tally?)));
    judged
        .map(|(value, tally)| tally.separator(marker, None, value.to_owned()))
        .collect()
}

/// Absence counts only in a whole log that shows a witness of the emitter at work.
pub(crate) fn can_be_absent(marker: &Marker, segment: &Segment) -> bool {
    let shown = |witness: &markers::Witness| {
        segment.observations.iter().any(|row| {
            let same = |(name, text): (&String, &String)| {
                row.fields
                    .get(name)
                    .is_some_and(|value| &value.to_string() == text)
            };
            row.kind == witness.marker && witness.fields.iter().all(same)
        })
    };
    segment.complete && (marker.witnesses.is_empty() || marker.witnesses.iter().any(shown))
}

fn values(marker: &Marker, failing: &[Segment], passing: &[Segment]) -> Vec<Separator> {
    let fields = marker
        .fields
        .iter()
        .filter(|field| !ENVELOPE.contains(&field.name.as_str()));
    fields
        .flat_map(|field| field_values(marker, &field.name, failing, passing))
        .collect()
}

fn field_values(
    marker: &Marker,
    field: &str,
    failing: &[Segment],
    passing: &[Segment],
) -> Vec<Separator> {
    let read = |segment: &Segment| -> Option<BTreeMap<String, u64>> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut seen = false;
        for row in segment
            .observations
            .iter()
            .filter(|row| row.kind == marker.name)
        {
            for value in row.fields.get(field).into_iter().flat_map(spoken) {
                seen = true;
                *counts.entry(value).or_default() += 1;
            }
        }
        seen.then_some(counts)
    };
    let (fail, pass): (Vec<_>, Vec<_>) = (
        failing.iter().map(read).collect(),
        passing.iter().map(read).collect(),
    );
    let values: BTreeSet<&String> = fail
        .iter()
        .chain(&pass)
        .flatten()
        .flat_map(BTreeMap::keys)
        .collect();
    if values.len() > MAX_VALUES {
        return Vec::new();
    }
    let says = |counts: &Option<BTreeMap<String, u64>>, value: &String| -> Said {
        counts
            .as_ref()
            .map(|counts| counts.get(value).copied().unwrap_or(0))
    };
    values
        .into_iter()
        .filter_map(|value| {
            let tally = Tally::of(
                fail.iter().map(|c| says(c, value)),
                pass.iter().map(|c| says(c, value)),
            )?;
            Some(tally.separator(marker, Some(field.to_owned()), value.clone()))
        })
        .collect()
}

/// What a value says as candidates: itself, or its buckets; nothing when the mode could not tell.
pub(crate) fn spoken(value: &Value) -> Vec<String> {
    match value {
        Value::NotAvailable | Value::Masked | Value::Buckets(Buckets::Disabled(_)) => Vec::new(),
        Value::Buckets(Buckets::Populated(buckets)) => {
            buckets.iter().map(|bucket| bucket.name.clone()).collect()
        }
        other => vec![other.to_string()],
    }
}

fn score(
    failing: &[Segment],
    passing: &[Segment],
    says: impl Fn(&Segment) -> Said,
) -> Option<Tally> {
    Tally::of(failing.iter().map(&says), passing.iter().map(&says))
}

struct Tally {
    fail: u32,
    fail_of: u32,
    pass: u32,
    pass_of: u32,
    good_rows: u64,
}

impl Tally {
    /// `None` when no failing segment shows the candidate, so that it can explain nothing.
    fn of(
        failing: impl Iterator<Item = Said>,
        passing: impl Iterator<Item = Said>,
    ) -> Option<Self> {
        let mut tally = Self {
            fail: 0,
            fail_of: 0,
            pass: 0,
            pass_of: 0,
            good_rows: 0,
        };
        for rows in failing.flatten() {
            tally.fail_of += 1;
            tally.fail += u32::from(rows > 0);
        }
        for rows in passing.flatten() {
            tally.pass_of += 1;
            tally.pass += u32::from(rows > 0);
            tally.good_rows += rows;
        }
        (tally.fail > 0).then_some(tally)
    }

    fn separator(self, marker: &Marker, field: Option<String>, value: String) -> Separator {
        Separator {
            marker: marker.name.clone(),
            field,
            value,
            fail_support: self.fail,
            fail_observable: self.fail_of,
            pass_support: self.pass,
            pass_observable: self.pass_of,
            score_permille: self.ochiai_permille(),
            also_on_good_path: self.good_rows,
            nameable_as_cause: self.pass == 0 && self.pass_of > 0,
        }
    }

    fn ochiai_permille(&self) -> u32 {
        let (fail, of) = (u128::from(self.fail), u128::from(self.fail_of));
        let shown = fail + u128::from(self.pass);
        let squared = (fail * fail * 1_000_000)
            .checked_div(of * shown)
            .unwrap_or(0);
        u32::try_from(squared.isqrt()).unwrap_or(1000)
    }
}

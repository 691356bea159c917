//! What moved between two runs: per marker and field, what appeared, vanished or moved, and by how
//! much.
//!
//! A row of one run is compared with the row of the other that stands at the same coordinates: same
//! cell, marker, test, and the same values of the fields that say where in a run a row belongs; the
//! n-th with the n-th. A value that its mode could not show (`n/a`, masked, disabled) is compared
//! with nothing.

use std::collections::{BTreeMap, BTreeSet};

use markers::{Bucket, Buckets, Catalogue, CellObservations, Decimal, Field, Margin, Marker};
use markers::{Observation, Unit, Value};
use serde::{Deserialize, Serialize};

use crate::contrast::{Segment, can_be_absent};

/// Fields that say where in a run a row belongs, and not what was found there.
const COORDINATES: [&str; 5] = ["role", "path", "phase", "pass", "name"];
/// Envelope fields, which number lines.
const ENVELOPE: [&str; 3] = ["v", "run", "seq"];

/// What happened to a row or to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the head shows it.
    Appeared,
    /// Only the base shows it.
    Vanished,
    /// Both show it, with different values.
    Moved,
}

impl Change {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Vanished => "vanished",
            Self::Moved => "moved",
        }
    }
}

/// Where a compared row stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Coordinates {
    /// Test that was running.
    pub test: Option<String>,
    /// Values of the coordinate fields that the row has.
    pub fields: BTreeMap<String, String>,
    /// Which of the rows at these coordinates, from 1.
    pub nth: u64,
}

/// The first element in which two vectors differ; a missing one is past the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDifference {
    /// Index from 0.
    pub index: u64,
    /// Element of the base.
    pub base: Option<Value>,
    /// Element of the head.
    pub head: Option<Value>,
    /// How far a number moved.
    pub margin: Option<Margin>,
    /// Elements that differ, those past the shorter end included.
    pub differing: u64,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Cell.
    pub cell: String,
    /// Marker.
    pub marker: String,
    /// Which row.
    pub at: Coordinates,
    /// Field, `field[bucket].count` or `field[bucket].us` of a histogram; `None` for the whole row.
    pub field: Option<String>,
    /// What happened.
    pub change: Change,
    /// Value of the base.
    pub base: Option<Value>,
    /// Value of the head.
    pub head: Option<Value>,
    /// Line of the base's log.
    pub base_line: Option<u64>,
    /// Line of the head's log.
    pub head_line: Option<u64>,
    /// Head minus base, for numbers.
    pub margin: Option<Margin>,
    /// For vectors.
    pub first_difference: Option<FirstDifference>,
    /// False when the side without the row could not have shown it: its absence is evidence of
    /// nothing.
    pub observable: bool,
}

/// Everything that differs, in the order of cells, catalogue and log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The differences.
    pub deltas: Vec<Delta>,
    /// Cells that only the base has.
    pub only_base: Vec<String>,
    /// Cells that only the head has.
    pub only_head: Vec<String>,
}

/// Compares what the cells of two runs showed, both read under one catalogue.
#[must_use]
pub fn compare(
    catalogue: &Catalogue,
    base: &[CellObservations],
    head: &[CellObservations],
) -> Comparison {
    let names = |cells: &[CellObservations]| -> BTreeSet<String> {
        cells.iter().map(|cell| cell.cell.clone()).collect()
    };
    let (in_base, in_head) = (names(base), names(head));
    let mut found = Comparison {
        only_base: in_base.difference(&in_head).cloned().collect(),
        only_head: in_head.difference(&in_base).cloned().collect(),
        ..Comparison::default()
    };
    for before in base {
        let Some(after) = head.iter().find(|cell| cell.cell == before.cell) else {
            continue;
        };
        let sides = [segment(before), segment(after)];
        for marker in catalogue.markers() {
            rows(&before.cell, marker, &sides, &mut found.deltas);
        }
    }
    found
}

fn segment(cell: &CellObservations) -> Segment {
    Segment {
        name: cell.cell.clone(),
        complete: cell.complete,
        observations: cell.observations.clone(),
    }
}

type Placed<'a> = BTreeMap<Coordinates, &'a Observation>;

fn placed<'a>(marker: &Marker, side: &'a Segment) -> Placed<'a> {
    let mut met: BTreeMap<(Option<String>, BTreeMap<String, String>), u64> = BTreeMap::new();
    let rows = side.observations.iter().filter(|r| r.kind == marker.name);
    rows.map(|row| {
        let fields: BTreeMap<String, String> = COORDINATES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), row.fields.get(*name)?.to_string())))
            .collect();
        let nth = met.entry((row.test.clone(), fields.clone())).or_default();
        *nth += 1;
        let at = Coordinates {
            test: row.test.clone(),
            fields,
            nth: *nth,
        };
        (at, row)
    })
    .collect()
}

fn rows(cell: &str, marker: &Marker, [base, head]: &[Segment; 2], deltas: &mut Vec<Delta>) {
    let (before, after) = (placed(marker, base), placed(marker, head));
    let places: BTreeSet<&Coordinates> = before.keys().chain(after.keys()).collect();
    let mut places: Vec<_> = places.into_iter().collect();
    let line = |at: &Coordinates| before.get(at).or(after.get(at)).map(|row| row.line);
    places.sort_by_key(|at| line(at));
    for at in places {
        let (old, new) = (before.get(at), after.get(at));
        let mut delta = Delta {
            cell: cell.to_owned(),
            marker: marker.name.clone(),
            at: at.clone(),
            field: None,
            change: Change::Moved,
            base: None,
            head: None,
            base_line: old.map(|row| row.line),
            head_line: new.map(|row| row.line),
            margin: None,
            first_difference: None,
            observable: true,
        };
        match (old, new) {
            (Some(old), Some(new)) => fields(marker, old, new, &delta, deltas),
            // Other rows of the marker prove that a side could show it.
            (None, Some(_)) => {
                delta.change = Change::Appeared;
                delta.observable = !before.is_empty() || can_be_absent(marker, base);
                deltas.push(delta);
            }
            _ => {
                delta.change = Change::Vanished;
                delta.observable = !after.is_empty() || can_be_absent(marker, head);
                deltas.push(delta);
            }
        }
    }
}

fn fields(
    marker: &Marker,
    old: &Observation,
    new: &Observation,
    row: &Delta,
    deltas: &mut Vec<Delta>,
) {
    for field in &marker.fields {
        if ENVELOPE.contains(&field.name.as_str()) {
            continue;
        }
        let (base, head) = (old.fields.get(&field.name), new.fields.get(&field.name));
        let one = |change, base: Option<&Value>, head: Option<&Value>| Delta {
            field: Some(field.name.clone()),
            change,
            base: base.cloned(),
            head: head.cloned(),
            ..row.clone()
        };
        match (base.filter(|v| tells(v)), head.filter(|v| tells(v))) {
            (Some(base), Some(head)) => values(field, base, head, row, deltas),
            (None, Some(new)) if base.is_none() => {
                deltas.push(one(Change::Appeared, None, Some(new)));
            }
            (Some(old), None) if head.is_none() => {
                deltas.push(one(Change::Vanished, Some(old), None));
            }
            _ => {}
        }
    }
}

/// False for what the mode could not show.
fn tells(value: &Value) -> bool {
    !matches!(
        value,
        Value::NotAvailable | Value::Masked | Value::Buckets(Buckets::Disabled(_))
    )
}

fn values(field: &Field, base: &Value, head: &Value, row: &Delta, deltas: &mut Vec<Delta>) {
    if let (Value::Buckets(base), Value::Buckets(head)) = (base, head) {
        return buckets(field, base, head, row, deltas);
    }
    if base == head {
        return;
    }
    let first_difference = match (base, head) {
        (Value::List(base), Value::List(head)) => first_difference(base, head, field.unit),
        _ => None,
    };
    deltas.push(Delta {
        field: Some(field.name.clone()),
        change: Change::Moved,
        base: Some(base.clone()),
        head: Some(head.clone()),
        margin: margin(base, head, field.unit),
        first_difference,
        ..row.clone()
    });
}

fn margin(base: &Value, head: &Value, unit: Option<Unit>) -> Option<Margin> {
    let (Value::Number(base), Value::Number(head)) = (base, head) else {
        return None;
    };
    Some(moved(base, head, unit))
}

fn moved(base: &Decimal, head: &Decimal, unit: Option<Unit>) -> Margin {
    let difference = head.minus(base);
    Margin {
        percent: difference.share_of(base),
        difference,
        unit,
    }
}

fn first_difference(base: &[Value], head: &[Value], unit: Option<Unit>) -> Option<FirstDifference> {
    let length = base.len().max(head.len());
    let differs = |index: &usize| base.get(*index) != head.get(*index);
    let index = (0..length).find(differs)?;
    let (old, new) = (base.get(index), head.get(index));
    Some(FirstDifference {
        index: index as u64,
        base: old.cloned(),
        head: new.cloned(),
        margin: old.zip(new).and_then(|(old, new)| margin(old, new, unit)),
        differing: (0..length).filter(differs).count() as u64,
    })
}

fn buckets(field: &Field, base: &Buckets, head: &Buckets, row: &Delta, deltas: &mut Vec<Delta>) {
    let (old, new) = (by_name(base), by_name(head));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let whole = |change, base: Option<&Bucket>, head: Option<&Bucket>| Delta {
            field: Some(format!("{}[{name}]", field.name)),
            change,
            base: base.map(|bucket| Value::Number(bucket.count.clone())),
            head: head.map(|bucket| Value::Number(bucket.count.clone())),
            ..row.clone()
        };
        match (old.get(name).copied(), new.get(name).copied()) {
            (Some(old), Some(new)) => {
                let parts = [
                    ("count", &old.count, &new.count, None),
                    ("us", &old.us, &new.us, Some(Unit::Us)),
                ];
                let changed = parts.into_iter().filter(|(_, old, new, _)| old != new);
                deltas.extend(changed.map(|(part, old, new, unit)| Delta {
                    field: Some(format!("{}[{name}].{part}", field.name)),
                    change: Change::Moved,
                    base: Some(Value::Number(old.clone())),
                    head: Some(Value::Number(new.clone())),
                    margin: Some(moved(old, new, unit)),
                    ..row.clone()
                }));
            }
            (None, Some(new)) => deltas.push(whole(Change::Appeared, None, Some(new))),
            (old, None) => deltas.push(whole(Change::Vanished, old, None)),
        }
    }
}

fn by_name(buckets: &Buckets) -> BTreeMap<&str, &Bucket> {
    match buckets {
        Buckets::Populated(buckets) => buckets
            .iter()
            .map(|bucket| (bucket.name.as_str(), bucket))
            .collect(),
        Buckets::Empty | Buckets::Disabled(_) => BTreeMap::new(),
    }
}

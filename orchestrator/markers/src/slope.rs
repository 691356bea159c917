//! How a measurement grows with another one, over the rows of several cells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CellObservations, Decimal, Observation};

/// Fields that tell lines apart which must not be mixed.
const GROUPS: [&str; 3] = ["role", "path", "phase"];

/// A least-squares line through the rows of one role, path and phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slope {
    /// Values of `role`, `path` and `phase`, where the rows have them.
    pub of: BTreeMap<String, String>,
    /// By how much `y` grows per unit of `x`, to three decimals.
    pub slope: Decimal,
    /// Rows.
    pub rows: u64,
    /// Different values of `x`, at least two.
    pub steps: u64,
}

/// The slopes of field `y` over field `x` in the rows of a marker, one per role, path and phase. Where `x` takes only
/// one value there is no slope, and none is invented.
#[must_use]
pub fn slopes(cells: &[CellObservations], marker: &str, x: &str, y: &str) -> Vec<Slope> {
    let mut points: BTreeMap<BTreeMap<String, String>, Vec<(Decimal, Decimal)>> = BTreeMap::new();
    let rows = cells.iter().flat_map(|cell| &cell.observations);
    for row in rows.filter(|row| row.kind == marker) {
        if let (Some(x), Some(y)) = (row.number(x), row.number(y)) {
            points
                .entry(group(row))
                .or_default()
                .push((x.clone(), y.clone()));
        }
    }
    points
        .into_iter()
        .filter_map(|(of, points)| fit(of, &points))
        .collect()
}

fn group(row: &Observation) -> BTreeMap<String, String> {
    let value = |name: &str| Some((name.to_owned(), row.fields.get(name)?.to_string()));
    GROUPS.into_iter().filter_map(value).collect()
}

/// `(n·Σxy − Σx·Σy) / (n·Σx² − (Σx)²)`.
fn fit(of: BTreeMap<String, String>, points: &[(Decimal, Decimal)]) -> Option<Slope> {
    let sum = |of: &dyn Fn(&(Decimal, Decimal)) -> Decimal| {
        let zero = Decimal::from(0_u64);
        points.iter().fold(zero, |sum, point| sum.plus(&of(point)))
    };
    let count = Decimal::from(points.len() as u64);
    let (x, y) = (sum(&|(x, _)| x.clone()), sum(&|(_, y)| y.clone()));
    let (xx, xy) = (sum(&|(x, _)| x.times(x)), sum(&|(x, y)| x.times(y)));
    let numerator = count.times(&xy).minus(&x.times(&y));
    let denominator = count.times(&xx).minus(&x.times(&x));
    // In percent to one decimal, which is a ratio to three.
    let percent: Decimal = numerator.share_of(&denominator)?.parse().ok()?;
    let ratio = percent.shifted(-2);
    let zero = Decimal::from(0_u64);
    let mut steps: Vec<&Decimal> = points.iter().map(|(x, _)| x).collect();
    steps.sort_unstable();
    steps.dedup();
    Some(Slope {
        of,
        slope: if numerator.is_negative() {
            zero.minus(&ratio)
        } else {
            ratio
        },
        rows: points.len() as u64,
        steps: steps.len() as u64,
    })
}

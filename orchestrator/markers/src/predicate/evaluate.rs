//! Grading: a predicate over what the cells of a run showed.

use super::check::{Resolved, resolve};
use super::compare::ordered;
use super::row::grade_row;
use super::{CellVerdict, Cells, Observed, Op, Predicate, Quantifier, Truth, Verdict};
use crate::{Catalogue, CellObservations, Marker, Witness};

/// Rows that a verdict lists per cell; the deciding ones come first.
const MAX_OBSERVED: usize = 64;

/// Grades a predicate over the cells of a run.
///
/// A predicate that [`super::check`] refuses is not observable, and the reason says so. The rules:
/// - `all` holds where every row does, needs at least one row, and a complete cell to know that there are no more;
/// - `any` holds where one row does; that none does needs a complete cell;
/// - a masked or unavailable value, or a mode that could not have shown the field, decides nothing;
/// - `absent` and a `count` that more rows could change need a complete cell with a witness that the emitter ran.
#[must_use]
pub fn evaluate(
    predicate: &Predicate,
    catalogue: &Catalogue,
    cells: &[CellObservations],
) -> Verdict {
    let verdict = |truth, why: String, cells| Verdict {
        truth,
        predicate: predicate.to_string(),
        catalogue: catalogue.digest().to_owned(),
        why,
        cells,
    };
    let resolved = match resolve(predicate, catalogue) {
        Ok(resolved) => resolved,
        Err(error) => return verdict(Truth::NotObservable, error.to_string(), Vec::new()),
    };
    let meant: Vec<&CellObservations> = match predicate.cells() {
        Cells::Every => cells.iter().collect(),
        Cells::One(name) => cells.iter().filter(|cell| cell.cell == *name).collect(),
    };
    if meant.is_empty() {
        let names: Vec<&str> = cells.iter().map(|cell| cell.cell.as_str()).collect();
        let why = match predicate.cells() {
            Cells::One(name) => format!("no cell `{name}` among [{}]", names.join(", ")),
            Cells::Every => "no cell ran".to_owned(),
        };
        return verdict(Truth::NotObservable, why, Vec::new());
    }
    let graded: Vec<CellVerdict> = meant
        .into_iter()
        .map(|cell| grade_cell(predicate, &resolved, cell))
        .collect();
    let decisive = [Truth::Fails, Truth::NotObservable, Truth::Holds]
        .into_iter()
        .find_map(|truth| graded.iter().find(|cell| cell.truth == truth));
    match decisive {
        Some(cell) => verdict(cell.truth, format!("{}: {}", cell.cell, cell.why), graded),
        None => verdict(Truth::NotObservable, "no cell ran".to_owned(), graded),
    }
}

fn grade_cell(
    predicate: &Predicate,
    resolved: &Resolved<'_>,
    cell: &CellObservations,
) -> CellVerdict {
    let mut rows: Vec<Observed> = cell
        .observations
        .iter()
        .enumerate()
        .filter(|(_, row)| row.kind == resolved.marker.name)
        .filter_map(|(index, row)| grade_row(predicate, resolved, index, row))
        .collect();
    let tally = Tally::of(&rows);
    let (truth, why) = match predicate {
        Predicate::Compare {
            quantifier: Some(Quantifier::Any),
            ..
        } => any(&tally, cell.complete),
        Predicate::Compare { .. } => all(&tally, cell.complete),
        Predicate::Presence { present, .. } => {
            presence(*present, &tally, observability(resolved.marker, cell))
        }
        Predicate::Count { op, count, .. } => {
            counted(*op, *count, &tally, observability(resolved.marker, cell))
        }
    };
    rows.sort_by_key(|row| u8::from(row.truth != truth));
    rows.truncate(MAX_OBSERVED);
    CellVerdict {
        cell: cell.cell.clone(),
        truth,
        why,
        rows: tally.rows(),
        observed: rows,
    }
}

/// How many rows gave each answer, and the first row's words for each.
struct Tally {
    holds: u64,
    fails: u64,
    unknown: u64,
    first_fail: String,
    first_unknown: String,
}

impl Tally {
    fn of(rows: &[Observed]) -> Self {
        let count = |truth| rows.iter().filter(|row| row.truth == truth).count() as u64;
        let first = |truth| {
            rows.iter()
                .find(|row| row.truth == truth)
                .map_or_else(String::new, describe)
        };
        Self {
            holds: count(Truth::Holds),
            fails: count(Truth::Fails),
            unknown: count(Truth::NotObservable),
            first_fail: first(Truth::Fails),
            first_unknown: first(Truth::NotObservable),
        }
    }

    fn rows(&self) -> u64 {
        self.holds + self.fails + self.unknown
    }
}

fn describe(row: &Observed) -> String {
    let value = row
        .value
        .as_ref()
        .map_or_else(|| "a row".to_owned(), |value| format!("`{value}`"));
    let margin = row.margin.as_ref().map_or_else(String::new, |margin| {
        let direction = if margin.difference.is_negative() {
            "under"
        } else {
            "over"
        };
        let unit = margin
            .unit
            .map_or_else(String::new, |unit| unit.to_string());
        let percent = margin
            .percent
            .as_ref()
            .map_or_else(String::new, |percent| format!(", {percent} % {direction}"));
        format!(" (off by {}{unit}{percent})", margin.difference)
    });
    let why = row
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!("{value} at line {}{margin}{why}", row.line)
}

fn all(tally: &Tally, complete: bool) -> (Truth, String) {
    match tally {
        Tally {
            fails, first_fail, ..
        } if *fails > 0 => (
            Truth::Fails,
            format!("{fails} of {} rows fail, first {first_fail}", tally.rows()),
        ),
        Tally {
            unknown,
            first_unknown,
            ..
        } if *unknown > 0 => (
            Truth::NotObservable,
            format!(
                "{unknown} of {} rows cannot show it, first {first_unknown}",
                tally.rows()
            ),
        ),
        Tally { holds: 0, .. } => (Truth::NotObservable, "no row".to_owned()),
        Tally { holds, .. } if !complete => (
            Truth::NotObservable,
            format!("all {holds} rows hold, but the cell is incomplete"),
        ),
        Tally { holds, .. } => (Truth::Holds, format!("all {holds} rows hold")),
    }
}

fn any(tally: &Tally, complete: bool) -> (Truth, String) {
    match tally {
        Tally { holds, .. } if *holds > 0 => (
            Truth::Holds,
            format!("{holds} of {} rows hold", tally.rows()),
        ),
        Tally {
            unknown,
            first_unknown,
            ..
        } if *unknown > 0 => (
            Truth::NotObservable,
            format!(
                "{unknown} of {} rows cannot show it, first {first_unknown}",
                tally.rows()
            ),
        ),
        Tally { fails: 0, .. } => (Truth::NotObservable, "no row".to_owned()),
        Tally { fails, .. } if !complete => (
            Truth::NotObservable,
            format!("none of {fails} rows holds, but the cell is incomplete"),
        ),
        Tally { first_fail, .. } => (
            Truth::Fails,
            format!("none of {} rows holds, first {first_fail}", tally.fails),
        ),
    }
}

fn presence(present: bool, tally: &Tally, observable: Result<(), String>) -> (Truth, String) {
    let (when_found, when_missing) = if present {
        (Truth::Holds, Truth::Fails)
    } else {
        (Truth::Fails, Truth::Holds)
    };
    match tally {
        Tally { holds, .. } if *holds > 0 => (when_found, format!("{holds} rows")),
        Tally {
            unknown,
            first_unknown,
            ..
        } if *unknown > 0 => (
            Truth::NotObservable,
            format!("{unknown} rows may be meant, first {first_unknown}"),
        ),
        _ => match observable {
            Ok(()) => (
                when_missing,
                "no row, and the cell would have shown one".to_owned(),
            ),
            Err(why) => (Truth::NotObservable, format!("no row, but {why}")),
        },
    }
}

fn counted(op: Op, wanted: u64, tally: &Tally, observable: Result<(), String>) -> (Truth, String) {
    let (low, high) = match &observable {
        Ok(()) => (tally.holds, tally.holds + tally.unknown),
        Err(_) => (tally.holds, u64::MAX),
    };
    let holds = |count: u64| ordered(op, count.cmp(&wanted));
    // Between `low` and `high` the answer can only change at the wanted count and right beside it.
    let mut possible = vec![low, high];
    possible.extend(
        [wanted.saturating_sub(1), wanted, wanted.saturating_add(1)].map(|n| n.clamp(low, high)),
    );
    if possible.iter().all(|count| holds(*count)) {
        return (Truth::Holds, format!("{} rows", tally.holds));
    }
    if !possible.iter().any(|count| holds(*count)) {
        return (Truth::Fails, format!("{} rows", tally.holds));
    }
    let why = match observable {
        Err(why) => format!("{} rows seen, but {why}", tally.holds),
        Ok(()) => format!(
            "{} rows and {} that may be meant, first {}",
            tally.holds, tally.unknown, tally.first_unknown
        ),
    };
    (Truth::NotObservable, why)
}

/// Whether the absence of a row says anything in this cell.
fn observability(marker: &Marker, cell: &CellObservations) -> Result<(), String> {
    if !cell.complete {
        return Err("the cell is incomplete".to_owned());
    }
    let shown = |witness: &Witness| {
        cell.observations.iter().any(|row| {
            let fits = |(name, text): (&String, &String)| {
                row.fields
                    .get(name)
                    .is_some_and(|value| value.to_string() == *text)
            };
            row.kind == witness.marker && witness.fields.iter().all(fits)
        })
    };
    let own = cell.observations.iter().any(|row| row.kind == marker.name);
    if own || marker.witnesses.is_empty() || marker.witnesses.iter().any(shown) {
        return Ok(());
    }
    let names: Vec<String> = marker.witnesses.iter().map(print_witness).collect();
    Err(format!(
        "`{}` is not observable there: no {}",
        marker.name,
        names.join(", no ")
    ))
}

fn print_witness(witness: &Witness) -> String {
    let fields: Vec<String> = witness
        .fields
        .iter()
        .map(|(name, text)| format!("{name}={text}"))
        .collect();
    if fields.is_empty() {
        witness.marker.clone()
    } else {
        format!("{}{{{}}}", witness.marker, fields.join(","))
    }
}

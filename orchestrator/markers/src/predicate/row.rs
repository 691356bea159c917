//! Grading of one row: whether the selector means it, whether its mode can show the field, and the comparison.

use super::check::{Comparison, Resolved, ResolvedFilter};
use super::shape::Shape;
use super::{Margin, Observed, Op, Predicate, Truth};
use crate::{Field, Observation, Value};

/// The answer of one row, or `None` where the selector does not mean it.
pub(super) fn grade_row(
    predicate: &Predicate,
    resolved: &Resolved<'_>,
    index: usize,
    row: &Observation,
) -> Option<Observed> {
    let observed = |truth, value, margin, why| Observed {
        index: index as u64,
        line: row.line,
        span: row.span,
        truth,
        value,
        margin,
        why,
    };
    let doubt = match select(resolved, row) {
        Selected::No => return None,
        Selected::Yes => None,
        Selected::Doubtful(why) => Some(why),
    };
    let (Some(comparison), Predicate::Compare { op, .. }) = (&resolved.comparison, predicate)
    else {
        let truth = if doubt.is_some() {
            Truth::NotObservable
        } else {
            Truth::Holds
        };
        return Some(observed(truth, None, None, doubt));
    };
    match compared(comparison, row) {
        Err(why) => Some(observed(
            Truth::NotObservable,
            row.fields.get(&comparison.field.name).cloned(),
            None,
            Some(why),
        )),
        Ok(value) => {
            let holds = comparison.target.holds(*op, &value);
            let margin = comparison.target.distance(&value).map(|distance| Margin {
                difference: distance.difference,
                percent: distance.percent,
                unit: distance.unit,
            });
            let truth = match (&doubt, holds) {
                (Some(_), _) => Truth::NotObservable,
                (None, true) => Truth::Holds,
                (None, false) => Truth::Fails,
            };
            Some(observed(truth, Some(value), margin, doubt))
        }
    }
}

fn compared(comparison: &Comparison<'_>, row: &Observation) -> Result<Value, String> {
    can_show(comparison.field, row)?;
    let value = row
        .fields
        .get(&comparison.field.name)
        .ok_or("the row lacks the field")?;
    comparison.shape.extract(value)
}

/// Whether the mode of the row can show the field.
fn can_show(field: &Field, row: &Observation) -> Result<(), String> {
    for (name, texts) in &field.needs {
        let shown = row
            .fields
            .get(name)
            .map(ToString::to_string)
            .unwrap_or_default();
        if !texts.contains(&shown) {
            return Err(format!(
                "{name}={shown} cannot show {}; it needs {name}={}",
                field.name,
                texts.join("|")
            ));
        }
    }
    Ok(())
}

enum Selected {
    Yes,
    No,
    /// A filtered field cannot be read in this row.
    Doubtful(String),
}

fn select(resolved: &Resolved<'_>, row: &Observation) -> Selected {
    let mut doubt = None;
    for filter in &resolved.filters {
        match filter_value(filter, row) {
            Ok(Some(value)) if !filter.target.holds(Op::Eq, &value) => return Selected::No,
            Ok(Some(_)) => {}
            Ok(None) => return Selected::No,
            Err(why) => doubt = Some(format!("filter {}: {why}", filter.name)),
        }
    }
    doubt.map_or(Selected::Yes, Selected::Doubtful)
}

/// The filtered value, `None` where the row has none, or why it cannot be read.
fn filter_value(filter: &ResolvedFilter<'_>, row: &Observation) -> Result<Option<Value>, String> {
    let Some(field) = filter.field else {
        return Ok(row.test.clone().map(Value::Text));
    };
    can_show(field, row)?;
    match (row.fields.get(filter.name), Shape::of(field, &[])) {
        (Some(value), Some(shape)) => shape.extract(value).map(Some),
        _ => Ok(None),
    }
}

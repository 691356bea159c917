//! A predicate against a catalogue: names exist, types and units fit.

use super::compare::Target;
use super::shape::Shape;
use super::{FieldPath, Literal, Op, Predicate, Selector, Tolerance};
use crate::error::nearest;
use crate::{Catalogue, Error, Field, FieldType, Marker, Unit};

/// Pseudo field of every marker: the libtest test that was running.
pub(super) const TEST: &str = "test";

/// Checks that a predicate means something under this catalogue.
///
/// # Errors
/// [`Error::UnknownMarker`], [`Error::UnknownField`] (both naming the nearest) or [`Error::Type`].
pub fn check(predicate: &Predicate, catalogue: &Catalogue) -> Result<(), Error> {
    resolve(predicate, catalogue).map(|_| ())
}

/// A predicate's names and types, looked up.
pub(super) struct Resolved<'c> {
    pub(super) marker: &'c Marker,
    pub(super) filters: Vec<ResolvedFilter<'c>>,
    /// For comparisons: the field, what is compared in it, and with what.
    pub(super) comparison: Option<Comparison<'c>>,
}

pub(super) struct ResolvedFilter<'c> {
    pub(super) name: &'c str,
    /// `None` for [`TEST`].
    pub(super) field: Option<&'c Field>,
    pub(super) target: Target,
}

pub(super) struct Comparison<'c> {
    pub(super) field: &'c Field,
    pub(super) shape: Shape,
    pub(super) target: Target,
}

pub(super) fn resolve<'c>(
    predicate: &Predicate,
    catalogue: &'c Catalogue,
) -> Result<Resolved<'c>, Error> {
    let selector = predicate.selector();
    let marker = catalogue.require(&selector.marker)?;
    let filters = resolve_filters(selector, marker)?;
    let comparison = match predicate {
        Predicate::Compare {
            field,
            op,
            value,
            tolerance,
            ..
        } => Some(resolve_comparison(
            marker,
            field,
            *op,
            value,
            tolerance.as_ref(),
        )?),
        Predicate::Presence { .. } | Predicate::Count { .. } => None,
    };
    Ok(Resolved {
        marker,
        filters,
        comparison,
    })
}

fn resolve_filters<'c>(
    selector: &Selector,
    marker: &'c Marker,
) -> Result<Vec<ResolvedFilter<'c>>, Error> {
    let mut resolved: Vec<ResolvedFilter<'c>> = Vec::new();
    for filter in selector.filters.iter().flatten() {
        let fail = |reason| type_error(marker, &filter.field, reason);
        if resolved.iter().any(|known| known.name == filter.field) {
            return Err(fail(
                "is asked for twice; a row has one value of it".to_owned(),
            ));
        }
        if filter.field == TEST {
            let target = Target::read(Shape::Text, None, &[], &filter.value).map_err(fail)?;
            resolved.push(ResolvedFilter {
                name: TEST,
                field: None,
                target,
            });
            continue;
        }
        let field = find(marker, &filter.field, &filter.field)?;
        let shape =
            Shape::of(field, &[]).ok_or_else(|| fail("cannot be filtered by".to_owned()))?;
        let target = Target::read(shape, field.unit, &field.values, &filter.value).map_err(fail)?;
        resolved.push(ResolvedFilter {
            name: field.name.as_str(),
            field: Some(field),
            target,
        });
    }
    Ok(resolved)
}

fn resolve_comparison<'c>(
    marker: &'c Marker,
    path: &FieldPath,
    op: Op,
    value: &Literal,
    tolerance: Option<&Tolerance>,
) -> Result<Comparison<'c>, Error> {
    let written = path.to_string();
    let fail = |reason: String| type_error(marker, &written, reason);
    let field = find(marker, &path.field, &written)?;
    let shape = Shape::of(field, &path.path).ok_or_else(|| fail(path_hint(field)))?;
    let unit = if shape.is_in_field_unit() {
        field.unit
    } else {
        shape.own_unit()
    };
    let target = Target::read(shape.clone(), unit, &field.values, value).map_err(fail)?;
    if !shape.is_number() && !matches!(op, Op::Eq | Op::Ne) {
        return Err(fail(format!(
            "holds {}; compare it with == or !=",
            shape.describe()
        )));
    }
    match tolerance {
        None => {}
        Some(_) if !target.is_finite() => {
            return Err(fail(
                "takes a tolerance only where it is compared with a number".to_owned(),
            ));
        }
        Some(Tolerance::Absolute {
            unit: Some(given), ..
        }) => check_unit(*given, unit).map_err(fail)?,
        Some(_) => {}
    }
    let target = target.with_tolerance(tolerance, unit);
    Ok(Comparison {
        field,
        shape,
        target,
    })
}

fn find<'c>(marker: &'c Marker, name: &str, written: &str) -> Result<&'c Field, Error> {
    marker.field(name).ok_or_else(|| Error::UnknownField {
        marker: marker.name.clone(),
        field: written.to_owned(),
        nearest: nearest(name, marker.fields.iter().map(|field| field.name.as_str())),
    })
}

fn type_error(marker: &Marker, field: &str, reason: String) -> Error {
    Error::Type {
        marker: marker.name.clone(),
        field: field.to_owned(),
        reason,
    }
}

fn path_hint(field: &Field) -> String {
    match field.kind {
        FieldType::Buckets => "is no path; write .NAME.count, .NAME.us or .len".to_owned(),
        FieldType::IntList | FieldType::DecimalList | FieldType::TextList => {
            "is no path; write an index such as .0, or .len".to_owned()
        }
        _ => "is no path; the field has no parts".to_owned(),
    }
}

/// Whether a written unit fits a field's.
pub(super) fn check_unit(given: Unit, field: Option<Unit>) -> Result<(), String> {
    match field {
        None => Err(format!("has no unit; write the number without `{given}`")),
        Some(unit) if unit.dimension() != given.dimension() => Err(format!(
            "is measured in {unit}; `{given}` does not convert to it"
        )),
        Some(_) => Ok(()),
    }
}

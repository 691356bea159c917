//! An observation, value by value.

use markers::{Buckets, Catalogue, Observation, Value};

/// One value of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldValue {
    /// Field.
    pub field: String,
    /// Part of it: index of a list, `NAME.count` or `NAME.us` of a histogram.
    pub part: Option<String>,
    /// The value as a number, where it is a finite one.
    pub number: Option<f64>,
    /// The value as it was read.
    pub text: String,
    /// Unit of the number.
    pub unit: Option<String>,
}

/// The values of an observation, in order of its fields. A list comes item by item, a histogram number by number.
#[must_use]
pub fn values(row: &Observation, catalogue: &Catalogue) -> Vec<FieldValue> {
    let marker = catalogue.marker(&row.kind);
    let mut found = Vec::new();
    for (name, value) in &row.fields {
        let field = marker.and_then(|marker| marker.field(name));
        let unit = field
            .and_then(|field| field.unit)
            .map(|unit| unit.to_string());
        for (part, value, unit) in parts(value, unit) {
            let text = value.to_string();
            found.push(FieldValue {
                field: name.clone(),
                part,
                number: number(&value, &text),
                text,
                unit,
            });
        }
    }
    found
}

fn parts(value: &Value, unit: Option<String>) -> Vec<(Option<String>, Value, Option<String>)> {
    match value {
        Value::List(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .map(|(at, item)| (Some(at.to_string()), item.clone(), unit.clone()))
            .collect(),
        Value::Buckets(Buckets::Populated(buckets)) => {
            let both = buckets.iter().flat_map(|bucket| {
                let part = |what: &str| Some(format!("{}.{what}", bucket.name));
                let us = Some("us".to_owned());
                [
                    (part("count"), Value::Number(bucket.count.clone()), None),
                    (part("us"), Value::Number(bucket.us.clone()), us),
                ]
            });
            both.collect()
        }
        other => vec![(None, other.clone(), unit)],
    }
}

/// JSON has no infinities; they stay text.
fn number(value: &Value, text: &str) -> Option<f64> {
    match value {
        Value::Number(_) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

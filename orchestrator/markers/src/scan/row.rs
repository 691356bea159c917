//! One row while the scanner stands on it, and who takes it.

use std::collections::BTreeMap;

use crate::catalogue::{Number, Scratch, small};
use crate::{Decimal, Marker, Observation, Span, Value};

/// Takes rows as they are read.
pub(super) trait Sink {
    /// One row, in log order.
    fn row(&mut self, row: &RowRef<'_>);
    /// What came so far is not to be believed.
    fn forget(&mut self);
}

impl Sink for Vec<Observation> {
    fn row(&mut self, row: &RowRef<'_>) {
        self.push(row.to_observation());
    }

    fn forget(&mut self) {
        self.clear();
    }
}

/// Calls a function with every row.
pub(super) struct Each<F>(pub(super) F);

impl<F: FnMut(&RowRef<'_>)> Sink for Each<F> {
    fn row(&mut self, row: &RowRef<'_>) {
        (self.0)(row);
    }

    fn forget(&mut self) {}
}

/// A typed row, borrowed from the scanner. Whoever needs it longer takes [`RowRef::to_observation`].
#[derive(Debug)]
pub struct RowRef<'r> {
    pub(super) marker: &'r Marker,
    pub(super) fields: Fields<'r>,
    pub(super) span: Span,
    pub(super) line: u64,
    pub(super) test: Option<&'r str>,
    /// The blocks that the line stands in.
    pub(super) blocks: &'r BTreeMap<String, String>,
}

/// A row's fields, as they were read.
#[derive(Debug)]
pub(super) enum Fields<'r> {
    /// Pairs of a message.
    Pairs(&'r Scratch, &'r str),
    /// Captures of a form.
    Captured(&'r BTreeMap<String, Value>),
}

impl RowRef<'_> {
    /// Catalogue name of the marker.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.marker.name
    }

    /// Raw bytes it was read from.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// 1-based line of the raw log.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The libtest test that was running.
    #[must_use]
    pub fn test(&self) -> Option<&str> {
        self.test
    }

    /// Calls `take` with the name and every number of every field that the line gives, as mantissa and power of
    /// ten as it is written; numbers of more than 18 digits have none.
    pub fn numbers(&self, mut take: impl FnMut(&str, Option<(i64, i32)>)) {
        match &self.fields {
            Fields::Pairs(scratch, _) => {
                for (field, slot) in self.marker.fields.iter().zip(&scratch.slots) {
                    scratch.numbers(*slot, |number: Number| take(&field.name, number.small));
                }
            }
            Fields::Captured(row) => {
                for (name, value) in *row {
                    if let Value::Number(number) = value {
                        let written = small(number.text().as_bytes());
                        take(name, written.or_else(|| number.small()));
                    }
                }
            }
        }
    }

    /// The row with everything it needs, the fields included that it has from the block it stands in.
    #[must_use]
    pub fn to_observation(&self) -> Observation {
        let mut fields = match &self.fields {
            Fields::Captured(row) => (*row).clone(),
            Fields::Pairs(scratch, message) => {
                let slots = self.marker.fields.iter().zip(&scratch.slots);
                let given = slots.filter_map(|(field, slot)| {
                    Some((field.name.clone(), scratch.value(message, *slot)?))
                });
                given.collect()
            }
        };
        self.inherit(&mut fields);
        Observation {
            kind: self.marker.name.clone(),
            fields,
            span: self.span,
            line: self.line,
            test: self.test.map(str::to_owned),
        }
    }

    fn inherit(&self, fields: &mut BTreeMap<String, Value>) {
        for field in &self.marker.fields {
            if fields.contains_key(&field.name) {
                continue;
            }
            let block = self.blocks.get(&field.name).filter(|_| field.inherit);
            let value = match (block, &field.margin) {
                (Some(text), _) => field.read(text).ok(),
                (None, Some([value, limit])) => margin(fields.get(value), fields.get(limit)),
                (None, None) => None,
            };
            fields.extend(value.map(|value| (field.name.clone(), value)));
        }
    }
}

/// By how many percent `value` exceeds `limit`, to one decimal; negative where it stays below.
fn margin(value: Option<&Value>, limit: Option<&Value>) -> Option<Value> {
    let (Value::Number(value), Value::Number(limit)) = (value?, limit?) else {
        return None;
    };
    let over = value.minus(limit);
    let percent: Decimal = over.share_of(limit)?.parse().ok()?;
    let below = over.is_negative() != limit.is_negative();
    let zero = Decimal::from(0_u64);
    Some(Value::Number(if below {
        zero.minus(&percent)
    } else {
        percent
    }))
}

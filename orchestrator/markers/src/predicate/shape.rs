//! Which part of a field a predicate speaks about.

use crate::{Bucket, Buckets, Decimal, Field, FieldType, Unit, Value};

/// What part of a field is compared, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Number,
    Text,
    Bool,
    /// A whole list, its items being numbers or not.
    List(bool),
    /// One item of a list.
    Item(usize, bool),
    /// The number of items or buckets.
    Len,
    /// `populated`, `empty` or `disabled`.
    BucketState,
    /// Dispatches in the buckets of this name.
    BucketCount(String),
    /// Device time of the buckets of this name, µs.
    BucketTime(String),
}

impl Shape {
    pub(super) fn of(field: &Field, path: &[String]) -> Option<Self> {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let list = match field.kind {
            FieldType::IntList | FieldType::DecimalList => Some(true),
            FieldType::TextList => Some(false),
            _ => None,
        };
        match (field.kind, steps.as_slice(), list) {
            (FieldType::Int | FieldType::Decimal, [], _) => Some(Self::Number),
            (FieldType::Text, [], _) => Some(Self::Text),
            (FieldType::Bool, [], _) => Some(Self::Bool),
            (FieldType::Buckets, [], _) => Some(Self::BucketState),
            (FieldType::Buckets, ["len"], _) | (_, ["len"], Some(_)) => Some(Self::Len),
            (FieldType::Buckets, [name, "count"], _) => Some(Self::BucketCount((*name).to_owned())),
            (FieldType::Buckets, [name, "us"], _) => Some(Self::BucketTime((*name).to_owned())),
            (_, [], Some(numeric)) => Some(Self::List(numeric)),
            (_, [index], Some(numeric)) => Some(Self::Item(index.parse().ok()?, numeric)),
            _ => None,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Number
                | Self::Item(_, true)
                | Self::Len
                | Self::BucketCount(_)
                | Self::BucketTime(_)
        )
    }

    /// Whether values of this shape are in the unit of their field.
    pub(super) fn is_in_field_unit(&self) -> bool {
        matches!(self, Self::Number | Self::Item(..) | Self::List(_))
    }

    pub(super) fn own_unit(&self) -> Option<Unit> {
        matches!(self, Self::BucketTime(_)).then_some(Unit::Us)
    }

    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Text | Self::Item(_, false) => "text",
            Self::Bool => "true or false",
            Self::List(_) => "a list",
            Self::BucketState => "populated, empty or disabled",
            Self::Number
            | Self::Item(_, true)
            | Self::Len
            | Self::BucketCount(_)
            | Self::BucketTime(_) => "a number",
        }
    }

    /// The compared part of a field's value, or why this row cannot show it.
    pub(super) fn extract(&self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (_, Value::Masked) => Err("the value is masked".to_owned()),
            (_, Value::NotAvailable) => Err("the mode that ran does not know the value".to_owned()),
            (Self::BucketState, Value::Buckets(buckets)) => {
                Ok(Value::Text(state(buckets).to_owned()))
            }
            (_, Value::Buckets(Buckets::Disabled(why))) => {
                Err(format!("buckets are disabled ({why})"))
            }
            (Self::Len, Value::Buckets(Buckets::Empty)) => Ok(Value::Number(Decimal::from(0_u64))),
            (Self::Len, Value::Buckets(Buckets::Populated(buckets))) => Ok(length(buckets.len())),
            (Self::Len, Value::List(items)) => Ok(length(items.len())),
            (Self::BucketCount(name), Value::Buckets(buckets)) => {
                Ok(total(buckets, name, |b| &b.count))
            }
            (Self::BucketTime(name), Value::Buckets(buckets)) => {
                Ok(total(buckets, name, |b| &b.us))
            }
            (Self::Item(index, _), Value::List(items)) => items
                .get(*index)
                .cloned()
                .ok_or_else(|| format!("the list has {} items", items.len())),
            (_, value) => Ok(value.clone()),
        }
    }
}

fn state(buckets: &Buckets) -> &'static str {
    match buckets {
        Buckets::Populated(_) => "populated",
        Buckets::Empty => "empty",
        Buckets::Disabled(_) => "disabled",
    }
}

fn length(items: usize) -> Value {
    Value::Number(Decimal::from(items as u64))
}

/// Sum over the buckets of one name. A bucket that is missing where buckets show was never dispatched: 0.
fn total(buckets: &Buckets, name: &str, part: impl Fn(&Bucket) -> &Decimal) -> Value {
    let buckets: &[Bucket] = match buckets {
        Buckets::Populated(buckets) => buckets,
        Buckets::Empty | Buckets::Disabled(_) => &[],
    };
    let matching = buckets.iter().filter(|bucket| bucket.name == name);
    Value::Number(matching.fold(Decimal::from(0_u64), |sum, bucket| sum.plus(part(bucket))))
}

//! What a scan yields: observations, their values and where they stand.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// Raw byte range of a log, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// One marker at one place of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Catalogue name of the marker, `gpu_perdispatch`.
    pub kind: String,
    /// Typed fields by name. Fields the line left out are missing here.
    pub fields: BTreeMap<String, Value>,
    /// Raw bytes the observation was read from: from the marker to the end of its line.
    pub span: Span,
    /// 1-based line of the raw log.
    pub line: u64,
    /// The libtest test that was running, known with `--test-threads=1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

impl Observation {
    /// The field as text, when it is text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.fields.get(field)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The field as a number, when it is one.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<&Decimal> {
        match self.fields.get(field)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
}

/// Everything one cell of a run showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellObservations {
    /// Name of the cell, `noop-0-full`.
    pub cell: String,
    /// Whether the log is whole: no bytes lost, no gap in `seq`, every trailer seen or its absence explained.
    pub complete: bool,
    /// In log order.
    pub observations: Vec<Observation>,
}

/// A typed field value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// An exact decimal number, in the unit of its field.
    Number(Decimal),
    /// A float that is no number.
    NonFinite(NonFinite),
    /// Text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// `[a,b,c]`.
    List(Vec<Value>),
    /// A histogram over shaders.
    Buckets(Buckets),
    /// The emitter says that there is none: `code=none`.
    Nothing,
    /// `n/a`: unknown in the mode that ran.
    NotAvailable,
    /// `***`: a secret mask ate the value, it is never read as a number.
    Masked,
}

/// A float that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// Not a number; equal to nothing but the word `nan`.
    Nan,
    /// Positive infinity.
    Infinity,
    /// Negative infinity.
    NegativeInfinity,
}

/// The three states of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// At least one bucket.
    Populated(Vec<Bucket>),
    /// `[]`: the mode could have shown buckets and there were none.
    Empty,
    /// `disabled(…)`: the mode shows none by design; evidence of nothing.
    Disabled(String),
}

/// One bucket of a histogram: `name:count:us`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Shader name.
    pub name: String,
    /// Dispatches.
    pub count: Decimal,
    /// Device time in µs.
    pub us: Decimal,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nan => "nan",
            Self::Infinity => "inf",
            Self::NegativeInfinity => "-inf",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::NonFinite(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::List(items) => write_list(f, items),
            Self::Buckets(Buckets::Populated(buckets)) => write_list(f, buckets),
            Self::Buckets(Buckets::Empty) => f.write_str("[]"),
            Self::Buckets(Buckets::Disabled(reason)) => write!(f, "disabled({reason})"),
            Self::Nothing => f.write_str("none"),
            Self::NotAvailable => f.write_str("n/a"),
            Self::Masked => f.write_str("***"),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.count, self.us)
    }
}

fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    f.write_str("[")?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        item.fmt(f)?;
    }
    f.write_str("]")
}

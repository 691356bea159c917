//! The prediction grammar: predictions, guards, rollback conditions and engagement proofs.
//!
//! ```text
//! [all|any] MARKER{k=v,…}.field (==|!=|<|<=|>|>=) VALUE[unit] [±abs|±p%] [@cell|@*]
//! present|absent MARKER{…} [@cell|@*]          count MARKER{…} OP N [@cell|@*]
//! ```
//! A field may have a path: `.shader_buckets.rms_norm.count`, `.top5.0`, `.top5.len`.
//! Filters also accept `test`, the libtest test that was running.

mod check;
mod compare;
mod evaluate;
mod opposite;
mod parse;
mod print;
mod row;
mod shape;
mod verdict;

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use check::check;
pub(crate) use parse::KEYWORDS;

pub use evaluate::evaluate;
pub use verdict::{CellVerdict, Margin, Observed, Truth, Verdict};

use crate::{Decimal, Error, Unit};

/// A machine-gradable statement about the observations of a run.
///
/// Parsing and printing are inverse, up to spaces between words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    /// `all marker{…}.field op value ±tolerance @cell`.
    Compare {
        /// Rows that must satisfy it; `None` is the unwritten default `all`.
        quantifier: Option<Quantifier>,
        /// Which rows.
        selector: Selector,
        /// Which field, and a path into it.
        field: FieldPath,
        /// How it compares.
        op: Op,
        /// With what.
        value: Literal,
        /// How much slack the comparison has.
        tolerance: Option<Tolerance>,
        /// In which cells.
        cells: Option<Cells>,
    },
    /// `present marker{…} @cell` or `absent …`.
    Presence {
        /// `present` or `absent`.
        present: bool,
        /// Which rows.
        selector: Selector,
        /// In which cells.
        cells: Option<Cells>,
    },
    /// `count marker{…} op n @cell`.
    Count {
        /// Which rows.
        selector: Selector,
        /// How it compares.
        op: Op,
        /// With how many rows.
        count: u64,
        /// In which cells.
        cells: Option<Cells>,
    },
}

/// Which of the selected rows a comparison speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// Every row.
    All,
    /// At least one row.
    Any,
}

/// A marker and what its rows must show to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Catalogue name.
    pub marker: String,
    /// `{k=v,…}` in written order; `None` when no braces were written.
    pub filters: Option<Vec<Filter>>,
}

/// One `k=v` of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Field name.
    pub field: String,
    /// The value it must equal.
    pub value: Literal,
}

/// A field and the way into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// Field name.
    pub field: String,
    /// Steps below it: bucket name and `count` or `us`, list index, or `len`.
    pub path: Vec<String>,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the standard comparisons")]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A value as written. What it means depends on the type of the field it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// `1.5e-4`, `340us`.
    Number {
        /// The number.
        value: Decimal,
        /// The unit written right after it.
        unit: Option<Unit>,
    },
    /// A bare word: `single_graph`, `true`, `none`.
    Word(String),
    /// `"text with spaces"`.
    Quoted(String),
    /// `[1,2,3]`.
    List(Vec<Literal>),
}

/// How far a value may be off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tolerance {
    /// `±5us`.
    Absolute {
        /// How much.
        value: Decimal,
        /// In which unit; `None` is the unit of the compared value.
        unit: Option<Unit>,
    },
    /// `±3%` of the compared value.
    Percent(Decimal),
}

/// Which cells a predicate speaks about. It must hold in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cells {
    /// `@*`, the default.
    Every,
    /// `@noop-0-full`.
    One(String),
}

impl Predicate {
    /// Parses a predicate and checks it against a catalogue.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the column, or what [`check`] finds.
    pub fn parse_checked(text: &str, catalogue: &crate::Catalogue) -> Result<Self, Error> {
        let predicate = text.parse()?;
        check(&predicate, catalogue)?;
        Ok(predicate)
    }

    /// Which rows the predicate is about.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        match self {
            Self::Compare { selector, .. }
            | Self::Presence { selector, .. }
            | Self::Count { selector, .. } => selector,
        }
    }

    /// The kinds of rows that grading reads: the marker's own and those of its witnesses. Observations of other
    /// kinds can be left out without changing a verdict.
    #[must_use]
    pub fn kinds<'a>(&'a self, catalogue: &'a crate::Catalogue) -> Vec<&'a str> {
        let marker = self.selector().marker.as_str();
        let witnesses = catalogue
            .marker(marker)
            .map_or(&[][..], |marker| &marker.witnesses);
        std::iter::once(marker)
            .chain(witnesses.iter().map(|witness| witness.marker.as_str()))
            .collect()
    }

    /// Which cells the predicate is about, the default included.
    #[must_use]
    pub fn cells(&self) -> &Cells {
        match self {
            Self::Compare { cells, .. }
            | Self::Presence { cells, .. }
            | Self::Count { cells, .. } => cells.as_ref().unwrap_or(&Cells::Every),
        }
    }
}

impl FromStr for Predicate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::predicate(text)
    }
}

impl Serialize for Predicate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Predicate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

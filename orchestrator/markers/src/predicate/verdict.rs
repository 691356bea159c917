//! What grading answers.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Span, Unit, Value};

/// The three answers. "Not observable" is neither of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It is so.
    Holds,
    /// It is not so.
    Fails,
    /// What ran could not have shown it, either way.
    NotObservable,
}

/// A graded predicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Over all cells the predicate speaks about: it fails where it fails in one, and holds only where it holds in each.
    pub truth: Truth,
    /// The predicate, printed.
    pub predicate: String,
    /// Digest of the catalogue that gave it its meaning.
    pub catalogue: String,
    /// Why, in one line.
    pub why: String,
    /// Cell by cell.
    pub cells: Vec<CellVerdict>,
}

/// The answer of one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellVerdict {
    /// The cell.
    pub cell: String,
    /// Its answer.
    pub truth: Truth,
    /// Why, in one line.
    pub why: String,
    /// Rows that the selector meant.
    pub rows: u64,
    /// The rows it rests on: those that decide first, at most 64.
    pub observed: Vec<Observed>,
}

/// One row as the predicate saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// Position among the cell's observations.
    pub index: u64,
    /// 1-based line of the cell's log.
    pub line: u64,
    /// Raw bytes of the cell's log.
    pub span: Span,
    /// The row's answer.
    pub truth: Truth,
    /// The compared value; missing for `present`, `absent` and `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// How far a number is from the one it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// Why a row is not observable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Observed minus expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// The exact difference.
    pub difference: Decimal,
    /// Its magnitude in percent of the expected value, one decimal; missing where that is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<String>,
    /// Unit of the difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

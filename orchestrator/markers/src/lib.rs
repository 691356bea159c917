//! Marker catalogue, the scanner over log bytes and the predicate grammar. Pure.
//!
//! Flow: TOML files → [`Catalogue`] (examples checked at load) → [`Scanner`] over the raw bytes of a log →
//! [`Observation`]s and [`Diagnostic`]s → [`evaluate`] of a [`Predicate`] over [`CellObservations`] → [`Verdict`].
//!
//! # Architecture invariants
//! - A pattern over logs is data in `catalog/`; no marker's name or fields stand in Rust code, except that the
//!   scanner knows the envelope (`v run seq`) and how libtest interleaves its own lines with a test's output.
//! - Numbers are decimal text. There are no binary floats in values, comparisons or tolerances.
//! - Foreign bytes never cause an error or a panic: what cannot be read is a diagnostic with its line.
//! - Memory is bounded whatever the length of a line or of the log; a consumer drains observations as it goes.
//! - "Not observable" is an answer of its own; nothing turns it into "absent" or "false".
//! - No clock, disk, network, process, thread or environment.

mod catalogue;
mod decimal;
mod error;
mod observation;
mod predicate;
mod scan;
mod slope;
mod unit;
mod words;

pub use catalogue::{BUILTIN_FILES, Block, Catalogue, Field, FieldType, Marker, Witness};
pub use decimal::Decimal;
pub use error::Error;
pub use observation::{Bucket, Buckets, CellObservations, NonFinite, Observation, Span, Value};
pub use predicate::{
    CellVerdict, Cells, FieldPath, Filter, Literal, Margin, Observed, Op, Predicate, Quantifier,
    Selector, Tolerance, Truth, Verdict, check, evaluate,
};
pub use scan::{Diagnostic, RowRef, Scan, Scanner, scan};
pub use slope::{Slope, slopes};
pub use unit::{Dimension, Unit};

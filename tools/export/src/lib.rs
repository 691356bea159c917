//! Typed markers as Parquet, JSON lines or CSV, in folders that query engines know. Pure.
//!
//! Flow: observations → [`values`] → rows as JSON objects → the columns of [`SCHEMA`] → the bytes of one file per run, whose place
//! ([`place`]) carries day and run: `day=2026-01-31/run=R12/markers.parquet`.
//!
//! # Architecture invariants
//! - One schema for every kind of marker: a row is one value of one field of one observation. A new kind adds rows,
//!   never a column, so a year of runs is one table.
//! - A number keeps its text: the column `number` is for arithmetic and may round, the column `text` is what stood
//!   in the log.
//! - A row that does not fit the schema is an error, never a file with a hole.
//! - Nothing here reads or writes files.

mod csv;
mod parquet;
mod thrift;
mod values;

pub use values::{FieldValue, values};

use serde_json::{Map, Value};

/// A row: column name → value. Missing and null are the same.
pub type Row = Map<String, Value>;

/// What a column holds. Every column may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// 64 bits, signed.
    Int,
    /// Double precision.
    Double,
    /// `true` or `false`.
    Bool,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// The one schema. `day` and `run` stand in the path.
pub const SCHEMA: &[Column] = &[
    column("scope", Kind::Text),
    column("cell", Kind::Text),
    column("head_sha", Kind::Text),
    column("created_ms", Kind::Int),
    column("conclusion", Kind::Text),
    column("class", Kind::Text),
    column("green", Kind::Bool),
    column("log_id", Kind::Text),
    column("complete", Kind::Bool),
    column("catalogue", Kind::Text),
    column("observation", Kind::Int),
    column("kind", Kind::Text),
    column("line", Kind::Int),
    column("byte_start", Kind::Int),
    column("byte_end", Kind::Int),
    column("test", Kind::Text),
    column("path", Kind::Text),
    column("phase", Kind::Text),
    column("field", Kind::Text),
    column("part", Kind::Text),
    column("number", Kind::Double),
    column("text", Kind::Text),
    column("unit", Kind::Text),
];

/// Form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet, pages compressed with zstd.
    Parquet,
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180, with a header.
    Csv,
}

/// Why rows cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row has a column that the schema lacks.
    #[error("row {row} has a column `{column}`, which the schema lacks")]
    UnknownColumn {
        /// From 0.
        row: usize,
        /// The column.
        column: String,
    },
    /// A value is not of its column's type.
    #[error("row {row}: `{column}` holds {found}, which is no {expected:?}")]
    WrongType {
        /// From 0.
        row: usize,
        /// The column.
        column: &'static str,
        /// The column's type.
        expected: Kind,
        /// The value as JSON, cut.
        found: String,
    },
    /// A column of one file has more bytes than the format can say.
    #[error("column `{0}` has more than 2 GiB in one run; export fewer kinds at a time")]
    TooLarge(&'static str),
    /// Compression failed.
    #[error("compression failed: {0}")]
    Compression(String),
}

impl Format {
    /// The name that a person types, which is also the ending of the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// The bytes of one file.
///
/// # Errors
/// [`Error::UnknownColumn`] and [`Error::WrongType`] for rows that do not fit [`SCHEMA`].
pub fn encode(format: Format, rows: &[Row]) -> Result<Vec<u8>, Error> {
    check(rows)?;
    match format {
        Format::Parquet => parquet::encode(SCHEMA, rows),
        Format::Jsonl => Ok(jsonl(rows)),
        Format::Csv => Ok(csv::encode(SCHEMA, rows)),
    }
}

/// Where the file of a run stands below the folder of an export. `created_ms` counts from 1970-01-01 UTC.
#[must_use]
pub fn place(format: Format, run: &str, created_ms: i64) -> String {
    let run: String = run
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let day = day(created_ms);
    format!("day={day}/run={run}/markers.{}", format.as_str())
}

/// The civil date in UTC (after Howard Hinnant, "chrono-compatible low-level date algorithms").
fn day(ms: i64) -> String {
    let days = ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn check(rows: &[Row]) -> Result<(), Error> {
    for (at, row) in rows.iter().enumerate() {
        for (name, value) in row {
            let column = SCHEMA.iter().find(|column| column.name == *name);
            let Some(column) = column else {
                let column = name.clone();
                return Err(Error::UnknownColumn { row: at, column });
            };
            let fits = match (column.kind, value) {
                (_, Value::Null)
                | (Kind::Text, Value::String(_))
                | (Kind::Bool, Value::Bool(_)) => true,
                (Kind::Int, Value::Number(number)) => number.is_i64(),
                (Kind::Double, Value::Number(_)) => true,
                _ => false,
            };
            if !fits {
                return Err(Error::WrongType {
                    row: at,
                    column: column.name,
                    expected: column.kind,
                    found: value.to_string().chars().take(40).collect(),
                });
            }
        }
    }
    Ok(())
}

/// Every line has every column, in the order of the schema, so that readers that look at the first lines see all.
fn jsonl(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        for (at, column) in SCHEMA.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
            out.extend_from_slice(column.name.as_bytes());
            out.extend_from_slice(b"\":");
            let value = row.get(column.name).unwrap_or(&Value::Null);
            out.extend_from_slice(value.to_string().as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
    out
}

#[cfg(test)]
mod tests;

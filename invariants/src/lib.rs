//! The law of the engine: `INVARIANTS.md`, its loader and its linter. Pure.
//!
//! Flow: text → [`Law::parse`] (line-numbered errors) → [`Law`] → [`lint`] → [`Finding`]s.
//!
//! Form of the file: headings `## §N Title`, prose, and per law one or more lines `Pinned by: test TARGET::FUNCTION`
//! or `Pinned by: type PATH`. A line `Laws: N` before the first heading states how many there are. Other headings and
//! fenced code are prose.
//!
//! # Architecture invariants
//! - A law is cited by its id and by the digest of the whole file, so that a citation names one text.
//! - Parsing never guesses: a heading or pin that is almost right is an error with its line.
//! - Whether a pin exists in a tree is not known here; whoever holds the tree asks.
//! - No clock, disk, network, process, thread or environment.

mod lint;
mod parse;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use lint::{Finding, lint};

/// The law of `engine/` as it ships.
const BUILTIN: &str = include_str!("../INVARIANTS.md");

/// A parsed law file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// In file order.
    pub invariants: Vec<Invariant>,
    /// The count that the file states, if it does.
    pub stated_count: Option<u32>,
    /// `sha256:<hex>` of the file's bytes.
    pub digest: String,
}

/// One numbered law.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// Its id, `§3`.
    pub id: String,
    /// The number in it.
    pub number: u32,
    /// Heading after the number.
    pub title: String,
    /// The prose, without the pins.
    pub text: String,
    /// What holds it in place.
    pub pins: Vec<Pin>,
    /// 1-based line of the heading.
    pub line: u32,
}

/// The test or type that makes breaking a law visible.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pin {
    /// A test function of a cargo test target.
    Test {
        /// Test target, `gpu_smoke`, or `lib` for a unit test.
        target: String,
        /// Path of the function within the target.
        function: String,
    },
    /// A type whose shape makes breaking the law impossible to write.
    Type {
        /// Rust path.
        path: String,
    },
}

/// What can be wrong with the text of a law file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any law.
    #[error("law file of {0} bytes is too long; the limit is 1 MiB")]
    TooLong(usize),
    /// A heading that begins `## §` and is no law's.
    #[error("line {line}: heading `{text}` is malformed; write `## §N Title`")]
    Heading {
        /// 1-based line.
        line: u32,
        /// The heading, shortened.
        text: String,
    },
    /// A `Pinned by:` that names neither a test nor a type.
    #[error(
        "line {line}: pin `{text}` is malformed; write `Pinned by: test TARGET::FUNCTION` or `Pinned by: type PATH`"
    )]
    Pin {
        /// 1-based line; 0 for a pin read on its own.
        line: u32,
        /// The pin, shortened.
        text: String,
    },
    /// A `Pinned by:` or `Laws:` in the wrong place.
    #[error("line {line}: `{text}` belongs {place}; move it there")]
    Misplaced {
        /// 1-based line.
        line: u32,
        /// The line, shortened.
        text: String,
        /// Where it belongs.
        place: &'static str,
    },
    /// A `Laws:` that is no number.
    #[error("line {line}: `{text}` states no count; write `Laws: N`")]
    Count {
        /// 1-based line.
        line: u32,
        /// The line, shortened.
        text: String,
    },
    /// A code fence that is never closed hides every law after it.
    #[error("line {line}: code fence is never closed; close it with ```")]
    OpenFence {
        /// 1-based line of the fence.
        line: u32,
    },
}

impl Law {
    /// Reads a law file.
    ///
    /// # Errors
    /// The first malformed line. Gaps, duplicates and missing pins are findings of [`lint`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::law(text)
    }

    /// The law of `engine/` as it ships.
    ///
    /// # Errors
    /// As [`Self::parse`]; never happens in a released build.
    pub fn builtin() -> Result<Self, Error> {
        Self::parse(BUILTIN)
    }

    /// The law of this id, `§3`. With duplicates, the first.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Invariant> {
        self.invariants.iter().find(|invariant| invariant.id == id)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test { target, function } => write!(f, "test {target}::{function}"),
            Self::Type { path } => write!(f, "type {path}"),
        }
    }
}

impl FromStr for Pin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::pin(text, 0)
    }
}

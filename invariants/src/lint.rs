//! What a law file that parses can still have wrong.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Law;

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", deny_unknown_fields)]
pub enum Finding {
    /// The file holds no law.
    Empty,
    /// Numbers must run from 1 without a gap, in order.
    Numbering {
        /// 1-based line of the heading.
        line: u32,
        /// The number that should stand there.
        expected: u32,
        /// The number that does.
        found: u32,
    },
    /// Two laws have one number.
    Duplicate {
        /// The id.
        id: String,
        /// 1-based line of the first.
        first: u32,
        /// 1-based line of the second.
        second: u32,
    },
    /// A law that nothing holds in place.
    NoPin {
        /// The id.
        id: String,
        /// 1-based line of the heading.
        line: u32,
    },
    /// A pin that stands twice under one law.
    RepeatedPin {
        /// The id.
        id: String,
        /// The pin.
        pin: String,
    },
    /// A law without a word.
    NoText {
        /// The id.
        id: String,
        /// 1-based line of the heading.
        line: u32,
    },
    /// The count that the file states is not the count it has.
    Count {
        /// Stated.
        stated: u32,
        /// Counted.
        found: u32,
    },
}

/// Checks numbering, pins and counts.
#[must_use]
pub fn lint(law: &Law) -> Vec<Finding> {
    let mut findings = Vec::new();
    if law.invariants.is_empty() {
        findings.push(Finding::Empty);
    }
    let found = u32::try_from(law.invariants.len()).unwrap_or(u32::MAX);
    if let Some(stated) = law.stated_count.filter(|stated| *stated != found) {
        findings.push(Finding::Count { stated, found });
    }
    let mut lines: BTreeMap<u32, u32> = BTreeMap::new();
    let mut expected: u32 = 1;
    for invariant in &law.invariants {
        let (id, line) = (invariant.id.clone(), invariant.line);
        if let Some(first) = lines.insert(invariant.number, line) {
            findings.push(Finding::Duplicate {
                id: id.clone(),
                first,
                second: line,
            });
        } else if invariant.number != expected {
            findings.push(Finding::Numbering {
                line,
                expected,
                found: invariant.number,
            });
        }
        expected = invariant.number.saturating_add(1);
        if invariant.text.is_empty() {
            findings.push(Finding::NoText {
                id: id.clone(),
                line,
            });
        }
        if invariant.pins.is_empty() {
            findings.push(Finding::NoPin {
                id: id.clone(),
                line,
            });
        }
        let mut pins = invariant.pins.clone();
        pins.sort();
        let repeated = pins
            .windows(2)
            .filter_map(|pair| pair.first().filter(|pin| pair.get(1) == Some(*pin)));
        findings.extend(repeated.map(|pin| Finding::RepeatedPin {
            id: id.clone(),
            pin: pin.to_string(),
        }));
    }
    findings
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no law; add a heading `## §1 Title`"),
            Self::Numbering {
                line,
                expected,
                found,
            } => {
                write!(
                    f,
                    "line {line}: §{found} stands where §{expected} belongs; number from 1 without gaps"
                )
            }
            Self::Duplicate { id, first, second } => {
                write!(
                    f,
                    "line {second}: {id} was defined at line {first}; give it a number of its own"
                )
            }
            Self::NoPin { id, line } => write!(
                f,
                "line {line}: {id} has no pin; add `Pinned by: test …` or `type …`"
            ),
            Self::RepeatedPin { id, pin } => write!(f, "{id} is pinned twice by {pin}; remove one"),
            Self::NoText { id, line } => {
                write!(f, "line {line}: {id} says nothing; add a paragraph")
            }
            Self::Count { stated, found } => write!(
                f,
                "the file states {stated} laws and has {found}; correct `Laws:`"
            ),
        }
    }
}

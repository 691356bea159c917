//! What a log holds, as its generator knows it and as a scanner saw it.

use std::collections::BTreeMap;

use markers::RowRef;

use crate::random::mix;

/// Rows by kind and a digest over every row's kind, line and numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// Rows by marker.
    pub rows: BTreeMap<String, u64>,
    /// Over kind, line and every number of every row.
    pub digest: u64,
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Truth {
    /// Rows of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }

    /// One row with its numbers as mantissa and power of ten, in any order.
    pub(crate) fn row(&mut self, kind: &str, numbers: &[(i64, i32)]) {
        match self.rows.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.rows.insert(kind.to_owned(), 1);
            }
        }
        let digest = numbers.iter().fold(0_u64, |sum, number| {
            sum.wrapping_add(number_digest(*number))
        });
        self.digest = chain(self.digest, kind, self.lines + 1, digest);
    }
}

/// What a scanner saw. Costs little, so that it can be measured with it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Over kind, line and every number of every row.
    pub digest: u64,
    /// Rows.
    pub rows: u64,
}

impl Seen {
    /// Takes a row.
    pub fn row(&mut self, row: &RowRef<'_>) {
        let mut digest = 0_u64;
        row.numbers(|_, number| {
            digest = digest.wrapping_add(number_digest(number.unwrap_or((0, 99))));
        });
        self.digest = chain(self.digest, row.kind(), row.line(), digest);
        self.rows += 1;
    }
}

fn number_digest((mantissa, exponent): (i64, i32)) -> u64 {
    let exponent = u64::from(exponent.unsigned_abs());
    mix(mantissa.cast_unsigned() ^ (exponent << 58))
}

fn chain(digest: u64, kind: &str, line: u64, numbers: u64) -> u64 {
    let bytes = kind.as_bytes();
    let (first, last) = (bytes.first().copied(), bytes.last().copied());
    let name = u64::from(first.unwrap_or(0)) << 16
        | u64::from(last.unwrap_or(0)) << 8
        | (bytes.len() as u64 & 0xff);
    (digest ^ mix(name ^ (line << 24)))
        .wrapping_add(numbers)
        .rotate_left(7)
}

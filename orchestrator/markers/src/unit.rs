//! Units of time and memory that fields and predicates may carry.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// A unit of measure. Units of one [`Dimension`] convert exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are the standard unit symbols")]
pub enum Unit {
    #[serde(rename = "ns")]
    Ns,
    #[serde(rename = "us")]
    Us,
    #[serde(rename = "ms")]
    Ms,
    #[serde(rename = "s")]
    S,
    B,
    #[serde(rename = "kB")]
    KB,
    MB,
    GB,
    KiB,
    MiB,
    GiB,
}

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Durations; the base unit is `ns`.
    Time,
    /// Memory; the base unit is `B`.
    Memory,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 11] = [
        Self::Ns,
        Self::Us,
        Self::Ms,
        Self::S,
        Self::B,
        Self::KB,
        Self::MB,
        Self::GB,
        Self::KiB,
        Self::MiB,
        Self::GiB,
    ];

    /// The symbol, as it is written after a number.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
            Self::B => "B",
            Self::KB => "kB",
            Self::MB => "MB",
            Self::GB => "GB",
            Self::KiB => "KiB",
            Self::MiB => "MiB",
            Self::GiB => "GiB",
        }
    }

    /// What the unit measures.
    #[must_use]
    pub fn dimension(self) -> Dimension {
        match self {
            Self::Ns | Self::Us | Self::Ms | Self::S => Dimension::Time,
            _ => Dimension::Memory,
        }
    }

    /// The unit that all of this dimension convert to exactly.
    #[must_use]
    pub fn base(self) -> Self {
        match self.dimension() {
            Dimension::Time => Self::Ns,
            Dimension::Memory => Self::B,
        }
    }

    /// `value` of this unit, in the base unit.
    #[must_use]
    pub fn to_base(self, value: &Decimal) -> Decimal {
        let factor: u64 = match self {
            Self::Ns | Self::B => 1,
            Self::Us | Self::KB => 1_000,
            Self::Ms | Self::MB => 1_000_000,
            Self::S | Self::GB => 1_000_000_000,
            Self::KiB => 1 << 10,
            Self::MiB => 1 << 20,
            Self::GiB => 1 << 30,
        };
        value.times(&Decimal::from(factor))
    }

    /// `value` of this unit in another unit of the same dimension, exactly; `None` across dimensions.
    #[must_use]
    pub fn convert(self, value: &Decimal, to: Self) -> Option<Decimal> {
        if self == to {
            return Some(value.clone());
        }
        if self.dimension() != to.dimension() {
            return None;
        }
        let base = self.to_base(value);
        // Division by 10^n moves the point; division by 2^n is a multiplication by 5^n and a division by 10^n.
        let halvings = match to {
            Self::KiB => 10,
            Self::MiB => 20,
            Self::GiB => 30,
            _ => 0,
        };
        let tens = match to {
            Self::Us | Self::KB => 3,
            Self::Ms | Self::MB => 6,
            Self::S | Self::GB => 9,
            _ => halvings,
        };
        let fives = (0..halvings / 10).fold(Decimal::from(1_u64), |product, _| {
            product.times(&Decimal::from(9_765_625_u64))
        });
        Some(base.times(&fives).shifted(-tens))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

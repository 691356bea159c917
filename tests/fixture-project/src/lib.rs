//! Running totals by two paths: one value after the other, and in blocks.
//!
//! Both paths must give the same totals for every length; see `invariants/INVARIANTS.md`.

pub mod blocks;
pub mod reference;

/// Values that one block holds.
pub const BLOCK: usize = 4;

//! Tests of single decisions, on the good claim and variations of it.

mod contrast;
mod green;
mod hypothesis;
mod permit;
mod shown;
mod turn;
mod verification;

//! Measurements as ratios against peers, over logs whose truth is known.
//!
//! Flow: a seed → [`Log`], written line by line together with its [`Truth`] → the scanner and a peer over the same
//! file, in turn → a ratio, and a comparison of the rows with the truth.
//!
//! # Architecture invariants
//! - A measurement is a ratio of two runs in one process tree, taken in turn; nothing compares with a number that was
//!   measured elsewhere. What has to hold on any machine is counted in instructions.
//! - A fast wrong answer is a failure: every measured scan is compared with the truth of the generator.
//! - Nothing here is linked into the product.

mod log;
mod noise;
mod random;
mod truth;
mod year;

pub use log::{Log, Style};
pub use truth::{Seen, Truth};
pub use year::{File, Year};

//! Failure classes and proof scopes as data. Pure.
//!
//! Flow: TOML files → [`Playbooks`] (every example classified at load) → [`classify`] over a run's facts and
//! observations → [`Classification`]: the class, what to do about it, and the lines it rests on.
//!
//! # Architecture invariants
//! - A class is a file: its rules, exclusions, remedy, grouping and notes are predicates and texts in `classes/`.
//!   Rust code names no class but the two that decide about green.
//! - Every hit is kept. The class that comes first in the order wins; an excluded hit never wins and is reported.
//! - Dispositions are a closed enum, so that the loop matches them exhaustively.
//! - A green conclusion alone is `green_unproven`; `passed` needs the engagement proof and every cell.
//! - A class file's rules over claims are handed on as text; what they say is read where claims are judged.
//! - No clock, disk, network, process, thread or environment.

mod builtin;
mod class;
mod classify;
mod error;
mod exhibit;
mod facts;
mod format;
mod group;
mod load;
mod name;
mod report;
mod sides;
mod view;

pub use builtin::{CLASS_FILES, SCOPE_FILES};
pub use class::{Class, Disposition, ExclusionReach, ProofScope};
pub use classify::classify;
pub use error::Error;
pub use exhibit::{Demanded, Exhibit, demanded_exhibits};
pub use facts::{FactRule, RunFacts, RunnerState};
pub use group::{FailingTest, Group};
pub use load::Playbooks;
pub use name::ClassName;
pub use report::{Anchor, Classification, ExcludedHit, Hit};
pub use sides::{Sides, blamed_reference, sides};

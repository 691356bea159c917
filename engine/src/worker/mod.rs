//! The process boundary: a driver that takes its process down takes a worker down, not the caller.
//!
//! Flow: [`client::Worker`] starts `engine worker` and writes [`protocol::Request`] lines to its stdin; [`serve`] reads
//! them, runs a [`session::Session`] and writes [`protocol::Answer`] lines to stdout. Markers go to stderr.
//!
//! Architecture invariants:
//! - The parent never loads a Vulkan driver.
//! - Every request gets exactly one final answer, or the worker's end is reported.
//! - A context that a failure has poisoned answers nothing but `health` and `shutdown`.

mod asked;
pub mod client;
mod error;
mod fault;
pub mod frame;
mod gpu;
mod plans;
mod predict;
mod process;
pub mod protocol;
mod report;
mod rows;
pub mod serve;
pub mod session;
mod supervisor;

pub use asked::Event;
pub use client::{Worker, WorkerOptions};
pub use error::WorkerError;
pub(crate) use gpu::{Resident, logits};
pub use predict::{Prediction, Stopped};
pub use supervisor::Supervisor;

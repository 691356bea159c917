//! The process boundary: a driver that takes its process down takes a worker down, not the caller.
//!
//! Flow: [`client::Worker`] starts `engine worker` and writes [`protocol::Request`] lines to its stdin; [`serve`] reads
//! them, runs a [`session::Session`] and writes [`protocol::Answer`] lines to stdout. Markers go to stderr.
//!
//! Architecture invariants:
//! - The parent never loads a Vulkan driver.
//! - Every request gets exactly one final answer, or the worker's end is reported.
//! - A context that a failure has poisoned answers nothing but `health` and `shutdown`.

pub mod client;
mod fault;
pub mod frame;
mod gpu;
mod predict;
pub mod protocol;
mod rows;
pub mod serve;
pub mod session;

pub use client::{Supervisor, Worker, WorkerError, WorkerOptions};
pub use predict::{Prediction, Stopped};

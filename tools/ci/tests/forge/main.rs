//! Sources of finished runs: a recorded folder, and a forge that misbehaves in every known way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod fake;
mod login;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../memory/mod.rs"]
mod memory;
mod openapi;
mod orders;
mod rate;
mod recorded;
mod support;
mod survives;

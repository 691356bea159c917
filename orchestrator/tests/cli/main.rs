//! The command line as a person meets it: real repositories, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod configuration;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../../../tools/ci/tests/forge/fake.rs"]
mod fake;
mod init;
mod interrupt;
mod orders;
mod pull;
mod support;
mod surface;

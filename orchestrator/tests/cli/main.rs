//! The command line as a person meets it: real repositories, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod configuration;
mod init;
mod interrupt;
mod support;
mod surface;

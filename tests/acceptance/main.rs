//! Promises of the product, one module each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod bad_input;
mod documents;
mod engine_log;
mod engine_telemetry;
mod http;
mod kills;
mod mcp;
mod story;
mod verbs;

//! The command layer on a real project, with a real remote, real gates and a real signature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod dependencies;
mod diagnostic;
mod dishonest;
mod drift;
mod evidence;
mod interrupted;
mod recorded;
mod refusals;
mod resume;
mod rollback;
mod story;
mod support;

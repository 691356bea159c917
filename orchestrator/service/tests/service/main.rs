//! The command layer on a real project, with a real remote, real gates and a real signature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod attacks;
mod dependencies;
mod diagnostic;
mod dishonest;
mod drift;
mod ended_here;
mod evidence;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../../../../tools/ci/tests/forge/fake.rs"]
mod fake;
mod forecast;
mod founding_case;
mod gates;
mod github;
mod guarded;
mod interrupted;
mod orders;
mod recorded;
mod refusals;
mod resume;
mod revival;
mod rollback;
mod spend;
mod story;
mod support;

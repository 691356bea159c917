//! Promises of the product, on real parts: a real git server over http, real SSH keys, a real MCP
//! client, the product's own binaries as processes.
//!
//! `story` plays one loop from red to confirmed; the demo plays it on the engine, tests on the
//! fixture project. `classify` judges logs offline. `support` holds the parts. The tests themselves stand in `acceptance/` (one
//! module per promise) and `tidy/` (rules of the source tree).
//!
//! # Architecture invariants
//! - Nothing here is used by the product.
//! - No mock stands in for a part that can run.
//! - The scripted agent is a program of its own that speaks MCP and git, and nothing else.

pub mod classify;
pub mod story;
pub mod support;

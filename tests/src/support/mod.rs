//! Real parts for tests: a git server over http, keys, scratch projects, the product's binaries.

pub mod agent;
pub mod client;
pub mod documents;
pub mod forge;
pub mod git;
pub mod honest;
pub mod journal;
pub mod keys;
pub mod killer;
pub mod mcp;
pub mod processes;
pub mod project;
pub mod schema;
pub mod seeds;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// A binary of the product, built beside the running test or demo.
///
/// `cargo test` does not build other crates' binaries; `script/test` builds them first.
///
/// # Errors
/// It is not there; the message says how to build it.
pub fn bin(name: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find the running binary")?;
    let found = exe
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => {
            bail!("{name} is not built; run `cargo build --workspace --bins` (script/test does)")
        }
    }
}

/// Root of the repository that these tests stand in.
#[must_use]
pub fn repository_root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

//! Dependencies that one scene has built, handed on to the next one in the same place.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::story::Product;

/// Where a state folder keeps the built dependencies.
#[must_use]
pub fn of(state: &Path) -> PathBuf {
    state.join("rooms/seeds")
}

/// The state folder of a scene, whose daemon is started when it does not run.
///
/// # Errors
/// The product does not say.
pub fn state_dir(product: &Product<'_>) -> Result<PathBuf> {
    let (_, status) = product.call(&["status"])?;
    let state = status.get("state_dir").and_then(Value::as_str);
    Ok(state
        .with_context(|| format!("no state folder in {status}"))?
        .into())
}

/// Gives the scene's state folder the dependencies that an earlier scene has built.
///
/// # Errors
/// The product does not answer, or the folders cannot be moved.
pub fn bring(product: &Product<'_>, kept: &Path) -> Result<()> {
    let own = of(&state_dir(product)?);
    if kept.is_dir() && !own.exists() {
        std::fs::create_dir_all(own.parent().context("no parent")?)?;
        std::fs::rename(kept, &own)?;
    }
    Ok(())
}

/// Takes them back from a scene whose daemon has stopped.
///
/// # Errors
/// The folders cannot be read or moved.
pub fn keep(place: &Path, kept: &Path) -> Result<()> {
    let Ok(states) = std::fs::read_dir(place.join("state")) else {
        return Ok(());
    };
    for state in states {
        let own = of(&state?.path());
        if own.is_dir() {
            std::fs::rename(&own, kept)?;
        }
    }
    Ok(())
}

//! Model files as byte slices, without reading them.
#![allow(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; this function is the only one that does it"
)]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{EngineError, Result};

/// Maps a file read-only.
///
/// # Errors
/// `Io` when it cannot be opened or mapped.
pub fn map(path: &Path) -> Result<Mmap> {
    let failed = |error: std::io::Error| EngineError::Io {
        path: path.display().to_string(),
        message: error.to_string(),
    };
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the map is read-only and private to this process. Someone who truncates the file meanwhile makes reads
    // fault; models are loaded in a worker process, whose death its parent survives.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

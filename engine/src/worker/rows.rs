//! Logits rows as they are computed: hashed, counted and, when asked for, written to a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{EngineError, Result};

/// Sink of logits rows.
pub(super) struct Rows {
    file: Option<(PathBuf, BufWriter<File>)>,
    hasher: Sha256,
    count: u64,
}

impl Rows {
    /// A sink that also writes to `path`.
    pub(super) fn create(path: Option<&Path>) -> Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path).map_err(|error| failed(path, &error))?;
                Some((path.to_owned(), BufWriter::new(file)))
            }
        };
        Ok(Self {
            file,
            hasher: Sha256::new(),
            count: 0,
        })
    }

    /// Takes the rows of one pass.
    pub(super) fn push(&mut self, logits: &[f32], n_vocab: u32) -> Result<()> {
        let bytes: Vec<u8> = logits.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.hasher.update(&bytes);
        self.count += logits.len() as u64 / u64::from(n_vocab.max(1));
        match &mut self.file {
            Some((path, file)) => file.write_all(&bytes).map_err(|error| failed(path, &error)),
            None => Ok(()),
        }
    }

    /// Number of rows and the digest over all of them.
    pub(super) fn finish(mut self) -> Result<(u64, String)> {
        if let Some((path, file)) = &mut self.file {
            file.flush().map_err(|error| failed(path, &error))?;
        }
        Ok((self.count, hex::encode(self.hasher.finalize())))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> EngineError {
    EngineError::Io {
        path: path.display().to_string(),
        message: error.to_string(),
    }
}

//! Checked values of metadata keys.

use crate::error::{EngineError, Result};
use crate::gguf::{Gguf, GgufFault, fault};

/// Largest width, row count or vocabulary that the 32-bit indices of the kernels are used with.
pub(super) const MAX_DIMENSION: u64 = 1 << 24;

pub(super) fn missing(key: &str) -> EngineError {
    fault(GgufFault::MissingKey, format!("{key} is needed"))
}

pub(super) fn bad(detail: String) -> EngineError {
    fault(GgufFault::BadHyperparameter, detail)
}

pub(super) fn unsupported(what: String, remedy: &str) -> EngineError {
    EngineError::Unsupported {
        what,
        remedy: remedy.to_owned(),
    }
}

pub(super) fn dimension(gguf: &Gguf<'_>, key: &str) -> Result<Option<u32>> {
    match gguf.unsigned(key)? {
        None => Ok(None),
        Some(number) if number > 0 && (number <= MAX_DIMENSION || key.ends_with("block_count")) => {
            u32::try_from(number)
                .map(Some)
                .map_err(|_| bad(format!("{key} is {number}")))
        }
        Some(number) => Err(bad(format!(
            "{key} is {number}, 1 to {MAX_DIMENSION} are possible"
        ))),
    }
}

pub(super) fn positive(gguf: &Gguf<'_>, key: &str, default: f32) -> Result<f32> {
    let value = gguf.float(key)?.unwrap_or(default);
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(bad(format!("{key} is {value}")))
    }
}

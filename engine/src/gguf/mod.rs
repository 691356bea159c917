//! GGUF: reading model files from foreign bytes, writing small ones.
//!
//! The reader borrows the file, checks every count, length and offset against it before use, and keeps
//! slices instead of copies, so that nothing is ever allocated in proportion to a size that a file claims.
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod fault;
mod read;
mod types;
mod value;
mod write;

pub use fault::GgufFault;
pub use read::{Gguf, TensorInfo};
pub use types::TensorType;
pub use value::{Array, Value, ValueType};
pub use write::GgufWriter;

use crate::error::EngineError;

/// An error of this category.
pub(crate) fn fault(fault: GgufFault, detail: impl Into<String>) -> EngineError {
    EngineError::Gguf {
        fault,
        detail: detail.into(),
    }
}

//! GGUF: reading model files from foreign bytes, writing small ones.

mod fault;

pub use fault::GgufFault;

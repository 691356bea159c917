//! Dense decoders, llama and qwen3: hyperparameters and tensors from GGUF, rotary table, pass graph.

mod graph;
mod metadata;
mod params;
mod rope;
mod scaling;
mod tensors;
mod vocabulary;

pub use graph::build;
pub use params::DenseParams;
pub use rope::{inverse_frequencies, table};
pub use scaling::RopeScaling;
pub use tensors::check_tensors;

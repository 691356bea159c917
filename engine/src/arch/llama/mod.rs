//! Dense llama: hyperparameters and tensors from GGUF, rotary table, pass graph.

mod graph;
mod params;
mod rope;

pub use graph::build;
pub use params::{LlamaParams, check_tensors};
pub use rope::{inverse_frequencies, table};

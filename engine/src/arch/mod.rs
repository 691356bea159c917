//! Model architectures: hyperparameters and graphs.

pub mod llama;

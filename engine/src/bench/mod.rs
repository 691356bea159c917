//! How fast a model runs on this device, and what bounds it.
//!
//! Decoding reads every weight once per token, so its speed is told as a part of what the engine's own copy kernel moves on
//! the same device (spec: tok/s ≤ bandwidth / bytes per token). Bytes are those of the command stream, not an estimate.
//!
//! Architecture invariants:
//! - What is timed is the production stream: one submit per pass, no stamps around dispatches.
//! - The breakdown comes from passes of its own, which stamp every dispatch and count for nothing else.

mod bytes;
mod copy;
mod cpu;
mod vulkan;

use serde::Serialize;

use crate::error::{EngineError, Result};
use crate::model::Model;
use crate::profile::EnvSnapshot;

pub use bytes::pass_bytes;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchRequest {
    /// Tokens of the prompt; at least 1.
    pub prompt: u32,
    /// Tokens to decode after it; at least 1.
    pub decode: u32,
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `vulkan` or `cpu`.
    pub backend: String,
    /// Device name.
    pub device: String,
    /// Driver name and version.
    pub driver: String,
}

/// Tokens in a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Tokens.
    pub tokens: u32,
    /// Wall-clock seconds, recording and submitting included.
    pub seconds: f64,
    /// Tokens per second.
    pub tokens_per_second: f64,
}

impl Speed {
    fn new(tokens: u32, seconds: f64) -> Self {
        Self {
            tokens,
            seconds,
            tokens_per_second: f64::from(tokens) / seconds.max(1e-9),
        }
    }
}

/// Time of one kernel in a decode pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelShare {
    /// Kernel.
    pub kernel: &'static str,
    /// Dispatches.
    pub dispatches: u64,
    /// Microseconds on the device.
    pub us: u64,
}

/// What one decode pass asks of the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecodePass {
    /// Queue submits.
    pub submits: u32,
    /// Dispatches.
    pub dispatches: u32,
    /// Barriers.
    pub barriers: u32,
    /// Bytes of weights read.
    pub weight_bytes: u64,
    /// Bytes of caches and activations read and written, at the last position measured.
    pub other_bytes: u64,
    /// Device time by kernel, of stamped passes.
    pub kernels: Vec<KernelShare>,
}

/// Bandwidth of decoding against that of copying.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bandwidth {
    /// Bytes per second that decoding moved.
    pub decode: f64,
    /// Bytes per second that the copy kernel moved, reads and writes counted.
    pub copy: f64,
    /// `decode / copy`.
    pub fraction: f64,
}

/// Everything measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Where.
    pub machine: Machine,
    /// One pass over the prompt, logits of its last token.
    pub prefill: Speed,
    /// One pass per token.
    pub decode: Speed,
    /// `None` on the CPU, which has no command stream.
    pub pass: Option<DecodePass>,
    /// `None` on the CPU.
    pub bandwidth: Option<Bandwidth>,
}

/// Measures on the Vulkan device, in the production mode that the environment resolves to.
///
/// # Errors
/// `Request` for impossible counts, and those of device, memory budget and passes.
pub fn run_vulkan(
    file: &[u8],
    model: &Model,
    request: BenchRequest,
    environment: &EnvSnapshot,
) -> Result<BenchReport> {
    check(model, request)?;
    vulkan::run(file, model, request, environment)
}

/// Measures the CPU reference. It is made to be right, not fast; nothing may be compared with it.
///
/// # Errors
/// `Request` for impossible counts.
pub fn run_cpu(file: &[u8], model: &Model, request: BenchRequest) -> Result<BenchReport> {
    check(model, request)?;
    cpu::run(file, model, request)
}

fn check(model: &Model, request: BenchRequest) -> Result<()> {
    let total = u64::from(request.prompt) + u64::from(request.decode) + 1;
    if request.prompt == 0 || request.decode == 0 || total > u64::from(model.n_ctx) {
        return Err(EngineError::Request(format!(
            "{} prompt and {} decoded tokens in a context of {}; both must be at least 1 and leave one position",
            request.prompt, request.decode, model.n_ctx
        )));
    }
    Ok(())
}

/// Token ids that differ from one another, for a prompt whose text does not matter.
fn prompt_tokens(model: &Model, count: u32) -> Vec<u32> {
    (0..count)
        .map(|i| (i * 37 + 11) % model.params.n_vocab)
        .collect()
}

/// Median of samples; 0 for none.
fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}

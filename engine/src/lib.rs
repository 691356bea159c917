//! A Vulkan LLM inference crate whose command stream can be judged without a GPU.
//!
//! One job: turn a GGUF model and token ids into logits on a Vulkan device, so that everything between
//! the model graph and the driver is a value which pure code can inspect, diff and break on purpose.
//!
//! Flow: [`gguf`] → [`model::Model`] → [`graph::Graph`] (one per pass) → [`plan::Plan`] → [`record`] →
//! [`ir::CommandIr`] → `vk` executes it, while [`hazard`], [`delta`] and [`validate`] judge it.
//! [`cpu`] runs the same graph as the reference, and [`sim`] the stream on the least helpful device that Vulkan allows.
//! Between graph and plan, [`fuse`] may join nodes, and [`ring`] may look into attention.
//!
//! Models: dense llama and qwen3 ([`arch`]) with plain, linear, YaRN and per-pair (`rope_freqs.weight`) rotary scaling,
//! in F32, F16, Q8_0, Q4_0, Q4_K and Q6_K, read by the kernels as they are. Text becomes token ids, and back, in [`tok`].
//!
//! # Architecture invariants
//! - Only `vk` is unsafe and only `vk` knows Vulkan; everything else is pure over bytes and values.
//! - Nothing reaches the device except as a command of a [`ir::CommandIr`].
//! - Modes come from [`profile::ExecutionProfile::resolve`] alone; there is no way from a GPU request to the CPU.
//! - Architectures differ in what [`arch::Architecture`] answers; ops and kernels take differences as words, never as a name.
//! - Kernels are described once, in [`kernels`]; shaders, reflection check and recorder follow it.
//! - What a kernel writes is a registered output or side effect of its node.
//! - Passes take token ids; text stays outside, in [`tok`].
//! - The crate knows nothing of the loop that looks after it.

pub mod arch;
pub mod bench;
pub mod cpu;
pub mod delta;
pub mod error;
#[cfg(feature = "faults")]
pub mod faults;
pub mod fuse;
pub mod gguf;
pub mod graph;
pub mod hazard;
pub mod health;
pub mod ir;
pub mod kernels;
pub mod map;
pub mod model;
pub mod plan;
pub mod profile;
pub mod quant;
pub mod record;
pub mod ring;
pub mod sample;
pub mod sim;
pub mod telemetry;
pub mod tensor;
pub mod tok;
pub mod validate;
pub mod vk;
pub mod weights;
pub mod worker;

pub use error::{EngineError, Result};

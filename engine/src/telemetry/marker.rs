//! The markers as types: one struct per tag, with units.

use serde::{Deserialize, Serialize};

/// One populated bucket: a kernel class, its dispatches and their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Bucket name, snake case.
    pub name: String,
    /// Dispatches in this pass.
    pub count: u64,
    /// Time in whole microseconds.
    pub us: u64,
}

/// How finely a pass was timed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ts", rename_all = "snake_case")]
pub enum Timing {
    /// One pair of timestamps per command buffer; buckets are off by design and evidence of nothing.
    Summary,
    /// One pair of timestamps per dispatch.
    Full {
        /// Sum over dispatches in microseconds.
        sum_us: u64,
        /// `cb_us − sum_us`, at least 0.
        gap_us: u64,
        /// Time and count per bucket; empty is a bug of the instrumentation.
        buckets: Vec<Bucket>,
    },
}

/// `[GPU PERDISPATCH]`: what one pass submitted and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perdispatch {
    /// Which model of the process: `target`, later `draft`.
    pub role: String,
    /// `single_graph` or `legacy_multi_submit`.
    pub path: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Number of the pass within its run, from 0.
    pub pass: u64,
    /// Queue submits of the pass.
    pub submits: u64,
    /// Dispatches of the pass.
    pub dispatches: u64,
    /// Barriers of the pass.
    pub barriers: u64,
    /// Device time of the command buffers in microseconds; `None` where the queue has no timestamps.
    pub cb_us: Option<u64>,
    /// How finely it was timed.
    pub timing: Timing,
}

/// `FIRST_DIVERGENCE`: the earliest stage where device and reference part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstDivergence {
    /// `single_graph` or `legacy_multi_submit`.
    pub path: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Number of the pass within its run.
    pub pass: u64,
    /// Layer index; 0 before the first, the number of layers after the last.
    pub layer: u64,
    /// Stage name, for example `attn_norm`.
    pub tensor_stage: String,
    /// `zeros`, `drift` or `nan`.
    pub kind: String,
    /// The reference's value at the worst element.
    pub cpu: f32,
    /// The device's value there.
    pub gpu: f32,
    /// Operation that produces the stage.
    pub op: String,
    /// Whether the stream dispatches that operation at all.
    pub dispatched: bool,
    /// Whether the stage's inputs agreed.
    pub inputs_ok: bool,
    /// The last command that wrote the wrong input, or else the stage; `none` when nothing did.
    pub last_writer: String,
    /// Memory region of the stage.
    pub region: String,
}

/// `[BACKEND]`: what answers, and that nothing fell back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// `vulkan` or `cpu`.
    pub backend: String,
    /// Device name.
    pub device: String,
    /// Driver name and version.
    pub driver: String,
    /// API version.
    pub api: String,
    /// Whether a CPU answers where a GPU was asked for; there is no code path that sets it (law §7).
    pub cpu_fallback: bool,
    /// Resolved mode, for example `GpuSingleGraph`.
    pub mode: String,
}

/// `[WORKER EXIT]`: how a worker process ended, told by its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerExit {
    /// Process id.
    pub pid: u32,
    /// Exit code, when it exited.
    pub code: Option<i32>,
    /// Signal, when one killed it.
    pub signal: Option<i32>,
    /// `clean`, `driver_crash`, `gpu_hang` or `protocol`.
    pub class: String,
    /// The request in progress, or `idle`.
    pub step: String,
}

/// `[ARENA PLAN]`: what the planner decided, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArenaPlan {
    /// Tensors that asked for arena bytes.
    pub requests: u64,
    /// Peak in bytes.
    pub peak: u64,
    /// Tensors that share bytes with another.
    pub aliased: u64,
    /// Tensors that may share with none.
    pub pinned: u64,
    /// Envelope in bytes that the peak must stay within.
    pub envelope: u64,
}

/// Every marker line that this crate prints with run and sequence number.
#[derive(Debug, Clone, PartialEq)]
pub enum Marker {
    /// `[GPU PERDISPATCH]`
    Perdispatch(Perdispatch),
    /// `FIRST_DIVERGENCE`
    FirstDivergence(FirstDivergence),
    /// `[BACKEND]`
    Backend(Backend),
    /// `[WORKER EXIT]`
    WorkerExit(WorkerExit),
    /// `[ARENA PLAN]`
    ArenaPlan(ArenaPlan),
}

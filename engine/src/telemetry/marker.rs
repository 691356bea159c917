//! The markers as types: one struct per tag, with units. Everything else about a marker derives from this list.
//!
//! Names that end in `_us` are whole microseconds; byte counts say so where they stand. A field that a mode cannot know
//! is an `Option` and printed as `n/a`.

use serde::{Deserialize, Serialize};

use super::line::{Line, Print, Quoted};

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

/// Defines the markers: struct, tag and line of each, and the enum of them all.
macro_rules! markers {
    ($($(#[$attribute:meta])* $name:ident $tag:literal {
        $($(#[$field_attribute:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            #[doc = concat!("`", $tag, "`: ")]
            $(#[$attribute])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            pub struct $name {
                $($(#[$field_attribute])* pub $field: $type,)*
            }

            impl $name {
                fn print(&self, line: &mut Line) {
                    $(self.$field.print(stringify!($field), line);)*
                }
            }

            impl From<$name> for Marker {
                fn from(marker: $name) -> Self {
                    Self::$name(marker)
                }
            }
        )*

        /// Every marker line that this crate prints with run and sequence number.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Marker {
            $(#[doc = concat!("`", $tag, "`")] $name($name),)*
        }

        impl Marker {
            /// The tags of all markers.
            pub const TAGS: &[&str] = &[$($tag),*];

            /// The literal tag at the line's start.
            #[must_use]
            pub fn tag(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $tag,)*
                }
            }

            /// A marker from its fields as JSON; `None` for an unknown tag.
            ///
            /// # Errors
            /// What is missing or has another type.
            pub fn from_fields(tag: &str, fields: serde_json::Value) -> Option<serde_json::Result<Self>> {
                match tag {
                    $($tag => Some(serde_json::from_value(fields).map(Self::$name)),)*
                    _ => None,
                }
            }

            pub(super) fn print(&self, line: &mut Line) {
                match self {
                    $(Self::$name(marker) => marker.print(line),)*
                }
            }
        }
    };
}

markers! {
    /// what one pass submitted and how long it took.
    #[derive(Eq)]
    Perdispatch "[GPU PERDISPATCH]" {
        /// Which model of the process: `target`, later `draft`.
        role: String,
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run, from 0.
        pass: u64,
        /// Queue submits of the pass.
        submits: u64,
        /// Dispatches of the pass.
        dispatches: u64,
        /// Barriers of the pass.
        barriers: u64,
        /// Device time of the command buffers in microseconds; `None` where the queue has no timestamps.
        cb_us: Option<u64>,
        /// How finely it was timed.
        timing: Timing,
    }

    /// the earliest stage where device and reference part.
    FirstDivergence "FIRST_DIVERGENCE" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index; 0 before the first, the number of layers after the last.
        layer: u64,
        /// Stage name, for example `attn_norm`.
        tensor_stage: String,
        /// `zeros`, `drift` or `nan`.
        kind: String,
        /// The reference's value at the worst element.
        cpu: f32,
        /// The device's value there.
        gpu: f32,
        /// Operation that produces the stage.
        op: String,
        /// Whether the stream dispatches that operation at all.
        dispatched: bool,
        /// Whether the stage's inputs agreed.
        inputs_ok: bool,
        /// The last command that wrote the wrong input, or else the stage; `none` when nothing did.
        last_writer: String,
        /// Memory region of the stage.
        region: String,
    }

    /// one input or output of a stage of the first layer, on the device and by the reference.
    ValidateStage "[VALIDATE L0]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index.
        layer: u64,
        /// Stage name.
        stage: String,
        /// `input` or `output`.
        side: String,
        /// `ok`, `drift`, `zeros` or `nan`.
        status: String,
        /// The reference's value where the difference is largest.
        cpu: f32,
        /// The device's value there.
        gpu: f32,
        /// Largest difference of an element.
        max_abs: f32,
        /// Largest difference that counts as rounding.
        limit: f32,
        /// Elements.
        n: u64,
    }

    /// size of a stage's values on the device.
    OpNorm "[GPU SMOKE OP NORM]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index; 0 before the first, the number of layers after the last.
        layer: u64,
        /// Operation that produces the stage.
        op: String,
        /// Stage name.
        tensor: String,
        /// Euclidean norm.
        norm: f32,
        /// Largest magnitude.
        max: f32,
        /// Elements.
        n: u64,
    }

    /// the same figures of the reference, one line per line of the device.
    CpuNorm "[GPU SMOKE CPU NORM]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index; 0 before the first, the number of layers after the last.
        layer: u64,
        /// Operation that produces the stage.
        op: String,
        /// Stage name.
        tensor: String,
        /// Euclidean norm.
        norm: f32,
        /// Largest magnitude.
        max: f32,
        /// Elements.
        n: u64,
    }

    /// whether the attention kernel gives what the reference computes from the same cache.
    FaCorrect "[FA CORRECT]" {
        /// `pass` or `fail`.
        verdict: String,
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// Layer index.
        layer: u64,
        /// Largest difference of an element.
        max_abs: f32,
        /// Largest difference that counts as rounding.
        limit: f32,
    }

    /// size and health of what the attention kernel wrote.
    FaSummary "[GPU SMOKE FA_SUMMARY]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index.
        layer: u64,
        /// Whether every element is zero.
        all_zero: bool,
        /// Whether an element is no finite number.
        has_nan: bool,
        /// Whether every element of the reference is zero, which would make it the wrong side.
        cpu_all_zero: bool,
        /// Largest magnitude.
        max_abs: f32,
        /// Mean.
        mean: f32,
        /// Elements.
        n: u64,
    }

    /// the continuation of a long prompt on the path that is compared with.
    LongCtxBaseline "[LONG-CTX] [BASELINE]" {
        /// Tokens of the prompt.
        ctx: u64,
        /// Tokens chosen.
        n: u64,
        /// The tokens.
        tokens: Vec<u32>,
    }

    /// the continuation of the same prompt on the single-graph path.
    LongCtxSingleGraph "[LONG-CTX] [SINGLE-GRAPH]" {
        /// Tokens of the prompt.
        ctx: u64,
        /// Tokens chosen.
        n: u64,
        /// The tokens.
        tokens: Vec<u32>,
    }

    /// where the wall-clock time of a pass went, against the number of its noop dispatches.
    #[derive(Eq)]
    TimingBreakdown "[GPU TIMING BREAKDOWN]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Noop dispatches of the pass.
        noops: u64,
        /// Building graph, plan and stream, in microseconds.
        record_us: u64,
        /// Host waiting for the device, in microseconds.
        wait_us: u64,
        /// Wall-clock time of the pass in microseconds.
        total_us: u64,
    }

    /// a pass of one of two models that are resident at once.
    #[derive(Eq)]
    DualModel "[DUAL MODEL]" {
        /// `target` or `draft`.
        role: String,
        /// Architecture.
        model: String,
        /// `hot`: its weights were on the device before the request came.
        lane: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Tokens of the pass.
        tokens: u64,
        /// Wall-clock time of the pass in microseconds.
        us: u64,
        /// Bytes of all weights on the device.
        resident: u64,
    }

    /// a pass with another topology than the one before it.
    #[derive(Eq)]
    Topo "[TOPO]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Nodes of the graph.
        nodes: u64,
        /// Inputs of all nodes.
        edges: u64,
        /// Whether an earlier pass of the run had another topology.
        rebuilt: bool,
        /// What differs: `first`, `path`, `phase`, `tokens` or `places`.
        reason: String,
        /// First digits of a digest over nodes and places, which is equal for equal topologies.
        key: String,
    }

    /// no cached arena plan has the key of this pass, so that it was planned anew.
    #[derive(Eq)]
    CacheKeyMiss "[GPU SMOKE CACHE KEY MISS]" {
        /// Which cache: `plan`.
        cache: String,
        /// First digits of a digest over what the plan is made from.
        key: String,
        /// The same of the plan that was cached; `none` when there was none.
        cached: String,
        /// What differs: `first`, `envelope`, `caches`, `tensors`, `bytes` or `lifetimes`.
        differs: String,
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
    }

    /// rotated queries or keys of a layer against the reference.
    RopeValidate "[ROPE VALIDATE]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Layer index.
        layer: u64,
        /// Position of the first row.
        pos: u64,
        /// Largest difference of an element.
        max_abs: f32,
        /// Largest difference that counts as rounding.
        limit: f32,
        /// `ok` or `drift`.
        status: String,
    }

    /// what the rotary table of a pass was made from.
    RopeDebug "[ROPE DEBUG]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Position of the first row.
        pos: u64,
        /// Base of the frequencies.
        base: f32,
        /// Factor by which positions are stretched; 1 without scaling.
        scale: f32,
        /// Rotated elements per head.
        dims: u64,
    }

    /// a stage of the first layer's feed-forward part that leaves the reference.
    FfnDiverge "[FFN DIVERGE]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index.
        layer: u64,
        /// Stage name.
        stage: String,
        /// The reference's value where the difference is largest.
        cpu: f32,
        /// The device's value there.
        gpu: f32,
        /// Largest difference of an element.
        max_abs: f32,
        /// Which element that is.
        index: u64,
    }

    /// what the device did for one layer of a pass.
    #[derive(Eq)]
    LayerProfile "[LAYER PROFILE]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Layer index; `None` for what stands outside of the layers.
        layer: Option<u64>,
        /// Device time in microseconds; `None` unless every dispatch was timed.
        us: Option<u64>,
        /// Dispatches.
        dispatches: u64,
    }

    /// the last row of logits of a pass.
    LogitsProfile "[LOGITS PROFILE]" {
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Device time of the projection in microseconds; `None` unless every dispatch was timed.
        us: Option<u64>,
        /// Logits of the row.
        n_vocab: u64,
        /// Most likely token.
        argmax: u32,
        /// Largest logit.
        max: f32,
    }

    /// the last row of a stage of the legacy path behind its submit: of the logits in every pass, of the others where they
    /// are tapped.
    LegacyMultiSubmit "legacy_multi_submit" {
        /// Stage name.
        stage: String,
        /// Layer index; 0 before the first, the number of layers after the last.
        layer: u64,
        /// Index of the largest element; of logits the most likely token.
        argmax: u32,
        /// Largest element.
        max: f32,
        /// Indices of the five largest elements, the largest first.
        top5: Vec<u32>,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
    }

    /// what answers, and that nothing fell back.
    #[derive(Eq)]
    Backend "[BACKEND]" {
        /// `vulkan` or `cpu`.
        backend: String,
        /// Device name.
        device: Quoted,
        /// Driver name and version.
        driver: Quoted,
        /// API version.
        api: String,
        /// Whether a CPU answers where a GPU was asked for; there is no code path that sets it (law §7).
        cpu_fallback: bool,
        /// Resolved mode, for example `GpuSingleGraph`.
        mode: String,
    }

    /// how a worker process ended, told by its parent.
    #[derive(Eq)]
    WorkerExit "[WORKER EXIT]" {
        /// Process id.
        pid: u32,
        /// Exit code, when it exited.
        code: Option<i32>,
        /// Signal, when one killed it.
        signal: Option<i32>,
        /// `clean`, `driver_crash`, `gpu_hang` or `protocol`.
        class: String,
        /// The request in progress, or `idle`.
        step: String,
    }

    /// what the planner decided, in bytes.
    #[derive(Eq, Copy)]
    ArenaPlan "[ARENA PLAN]" {
        /// Tensors that asked for arena bytes.
        requests: u64,
        /// Peak in bytes.
        peak: u64,
        /// Tensors that take over bytes of an earlier one.
        aliased: u64,
        /// Tensors that must not: leaves that the host writes.
        pinned: u64,
        /// Envelope in bytes that the peak must stay within.
        envelope: u64,
        /// Bytes that sharing saves.
        saved: u64,
        /// Leaves whose bytes a later tensor takes over, so that the host must not write them while a pass is in flight.
        rebar_unsafe: u64,
    }

    /// one aspect in which the streams of two modes were compared.
    #[derive(Eq)]
    PathDelta "[PATH DELTA]" {
        /// Aspect, for example `command_buffer_boundaries`.
        row: String,
        /// First path.
        path_a: String,
        /// Second path.
        path_b: String,
        /// Whether both agree.
        equal: bool,
        /// Facts that only one of them has.
        count: u64,
        /// The first of the first path's own facts; `None` where it has none.
        left: Option<Quoted>,
        /// The same of the second path.
        right: Option<Quoted>,
    }

    /// a data hazard of a command stream.
    #[derive(Eq)]
    Hazard "[HAZARD]" {
        /// Kind, for example `read_after_write`.
        kind: String,
        /// `single_graph` or `legacy_multi_submit`.
        path: String,
        /// `prefill` or `decode`.
        phase: String,
        /// Number of the pass within its run.
        pass: u64,
        /// Earlier command, or `none`.
        first: String,
        /// Later command.
        second: String,
        /// Index of the later command.
        at: u64,
        /// Region of the bytes.
        region: String,
        /// Number of bytes that both touch.
        bytes: u64,
    }
}

//! Commands and what they touch.

use serde::{Serialize, Serializer};

use super::{ByteRange, ScopeSet};
use crate::graph::{NodeId, OpKind};
use crate::kernels::{Access, Kernel};
use crate::tensor::TensorId;

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Kernel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One storage buffer of a dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Binding {
    /// Slot, as in [`crate::kernels::KERNELS`].
    pub slot: u32,
    /// Range to bind: offset a multiple of [`crate::ir::ALIGNMENT`], length a multiple of 4.
    pub range: ByteRange,
    /// Bytes that the dispatch really reads or writes; lies in `range`.
    pub touched: ByteRange,
    /// Access, as in the kernel table.
    pub access: Access,
    /// Tensor that lives there; `None` for dummies.
    pub tensor: Option<TensorId>,
}

impl Binding {
    /// Bindings of a kernel to ranges that it touches whole and that hold no tensor, in slot order.
    pub fn untold(kernel: Kernel, ranges: impl IntoIterator<Item = ByteRange>) -> Vec<Binding> {
        let rows = ranges.into_iter().zip(kernel.spec().bindings).zip(0_u32..);
        rows.map(|((range, row), slot)| Binding {
            slot,
            range,
            touched: range,
            access: row.access,
            tensor: None,
        })
        .collect()
    }
}

/// One compute dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Dispatch {
    /// Number among the dispatches of this IR, from 0.
    pub index: u32,
    /// Node of the graph; `None` for noops.
    pub node: Option<NodeId>,
    /// What the node computes.
    pub op: OpKind,
    /// Kernel that computes it; its name is the telemetry bucket.
    pub kernel: Kernel,
    /// Buffers in slot order.
    pub bindings: Vec<Binding>,
    /// Immediate (push constant) words in the order of the kernel table.
    pub immediates: Vec<u32>,
    /// Workgroups per axis.
    pub groups: [u32; 3],
}

impl Dispatch {
    /// Name for findings and markers: kernel and dispatch number, as in `rms_norm#3`.
    pub fn name(&self) -> String {
        format!("{}#{}", self.kernel.name(), self.index)
    }
}

/// Why a copy is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyPurpose {
    /// Staging to weights, before the first pass.
    WeightUpload,
    /// Staging to an input leaf.
    Input,
    /// A node of the graph that only moves rows.
    Node(NodeId),
    /// Result to readback.
    Output,
    /// Validation tap, by its number in the tap plan; not part of the judged stream.
    Tap(u32),
}

/// A copy between buffers; both ranges have the same length, a multiple of 4.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Copy {
    /// Bytes read.
    pub src: ByteRange,
    /// Bytes written.
    pub dst: ByteRange,
    /// Tensor read, when one lives there.
    pub src_tensor: Option<TensorId>,
    /// Tensor written, when one lives there.
    pub dst_tensor: Option<TensorId>,
    /// Why it is there.
    pub purpose: CopyPurpose,
}

/// What the host writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostInput {
    /// Token ids of the pass, `u32` little endian.
    Tokens,
    /// Rotary table of the pass, `f32` little endian, `[n_tokens, n_rot]` as cos, sin pairs.
    RopeTable,
    /// Packed weight bytes `offset ..` of a chunk, as many as the destination holds.
    Weights {
        /// Chunk number.
        chunk: u16,
        /// First byte in the chunk.
        offset: u64,
    },
}

/// What the host reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostOutput {
    /// Logits, `f32` little endian, `[rows, n_vocab]`.
    Logits,
    /// Debug ring of a block's attention, see [`crate::ring`].
    Ring(u32),
    /// Validation tap, by its number in the tap plan.
    Tap(u32),
}

/// Orders earlier accesses in `src` before later ones in `dst`, and makes the writes among them,
/// inside `ranges`, visible. Earlier and later count in submission order on the barrier's own queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Barrier {
    /// Accesses before.
    pub src: ScopeSet,
    /// Accesses after.
    pub dst: ScopeSet,
    /// Written bytes made visible; sorted, not overlapping.
    pub ranges: Vec<ByteRange>,
    /// Whether it only shows tap copies to the host; not part of the judged stream.
    pub for_taps: bool,
}

/// Number of a queue of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct QueueId(pub u8);

impl QueueId {
    /// The queue that the recorder uses, and the only one that the player has.
    pub const MAIN: QueueId = QueueId(0);
}

/// How a command buffer reaches the device; by default on the main queue, behind nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Submit {
    /// Queue that executes it.
    pub queue: QueueId,
    /// Numbers of earlier submits, counted over all queues, whose semaphores it waits for. Such a wait orders everything up
    /// to that submit on its queue before everything from this one on, and shows its writes.
    pub after: Vec<u32>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The host writes `dst`, a staging range.
    HostWrite {
        /// Bytes written.
        dst: ByteRange,
        /// What is written.
        input: HostInput,
    },
    /// The device fills `dst` with zero bytes.
    Zero {
        /// Bytes written; offset and length are multiples of 4.
        dst: ByteRange,
        /// Whether it only clears leftovers for tap copies; not part of the judged stream.
        for_taps: bool,
    },
    /// The device copies.
    Copy(Copy),
    /// The device runs a kernel.
    Dispatch(Dispatch),
    /// Orders what was recorded before against what is recorded after.
    Barrier(Barrier),
    /// Ends the open command buffer and submits it.
    SubmitBoundary(Submit),
    /// The host waits until everything submitted has finished.
    FenceWait,
    /// The host reads `src`, a readback range.
    HostRead {
        /// Bytes read.
        src: ByteRange,
        /// What is read.
        output: HostOutput,
    },
}

/// Who executes a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The host, at once.
    Host,
    /// The queue of the submit that ends its command buffer, after that submit; [`super::CommandIr::queues`] says which.
    Queue,
}

impl Origin {
    /// Name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Host => "host",
            Origin::Queue => "queue",
        }
    }
}

/// One byte-range access of a command, as judges see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeAccess {
    /// Bytes.
    pub range: ByteRange,
    /// Kind.
    pub access: Access,
    /// Tensor that the command means.
    pub tensor: Option<TensorId>,
}

impl Command {
    /// A submit to the main queue that waits for no other.
    pub fn submit() -> Command {
        Command::SubmitBoundary(Submit::default())
    }

    /// Whether it is a submit, to whatever queue.
    pub const fn is_submit(&self) -> bool {
        matches!(self, Command::SubmitBoundary(_))
    }

    /// Byte ranges that the command reads and writes, exactly.
    pub fn accesses(&self) -> Vec<RangeAccess> {
        let one = |range, access, tensor| RangeAccess {
            range,
            access,
            tensor,
        };
        match self {
            Command::HostWrite { dst, .. } | Command::Zero { dst, .. } => {
                vec![one(*dst, Access::Write, None)]
            }
            Command::HostRead { src, .. } => vec![one(*src, Access::Read, None)],
            Command::Copy(copy) => {
                vec![
                    one(copy.src, Access::Read, copy.src_tensor),
                    one(copy.dst, Access::Write, copy.dst_tensor),
                ]
            }
            Command::Dispatch(dispatch) => dispatch
                .bindings
                .iter()
                .map(|b| one(b.touched, b.access, b.tensor))
                .collect(),
            Command::Barrier(_) | Command::SubmitBoundary(_) | Command::FenceWait => Vec::new(),
        }
    }

    /// Who executes it. A submit counts as the host's: it hands commands to the queue.
    pub const fn origin(&self) -> Origin {
        match self {
            Command::HostWrite { .. }
            | Command::HostRead { .. }
            | Command::SubmitBoundary(_)
            | Command::FenceWait => Origin::Host,
            Command::Zero { .. }
            | Command::Copy(_)
            | Command::Dispatch(_)
            | Command::Barrier(_) => Origin::Queue,
        }
    }

    /// Whether the command exists only because of a validation tap.
    pub fn is_tap(&self) -> bool {
        matches!(
            self,
            Command::Copy(Copy {
                purpose: CopyPurpose::Tap(_),
                ..
            }) | Command::Barrier(Barrier { for_taps: true, .. })
                | Command::Zero { for_taps: true, .. }
                | Command::HostRead {
                    output: HostOutput::Tap(_),
                    ..
                }
        )
    }

    /// The dispatch, when it is one.
    pub fn as_dispatch(&self) -> Option<&Dispatch> {
        match self {
            Command::Dispatch(dispatch) => Some(dispatch),
            _ => None,
        }
    }

    /// Short name for findings: `rms_norm#3`, `copy(input)`, `barrier`.
    pub fn name(&self) -> String {
        match self {
            Command::HostWrite { input, .. } => match input {
                HostInput::Tokens => "host_write(tokens)".to_owned(),
                HostInput::RopeTable => "host_write(rope_table)".to_owned(),
                HostInput::Weights { chunk, .. } => format!("host_write(weights{chunk})"),
            },
            Command::Zero { .. } => "zero".to_owned(),
            Command::Copy(copy) => match copy.purpose {
                CopyPurpose::WeightUpload => "copy(weights)".to_owned(),
                CopyPurpose::Input => "copy(input)".to_owned(),
                CopyPurpose::Node(node) => format!("copy(node{})", node.0),
                CopyPurpose::Output => "copy(output)".to_owned(),
                CopyPurpose::Tap(tap) => format!("copy(tap{tap})"),
            },
            Command::Dispatch(dispatch) => dispatch.name(),
            Command::Barrier(_) => "barrier".to_owned(),
            Command::SubmitBoundary(_) => "submit".to_owned(),
            Command::FenceWait => "fence_wait".to_owned(),
            Command::HostRead { output, .. } => match output {
                HostOutput::Logits => "host_read(logits)".to_owned(),
                HostOutput::Ring(block) => format!("host_read(ring{block})"),
                HostOutput::Tap(tap) => format!("host_read(tap{tap})"),
            },
        }
    }
}

//! CommandIr: everything the engine asks of a device, as a value.
//!
//! A [`CommandIr`] is a list of commands in host order. `HostWrite`, `HostRead` and `FenceWait` happen on the host;
//! the others are recorded into the open command buffer, which `SubmitBoundary` ends and submits to the one queue.
//!
//! Meaning, which executor and judges share:
//! - commands of one command buffer may overlap unless a [`Barrier`] orders them, also across submits;
//! - a submit makes all earlier host writes visible to what it submits;
//! - `FenceWait` waits for everything submitted so far and orders it before everything later;
//!   the host may read device writes only after a barrier to [`ScopeSet::HOST_READ`] *and* the fence;
//! - regions start zeroed (see [`crate::record::record_initialisation`]).

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::graph::{NodeId, OpKind};
pub use crate::kernels::{Access, Kernel};
use crate::tensor::TensorId;

/// Every placement starts on a multiple of this many bytes, the largest
/// `minStorageBufferOffsetAlignment` that Vulkan allows a device to ask for.
pub const ALIGNMENT: u64 = 256;

/// Rounds `bytes` up to [`ALIGNMENT`]; `None` on overflow.
pub fn align_up(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(ALIGNMENT)
}

/// A buffer of the device, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Chunk of model weights, at most 128 MiB, never written after upload.
    Weights(u16),
    /// Activations and input leaves, placed by the planner.
    Arena,
    /// What lives from pass to pass: key and value caches.
    State,
    /// Host-visible memory that the host writes and copies read.
    Staging,
    /// Host-visible memory that copies write and the host reads.
    Readback,
    /// Private target of noop dispatches.
    Dummy,
}

impl Region {
    /// Name in markers and dumps, without the chunk number.
    pub const fn name(self) -> &'static str {
        match self {
            Region::Weights(_) => "weights",
            Region::Arena => "arena",
            Region::State => "state",
            Region::Staging => "staging",
            Region::Readback => "readback",
            Region::Dummy => "dummy",
        }
    }
}

/// Half-open range of bytes in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ByteRange {
    /// Buffer.
    pub region: Region,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl ByteRange {
    /// A range of `len` bytes from `offset`.
    pub const fn new(region: Region, offset: u64, len: u64) -> Self {
        ByteRange {
            region,
            offset,
            len,
        }
    }

    /// First byte behind the range.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Whether the ranges share at least one byte.
    pub fn overlaps(&self, other: &ByteRange) -> bool {
        self.region == other.region && self.offset < other.end() && other.offset < self.end()
    }

    /// Whether every byte of `other` lies in this range.
    pub fn contains(&self, other: &ByteRange) -> bool {
        self.region == other.region && self.offset <= other.offset && other.end() <= self.end()
    }
}

impl std::fmt::Display for ByteRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.region {
            Region::Weights(chunk) => write!(f, "weights{chunk}")?,
            region => f.write_str(region.name())?,
        }
        write!(f, "[{}..{}]", self.offset, self.end())
    }
}

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
    /// Range to bind: offset a multiple of [`ALIGNMENT`], length a multiple of 4.
    pub range: ByteRange,
    /// Bytes that the dispatch really reads or writes; lies in `range`.
    pub touched: ByteRange,
    /// Access, as in the kernel table.
    pub access: Access,
    /// Tensor that lives there; `None` for dummies.
    pub tensor: Option<TensorId>,
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
    /// Validation tap, by its number in the tap plan.
    Tap(u32),
}

/// Set of (stage, access) pairs that a barrier orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(u8);

impl ScopeSet {
    /// Compute shader reads.
    pub const SHADER_READ: ScopeSet = ScopeSet(1);
    /// Compute shader writes.
    pub const SHADER_WRITE: ScopeSet = ScopeSet(2);
    /// Reads by copies.
    pub const TRANSFER_READ: ScopeSet = ScopeSet(4);
    /// Writes by copies and fills.
    pub const TRANSFER_WRITE: ScopeSet = ScopeSet(8);
    /// Reads by the host after a fence.
    pub const HOST_READ: ScopeSet = ScopeSet(16);
    /// All reads and writes by commands of the device.
    pub const DEVICE: ScopeSet = ScopeSet(15);

    const NAMES: [(ScopeSet, &'static str); 5] = [
        (Self::SHADER_READ, "shader_read"),
        (Self::SHADER_WRITE, "shader_write"),
        (Self::TRANSFER_READ, "transfer_read"),
        (Self::TRANSFER_WRITE, "transfer_write"),
        (Self::HOST_READ, "host_read"),
    ];

    /// Members of either set.
    pub const fn union(self, other: ScopeSet) -> ScopeSet {
        ScopeSet(self.0 | other.0)
    }

    /// Whether every member of `other` is a member.
    pub const fn contains(self, other: ScopeSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the sets share a member.
    pub const fn intersects(self, other: ScopeSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a member belongs to the compute stage.
    pub const fn has_compute(self) -> bool {
        self.0 & 3 != 0
    }

    /// Whether a member belongs to the transfer stage.
    pub const fn has_transfer(self) -> bool {
        self.0 & 12 != 0
    }

    /// Whether a member belongs to the host.
    pub const fn has_host(self) -> bool {
        self.0 & 16 != 0
    }

    /// Names of the members.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES
            .iter()
            .filter(|(scope, _)| self.contains(*scope))
            .map(|(_, name)| *name)
            .collect()
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

/// Orders earlier accesses in `src` before later ones in `dst`, and makes the writes among them,
/// inside `ranges`, visible. Earlier and later count in submission order on the queue.
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
    SubmitBoundary,
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
            Command::Barrier(_) | Command::SubmitBoundary | Command::FenceWait => Vec::new(),
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
            Command::SubmitBoundary => "submit".to_owned(),
            Command::FenceWait => "fence_wait".to_owned(),
            Command::HostRead { output, .. } => match output {
                HostOutput::Logits => "host_read(logits)".to_owned(),
                HostOutput::Tap(tap) => format!("host_read(tap{tap})"),
            },
        }
    }
}

/// Size that a region needs for an IR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct RegionSize {
    /// Region.
    pub region: Region,
    /// Bytes, a multiple of [`ALIGNMENT`].
    pub bytes: u64,
}

/// Submits, dispatches and barriers of an IR, without taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Counters {
    /// Submits to the queue.
    pub submits: u32,
    /// Compute dispatches, noops included.
    pub dispatches: u32,
    /// Barriers.
    pub barriers: u32,
    /// Copies, taps excluded.
    pub copies: u32,
}

/// A command stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct CommandIr {
    /// Commands in host order.
    pub commands: Vec<Command>,
    /// Least size of every region that the commands name.
    pub region_sizes: Vec<RegionSize>,
}

impl CommandIr {
    /// SHA-256 over the canonical JSON of the stream, as lower-case hex.
    pub fn digest(&self) -> String {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(bytes))
    }

    /// The stream as if no tap had been asked for. Tapping may only ever add commands, so this equals the untapped stream.
    pub fn without_taps(&self) -> CommandIr {
        CommandIr {
            commands: self
                .commands
                .iter()
                .filter(|c| !c.is_tap())
                .cloned()
                .collect(),
            region_sizes: region_sizes(self.commands.iter().filter(|c| !c.is_tap())),
        }
    }

    /// Fills `region_sizes` from the commands.
    pub fn sized(mut self) -> CommandIr {
        self.region_sizes = region_sizes(self.commands.iter());
        self
    }

    /// Least size of a region; 0 when the stream does not name it.
    pub fn region_size(&self, region: Region) -> u64 {
        self.region_sizes
            .iter()
            .find(|size| size.region == region)
            .map_or(0, |size| size.bytes)
    }

    /// All dispatches in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.commands.iter().filter_map(Command::as_dispatch)
    }

    /// What telemetry reports about the stream.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for command in &self.commands {
            match command {
                Command::SubmitBoundary => counters.submits += 1,
                Command::Dispatch(_) => counters.dispatches += 1,
                Command::Barrier(barrier) if !barrier.for_taps => counters.barriers += 1,
                Command::Copy(_) if !command.is_tap() => counters.copies += 1,
                _ => {}
            }
        }
        counters
    }
}

fn region_sizes<'a>(commands: impl Iterator<Item = &'a Command>) -> Vec<RegionSize> {
    let mut sizes = std::collections::BTreeMap::<Region, u64>::new();
    let mut grow = |range: &ByteRange| {
        let bytes = align_up(range.end()).unwrap_or(u64::MAX);
        let size = sizes.entry(range.region).or_default();
        *size = bytes.max(*size);
    };
    for command in commands {
        if let Command::Dispatch(dispatch) = command {
            dispatch
                .bindings
                .iter()
                .for_each(|binding| grow(&binding.range));
        }
        command
            .accesses()
            .iter()
            .for_each(|access| grow(&access.range));
    }
    sizes
        .into_iter()
        .map(|(region, bytes)| RegionSize { region, bytes })
        .collect()
}

//! The recorder: graph, plan and weights to a command stream.
//!
//! A pass is recorded for one of two paths: all nodes in one submit, or one submit and fence per segment.
//! Barriers are put where a command touches bytes that an earlier unordered command wrote, or writes bytes
//! that one read, and nowhere else. Their scopes are always all device reads and writes, so that a tap copy
//! can join a stream without changing any barrier.

mod barriers;
mod bindings;
mod registered;
mod setup;

use crate::error::{EngineError, Result};
use crate::graph::{Graph, Node, NodeId, OpKind};
use crate::ir::{
    Access, Barrier, Binding, ByteRange, Command, CommandIr, Copy, CopyPurpose, Dispatch,
    HostInput, HostOutput, Kernel, Region, ScopeSet, align_up,
};
use crate::model::{HostData, Model, PassRequest};
use crate::plan::Plan;
use crate::profile::{ExecutionProfile, Path};
use crate::ring::ring_block;
use crate::tensor::{Tensor, TensorId};
use crate::weights::WeightsPlan;

pub use setup::{STAGING_BYTES, record_initialisation, record_upload};

use barriers::Tracker;

/// A pass as values: graph, places, stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What is computed.
    pub graph: Graph,
    /// Where it lies.
    pub plan: Plan,
    /// How it reaches the device.
    pub ir: CommandIr,
}

impl Recording {
    /// Records a pass of a model within an envelope of `envelope` bytes for arena and state.
    ///
    /// # Errors
    /// As [`Model::graph`], [`Plan::new`] and [`record_pass`].
    pub fn new(
        model: &Model,
        request: &PassRequest,
        profile: &ExecutionProfile,
        envelope: u64,
    ) -> Result<Recording> {
        let graph = model.graph(request)?;
        let plan = Plan::new(&graph, envelope)?;
        let ir = record_pass(&graph, &plan, &model.weights_plan()?, profile)?;
        Ok(Recording { graph, plan, ir })
    }

    /// The pass with what the host writes for it, for [`crate::sim::Sim::play`].
    pub fn pass<'r>(&'r self, data: &'r HostData) -> crate::sim::Pass<'r> {
        crate::sim::Pass {
            graph: &self.graph,
            plan: &self.plan,
            data,
        }
    }
}

/// Records one pass.
///
/// # Errors
/// `Request` for a profile of the CPU; `Unplaced` when graph, plan and weights do not belong together;
/// `UnregisteredWrite` when a kernel writes what its node has not registered, or does not write what it has.
pub fn record_pass(
    graph: &Graph,
    plan: &Plan,
    weights: &WeightsPlan,
    profile: &ExecutionProfile,
) -> Result<CommandIr> {
    let path = profile.path().ok_or_else(|| {
        EngineError::Request("the cpu reference records no commands; resolve a gpu mode".to_owned())
    })?;
    let mut recorder = Recorder {
        graph,
        plan,
        weights,
        ir: CommandIr::default(),
        tracker: Tracker::default(),
        dispatches: 0,
    };
    recorder.inputs()?;
    let submits = submits(graph, path);
    for (number, nodes) in submits.iter().enumerate() {
        for node in nodes {
            recorder.node(graph.node(*node))?;
        }
        if number + 1 == submits.len() {
            recorder.noops(profile.noop_dispatches);
            recorder.outputs()?;
        }
        recorder.submit();
    }
    recorder.read_back()?;
    Ok(recorder.ir.sized())
}

/// The nodes of every submit.
fn submits(graph: &Graph, path: Path) -> Vec<Vec<NodeId>> {
    let segments = graph.segments();
    match path {
        Path::SingleGraph => vec![
            segments
                .iter()
                .flat_map(|segment| segment.nodes())
                .collect(),
        ],
        Path::LegacyMultiSubmit => segments
            .iter()
            .map(|segment| segment.nodes().collect())
            .collect(),
    }
}

pub(crate) struct Recorder<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    weights: &'a WeightsPlan,
    ir: CommandIr,
    tracker: Tracker,
    dispatches: u32,
}

impl Recorder<'_> {
    /// Pushes a command of the device, behind a barrier when it needs one.
    fn push(&mut self, command: Command) {
        if let Some(ranges) = self.tracker.order(&command) {
            let barrier = Barrier {
                src: ScopeSet::DEVICE,
                dst: ScopeSet::DEVICE,
                ranges,
                for_taps: false,
            };
            self.ir.commands.push(Command::Barrier(barrier));
        }
        self.ir.commands.push(command);
    }

    fn place(&self, tensor: TensorId) -> Result<ByteRange> {
        let name = || self.graph.tensor(tensor).name.clone();
        self.plan
            .range(tensor)
            .ok_or_else(|| EngineError::Unplaced {
                tensor: name(),
                part: "the plan",
            })
    }

    /// Host writes to staging and copies to the leaves.
    fn inputs(&mut self) -> Result<()> {
        let graph = self.graph;
        let leaves: Vec<&Tensor> = graph
            .tensors()
            .iter()
            .filter(|tensor| tensor.flags.input)
            .collect();
        let mut staged = 0;
        let mut copies = Vec::new();
        for leaf in leaves {
            let src = ByteRange::new(Region::Staging, staged, leaf.bytes());
            staged = align_up(src.end()).unwrap_or(u64::MAX);
            let input = host_input(leaf)?;
            self.ir
                .commands
                .push(Command::HostWrite { dst: src, input });
            copies.push(Command::Copy(Copy {
                src,
                dst: self.place(leaf.id)?,
                src_tensor: None,
                dst_tensor: Some(leaf.id),
                purpose: CopyPurpose::Input,
            }));
        }
        copies.into_iter().for_each(|copy| self.push(copy));
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        if node.op.kind() == OpKind::LastRow {
            let copy = self.last_row(node)?;
            self.push(copy);
            return Ok(());
        }
        let call = self.kernel_call(node)?;
        registered::check(self.graph, node, call.kernel, &call.bindings)?;
        self.dispatch(Some(node.id), node.op.kind(), call);
        Ok(())
    }

    fn dispatch(&mut self, node: Option<NodeId>, op: OpKind, call: KernelCall) {
        let KernelCall {
            kernel,
            bindings,
            immediates,
            groups,
        } = call;
        let index = self.dispatches;
        self.dispatches += 1;
        self.push(Command::Dispatch(Dispatch {
            index,
            node,
            op,
            kernel,
            bindings,
            immediates,
            groups,
        }));
    }

    /// Every noop has its own slice of the dummy region, so that noops need no barriers among themselves.
    fn noops(&mut self, count: u32) {
        for number in 0..count {
            let touched =
                ByteRange::new(Region::Dummy, u64::from(number) * crate::ir::ALIGNMENT, 4);
            let binding = Binding {
                slot: 0,
                range: touched,
                touched,
                access: Access::Write,
                tensor: None,
            };
            let call = KernelCall {
                kernel: Kernel::Noop,
                bindings: vec![binding],
                immediates: vec![number],
                groups: [1, 1, 1],
            };
            self.dispatch(None, OpKind::Noop, call);
        }
    }

    fn output_ranges(&self) -> Result<Vec<(TensorId, ByteRange, ByteRange)>> {
        let mut used = 0;
        let outputs = self
            .graph
            .tensors()
            .iter()
            .filter(|tensor| tensor.flags.output);
        outputs
            .map(|tensor| {
                let dst = ByteRange::new(Region::Readback, used, tensor.bytes());
                used = align_up(dst.end()).unwrap_or(u64::MAX);
                Ok((tensor.id, self.place(tensor.id)?, dst))
            })
            .collect()
    }

    /// Copies of the outputs to readback, made visible to the host.
    fn outputs(&mut self) -> Result<()> {
        let outputs = self.output_ranges()?;
        for (tensor, src, dst) in &outputs {
            self.push(Command::Copy(Copy {
                src: *src,
                dst: *dst,
                src_tensor: Some(*tensor),
                dst_tensor: None,
                purpose: CopyPurpose::Output,
            }));
        }
        let ranges = outputs.into_iter().map(|(_, _, dst)| dst).collect();
        let (src, dst) = (ScopeSet::TRANSFER_WRITE, ScopeSet::HOST_READ);
        self.ir.commands.push(Command::Barrier(Barrier {
            src,
            dst,
            ranges,
            for_taps: false,
        }));
        Ok(())
    }

    fn submit(&mut self) {
        self.ir
            .commands
            .extend([Command::submit(), Command::FenceWait]);
        self.tracker = Tracker::default();
    }

    fn read_back(&mut self) -> Result<()> {
        for (tensor, _, src) in self.output_ranges()? {
            let name = &self.graph.tensor(tensor).name;
            let output = ring_block(name).map_or(HostOutput::Logits, HostOutput::Ring);
            self.ir.commands.push(Command::HostRead { src, output });
        }
        Ok(())
    }
}

/// What a dispatch runs and on what.
pub(crate) struct KernelCall {
    kernel: Kernel,
    bindings: Vec<Binding>,
    immediates: Vec<u32>,
    groups: [u32; 3],
}

/// Host data of a leaf, which the graph names.
fn host_input(leaf: &Tensor) -> Result<HostInput> {
    match leaf.name.as_str() {
        "tokens" => Ok(HostInput::Tokens),
        "rope_table" => Ok(HostInput::RopeTable),
        other => Err(EngineError::Unplaced {
            tensor: other.to_owned(),
            part: "the host inputs",
        }),
    }
}

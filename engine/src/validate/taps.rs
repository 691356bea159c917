//! Planning and inserting taps.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cpu::Trace;
use crate::error::{EngineError, Result};
use crate::graph::{Graph, Node};
use crate::ir::{
    Barrier, ByteRange, Command, CommandIr, Copy, CopyPurpose, HostOutput, Region, ScopeSet,
    align_up,
};
use crate::plan::Plan;
use crate::quant::words;
use crate::tensor::{ElementType, Stage, Tensor, TensorId};

/// One tapped tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tap {
    /// Number in the plan.
    pub number: u32,
    /// Tensor.
    pub tensor: TensorId,
    /// Its name, which is its key in a [`Trace`].
    pub name: String,
    /// Bytes copied.
    pub src: ByteRange,
    /// Where they go.
    pub dst: ByteRange,
    /// Element type.
    pub element: ElementType,
}

impl Tap {
    /// Values of the readback bytes of this tap; token ids become numbers.
    pub fn values(&self, bytes: &[u8]) -> Vec<f32> {
        match self.element {
            ElementType::F32 => words(bytes).map(f32::from_bits).collect(),
            ElementType::U32 => words(bytes).map(|word| word as f32).collect(),
        }
    }
}

/// Tapped tensors of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TapPlan {
    /// Taps by number.
    pub taps: Vec<Tap>,
}

/// Why a pass cannot be validated. Not an error: the run says nothing, for or against the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invalidated {
    /// Machine-readable reason.
    pub reason_code: &'static str,
    /// What a person should know.
    pub message: String,
}

/// Plans taps for all stages of the first block with their inputs, the embedding, every block's output and the final norm.
/// The taps lie behind the `readback_used` bytes that the untapped stream reads back.
///
/// # Errors
/// `Unplaced` when graph and plan do not belong together.
pub fn plan_taps(graph: &Graph, plan: &Plan, readback_used: u64) -> Result<TapPlan> {
    let mut tapped = BTreeSet::new();
    for node in graph.nodes().iter().filter(|node| is_tapped(node)) {
        tapped.extend(node.output);
        tapped.extend(
            node.inputs
                .iter()
                .filter(|id| has_tapped_inputs(node) && !graph.tensor(**id).flags.weight),
        );
    }
    place_taps(graph, plan, readback_used, tapped)
}

/// Plans taps for every stage of every block with its inputs: where readback costs nothing.
///
/// # Errors
/// As [`plan_taps`].
pub fn plan_all_taps(graph: &Graph, plan: &Plan, readback_used: u64) -> Result<TapPlan> {
    let mut tapped = BTreeSet::new();
    for node in graph.nodes().iter().filter(|node| node.stage.is_some()) {
        let inputs = node.inputs.iter();
        tapped.extend(node.output);
        tapped.extend(inputs.filter(|id| !graph.tensor(**id).flags.weight));
    }
    place_taps(graph, plan, readback_used, tapped)
}

fn place_taps(
    graph: &Graph,
    plan: &Plan,
    readback_used: u64,
    tapped: BTreeSet<TensorId>,
) -> Result<TapPlan> {
    let mut taps = TapPlan::default();
    let mut used = align_up(readback_used).unwrap_or(u64::MAX);
    for (number, id) in (0u32..).zip(tapped) {
        let tensor = graph.tensor(id);
        let src = tapped_range(graph, plan, tensor)?;
        let dst = ByteRange::new(Region::Readback, used, src.len);
        used = align_up(dst.end()).unwrap_or(u64::MAX);
        taps.taps.push(Tap {
            number,
            tensor: id,
            name: tensor.name.clone(),
            src,
            dst,
            element: tensor.element,
        });
    }
    Ok(taps)
}

fn is_tapped(node: &Node) -> bool {
    let ends = matches!(
        node.stage,
        Some(Stage::Embd | Stage::LOut | Stage::FinalNorm)
    );
    ends || (node.layer == Some(0) && node.stage.is_some())
}

fn has_tapped_inputs(node: &Node) -> bool {
    node.layer == Some(0) || node.stage == Some(Stage::Embd)
}

/// The whole tensor, or the rows of a cache that the pass reads.
fn tapped_range(graph: &Graph, plan: &Plan, tensor: &Tensor) -> Result<ByteRange> {
    let unplaced = || EngineError::Unplaced {
        tensor: tensor.name.clone(),
        part: "the plan",
    };
    let range = plan.range(tensor.id).ok_or_else(unplaced)?;
    let rows = graph
        .nodes()
        .iter()
        .flat_map(|node| &node.side_effects)
        .find_map(|effect| {
            let crate::graph::SideEffectKind::CacheAppend { pos, rows } = effect.kind else {
                return None;
            };
            (effect.tensor == tensor.id).then_some(pos + rows)
        });
    let len = rows.map_or(range.len, |rows| {
        u64::from(rows) * u64::from(tensor.cols) * 4
    });
    Ok(ByteRange { len, ..range })
}

/// Clears the arena in front of a stream and adds tap copies to it, each in front of the first command that reads the tensor.
///
/// # Errors
/// [`Invalidated`] when nothing reads a tensor, so that its tap would need a barrier which the stream does not have.
pub fn insert_taps(ir: &CommandIr, plan: &TapPlan) -> std::result::Result<CommandIr, Invalidated> {
    let mut copies: Vec<Vec<Command>> = vec![Vec::new(); ir.commands.len()];
    for tap in &plan.taps {
        let reader = ir
            .commands
            .iter()
            .position(|command| reads(command, tap.tensor))
            .ok_or_else(|| Invalidated {
                reason_code: "tap_serialises",
                message: format!(
                    "no command reads {}, a tap would need its own barrier",
                    tap.name
                ),
            })?;
        copies[reader].push(Command::Copy(Copy {
            src: tap.src,
            dst: tap.dst,
            src_tensor: Some(tap.tensor),
            dst_tensor: None,
            purpose: CopyPurpose::Tap(tap.number),
        }));
    }
    let last_submit = ir.commands.iter().rposition(Command::is_submit);
    let mut tapped = CommandIr::default();
    tapped.commands.extend(clear_arena(ir));
    for (index, (command, copies)) in ir.commands.iter().zip(copies).enumerate() {
        tapped.commands.extend(copies);
        if Some(index) == last_submit {
            tapped.commands.push(show_to_host(plan));
        }
        tapped.commands.push(command.clone());
    }
    let reads = plan.taps.iter().map(|tap| Command::HostRead {
        src: tap.dst,
        output: HostOutput::Tap(tap.number),
    });
    tapped.commands.extend(reads);
    Ok(tapped.sized())
}

fn reads(command: &Command, tensor: TensorId) -> bool {
    command
        .accesses()
        .iter()
        .any(|access| access.tensor == Some(tensor) && access.access.reads())
}

/// Clears the arena in front of everything, so that bytes which no command writes read as zeros and not as leftovers
/// of an earlier pass: where a stream first goes wrong must not depend on what ran before it.
fn clear_arena(ir: &CommandIr) -> Vec<Command> {
    let arena = ByteRange::new(Region::Arena, 0, ir.region_size(Region::Arena));
    let barrier = Barrier {
        src: ScopeSet::TRANSFER_WRITE,
        dst: ScopeSet::DEVICE,
        ranges: vec![arena],
        for_taps: true,
    };
    vec![
        Command::Zero {
            dst: arena,
            for_taps: true,
        },
        Command::Barrier(barrier),
    ]
}

fn show_to_host(plan: &TapPlan) -> Command {
    Command::Barrier(Barrier {
        src: ScopeSet::TRANSFER_WRITE,
        dst: ScopeSet::HOST_READ,
        ranges: plan.taps.iter().map(|tap| tap.dst).collect(),
        for_taps: true,
    })
}

/// The device's trace, from the readback bytes of each tap.
pub fn trace_of_taps<'b>(plan: &TapPlan, bytes: impl Fn(u32) -> Option<&'b [u8]>) -> Trace {
    let values = plan
        .taps
        .iter()
        .filter_map(|tap| Some((tap.name.clone(), tap.values(bytes(tap.number)?))));
    values.collect()
}

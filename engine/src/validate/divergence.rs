//! Where a device's values first leave the reference's.

use serde::Serialize;

use super::TapPlan;
use crate::cpu::Trace;
use crate::graph::{Graph, Node};
use crate::ir::{Command, CommandIr, CopyPurpose, Region};
use crate::tensor::{Stage, TensorId};

/// Largest difference of a stage, relative to its largest value, that counts as rounding.
/// An `f32` engine is within about 1e-6 of the reference per stage; wrong data is off by orders of magnitude more.
pub const TOLERANCE: f32 = 1e-4;

/// How the values differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DivergenceKind {
    /// The device has nothing but zeros where the reference has not.
    Zeros,
    /// The device has other numbers.
    Drift,
    /// The device has something that is not a finite number.
    Nan,
}

impl DivergenceKind {
    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            DivergenceKind::Zeros => "zeros",
            DivergenceKind::Drift => "drift",
            DivergenceKind::Nan => "nan",
        }
    }
}

/// The first stage, in execution order, whose values are wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FirstDivergence {
    /// Block; 0 before the first, the number of blocks after the last.
    pub layer: u32,
    /// Stage.
    pub stage: Stage,
    /// How the values differ.
    pub kind: DivergenceKind,
    /// Reference value where the difference is largest.
    pub cpu: f32,
    /// Device value there.
    pub gpu: f32,
    /// Op that computes the stage.
    pub op: &'static str,
    /// Whether the stream dispatches that op.
    pub dispatched: bool,
    /// Whether all tapped inputs of the op are right.
    pub inputs_ok: bool,
    /// Command that last wrote the wrong input, or else the stage, before it was tapped; `none` when nothing did.
    pub last_writer: String,
    /// Region of the wrong input, or else of the stage.
    pub region: &'static str,
}

/// Compares traces stage by stage in execution order. `ir` is the tapped stream that produced `gpu`.
/// Stages that either trace lacks are passed over.
pub fn first_divergence(
    graph: &Graph,
    ir: &CommandIr,
    taps: &TapPlan,
    cpu: &Trace,
    gpu: &Trace,
) -> Option<FirstDivergence> {
    graph.nodes().iter().find_map(|node| {
        let (stage, output) = (node.stage?, node.output?);
        let (kind, cpu_value, gpu_value) = compare(graph, output, cpu, gpu)?;
        let wrong_input = node
            .inputs
            .iter()
            .copied()
            .find(|input| compare(graph, *input, cpu, gpu).is_some());
        Some(FirstDivergence {
            layer: node.layer.unwrap_or_else(|| end_layer(graph, node)),
            stage,
            kind,
            cpu: cpu_value,
            gpu: gpu_value,
            op: node.op.kind().name(),
            dispatched: ir
                .dispatches()
                .any(|dispatch| dispatch.node == Some(node.id)),
            inputs_ok: wrong_input.is_none(),
            last_writer: last_writer(ir, taps, wrong_input.unwrap_or(output)),
            region: region(taps, wrong_input.unwrap_or(output)),
        })
    })
}

/// Layer number of a node outside the blocks.
pub(crate) fn end_layer(graph: &Graph, node: &Node) -> u32 {
    let before = graph.nodes().iter().take_while(|other| other.id < node.id);
    before
        .filter_map(|other| other.layer)
        .max()
        .map_or(0, |layer| layer + 1)
}

/// How a tensor differs, with the values at the largest difference; `None` when it does not or was not tapped.
fn compare(
    graph: &Graph,
    tensor: TensorId,
    cpu: &Trace,
    gpu: &Trace,
) -> Option<(DivergenceKind, f32, f32)> {
    let name = &graph.tensor(tensor).name;
    let (cpu, gpu) = (cpu.get(name)?, gpu.get(name)?);
    if let Some((c, g)) = cpu.iter().zip(gpu).find(|(_, g)| !g.is_finite()) {
        return Some((DivergenceKind::Nan, *c, *g));
    }
    let largest = cpu
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    let difference = |pair: &(&f32, &f32)| (pair.0 - pair.1).abs();
    let (c, g) = cpu
        .iter()
        .zip(gpu)
        .max_by(|a, b| difference(a).total_cmp(&difference(b)))?;
    if (c - g).abs() <= TOLERANCE * largest {
        return None;
    }
    // Devices may flush subnormal numbers, and small integers left in the bytes look like them.
    let zeros = gpu.iter().all(|value| value.abs() < f32::MIN_POSITIVE);
    Some((
        if zeros {
            DivergenceKind::Zeros
        } else {
            DivergenceKind::Drift
        },
        *c,
        *g,
    ))
}

fn region(taps: &TapPlan, tensor: TensorId) -> &'static str {
    let tap = taps.taps.iter().find(|tap| tap.tensor == tensor);
    tap.map_or(Region::Arena, |tap| tap.src.region).name()
}

/// Last command before the tap of a tensor that wrote any of the tapped bytes.
fn last_writer(ir: &CommandIr, taps: &TapPlan, tensor: TensorId) -> String {
    let none = || "none".to_owned();
    let Some(tap) = taps.taps.iter().find(|tap| tap.tensor == tensor) else {
        return none();
    };
    let is_tap = |command: &Command| matches!(command, Command::Copy(copy) if copy.purpose == CopyPurpose::Tap(tap.number));
    let writes = |command: &&Command| {
        let accesses = command.accesses();
        let mut written = accesses.iter().filter(|access| access.access.writes());
        !command.is_tap() && written.any(|access| access.range.overlaps(&tap.src))
    };
    let end = ir
        .commands
        .iter()
        .position(is_tap)
        .unwrap_or(ir.commands.len());
    ir.commands[..end]
        .iter()
        .rev()
        .find(writes)
        .map_or_else(none, Command::name)
}

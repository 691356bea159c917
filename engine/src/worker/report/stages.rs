//! What the taps of a pass say, stage by stage, beside the reference.

use super::{Pass, legacy_stage};
use crate::cpu::Trace;
use crate::graph::{Graph, Node};
use crate::profile::{ExecutionProfile, Path};
use crate::telemetry::{
    CpuNorm, FaCorrect, FaSummary, FfnDiverge, FirstDivergence, Marker, OpNorm, RopeValidate,
    ValidateStage,
};
use crate::tensor::{Stage, TensorId};
use crate::validate::{self, TOLERANCE, end_layer};

/// Everything that the taps of one pass say, in execution order.
pub(in crate::worker) fn stages(
    pass: &Pass<'_>,
    profile: &ExecutionProfile,
    reference: &Trace,
    device: &Trace,
) -> Vec<Marker> {
    let graph = pass.graph;
    let mut markers = Vec::new();
    for node in graph.nodes() {
        let (Some(stage), Some(output)) = (node.stage, node.output) else {
            continue;
        };
        let compared = |id| Compared::of(graph, id, reference, device);
        let Some(found) = compared(output) else {
            continue;
        };
        if node.layer == Some(0) {
            let inputs = node.inputs.iter().filter_map(|id| compared(*id));
            markers.extend(inputs.map(|input| validated(pass, stage, "input", &input)));
            markers.push(validated(pass, stage, "output", &found));
        }
        let layer = node.layer.unwrap_or_else(|| end_layer(graph, node)).into();
        markers.extend(norms(pass, layer, stage, node, &found));
        if profile.path() == Some(Path::LegacyMultiSubmit) {
            let row = last_row(found.gpu, graph.tensor(output).cols);
            markers.push(legacy_stage(pass, stage, layer, row));
        }
        match stage {
            Stage::AttnOut => markers.extend(attention(pass, layer, &found)),
            Stage::QRope | Stage::KRope => markers.push(rope(pass, layer, &found)),
            Stage::FfnNorm | Stage::FfnGate | Stage::FfnUp | Stage::FfnAct | Stage::FfnOut
                if profile.ffn_divergence && !found.ok() =>
            {
                markers.push(ffn(pass, layer, stage, &found));
            }
            _ => {}
        }
    }
    markers
}

/// A tensor on the device beside the same tensor of the reference.
struct Compared<'t> {
    cpu: &'t [f32],
    gpu: &'t [f32],
    /// Element with the largest difference.
    worst: usize,
    max_abs: f32,
    limit: f32,
}

impl<'t> Compared<'t> {
    fn of(graph: &Graph, id: TensorId, cpu: &'t Trace, gpu: &'t Trace) -> Option<Self> {
        let name = &graph.tensor(id).name;
        let (cpu, gpu) = (cpu.get(name)?.as_slice(), gpu.get(name)?.as_slice());
        let (mut worst, mut max_abs) = (0, 0.0);
        for (index, (c, g)) in cpu.iter().zip(gpu).enumerate() {
            let difference = (c - g).abs();
            if difference.is_nan() || difference > max_abs {
                (worst, max_abs) = (index, difference);
            }
            if difference.is_nan() {
                break;
            }
        }
        Some(Self {
            cpu,
            gpu,
            worst,
            max_abs,
            limit: TOLERANCE * largest(cpu),
        })
    }

    fn ok(&self) -> bool {
        self.max_abs <= self.limit
    }

    fn status(&self) -> &'static str {
        if self.ok() {
            "ok"
        } else if !self.gpu.iter().all(|v| v.is_finite()) {
            "nan"
        } else if all_zero(self.gpu) {
            "zeros"
        } else {
            "drift"
        }
    }

    /// Values of both sides at the largest difference.
    fn at_worst(&self) -> (f32, f32) {
        let value = |side: &[f32]| side.get(self.worst).copied().unwrap_or(0.0);
        (value(self.cpu), value(self.gpu))
    }
}

/// `[VALIDATE L0]`
fn validated(pass: &Pass<'_>, stage: Stage, side: &str, found: &Compared<'_>) -> Marker {
    let (cpu, gpu) = found.at_worst();
    ValidateStage {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        layer: 0,
        stage: stage.name().into(),
        side: side.into(),
        status: found.status().into(),
        cpu,
        gpu,
        max_abs: found.max_abs,
        limit: found.limit,
        n: found.gpu.len() as u64,
    }
    .into()
}

/// `[GPU SMOKE OP NORM]` with its `[GPU SMOKE CPU NORM]`.
fn norms(
    pass: &Pass<'_>,
    layer: u64,
    stage: Stage,
    node: &Node,
    found: &Compared<'_>,
) -> [Marker; 2] {
    let device = OpNorm {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        layer,
        op: node.op.kind().name().into(),
        tensor: stage.name().into(),
        norm: norm(found.gpu),
        max: largest(found.gpu),
        n: found.gpu.len() as u64,
    };
    let reference = CpuNorm {
        path: device.path.clone(),
        phase: device.phase.clone(),
        pass: device.pass,
        layer,
        op: device.op.clone(),
        tensor: device.tensor.clone(),
        norm: norm(found.cpu),
        max: largest(found.cpu),
        n: found.cpu.len() as u64,
    };
    [device.into(), reference.into()]
}

/// `[FA CORRECT]` and `[GPU SMOKE FA_SUMMARY]`.
fn attention(pass: &Pass<'_>, layer: u64, found: &Compared<'_>) -> [Marker; 2] {
    let correct = FaCorrect {
        verdict: if found.ok() { "pass" } else { "fail" }.into(),
        path: pass.place.path.clone(),
        layer,
        max_abs: found.max_abs,
        limit: found.limit,
    };
    let n = found.gpu.len();
    let sum: f64 = found.gpu.iter().map(|v| f64::from(*v)).sum();
    let summary = FaSummary {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        layer,
        all_zero: all_zero(found.gpu),
        has_nan: found.gpu.iter().any(|v| !v.is_finite()),
        cpu_all_zero: all_zero(found.cpu),
        max_abs: largest(found.gpu),
        mean: (sum / n.max(1) as f64) as f32,
        n: n as u64,
    };
    [correct.into(), summary.into()]
}

/// `[ROPE VALIDATE]`
fn rope(pass: &Pass<'_>, layer: u64, found: &Compared<'_>) -> Marker {
    RopeValidate {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        layer,
        pos: pass.request.pos.into(),
        max_abs: found.max_abs,
        limit: found.limit,
        status: if found.ok() { "ok" } else { "drift" }.into(),
    }
    .into()
}

/// `[FFN DIVERGE]`
fn ffn(pass: &Pass<'_>, layer: u64, stage: Stage, found: &Compared<'_>) -> Marker {
    let (cpu, gpu) = found.at_worst();
    FfnDiverge {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        layer,
        stage: stage.name().into(),
        cpu,
        gpu,
        max_abs: found.max_abs,
        index: found.worst as u64,
    }
    .into()
}

/// `FIRST_DIVERGENCE`
pub(in crate::worker) fn divergence(
    found: &validate::FirstDivergence,
    pass: &Pass<'_>,
) -> FirstDivergence {
    FirstDivergence {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        layer: found.layer.into(),
        tensor_stage: found.stage.name().into(),
        kind: found.kind.name().into(),
        cpu: found.cpu,
        gpu: found.gpu,
        op: found.op.into(),
        dispatched: found.dispatched,
        inputs_ok: found.inputs_ok,
        last_writer: found.last_writer.clone(),
        region: found.region.into(),
    }
}

fn last_row(values: &[f32], cols: u32) -> &[f32] {
    let start = values.len().saturating_sub(cols as usize);
    values.get(start..).unwrap_or_default()
}

fn all_zero(values: &[f32]) -> bool {
    values.iter().all(|v| *v == 0.0)
}

fn norm(values: &[f32]) -> f32 {
    let squares = values.iter().map(|v| f64::from(*v) * f64::from(*v));
    squares.sum::<f64>().sqrt() as f32
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, v| largest.max(v.abs()))
}

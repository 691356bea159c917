//! What each fault does to the parts of a pass. Every function leaves alone what its fault does not concern.

use super::Fault;
use crate::error::Result;
use crate::graph::{Graph, Node, OpKind};
use crate::ir::{Barrier, ByteRange, Command, CommandIr, Region};
use crate::model::{HostData, Model, PassRequest, Phase};
use crate::plan::{Plan, Request, requests, requests_where};
use crate::profile::ExecutionProfile;
use crate::record::{Recording, record_pass};
use crate::tensor::{ElementType, Tensor, TensorId};
use crate::validate::{Tap, TapPlan};
use crate::weights::{WeightForm, WeightsPlan};

/// Factor on the rotary base.
const WRONG_BASE: f32 = 50.0;
/// Bits of an `f32` that 8 bits of mantissa keep.
const COARSE: u32 = 0xffff_0000;
/// Projections that a fused kernel computes together.
const FUSED: [&str; 3] = ["attn_q.weight", "attn_k.weight", "attn_v.weight"];

impl Fault {
    /// Records a pass with the fault in it.
    ///
    /// # Errors
    /// As [`Recording::new`].
    pub fn record(
        &self,
        model: &Model,
        request: &PassRequest,
        profile: &ExecutionProfile,
        envelope: u64,
    ) -> Result<Recording> {
        let graph = model.graph(&self.request(request))?;
        let plan = self.plan(&graph, envelope)?;
        let ir = record_pass(&graph, &plan, &model.weights_plan()?, profile)?;
        let ir = self.stream(&graph, ir);
        Ok(Recording { graph, plan, ir })
    }

    /// The pass whose graph runs.
    pub fn request(&self, request: &PassRequest) -> PassRequest {
        let mut request = request.clone();
        if *self == Fault::StaleTopology && request.phase == Phase::Decode {
            request.pos = request.pos.saturating_sub(1);
        }
        request
    }

    /// The plan of a graph.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self, graph: &Graph, envelope: u64) -> Result<Plan> {
        let requests = match self {
            Fault::AliasLeaf => {
                let late = |request: Request| Request {
                    first: request.needed,
                    ..request
                };
                requests(graph).into_iter().map(late).collect()
            }
            Fault::EnvelopeBlowup => {
                let is_leaf = |tensor: &Tensor| graph.producer(tensor.id).is_none();
                requests_where(graph, is_leaf)
            }
            _ => requests(graph),
        };
        Plan::of_requests(graph, envelope, requests)
    }

    /// The stream of a graph.
    pub fn stream(&self, graph: &Graph, mut ir: CommandIr) -> CommandIr {
        match self {
            Fault::DropBarrier(number) => {
                remove(&mut ir, *number, |c| matches!(c, Command::Barrier(_)));
            }
            Fault::SkipDispatch(number) => {
                remove(&mut ir, *number, |c| matches!(c, Command::Dispatch(_)));
            }
            Fault::DropSideEffect(op) => hide_side_effects(graph, &mut ir, *op),
            Fault::SpecConstantDefault => default_strides(&mut ir),
            _ => {}
        }
        ir
    }

    /// What the host writes for a pass.
    ///
    /// # Errors
    /// As [`Model::host_data`].
    pub fn host_data(&self, model: &Model, request: &PassRequest) -> Result<HostData> {
        if *self != Fault::WrongRopeBase {
            return model.host_data(request);
        }
        let mut other = model.clone();
        other.params.rope_base *= WRONG_BASE;
        other.host_data(request)
    }

    /// Packed weight bytes of a chunk from an offset on.
    pub fn weights(&self, weights: &WeightsPlan, names: &[String], at: (u16, u64), out: &mut [u8]) {
        if *self != Fault::FusePrecision {
            return;
        }
        let (chunk, offset) = at;
        let filled = ByteRange::new(Region::Weights(chunk), offset, out.len() as u64);
        let fused = |name: &&String| FUSED.iter().any(|suffix| name.ends_with(suffix));
        for place in names
            .iter()
            .filter(fused)
            .filter_map(|name| weights.place(name))
        {
            let coarse = place.form == WeightForm::F32;
            for part in place
                .parts
                .iter()
                .filter(|part| coarse && part.overlaps(&filled))
            {
                let start = part.offset.max(offset) - offset;
                let end = part.end().min(filled.end()) - offset;
                let words = out
                    .get_mut(start as usize..end as usize)
                    .unwrap_or_default();
                for word in words.chunks_exact_mut(4) {
                    let bits = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) & COARSE;
                    word.copy_from_slice(&bits.to_le_bytes());
                }
            }
        }
    }

    /// The taps of a pass.
    pub fn taps(&self, taps: &mut TapPlan) {
        if *self != Fault::TapSerialises {
            return;
        }
        let readback = |tap: &Tap| tap.dst.end().next_multiple_of(crate::ir::ALIGNMENT);
        let free = taps.taps.iter().map(readback).max().unwrap_or(0);
        taps.taps.push(Tap {
            number: taps.taps.len() as u32,
            tensor: TensorId(u32::MAX),
            name: "scratch".to_owned(),
            src: ByteRange::new(Region::Arena, 0, 4),
            dst: ByteRange::new(Region::Readback, free, 4),
            element: ElementType::F32,
        });
    }
}

/// Removes the command that is number `number` among those that `counts` knows.
fn remove(ir: &mut CommandIr, number: usize, counts: fn(&Command) -> bool) {
    let mut places = ir.commands.iter().enumerate().filter(|(_, c)| counts(c));
    if let Some((at, _)) = places.nth(number) {
        ir.commands.remove(at);
    }
}

/// Takes the side effects of an op out of all barriers; one that showed nothing else still orders execution.
fn hide_side_effects(graph: &Graph, ir: &mut CommandIr, op: OpKind) {
    let affected: Vec<&Node> = graph
        .nodes()
        .iter()
        .filter(|node| node.op.kind() == op)
        .collect();
    let is_effect = |tensor: Option<TensorId>| {
        let effects = affected.iter().flat_map(|node| &node.side_effects);
        effects
            .into_iter()
            .any(|effect| Some(effect.tensor) == tensor)
    };
    let bindings = ir.dispatches().flat_map(|dispatch| &dispatch.bindings);
    let hidden: Vec<ByteRange> = bindings
        .filter(|binding| binding.access.writes() && is_effect(binding.tensor))
        .map(|binding| binding.range)
        .collect();
    for command in &mut ir.commands {
        if let Command::Barrier(barrier) = command {
            for range in &hidden {
                cut(barrier, range);
            }
        }
    }
}

fn cut(barrier: &mut Barrier, hole: &ByteRange) {
    let mut left = Vec::with_capacity(barrier.ranges.len() + 1);
    for range in barrier.ranges.drain(..) {
        if !range.overlaps(hole) {
            left.push(range);
            continue;
        }
        let before = hole.offset.saturating_sub(range.offset);
        let after = range.end().saturating_sub(hole.end());
        left.push(ByteRange {
            len: before,
            ..range
        });
        left.push(ByteRange::new(range.region, hole.end(), after));
    }
    left.retain(|range| range.len > 0);
    barrier.ranges = left;
}

/// The last two words of the rotary kernel are its strides.
fn default_strides(ir: &mut CommandIr) {
    for command in &mut ir.commands {
        if let Command::Dispatch(dispatch) = command
            && dispatch.op == OpKind::Rope
            && let [.., step, distance] = dispatch.immediates.as_mut_slice()
        {
            (*step, *distance) = (2, 1);
        }
    }
}

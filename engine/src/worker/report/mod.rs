//! What a pass says about itself: played streams as markers. Their traces speak in [`stages`].

mod stages;

use std::collections::BTreeMap;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::plans::Miss;
use crate::graph::{Graph, NodeId};
use crate::hazard;
use crate::ir::CommandIr;
use crate::model::{Model, PassRequest};
use crate::plan::Plan;
use crate::profile::{ExecutionProfile, Path, Timestamps};
use crate::sample;
use crate::telemetry::{
    ArenaPlan, Bucket, CacheKeyMiss, DualModel, ForwardProfile, Hazard, LayerProfile,
    LegacyMultiSubmit, LogitsProfile, Marker, Perdispatch, RopeDebug, Timing, TimingBreakdown,
    Topo,
};
use crate::tensor::Stage;
use crate::validate::end_layer;
use crate::vk::exec::Played;
pub(super) use stages::{divergence, stages};

/// Digits of a digest that tell apart what one log holds.
pub(super) const SHORT: usize = 16;
/// Hazards of one stream that are told.
const TOLD_HAZARDS: usize = 16;

/// Which pass of which stream a marker is about.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) phase: String,
    pub(super) pass: u64,
}

impl Place {
    pub(super) fn new(profile: &ExecutionProfile, request: &PassRequest, pass: u64) -> Self {
        Self {
            path: profile.path().map_or("none", Path::name).into(),
            phase: request.phase.name().into(),
            pass,
        }
    }
}

/// What one pass did, as its row of `[GPU PERDISPATCH]`.
pub(super) fn perdispatch(place: &Place, role: &str, played: &Played) -> Perdispatch {
    let cb_us = played.command_buffer_ns.map(micros_of);
    let timing = match &played.kernels {
        None => Timing::Summary,
        Some(kernels) => {
            let sum_us = micros_of(kernels.iter().map(|k| k.ns).sum());
            Timing::Full {
                sum_us,
                gap_us: cb_us.unwrap_or(0).saturating_sub(sum_us),
                buckets: kernels
                    .iter()
                    .map(|k| Bucket {
                        name: k.kernel.name().into(),
                        count: k.count,
                        us: micros_of(k.ns),
                    })
                    .collect(),
            }
        }
    };
    Perdispatch {
        role: role.into(),
        path: place.path.clone(),
        phase: place.phase.clone(),
        pass: place.pass,
        submits: played.submits,
        dispatches: played.dispatches,
        barriers: played.barriers,
        cb_us,
        timing,
    }
}

/// What makes the topology of a pass; equal for passes that differ in their position only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topology {
    path: String,
    phase: String,
    n_tokens: u32,
    key: String,
}

impl Topology {
    pub(super) fn of(pass: &Pass<'_>) -> Self {
        let mut hasher = Sha256::new();
        for node in pass.graph.nodes() {
            hasher.update(node.op.kind().name().as_bytes());
            for tensor in node.inputs.iter().chain(&node.output) {
                hasher.update(tensor.0.to_le_bytes());
            }
        }
        for (tensor, range) in pass.plan.places() {
            hasher.update(tensor.0.to_le_bytes());
            hasher.update(range.offset.to_le_bytes());
            hasher.update(range.len.to_le_bytes());
        }
        let mut key = hex::encode(hasher.finalize());
        key.truncate(SHORT);
        Self {
            path: pass.place.path.clone(),
            phase: pass.place.phase.clone(),
            n_tokens: pass.request.n_tokens(),
            key,
        }
    }

    /// `[TOPO]`, against the pass before.
    pub(super) fn marker(&self, pass: &Pass<'_>, before: Option<&Self>) -> Marker {
        let reason = match before {
            None => "first",
            Some(before) if before.path != self.path => "path",
            Some(before) if before.phase != self.phase => "phase",
            Some(before) if before.n_tokens != self.n_tokens => "tokens",
            Some(_) => "places",
        };
        Topo {
            path: self.path.clone(),
            phase: self.phase.clone(),
            pass: pass.place.pass,
            nodes: pass.graph.nodes().len() as u64,
            edges: pass
                .graph
                .nodes()
                .iter()
                .map(|n| n.inputs.len() as u64)
                .sum(),
            rebuilt: before.is_some(),
            reason: reason.into(),
            key: self.key.clone(),
        }
        .into()
    }
}

/// A pass that was played, with everything it was made of.
pub(super) struct Pass<'p> {
    pub(super) place: Place,
    pub(super) request: &'p PassRequest,
    pub(super) graph: &'p Graph,
    pub(super) plan: &'p Plan,
    /// Why it was planned anew; `None` when the plan was cached.
    pub(super) miss: Option<&'p Miss>,
    pub(super) stream: &'p CommandIr,
    pub(super) played: &'p Played,
    pub(super) record_us: u64,
    pub(super) total_us: u64,
}

/// `[ARENA PLAN]`
pub(super) fn arena_plan(plan: &Plan) -> Marker {
    ArenaPlan {
        requests: plan.report.requests.into(),
        peak: plan.report.peak,
        aliased: plan.report.aliased.into(),
        pinned: plan.report.pinned.into(),
        envelope: plan.report.envelope,
        saved: plan.report.saved,
        rebar_unsafe: plan.report.rebar_unsafe.into(),
    }
    .into()
}

/// `[GPU SMOKE CACHE KEY MISS]`
pub(super) fn cache_key_miss(pass: &Pass<'_>) -> Option<Marker> {
    let miss = pass.miss?;
    let marker = CacheKeyMiss {
        cache: "plan".into(),
        key: miss.key.clone(),
        cached: miss.cached.clone().unwrap_or_else(|| "none".into()),
        differs: miss.differs.into(),
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
    };
    Some(marker.into())
}

/// `[HAZARD]`, one line per finding.
pub(super) fn hazards(pass: &Pass<'_>) -> Vec<Marker> {
    let findings = hazard::check(pass.stream);
    let marker = |finding: &hazard::Finding| {
        Hazard {
            kind: finding.kind.name().into(),
            path: pass.place.path.clone(),
            phase: pass.place.phase.clone(),
            pass: pass.place.pass,
            first: finding
                .first
                .as_ref()
                .map_or_else(|| "none".to_owned(), |command| command.name.clone()),
            second: finding.second.name.clone(),
            at: finding.second.index as u64,
            region: finding.range.region.name().into(),
            bytes: finding.range.len,
        }
        .into()
    };
    findings.iter().take(TOLD_HAZARDS).map(marker).collect()
}

/// `[DUAL MODEL]`: its weights lie on the device since the load, so its lane is the hot one.
pub(super) fn dual_model(pass: &Pass<'_>, role: &str, model: &str, resident: u64) -> Marker {
    DualModel {
        role: role.into(),
        model: model.into(),
        lane: "hot".into(),
        phase: pass.place.phase.clone(),
        tokens: pass.request.n_tokens().into(),
        us: pass.total_us,
        resident,
    }
    .into()
}

/// `[GPU TIMING BREAKDOWN]`
pub(super) fn timing_breakdown(pass: &Pass<'_>, noops: u32) -> Marker {
    TimingBreakdown {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        noops: noops.into(),
        record_us: pass.record_us,
        wait_us: micros_of(pass.played.wait_ns),
        total_us: pass.total_us,
    }
    .into()
}

/// `[forward profile: …]`
pub(super) fn forward_profile(pass: &Pass<'_>) -> ForwardProfile {
    ForwardProfile {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        total: pass.total_us,
        record: pass.record_us,
        wait: micros_of(pass.played.wait_ns),
        tokens: pass.request.n_tokens().into(),
    }
}

/// `[LAYER PROFILE]`, one per layer and one for what stands outside of them.
pub(super) fn layer_profiles(pass: &Pass<'_>) -> Vec<Marker> {
    let mut layers: BTreeMap<Option<u32>, (u64, u64)> = BTreeMap::new();
    let times = pass.played.dispatch_ns.as_deref();
    for (index, dispatch) in pass.stream.dispatches().enumerate() {
        let layer = dispatch.node.and_then(|node| layer_of(pass.graph, node));
        let sums = layers.entry(layer).or_default();
        sums.0 += 1;
        sums.1 += times.and_then(|ns| ns.get(index)).copied().unwrap_or(0);
    }
    let row = |(layer, (dispatches, ns)): (Option<u32>, (u64, u64))| {
        LayerProfile {
            path: pass.place.path.clone(),
            phase: pass.place.phase.clone(),
            pass: pass.place.pass,
            layer: layer.map(u64::from),
            us: times.map(|_| micros_of(ns)),
            dispatches,
        }
        .into()
    };
    layers.into_iter().map(row).collect()
}

fn layer_of(graph: &Graph, node: NodeId) -> Option<u32> {
    let found = graph.nodes().iter().find(|other| other.id == node)?;
    found.layer
}

/// `[LOGITS PROFILE]` of the last row.
pub(super) fn logits_profile(pass: &Pass<'_>, row: &[f32]) -> Marker {
    let is_logits = |node: NodeId| {
        let found = pass.graph.nodes().iter().find(|other| other.id == node);
        found.is_some_and(|node| node.stage == Some(Stage::Logits))
    };
    let at = pass
        .stream
        .dispatches()
        .position(|dispatch| dispatch.node.is_some_and(is_logits));
    let times = pass.played.dispatch_ns.as_deref();
    LogitsProfile {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
        us: at.and_then(|at| times?.get(at).copied()).map(micros_of),
        n_vocab: row.len() as u64,
        argmax: likeliest(row),
        max: largest(row),
    }
    .into()
}

/// `legacy_multi_submit` for the logits.
pub(super) fn legacy_logits(pass: &Pass<'_>, row: &[f32]) -> Marker {
    let mut nodes = pass.graph.nodes().iter();
    let node = nodes.find(|node| node.stage == Some(Stage::Logits));
    let layer = node.map_or(0, |node| end_layer(pass.graph, node));
    legacy_stage(pass, Stage::Logits, layer.into(), row)
}

/// `legacy_multi_submit` for the last row of a stage.
fn legacy_stage(pass: &Pass<'_>, stage: Stage, layer: u64, row: &[f32]) -> Marker {
    LegacyMultiSubmit {
        stage: stage.name().into(),
        layer,
        argmax: likeliest(row),
        max: largest(row),
        top5: sample::top(row, 5),
        phase: pass.place.phase.clone(),
        pass: pass.place.pass,
    }
    .into()
}

fn likeliest(row: &[f32]) -> u32 {
    sample::top(row, 1).first().copied().unwrap_or(0)
}

fn largest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `[ROPE DEBUG]`
pub(super) fn rope_debug(pass: &Pass<'_>, model: &Model) -> Marker {
    let params = &model.params;
    RopeDebug {
        path: pass.place.path.clone(),
        phase: pass.place.phase.clone(),
        pos: pass.request.pos.into(),
        base: params.rope_base,
        scale: params.rope_scaling.factor(),
        dims: params.n_rot.into(),
    }
    .into()
}

/// Whole microseconds, rounded up, so that what took time is never zero.
pub(super) fn micros_of(ns: u64) -> u64 {
    ns.div_ceil(1000)
}

/// Whole microseconds since a moment.
pub(super) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Whether every dispatch of a pass is timed.
pub(super) fn stamps_dispatches(profile: &ExecutionProfile) -> bool {
    profile.timestamps == Timestamps::Full
}

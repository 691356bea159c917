//! Fusions: runs of nodes that one kernel computes, each accepted or rejected with a reason.
//!
//! [`PATTERNS`] is the table. A match is judged before anything of the graph changes, so a rejected match leaves no trace in
//! it. A fusion is on where its switch says so and a row of [`verified`] says that its kernel was verified for the
//! device and driver; elsewhere the single nodes run, and the decision says why (law §8).
//!
//! What a fused node writes besides its output stays a tensor of its own name, as a registered side effect: taps, judges and
//! later nodes find keys, values and residuals where they were.

mod patterns;
mod reason;
pub mod verified;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::{Graph, Node, NodeId};
use crate::profile::{ExecutionProfile, FusionWishes};
use crate::ring::with_rings;
use crate::weights::WeightsPlan;

pub use patterns::{PATTERNS, Pattern, PatternRow};
pub use reason::Reject;
use verified::{Identity, is_on_by_default};

/// Which fusions a run wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Wanted {
    /// `FusedQkvProj`.
    pub qkv: bool,
    /// `FusedFfnGateUpSilu` and `FusedResidualRmsNormWeight`.
    pub ffn: bool,
}

impl Wanted {
    /// Every fusion.
    pub const ALL: Wanted = Wanted {
        qkv: true,
        ffn: true,
    };

    /// What the wishes of a profile come to; where it has none, what the rows of [`verified`] switch on by default.
    pub fn of(wishes: FusionWishes, device: Option<&Identity>) -> Wanted {
        let by_default =
            |pattern| device.is_some_and(|identity| is_on_by_default(pattern, identity));
        Wanted {
            qkv: wishes
                .qkv
                .unwrap_or_else(|| by_default(Pattern::FusedQkvProj)),
            ffn: wishes
                .ffn
                .unwrap_or_else(|| by_default(Pattern::FusedFfnGateUpSilu)),
        }
    }

    /// Whether a pattern is wanted.
    pub const fn has(self, pattern: Pattern) -> bool {
        match pattern {
            Pattern::FusedQkvProj => self.qkv,
            Pattern::FusedFfnGateUpSilu | Pattern::FusedResidualRmsNormWeight => self.ffn,
        }
    }
}

/// What became of one match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Pattern.
    pub pattern: Pattern,
    /// Block.
    pub layer: Option<u32>,
    /// First of the matched nodes, in the graph before fusing.
    pub first: NodeId,
    /// `None` when it was fused.
    pub rejected: Option<Reject>,
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.pattern.name();
        write!(f, "{name} at node {}", self.first.0)?;
        if let Some(layer) = self.layer {
            write!(f, " of block {layer}")?;
        }
        match &self.rejected {
            None => write!(f, ": fused"),
            Some(reason) => write!(f, ": rejected, {reason}"),
        }
    }
}

/// A graph after fusing, with what was decided on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The graph; equal to the original when nothing was fused.
    pub graph: Graph,
    /// One per match, in execution order.
    pub decisions: Vec<Decision>,
}

/// Fuses what is wanted, fits and is verified for the device. Without a device nothing is asked about it.
pub fn fuse(
    graph: &Graph,
    weights: &WeightsPlan,
    wanted: Wanted,
    device: Option<&Identity>,
) -> Fused {
    let mut decisions = Vec::new();
    let mut replaced: BTreeMap<NodeId, (usize, Node)> = BTreeMap::new();
    let mut at = 0;
    while at < graph.nodes().len() {
        let nodes = &graph.nodes()[at..];
        let found = PATTERNS.iter().find(|row| (row.matches)(graph, nodes));
        let Some(row) = found else {
            at += 1;
            continue;
        };
        let judged = row.judge(graph, nodes, weights, wanted, device);
        decisions.push(Decision {
            pattern: row.pattern,
            layer: nodes[0].layer,
            first: nodes[0].id,
            rejected: judged.err(),
        });
        if judged.is_ok() {
            replaced.insert(nodes[0].id, (row.len, (row.fused)(graph, nodes)));
        }
        at += if judged.is_ok() { row.len } else { 1 };
    }
    Fused {
        graph: rewritten(graph, replaced),
        decisions,
    }
}

/// The graph of a pass as a profile wants it: fused where it says so, with debug rings where it says so.
pub fn prepared(
    graph: Graph,
    weights: &WeightsPlan,
    profile: &ExecutionProfile,
    device: Option<&Identity>,
) -> Fused {
    let wanted = Wanted::of(profile.fusions, device);
    let mut prepared = if wanted == Wanted::default() {
        Fused {
            graph,
            decisions: Vec::new(),
        }
    } else {
        fuse(&graph, weights, wanted, device)
    };
    if profile.attention_ring {
        prepared.graph = with_rings(&prepared.graph);
    }
    prepared
}

fn rewritten(graph: &Graph, mut replaced: BTreeMap<NodeId, (usize, Node)>) -> Graph {
    if replaced.is_empty() {
        return graph.clone();
    }
    let mut nodes = Vec::new();
    let mut skip = 0;
    for node in graph.nodes() {
        if let Some((len, fused)) = replaced.remove(&node.id) {
            nodes.push(fused);
            skip = len;
        }
        if skip > 0 {
            skip -= 1;
        } else {
            nodes.push(node.clone());
        }
    }
    graph.rebuilt(Vec::new(), nodes)
}

//! The pattern table: what matches, what is asked of a match, and the node that replaces it.

use serde::Serialize;

use super::verified::{Identity, is_verified};
use super::{Reject, Wanted};
use crate::graph::{Graph, Node, Op, OpKind, SideEffect, SideEffectKind};
use crate::kernels::Kernel;
use crate::tensor::TensorId;
use crate::weights::{RowBlocking, WeightForm, WeightsPlan};

/// Fusions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Pattern {
    /// Query, key and value projections of one norm; keys and values are side effects.
    FusedQkvProj,
    /// Gate and up projections of one norm, and `silu(gate) * up`.
    FusedFfnGateUpSilu,
    /// A residual sum, which is a side effect, and the norm of it.
    FusedResidualRmsNormWeight,
}

impl Pattern {
    /// Name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Pattern::FusedQkvProj => "FusedQkvProj",
            Pattern::FusedFfnGateUpSilu => "FusedFfnGateUpSilu",
            Pattern::FusedResidualRmsNormWeight => "FusedResidualRmsNormWeight",
        }
    }
}

/// One pattern. The functions get the graph and the nodes from the first matched one on.
#[derive(Clone, Copy)]
pub struct PatternRow {
    /// Pattern.
    pub pattern: Pattern,
    /// Number of nodes that it takes.
    pub len: usize,
    /// Op of the fused node.
    pub op: OpKind,
    /// Whether the nodes compute what the pattern computes.
    pub matches: fn(&Graph, &[Node]) -> bool,
    /// Whether the fused kernel takes these dimensions, this form and this layout.
    fits: fn(&Graph, &[Node], &WeightsPlan) -> Result<(), Reject>,
    /// Tensors between the nodes that exist no more once they are fused.
    vanishing: fn(&[Node]) -> Vec<TensorId>,
    /// The fused node.
    pub(super) fused: fn(&Graph, &[Node]) -> Node,
}

impl std::fmt::Debug for PatternRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatternRow")
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}

/// The table.
pub const PATTERNS: &[PatternRow] = &[
    PatternRow {
        pattern: Pattern::FusedQkvProj,
        len: 3,
        op: OpKind::FusedQkvProj,
        matches: |_, nodes| {
            products_of_one(nodes, 3)
                && nodes[..3].iter().all(|node| node.layer.is_some())
                && nodes
                    .get(3)
                    .is_none_or(|next| !is_product_of(next, nodes[0].inputs[1]))
        },
        fits: |graph, nodes, weights| product_fits(graph, &nodes[..3], weights, RowBlocking::qkv),
        vanishing: |_| Vec::new(),
        fused: |_, nodes| Node {
            op: Op::FusedQkvProj,
            inputs: product_inputs(&nodes[..3]),
            side_effects: nodes[1..3]
                .iter()
                .filter_map(|node| whole(node.output))
                .collect(),
            ..nodes[0].clone()
        },
    },
    PatternRow {
        pattern: Pattern::FusedFfnGateUpSilu,
        len: 3,
        op: OpKind::FusedFfnGateUpSilu,
        matches: |_, nodes| {
            products_of_one(nodes, 2)
                && nodes.get(2).is_some_and(|act| {
                    act.op == Op::SiluMul
                        && act
                            .inputs
                            .iter()
                            .copied()
                            .map(Some)
                            .eq([nodes[0].output, nodes[1].output])
                })
        },
        fits: |graph, nodes, weights| product_fits(graph, &nodes[..2], weights, RowBlocking::ffn),
        vanishing: |nodes| nodes[..2].iter().filter_map(|node| node.output).collect(),
        fused: |_, nodes| Node {
            op: Op::FusedFfnGateUpSilu,
            inputs: product_inputs(&nodes[..2]),
            ..nodes[2].clone()
        },
    },
    PatternRow {
        pattern: Pattern::FusedResidualRmsNormWeight,
        len: 2,
        op: OpKind::FusedResidualRmsNorm,
        matches: |_, nodes| {
            nodes[0].op == Op::Add
                && nodes.get(1).is_some_and(|norm| {
                    matches!(norm.op, Op::RmsNorm { .. })
                        && norm.inputs.first().copied() == nodes[0].output
                })
        },
        fits: norm_fits,
        vanishing: |_| Vec::new(),
        fused: |_, nodes| {
            let eps = match nodes[1].op {
                Op::RmsNorm { eps } => eps,
                _ => 0.0,
            };
            Node {
                op: Op::FusedResidualRmsNorm { eps },
                inputs: [&nodes[0].inputs[..], &nodes[1].inputs[1..]].concat(),
                side_effects: whole(nodes[0].output).into_iter().collect(),
                ..nodes[1].clone()
            }
        },
    },
];

impl PatternRow {
    /// Asks everything that can be known before the graph changes.
    ///
    /// # Errors
    /// The first question that is answered with no.
    pub(super) fn judge(
        &self,
        graph: &Graph,
        nodes: &[Node],
        weights: &WeightsPlan,
        wanted: Wanted,
        device: Option<&Identity>,
    ) -> Result<(), Reject> {
        if !wanted.has(self.pattern) {
            return Err(Reject::NotWanted);
        }
        if nodes[..self.len]
            .iter()
            .any(|node| node.layer != nodes[0].layer)
        {
            return Err(Reject::CrossesBlocks);
        }
        (self.fits)(graph, nodes, weights)?;
        let vanishing = (self.vanishing)(nodes);
        let others = graph
            .nodes()
            .iter()
            .filter(|other| !nodes[..self.len].iter().any(|node| node.id == other.id));
        let read_elsewhere = others
            .flat_map(|node| node.tensors())
            .chain(
                graph
                    .tensors()
                    .iter()
                    .filter(|t| t.flags.output)
                    .map(|t| t.id),
            )
            .any(|id| vanishing.contains(&id));
        if read_elsewhere {
            return Err(Reject::ReadElsewhere);
        }
        if device.is_some_and(|identity| !is_verified(self.pattern, identity)) {
            return Err(Reject::NotVerified);
        }
        Ok(())
    }
}

fn whole(tensor: Option<TensorId>) -> Option<SideEffect> {
    tensor.map(|tensor| SideEffect {
        tensor,
        kind: SideEffectKind::Whole,
    })
}

fn is_product_of(node: &Node, x: TensorId) -> bool {
    node.op == Op::Matmul && node.inputs.get(1) == Some(&x)
}

/// Whether the first nodes are products with one tensor.
fn products_of_one(nodes: &[Node], count: usize) -> bool {
    let Some(x) = nodes[0].inputs.get(1) else {
        return false;
    };
    nodes.len() >= count && nodes[..count].iter().all(|node| is_product_of(node, *x))
}

/// The common tensor, then the weights.
fn product_inputs(products: &[Node]) -> Vec<TensorId> {
    let weights = products.iter().map(|node| node.inputs[0]);
    std::iter::once(products[0].inputs[1])
        .chain(weights)
        .collect()
}

fn product_fits(
    graph: &Graph,
    products: &[Node],
    weights: &WeightsPlan,
    kernel: fn(RowBlocking, WeightForm) -> Option<Kernel>,
) -> Result<(), Reject> {
    let rows = graph.tensor(products[0].inputs[1]).rows;
    if rows > 1 {
        return Err(Reject::Rows { rows });
    }
    let name = |node: &Node| graph.tensor(node.inputs[0]).name.as_str();
    let names: Vec<&str> = products.iter().map(name).collect();
    let mut forms = names
        .iter()
        .filter_map(|name| weights.place(name))
        .map(|place| place.form);
    let first = forms.next().ok_or(Reject::Layout)?;
    if forms.any(|form| form != first) {
        return Err(Reject::MixedForms);
    }
    if kernel(weights.blocking(), first).is_none() {
        return Err(Reject::Form { form: first.name() });
    }
    weights.joined(&names).map(|_| ()).ok_or(Reject::Layout)
}

fn norm_fits(graph: &Graph, nodes: &[Node], _: &WeightsPlan) -> Result<(), Reject> {
    let row = nodes[0].output.map_or(0, |sum| graph.tensor(sum).cols);
    let run = nodes[1]
        .inputs
        .get(1)
        .map_or(0, |weight| graph.tensor(*weight).cols);
    if run != row {
        return Err(Reject::NormRuns { run, row });
    }
    Ok(())
}

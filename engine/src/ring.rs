//! The debug ring of attention: what the kernel knows after each tile of cache rows, copied out after the pass.
//!
//! A ring is a registered side effect of its attention node and an output of the graph, so it is planned, ordered and judged
//! like any other write. Split attention has none: its parts hold the same numbers.

use crate::graph::{Graph, Node, Op, SideEffect, SideEffectKind};
use crate::quant::words;
use crate::tensor::{ElementType, Tensor, TensorFlags, TensorId};

/// Cache rows per tile of the attention kernel.
pub const TILE_ROWS: u32 = 64;

/// End of a ring's name; the block stands before it.
const SUFFIX: &str = ".fa_ring";

/// The graph with a ring at every attention node.
pub fn with_rings(graph: &Graph) -> Graph {
    let mut rings = Vec::new();
    let mut nodes = graph.nodes().to_vec();
    for node in &mut nodes {
        let id = TensorId((graph.tensors().len() + rings.len()) as u32);
        let Some(ring) = ring_of(graph, node, id) else {
            continue;
        };
        node.side_effects.push(SideEffect {
            tensor: ring.id,
            kind: SideEffectKind::Whole,
        });
        rings.push(ring);
    }
    graph.rebuilt(rings, nodes)
}

/// `[n_tokens * n_heads, 2 * n_tiles]`: the largest score so far and the sum of weights, tile by tile.
fn ring_of(graph: &Graph, node: &Node, id: TensorId) -> Option<Tensor> {
    let Op::Attention { n_heads, pos, .. } = node.op else {
        return None;
    };
    let rows = graph.tensor(*node.inputs.first()?).rows;
    Some(Tensor {
        id,
        name: format!("blk.{}{SUFFIX}", node.layer?),
        rows: rows * n_heads,
        cols: 2 * (pos + rows).div_ceil(TILE_ROWS),
        element: ElementType::F32,
        flags: TensorFlags {
            output: true,
            ..TensorFlags::default()
        },
    })
}

/// Block of a ring, by tensor name; `None` for other tensors.
pub fn ring_block(name: &str) -> Option<u32> {
    name.strip_prefix("blk.")?
        .strip_suffix(SUFFIX)?
        .parse()
        .ok()
}

/// What a ring says in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RingSummary {
    /// Pairs that hold a tile.
    pub tiles: usize,
    /// Largest score.
    pub largest_score: f32,
    /// Smallest sum of weights; at least 1, because the largest score has weight 1.
    pub smallest_sum: f32,
    /// Values that are not finite numbers.
    pub not_finite: usize,
}

impl RingSummary {
    /// Reads the bytes of a ring. Tiles that no row sees are zeros and not counted.
    pub fn read(bytes: &[u8]) -> RingSummary {
        let values: Vec<f32> = words(bytes).map(f32::from_bits).collect();
        let pairs = values.as_chunks::<2>().0;
        let seen: Vec<&[f32; 2]> = pairs.iter().filter(|pair| **pair != [0.0, 0.0]).collect();
        RingSummary {
            tiles: seen.len(),
            largest_score: seen
                .iter()
                .fold(f32::NEG_INFINITY, |a, pair| a.max(pair[0])),
            smallest_sum: seen.iter().fold(f32::INFINITY, |a, pair| a.min(pair[1])),
            not_finite: values.iter().filter(|value| !value.is_finite()).count(),
        }
    }
}

impl std::fmt::Display for RingSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "tiles={} largest_score={} smallest_sum={} not_finite={}",
            self.tiles, self.largest_score, self.smallest_sum, self.not_finite
        )
    }
}

//! The model graph of one pass: nodes in execution order over tensors.
//!
//! Every byte that a node writes is one of its registered outputs or side effects; nothing else may be written (§3).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::tensor::{ElementType, Stage, Tensor, TensorFlags, TensorId};

/// Number of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NodeId(pub u32);

/// What a node computes, without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    /// Embedding rows.
    Embed,
    /// Root-mean-square norm.
    RmsNorm,
    /// Matrix product with a weight.
    Matmul,
    /// Rotary position embedding.
    Rope,
    /// Append to a cache.
    KvStore,
    /// Attention over the cache.
    Attention,
    /// Attention over parts of the cache.
    AttentionSplit,
    /// The parts of an attention as one.
    AttentionMerge,
    /// `silu(gate) * up`.
    SiluMul,
    /// Sum.
    Add,
    /// The last row of a tensor.
    LastRow,
    /// Query, key and value projections as one product.
    FusedQkvProj,
    /// Gate and up projections with their activation.
    FusedFfnGateUpSilu,
    /// Sum and root-mean-square norm of it.
    FusedResidualRmsNorm,
    /// Nothing, for measuring.
    Noop,
}

impl OpKind {
    /// All kinds.
    pub const ALL: &[OpKind] = &[
        OpKind::Embed,
        OpKind::RmsNorm,
        OpKind::Matmul,
        OpKind::Rope,
        OpKind::KvStore,
        OpKind::Attention,
        OpKind::AttentionSplit,
        OpKind::AttentionMerge,
        OpKind::SiluMul,
        OpKind::Add,
        OpKind::LastRow,
        OpKind::FusedQkvProj,
        OpKind::FusedFfnGateUpSilu,
        OpKind::FusedResidualRmsNorm,
        OpKind::Noop,
    ];

    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            OpKind::Embed => "embed",
            OpKind::RmsNorm => "rms_norm",
            OpKind::Matmul => "matmul",
            OpKind::Rope => "rope",
            OpKind::KvStore => "kv_store",
            OpKind::Attention => "attention",
            OpKind::AttentionSplit => "attention_split",
            OpKind::AttentionMerge => "attention_merge",
            OpKind::SiluMul => "silu_mul",
            OpKind::Add => "add",
            OpKind::LastRow => "last_row",
            OpKind::FusedQkvProj => "fused_qkv_proj",
            OpKind::FusedFfnGateUpSilu => "fused_ffn_gate_up_silu",
            OpKind::FusedResidualRmsNorm => "fused_residual_rms_norm",
            OpKind::Noop => "noop",
        }
    }
}

/// Which elements of a head the rotary embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RopePairs {
    /// `(2i, 2i+1)`.
    Adjacent,
    /// `(i, i + n_rot/2)`.
    Halves,
}

impl RopePairs {
    /// Distance between the first elements of two pairs, and between the two elements of one.
    pub const fn strides(self, n_rot: u32) -> (u32, u32) {
        match self {
            RopePairs::Adjacent => (2, 1),
            RopePairs::Halves => (1, n_rot / 2),
        }
    }
}

/// What a node computes. Inputs and outputs are listed in this order in [`Node`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `(tokens, table) -> rows`.
    Embed,
    /// `(x, weight) -> normed`; a weight shorter than the row norms each run of its length by itself.
    RmsNorm {
        /// Added to the mean square.
        eps: f32,
    },
    /// `(weight, x) -> y`.
    Matmul,
    /// `(x, rope_table) -> rotated`.
    Rope {
        /// Elements per head.
        head_dim: u32,
        /// Rotated elements per head, even.
        n_rot: u32,
        /// Heads per row.
        n_heads: u32,
        /// Which elements rotate together.
        pairs: RopePairs,
    },
    /// `(rows) -> ()`, writes cache rows from `pos` as a side effect.
    KvStore {
        /// Position of the first row.
        pos: u32,
    },
    /// `(q, k_cache, v_cache) -> heads`.
    Attention {
        /// Query heads.
        n_heads: u32,
        /// Key and value heads; divides `n_heads`.
        n_kv_heads: u32,
        /// Elements per head.
        head_dim: u32,
        /// Position of the first query row.
        pos: u32,
        /// Factor on the scores.
        scale: f32,
    },
    /// `(q, k_cache, v_cache) -> parts` of one query row: row `h * n_parts + p` holds head `h` over the cache rows of part
    /// `p`, as the sum of values weighted by `exp(score - maximum)`, that maximum, and the sum of the weights.
    AttentionSplit {
        /// Query heads.
        n_heads: u32,
        /// Key and value heads; divides `n_heads`.
        n_kv_heads: u32,
        /// Elements per head.
        head_dim: u32,
        /// Position of the query row.
        pos: u32,
        /// Factor on the scores.
        scale: f32,
        /// Cache rows per part.
        part_rows: u32,
    },
    /// `(parts) -> heads`.
    AttentionMerge {
        /// Elements per head.
        head_dim: u32,
        /// Parts per head.
        n_parts: u32,
    },
    /// `(gate, up) -> act`.
    SiluMul,
    /// `(a, b) -> sum`.
    Add,
    /// `(x) -> last row of x`.
    LastRow,
    /// `(x, q_weight, k_weight, v_weight) -> q`, writes k and v as side effects.
    FusedQkvProj,
    /// `(x, gate_weight, up_weight) -> act`.
    FusedFfnGateUpSilu,
    /// `(a, b, weight) -> normed`, writes the sum as a side effect.
    FusedResidualRmsNorm {
        /// Added to the mean square.
        eps: f32,
    },
}

impl Op {
    /// The op without its parameters.
    pub const fn kind(&self) -> OpKind {
        match self {
            Op::Embed => OpKind::Embed,
            Op::RmsNorm { .. } => OpKind::RmsNorm,
            Op::Matmul => OpKind::Matmul,
            Op::Rope { .. } => OpKind::Rope,
            Op::KvStore { .. } => OpKind::KvStore,
            Op::Attention { .. } => OpKind::Attention,
            Op::AttentionSplit { .. } => OpKind::AttentionSplit,
            Op::AttentionMerge { .. } => OpKind::AttentionMerge,
            Op::SiluMul => OpKind::SiluMul,
            Op::Add => OpKind::Add,
            Op::LastRow => OpKind::LastRow,
            Op::FusedQkvProj => OpKind::FusedQkvProj,
            Op::FusedFfnGateUpSilu => OpKind::FusedFfnGateUpSilu,
            Op::FusedResidualRmsNorm { .. } => OpKind::FusedResidualRmsNorm,
        }
    }
}

/// What kind of memory a node writes that it does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SideEffectKind {
    /// Rows `pos .. pos + rows` of a key or value cache.
    CacheAppend {
        /// First row.
        pos: u32,
        /// Number of rows.
        rows: u32,
    },
    /// All of a tensor of the arena.
    Whole,
}

/// A registered write to a tensor that is not an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct SideEffect {
    /// Tensor written.
    pub tensor: TensorId,
    /// What part of it.
    pub kind: SideEffectKind,
}

/// One step of a pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Number in the graph, the execution order.
    pub id: NodeId,
    /// What it computes.
    pub op: Op,
    /// Tensors read.
    pub inputs: Vec<TensorId>,
    /// Tensor written and owned.
    pub output: Option<TensorId>,
    /// Tensors written and not owned.
    pub side_effects: Vec<SideEffect>,
    /// Block, `None` before the first and after the last.
    pub layer: Option<u32>,
    /// Stage of the model that the output is.
    pub stage: Option<Stage>,
}

impl Node {
    /// Whether the node writes all of a tensor.
    pub fn writes_whole(&self, id: TensorId) -> bool {
        let effects = self.side_effects.iter();
        self.output == Some(id)
            || effects
                .filter(|effect| effect.kind == SideEffectKind::Whole)
                .any(|effect| effect.tensor == id)
    }

    /// Every tensor that the node reads or writes.
    pub fn tensors(&self) -> impl Iterator<Item = TensorId> + '_ {
        let effects = self.side_effects.iter().map(|effect| effect.tensor);
        self.inputs
            .iter()
            .copied()
            .chain(self.output)
            .chain(effects)
    }
}

/// Consecutive nodes that the legacy path submits together: one block, or an end of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Block; `None` for the ends.
    pub layer: Option<u32>,
    /// First node.
    pub first: NodeId,
    /// Number of nodes.
    pub len: u32,
}

impl Segment {
    /// Ids of the nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (self.first.0..self.first.0 + self.len).map(NodeId)
    }
}

/// The graph of one pass.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Graph {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
}

impl Graph {
    /// Tensors by id.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Nodes in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The tensor of an id of this graph.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0 as usize]
    }

    /// The node of an id of this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The tensor of that name.
    pub fn tensor_named(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The node that writes all of a tensor, as its output or as a side effect.
    pub fn producer(&self, id: TensorId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.writes_whole(id))
    }

    /// The node whose output is a stage of the model's ends.
    pub fn producer_of(&self, stage: Stage) -> Option<&Node> {
        self.nodes.iter().find(|node| node.stage == Some(stage))
    }

    /// A graph of nodes over the tensors of this one and new ones behind them. Tensors that no node names any more are left
    /// out, nodes and tensors are numbered anew, in their order.
    pub(crate) fn rebuilt(&self, more: Vec<Tensor>, nodes: Vec<Node>) -> Graph {
        let named: BTreeSet<TensorId> = nodes.iter().flat_map(Node::tensors).collect();
        let kept = self.tensors.iter().cloned().chain(more);
        let kept: Vec<Tensor> = kept.filter(|tensor| named.contains(&tensor.id)).collect();
        let number: BTreeMap<TensorId, TensorId> = (0u32..)
            .zip(&kept)
            .map(|(number, tensor)| (tensor.id, TensorId(number)))
            .collect();
        let renumbered = |id: &TensorId| number.get(id).copied().unwrap_or(*id);
        let mut graph = Graph {
            tensors: kept,
            nodes,
        };
        for tensor in &mut graph.tensors {
            tensor.id = renumbered(&tensor.id);
        }
        for (number, node) in (0u32..).zip(&mut graph.nodes) {
            node.id = NodeId(number);
            node.inputs = node.inputs.iter().map(renumbered).collect();
            node.output = node.output.as_ref().map(renumbered);
            for effect in &mut node.side_effects {
                effect.tensor = renumbered(&effect.tensor);
                graph.tensors[effect.tensor.0 as usize].flags.side_effect = true;
            }
        }
        graph
    }

    /// Nodes grouped by block, in execution order.
    pub fn segments(&self) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        for node in &self.nodes {
            match segments.last_mut() {
                Some(segment) if segment.layer == node.layer => segment.len += 1,
                _ => segments.push(Segment {
                    layer: node.layer,
                    first: node.id,
                    len: 1,
                }),
            }
        }
        segments
    }
}

/// Builds a [`Graph`] node by node.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
    layer: Option<u32>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Block that the following nodes belong to.
    pub fn set_layer(&mut self, layer: Option<u32>) {
        self.layer = layer;
    }

    /// A tensor that the host writes before the pass.
    pub fn input(&mut self, name: &str, rows: u32, cols: u32, element: ElementType) -> TensorId {
        let flags = TensorFlags {
            input: true,
            ..TensorFlags::default()
        };
        self.tensor(name.to_owned(), rows, cols, element, flags)
    }

    /// A tensor of the model, by GGUF name; asking twice gives the same tensor.
    pub fn weight(&mut self, name: &str, rows: u32, cols: u32) -> TensorId {
        if let Some(tensor) = self.graph.tensor_named(name) {
            return tensor.id;
        }
        let flags = TensorFlags {
            weight: true,
            ..TensorFlags::default()
        };
        self.tensor(name.to_owned(), rows, cols, ElementType::F32, flags)
    }

    /// A tensor that lives from pass to pass.
    pub fn state(&mut self, name: &str, rows: u32, cols: u32) -> TensorId {
        let flags = TensorFlags {
            state: true,
            ..TensorFlags::default()
        };
        self.tensor(name.to_owned(), rows, cols, ElementType::F32, flags)
    }

    /// Appends a node with one output of `rows` by `cols`, and returns the output.
    pub fn node(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        stage: Option<Stage>,
        rows: u32,
        cols: u32,
    ) -> TensorId {
        let name = self.output_name(op.kind(), stage);
        let output = self.tensor(name, rows, cols, ElementType::F32, TensorFlags::default());
        self.push(op, inputs, Some(output), stage);
        output
    }

    /// Appends a node without output; give it its writes with [`Self::register_side_effect`].
    pub fn effect_node(&mut self, op: Op, inputs: &[TensorId]) -> NodeId {
        self.push(op, inputs, None, None)
    }

    /// Registers a write of `node` to `tensor`, which it does not own.
    pub fn register_side_effect(&mut self, node: NodeId, tensor: TensorId, kind: SideEffectKind) {
        self.graph.tensors[tensor.0 as usize].flags.side_effect = true;
        self.graph.nodes[node.0 as usize]
            .side_effects
            .push(SideEffect { tensor, kind });
    }

    /// Marks a tensor as read by the host after the pass.
    pub fn mark_output(&mut self, tensor: TensorId) {
        self.graph.tensors[tensor.0 as usize].flags.output = true;
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    fn tensor(
        &mut self,
        name: String,
        rows: u32,
        cols: u32,
        element: ElementType,
        flags: TensorFlags,
    ) -> TensorId {
        let id = TensorId(self.graph.tensors.len() as u32);
        self.graph.tensors.push(Tensor {
            id,
            name,
            rows,
            cols,
            element,
            flags,
        });
        id
    }

    fn push(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        output: Option<TensorId>,
        stage: Option<Stage>,
    ) -> NodeId {
        let id = NodeId(self.graph.nodes.len() as u32);
        self.graph.nodes.push(Node {
            id,
            op,
            inputs: inputs.to_vec(),
            output,
            side_effects: Vec::new(),
            layer: self.layer,
            stage,
        });
        id
    }

    fn output_name(&self, kind: OpKind, stage: Option<Stage>) -> String {
        let stage = stage.map_or_else(
            || format!("{}.{}", kind.name(), self.graph.nodes.len()),
            |s| s.name().to_owned(),
        );
        match self.layer {
            Some(layer) => format!("blk.{layer}.{stage}"),
            None => stage,
        }
    }
}

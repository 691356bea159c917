//! The reference: runs the same graphs on the CPU, with `f32` storage and `f64` accumulation.
//!
//! It is never a fallback: only [`crate::profile::Mode::CpuReference`] and validation run it.

mod ops;

use std::collections::BTreeMap;

use crate::error::{EngineError, Result};
use crate::graph::{Graph, Node, Op};
use crate::ir::HostInput;
use crate::model::{Model, PassRequest};
use crate::quant::words;
use crate::tensor::{ElementType, Stage, Tensor, TensorId};

/// Tensor values by name, row-major; token ids as numbers, caches up to the last row that the pass sees.
pub type Trace = BTreeMap<String, Vec<f32>>;

/// What a pass yields.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuPass {
    /// `[rows, n_vocab]`.
    pub logits: Vec<f32>,
    /// All tensors of the pass that are not weights; empty unless asked for.
    pub trace: Trace,
}

/// Whether a pass keeps its intermediate tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepTrace {
    /// Only the logits.
    No,
    /// Everything but weights.
    Yes,
}

/// A model on the CPU, with its caches.
#[derive(Debug, Clone)]
pub struct CpuReference<'m> {
    model: &'m Model,
    weights: BTreeMap<String, Vec<f32>>,
    caches: BTreeMap<String, Vec<f32>>,
}

impl<'m> CpuReference<'m> {
    /// Dequantises the weights of the file that the model was loaded from.
    ///
    /// # Errors
    /// `Unplaced` when it is another file.
    pub fn new(model: &'m Model, file: &[u8]) -> Result<CpuReference<'m>> {
        let names = model.sources().map(|source| source.name.clone());
        let weights = names
            .map(|name| Ok((name.clone(), model.weight_values(file, &name)?)))
            .collect::<Result<_>>()?;
        Ok(CpuReference {
            model,
            weights,
            caches: BTreeMap::new(),
        })
    }

    /// Forgets the caches.
    pub fn reset(&mut self) {
        self.caches.clear();
    }

    /// Runs a pass.
    ///
    /// # Errors
    /// `Request` as [`Model::graph`].
    pub fn run(&mut self, pass: &PassRequest, keep: KeepTrace) -> Result<CpuPass> {
        let graph = self.model.graph(pass)?;
        self.run_graph(&graph, pass, keep)
    }

    /// Runs another graph of the same pass, for example a fused one.
    ///
    /// # Errors
    /// `Request` as [`Model::graph`]; `Unplaced` when the graph is of another model.
    pub fn run_graph(
        &mut self,
        graph: &Graph,
        pass: &PassRequest,
        keep: KeepTrace,
    ) -> Result<CpuPass> {
        let mut values = self.inputs(graph, pass)?;
        for node in graph.nodes() {
            let written = self.node(graph, node, &values)?;
            values.extend(written);
        }
        let logits = graph
            .producer_of(Stage::Logits)
            .and_then(|node| values.get(&node.output?))
            .cloned()
            .unwrap_or_default();
        let trace = match keep {
            KeepTrace::No => Trace::new(),
            KeepTrace::Yes => self.trace(graph, values, pass),
        };
        Ok(CpuPass { logits, trace })
    }

    /// Computes one node for a judge that keeps the tensors itself: from the values of its inputs, caches included,
    /// to the tensors that it writes, its output first. Caches that it appends to come whole.
    ///
    /// # Errors
    /// `Unplaced` when an input is missing.
    pub(crate) fn compute(
        &mut self,
        graph: &Graph,
        node: &Node,
        mut values: BTreeMap<TensorId, Vec<f32>>,
    ) -> Result<Vec<(TensorId, Vec<f32>)>> {
        for id in &node.inputs {
            let tensor = graph.tensor(*id);
            if tensor.flags.state
                && let Some(cache) = values.remove(id)
            {
                self.caches.insert(tensor.name.clone(), cache);
            }
        }
        let mut written = self.node(graph, node, &values)?;
        written.extend(node.side_effects.iter().filter_map(|effect| {
            let cache = self.caches.get(&graph.tensor(effect.tensor).name)?;
            Some((effect.tensor, cache.clone()))
        }));
        Ok(written)
    }

    /// Replaces the values of a weight, for a judge that found other bytes on the device.
    pub(crate) fn set_weight(&mut self, name: &str, values: Vec<f32>) {
        self.weights.insert(name.to_owned(), values);
    }

    fn inputs(&self, graph: &Graph, pass: &PassRequest) -> Result<BTreeMap<TensorId, Vec<f32>>> {
        let data = self.model.host_data(pass)?;
        let leaves = graph.tensors().iter().filter(|tensor| tensor.flags.input);
        let values = leaves.map(|leaf| {
            let values = match leaf.element {
                ElementType::U32 => pass.tokens.iter().map(|token| *token as f32).collect(),
                ElementType::F32 => words(data.bytes(HostInput::RopeTable).unwrap_or_default())
                    .map(f32::from_bits)
                    .collect(),
            };
            (leaf.id, values)
        });
        Ok(values.collect())
    }

    fn trace(
        &self,
        graph: &Graph,
        values: BTreeMap<TensorId, Vec<f32>>,
        pass: &PassRequest,
    ) -> Trace {
        let mut trace: Trace = values
            .into_iter()
            .map(|(id, values)| (graph.tensor(id).name.clone(), values))
            .collect();
        let seen = (pass.pos + pass.n_tokens()) as usize;
        for tensor in graph.tensors().iter().filter(|tensor| tensor.flags.state) {
            if let Some(cache) = self.caches.get(&tensor.name) {
                trace.insert(
                    tensor.name.clone(),
                    cache[..seen * tensor.cols as usize].to_vec(),
                );
            }
        }
        trace
    }

    /// Runs a node and returns the tensors that it writes, its output first. Caches are not among them; they are kept here.
    fn node(
        &mut self,
        graph: &Graph,
        node: &Node,
        values: &BTreeMap<TensorId, Vec<f32>>,
    ) -> Result<Vec<(TensorId, Vec<f32>)>> {
        if let Op::KvStore { pos } = node.op {
            self.store(graph, node, values, pos)?;
            return Ok(Vec::new());
        }
        let input = |i: usize| self.input(graph, node, values, i);
        let mut effects = Vec::new();
        let output = match node.op {
            Op::Embed => {
                let ((_, tokens), (table, weights)) = (input(0)?, input(1)?);
                ops::embed(tokens, weights, table.cols as usize)
            }
            Op::RmsNorm { eps } => {
                let ((_, x), (_, weight)) = (input(0)?, input(1)?);
                ops::rms_norm(x, weight, eps)
            }
            Op::Matmul => {
                let ((w, weights), (_, x)) = (input(0)?, input(1)?);
                ops::matmul(weights, x, w.cols as usize)
            }
            Op::Rope {
                head_dim,
                n_rot,
                n_heads,
                pairs,
            } => {
                let ((_, x), (_, table)) = (input(0)?, input(1)?);
                let (step, distance) = pairs.strides(n_rot);
                let [head_dim, n_rot, n_heads, step, distance] =
                    [head_dim, n_rot, n_heads, step, distance].map(|n| n as usize);
                ops::rope(
                    x,
                    table,
                    ops::Rotation {
                        head_dim,
                        n_rot,
                        n_heads,
                        step,
                        distance,
                    },
                )
            }
            Op::Attention {
                n_heads,
                n_kv_heads,
                head_dim,
                pos,
                scale,
            } => {
                let ((_, q), (_, k), (_, v)) = (input(0)?, input(1)?, input(2)?);
                let heads = heads(n_heads, n_kv_heads, head_dim, pos, scale);
                if let [ring] = node.side_effects.as_slice() {
                    let tiles = graph.tensor(ring.tensor).cols as usize / 2;
                    effects = vec![ops::attention_ring(q, k, heads, tiles)];
                }
                ops::attention(q, k, v, heads)
            }
            Op::SiluMul => ops::silu_mul(input(0)?.1, input(1)?.1),
            Op::Add => ops::add(input(0)?.1, input(1)?.1),
            Op::LastRow => {
                let (tensor, x) = input(0)?;
                x[x.len() - tensor.cols as usize..].to_vec()
            }
            Op::AttentionSplit {
                n_heads,
                n_kv_heads,
                head_dim,
                pos,
                scale,
                part_rows,
            } => {
                let ((_, q), (_, k), (_, v)) = (input(0)?, input(1)?, input(2)?);
                let heads = heads(n_heads, n_kv_heads, head_dim, pos, scale);
                ops::attention_split(q, k, v, heads, part_rows as usize)
            }
            Op::AttentionMerge { head_dim, n_parts } => {
                ops::attention_merge(input(0)?.1, head_dim as usize, n_parts as usize)
            }
            Op::FusedQkvProj => {
                let (_, x) = input(0)?;
                let product = |i: usize| -> Result<Vec<f32>> {
                    let (w, weights) = input(i)?;
                    Ok(ops::matmul(weights, x, w.cols as usize))
                };
                effects = vec![product(2)?, product(3)?];
                product(1)?
            }
            Op::FusedFfnGateUpSilu => {
                let ((_, x), (w, gate), (_, up)) = (input(0)?, input(1)?, input(2)?);
                let n_in = w.cols as usize;
                ops::silu_mul(&ops::matmul(gate, x, n_in), &ops::matmul(up, x, n_in))
            }
            Op::FusedResidualRmsNorm { eps } => {
                let sum = ops::add(input(0)?.1, input(1)?.1);
                let normed = ops::rms_norm(&sum, input(2)?.1, eps);
                effects = vec![sum];
                normed
            }
            Op::KvStore { .. } => Vec::new(),
        };
        let effects = node
            .side_effects
            .iter()
            .map(|effect| effect.tensor)
            .zip(effects);
        let output = node.output.map(|id| (id, output));
        Ok(output.into_iter().chain(effects).collect())
    }

    fn input<'v, 'g>(
        &'v self,
        graph: &'g Graph,
        node: &Node,
        values: &'v BTreeMap<TensorId, Vec<f32>>,
        i: usize,
    ) -> Result<(&'g Tensor, &'v [f32])> {
        let unplaced = |tensor: String| EngineError::Unplaced {
            tensor,
            part: "the reference",
        };
        let id = node
            .inputs
            .get(i)
            .ok_or_else(|| unplaced(node.op.kind().name().to_owned()))?;
        let tensor = graph.tensor(*id);
        let found = if tensor.flags.weight {
            self.weights.get(&tensor.name)
        } else if tensor.flags.state {
            self.caches.get(&tensor.name)
        } else {
            values.get(id)
        };
        found
            .map(|values| (tensor, values.as_slice()))
            .ok_or_else(|| unplaced(tensor.name.clone()))
    }

    fn store(
        &mut self,
        graph: &Graph,
        node: &Node,
        values: &BTreeMap<TensorId, Vec<f32>>,
        pos: u32,
    ) -> Result<()> {
        let (tensor, rows) = self.input(graph, node, values, 0)?;
        let (start, rows) = (pos as usize * tensor.cols as usize, rows.to_vec());
        for effect in &node.side_effects {
            let cache = graph.tensor(effect.tensor);
            let elements = cache.rows as usize * cache.cols as usize;
            let cache = self
                .caches
                .entry(cache.name.clone())
                .or_insert_with(|| vec![0.0; elements]);
            cache[start..start + rows.len()].copy_from_slice(&rows);
        }
        Ok(())
    }
}

fn heads(n_heads: u32, n_kv_heads: u32, head_dim: u32, pos: u32, scale: f32) -> ops::Heads {
    let [n_heads, n_kv_heads, head_dim, pos] =
        [n_heads, n_kv_heads, head_dim, pos].map(|n| n as usize);
    ops::Heads {
        n_heads,
        n_kv_heads,
        head_dim,
        pos,
        scale,
    }
}

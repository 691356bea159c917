//! Nodes to kernels: which kernel runs, on which buffers, with which words and grid.

use super::{KernelCall, Recorder, registered};
use crate::error::{EngineError, Result};
use crate::graph::{Node, Op, SideEffectKind};
use crate::ir::{Access, Binding, ByteRange, Command, Copy, CopyPurpose, Kernel};
use crate::kernels::WORKGROUP;
use crate::tensor::{Tensor, TensorId};
use crate::weights::WeightForm;

/// A buffer before it has a slot: what to bind, what is really touched, for which tensor.
struct Buffer {
    range: ByteRange,
    touched: ByteRange,
    tensor: TensorId,
}

impl Recorder<'_> {
    /// The kernel call of a node; slots and accesses come from the kernel table.
    pub(super) fn kernel_call(&self, node: &Node) -> Result<KernelCall> {
        let graph = self.graph;
        let input = |i: usize| {
            node.inputs
                .get(i)
                .map(|id| graph.tensor(*id))
                .ok_or_else(|| malformed(node))
        };
        let output = || {
            node.output
                .map(|id| graph.tensor(id))
                .ok_or_else(|| malformed(node))
        };
        let (kernel, buffers, immediates, groups) = match node.op {
            Op::Embed => {
                let (table, out) = (input(1)?, output()?);
                let (form, weight) = self.weight(table)?;
                let buffers =
                    [vec![self.whole(input(0)?)?, self.whole(out)?], weight].concat_buffers();
                (
                    form.embed(),
                    buffers,
                    vec![table.cols, table.rows],
                    columns(out.cols, out.rows),
                )
            }
            Op::RmsNorm { eps } => {
                let (x, out) = (input(0)?, output()?);
                let n_cols = input(1)?.cols;
                let (_, weight) = self.weight(input(1)?)?;
                let buffers =
                    [vec![self.whole(x)?], weight, vec![self.whole(out)?]].concat_buffers();
                (
                    Kernel::RmsNorm,
                    buffers,
                    vec![n_cols, eps.to_bits()],
                    [x.cols / n_cols, x.rows, 1],
                )
            }
            Op::Matmul => {
                let (w, x, out) = (input(0)?, input(1)?, output()?);
                let (form, weight) = self.weight(w)?;
                let (kernel, groups) = self.weights.blocking().product(form, w.rows, x.rows);
                let buffers = [vec![self.whole(x)?, self.whole(out)?], weight].concat_buffers();
                (kernel, buffers, vec![w.cols, w.rows, x.rows], groups)
            }
            Op::Rope {
                head_dim,
                n_rot,
                n_heads,
                pairs,
            } => {
                let (x, table, out) = (input(0)?, input(1)?, output()?);
                let buffers = vec![self.whole(x)?, self.whole(table)?, self.whole(out)?];
                let (step, distance) = pairs.strides(n_rot);
                (
                    Kernel::Rope,
                    buffers,
                    vec![head_dim, n_rot, n_heads, step, distance],
                    columns(n_heads * head_dim / 2, x.rows),
                )
            }
            Op::KvStore { pos } => {
                let rows = input(0)?;
                let buffers = vec![self.whole(rows)?, self.effect(node)?];
                (
                    Kernel::KvStore,
                    buffers,
                    vec![rows.cols, pos],
                    columns(rows.cols, rows.rows),
                )
            }
            Op::Attention {
                n_heads,
                n_kv_heads,
                head_dim,
                pos,
                scale,
            } => {
                let (q, out) = (input(0)?, output()?);
                let mut buffers = self.attention(q, [input(1)?, input(2)?], out, pos)?;
                let mut immediates = vec![n_heads, n_kv_heads, head_dim, pos, scale.to_bits()];
                let mut kernel = Kernel::Attention;
                if let [ring] = node.side_effects.as_slice() {
                    let ring = graph.tensor(ring.tensor);
                    kernel = Kernel::AttentionRing;
                    buffers.push(self.whole(ring)?);
                    immediates.push(ring.cols / 2);
                }
                (kernel, buffers, immediates, [n_heads, q.rows, 1])
            }
            Op::AttentionSplit {
                n_heads,
                n_kv_heads,
                head_dim,
                pos,
                scale,
                part_rows,
            } => {
                let (q, out) = (input(0)?, output()?);
                let buffers = self.attention(q, [input(1)?, input(2)?], out, pos)?;
                let words = [
                    n_heads,
                    n_kv_heads,
                    head_dim,
                    pos,
                    scale.to_bits(),
                    part_rows,
                ];
                let groups = [n_heads, (pos + 1).div_ceil(part_rows), 1];
                (Kernel::AttentionSplit, buffers, words.to_vec(), groups)
            }
            Op::AttentionMerge { head_dim, n_parts } => {
                let (parts, out) = (input(0)?, output()?);
                let buffers = vec![self.whole(parts)?, self.whole(out)?];
                let groups = [out.cols / head_dim, 1, 1];
                (
                    Kernel::AttentionMerge,
                    buffers,
                    vec![head_dim, n_parts],
                    groups,
                )
            }
            Op::FusedQkvProj => {
                let (x, q) = (input(0)?, output()?);
                let (k, v) = (self.whole_effect(node, 0)?, self.whole_effect(node, 1)?);
                let (form, weight) = self.joined(&[input(1)?, input(2)?, input(3)?])?;
                let blocking = self.weights.blocking();
                let kernel = blocking.qkv(form).ok_or_else(|| malformed(node))?;
                let n_kv = input(2)?.rows;
                let groups = [(q.cols + 2 * n_kv).div_ceil(blocking.rows()), 1, 1];
                let written = vec![self.whole(x)?, self.whole(q)?, k, v];
                let buffers = [written, weight].concat_buffers();
                (kernel, buffers, vec![x.cols, q.cols, n_kv], groups)
            }
            Op::FusedFfnGateUpSilu => {
                let (x, out) = (input(0)?, output()?);
                let (form, weight) = self.joined(&[input(1)?, input(2)?])?;
                let blocking = self.weights.blocking();
                let kernel = blocking.ffn(form).ok_or_else(|| malformed(node))?;
                let groups = [(2 * out.cols).div_ceil(blocking.rows()), 1, 1];
                let buffers = [vec![self.whole(x)?, self.whole(out)?], weight].concat_buffers();
                (kernel, buffers, vec![x.cols, out.cols], groups)
            }
            Op::FusedResidualRmsNorm { eps } => {
                let (a, out) = (input(0)?, output()?);
                let (_, weight) = self.weight(input(2)?)?;
                let operands = vec![self.whole(a)?, self.whole(input(1)?)?];
                let results = vec![self.whole(out)?, self.whole_effect(node, 0)?];
                let buffers = [operands, weight, results].concat_buffers();
                let words = vec![out.cols, eps.to_bits()];
                (Kernel::ResidualNorm, buffers, words, [1, out.rows, 1])
            }
            Op::SiluMul | Op::Add => {
                let out = output()?;
                let kernel = if node.op == Op::Add {
                    Kernel::Add
                } else {
                    Kernel::SiluMul
                };
                let buffers = vec![
                    self.whole(input(0)?)?,
                    self.whole(input(1)?)?,
                    self.whole(out)?,
                ];
                (kernel, buffers, vec![out.cols], columns(out.cols, out.rows))
            }
            Op::LastRow => return Err(malformed(node)),
        };
        Ok(KernelCall {
            kernel,
            bindings: slots(kernel, buffers),
            immediates,
            groups,
        })
    }

    /// The copy of a `LastRow` node.
    pub(super) fn last_row(&self, node: &Node) -> Result<Command> {
        let (Some(x), Some(out)) = (node.inputs.first(), node.output) else {
            return Err(malformed(node));
        };
        let tensor = self.graph.tensor(*x);
        let row_bytes = u64::from(tensor.cols) * 4;
        let range = self.place(*x)?;
        let src = ByteRange::new(
            range.region,
            range.offset + range.len - row_bytes,
            row_bytes,
        );
        let dst = self.place(out)?;
        let purpose = CopyPurpose::Node(node.id);
        Ok(Command::Copy(Copy {
            src,
            dst,
            src_tensor: Some(*x),
            dst_tensor: Some(out),
            purpose,
        }))
    }

    fn whole(&self, tensor: &Tensor) -> Result<Buffer> {
        let range = self.place(tensor.id)?;
        Ok(Buffer {
            range,
            touched: range,
            tensor: tensor.id,
        })
    }

    /// Queries, the caches up to the last row that they see, and the output.
    fn attention(
        &self,
        q: &Tensor,
        caches: [&Tensor; 2],
        out: &Tensor,
        pos: u32,
    ) -> Result<Vec<Buffer>> {
        let seen = pos + q.rows;
        let [k_cache, v_cache] = caches;
        Ok(vec![
            self.whole(q)?,
            self.first_rows(k_cache, seen)?,
            self.first_rows(v_cache, seen)?,
            self.whole(out)?,
        ])
    }

    /// A tensor that the node writes whole and does not own, by the number of its side effect.
    fn whole_effect(&self, node: &Node, number: usize) -> Result<Buffer> {
        let effect = node
            .side_effects
            .get(number)
            .ok_or_else(|| malformed(node))?;
        self.whole(self.graph.tensor(effect.tensor))
    }

    /// A cache of which the first `rows` rows are read.
    fn first_rows(&self, cache: &Tensor, rows: u32) -> Result<Buffer> {
        let range = self.place(cache.id)?;
        let len = u64::from(rows) * u64::from(cache.cols) * 4;
        Ok(Buffer {
            range,
            touched: ByteRange { len, ..range },
            tensor: cache.id,
        })
    }

    /// The registered side effect of a node: what it writes without owning it.
    fn effect(&self, node: &Node) -> Result<Buffer> {
        let unregistered = || registered::nothing(node, "a cache");
        let effect = node.side_effects.first().ok_or_else(unregistered)?;
        let SideEffectKind::CacheAppend { pos, rows } = effect.kind else {
            return Err(malformed(node));
        };
        let cache = self.graph.tensor(effect.tensor);
        let range = self.place(cache.id)?;
        let row_bytes = u64::from(cache.cols) * 4;
        let offset = range.offset + u64::from(pos) * row_bytes;
        let touched = ByteRange {
            offset,
            len: u64::from(rows) * row_bytes,
            ..range
        };
        Ok(Buffer {
            range,
            touched,
            tensor: cache.id,
        })
    }

    /// Weights that a fused kernel reads as one matrix.
    fn joined(&self, tensors: &[&Tensor]) -> Result<(WeightForm, Vec<Buffer>)> {
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let place = self.weights.joined(&names);
        let place = place.ok_or_else(|| EngineError::Unplaced {
            tensor: names.join(" + "),
            part: "the weights, back to back",
        })?;
        let buffer = |range: &ByteRange| Buffer {
            range: *range,
            touched: *range,
            tensor: tensors[0].id,
        };
        Ok((place.form, place.parts.iter().map(buffer).collect()))
    }

    fn weight(&self, tensor: &Tensor) -> Result<(WeightForm, Vec<Buffer>)> {
        let unplaced = || EngineError::Unplaced {
            tensor: tensor.name.clone(),
            part: "the weights",
        };
        let place = self.weights.place(&tensor.name).ok_or_else(unplaced)?;
        let buffer = |range: &ByteRange| Buffer {
            range: *range,
            touched: *range,
            tensor: tensor.id,
        };
        Ok((place.form, place.parts.iter().map(buffer).collect()))
    }
}

trait ConcatBuffers {
    fn concat_buffers(self) -> Vec<Buffer>;
}

impl<const N: usize> ConcatBuffers for [Vec<Buffer>; N] {
    fn concat_buffers(self) -> Vec<Buffer> {
        self.into_iter().flatten().collect()
    }
}

/// Buffers in slot order, with the accesses of the kernel table.
fn slots(kernel: Kernel, buffers: Vec<Buffer>) -> Vec<Binding> {
    let accesses = kernel.spec().bindings.iter().map(|spec| spec.access);
    let numbered = (0u32..)
        .zip(buffers)
        .zip(accesses.chain(std::iter::repeat(Access::ReadWrite)));
    numbered
        .map(|((slot, buffer), access)| Binding {
            slot,
            range: buffer.range,
            touched: buffer.touched,
            access,
            tensor: Some(buffer.tensor),
        })
        .collect()
}

/// Grid of a kernel that has one invocation per column and one row of groups per row.
fn columns(cols: u32, rows: u32) -> [u32; 3] {
    [cols.div_ceil(WORKGROUP), rows, 1]
}

fn malformed(node: &Node) -> EngineError {
    EngineError::Unplaced {
        tensor: format!("node {} ({})", node.id.0, node.op.kind().name()),
        part: "the graph",
    }
}

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
                let seen = pos + q.rows;
                let caches = [
                    self.first_rows(input(1)?, seen)?,
                    self.first_rows(input(2)?, seen)?,
                ];
                let [k_cache, v_cache] = caches;
                let buffers = vec![self.whole(q)?, k_cache, v_cache, self.whole(out)?];
                let immediates = vec![n_heads, n_kv_heads, head_dim, pos, scale.to_bits()];
                (Kernel::Attention, buffers, immediates, [n_heads, q.rows, 1])
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
        let SideEffectKind::CacheAppend { pos, rows } = effect.kind;
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

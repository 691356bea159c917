//! What a kernel writes is what its node has registered (§3).
//!
//! `build.rs` proves that each shader does to its buffers what the kernel table says; this is the other half.

use crate::error::{EngineError, Result};
use crate::graph::{Graph, Node};
use crate::ir::{Binding, Kernel};
use crate::tensor::TensorId;

/// Compares the written bindings of a node's kernel with its output and side effects.
///
/// # Errors
/// `UnregisteredWrite` with both lists when they differ.
pub(super) fn check(
    graph: &Graph,
    node: &Node,
    kernel: Kernel,
    bindings: &[Binding],
) -> Result<()> {
    let effects = node.side_effects.iter().map(|effect| effect.tensor);
    let registered = sorted(node.output.into_iter().chain(effects));
    let writes = bindings.iter().filter(|binding| binding.access.writes());
    let written = sorted(writes.filter_map(|binding| binding.tensor));
    if written == registered {
        return Ok(());
    }
    let names = |ids: Vec<TensorId>| {
        let names = ids.into_iter().map(|id| graph.tensor(id).name.clone());
        names.collect::<Vec<_>>()
    };
    Err(EngineError::UnregisteredWrite {
        node: node.id.0,
        op: node.op.kind().name(),
        kernel: kernel.name(),
        written: names(written),
        registered: names(registered),
    })
}

/// The error of a node that has registered nothing for a kernel to write.
pub(super) fn nothing(node: &Node, written: &str) -> EngineError {
    EngineError::UnregisteredWrite {
        node: node.id.0,
        op: node.op.kind().name(),
        kernel: node.op.kind().name(),
        written: vec![written.to_owned()],
        registered: Vec::new(),
    }
}

fn sorted(ids: impl Iterator<Item = TensorId>) -> Vec<TensorId> {
    let mut ids: Vec<TensorId> = ids.collect();
    ids.sort_unstable();
    ids
}

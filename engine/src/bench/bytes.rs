//! Bytes that a stream's dispatches move.

use crate::graph::OpKind;
use crate::ir::{CommandIr, Region};

/// Bytes of weights, and of everything else, that the dispatches of a pass of `n_tokens` tokens over `n_vocab` read and write.
/// Gathering rows counts the rows, not the table.
pub fn pass_bytes(stream: &CommandIr, n_tokens: u32, n_vocab: u32) -> (u64, u64) {
    let (mut weights, mut others) = (0, 0);
    for dispatch in stream.dispatches() {
        for binding in &dispatch.bindings {
            let bytes = binding.touched.len;
            match binding.range.region {
                Region::Weights(_) if dispatch.op == OpKind::Embed => {
                    weights += bytes / u64::from(n_vocab.max(1)) * u64::from(n_tokens);
                }
                Region::Weights(_) => weights += bytes,
                _ => others += bytes,
            }
        }
    }
    (weights, others)
}

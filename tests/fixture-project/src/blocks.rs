//! In blocks: each block is totalled by itself, then shifted by what came before it.

use crate::BLOCK;

/// The running total after each value.
pub fn totals(values: &[i64]) -> Vec<i64> {
    let mut out = vec![0; values.len()];
    let mut carry = 0;
    for (index, block) in values.chunks(BLOCK).enumerate() {
        let start = index * BLOCK;
        carry = total_block(block, carry, &mut out[start..start + block.len()]);
    }
    out
}

fn total_block(block: &[i64], carry: i64, out: &mut [i64]) -> i64 {
    let mut sum = carry;
    for (value, slot) in block.iter().zip(out) {
        sum += value;
        *slot = sum;
    }
    sum
}

/// Blocks that `len` values take.
pub fn block_count(len: usize) -> usize {
    len.div_ceil(BLOCK)
}

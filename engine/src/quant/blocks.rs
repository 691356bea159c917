//! Blocks of every quantised type: their values, and how values become blocks.

use super::half::{f16_to_f32, f32_to_f16};
use super::{BLOCK, SUPER_BLOCK};

/// An f16 scale, then 32 signed bytes.
pub(super) const Q8_0_BYTES: usize = 34;
/// An f16 scale, then 16 bytes; byte `i` holds element `i` in its low half and element `i + 16` in its high half.
pub(super) const Q4_0_BYTES: usize = 18;
/// Two f16 factors, 12 bytes of packed scales and minimums, 128 bytes of halves.
pub(super) const Q4_K_BYTES: usize = 144;
/// 128 bytes of low halves, 64 bytes of high pairs, 16 signed scales, an f16 factor.
pub(super) const Q6_K_BYTES: usize = 210;

pub(super) fn half(bytes: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

pub(super) fn q8_0(block: &[u8; Q8_0_BYTES]) -> [f32; BLOCK] {
    let scale = half(block, 0);
    std::array::from_fn(|i| f32::from(block[2 + i] as i8) * scale)
}

/// Four-bit integer of element `i` of a `Q4_0` block.
pub(super) fn q4_0_quant(block: &[u8; Q4_0_BYTES], i: usize) -> u8 {
    nibble(block[2 + i % 16], i >= 16)
}

pub(super) fn q4_0(block: &[u8; Q4_0_BYTES]) -> [f32; BLOCK] {
    let scale = half(block, 0);
    std::array::from_fn(|i| (f32::from(q4_0_quant(block, i)) - 8.0) * scale)
}

fn nibble(byte: u8, high: bool) -> u8 {
    if high { byte >> 4 } else { byte & 0xf }
}

/// Six-bit scale and minimum of sub-block `j` of 32 elements of a `Q4_K` block.
pub(super) fn q4_k_scale(block: &[u8; Q4_K_BYTES], j: usize) -> (u8, u8) {
    let packed = &block[4..16];
    if j < 4 {
        return (packed[j] & 63, packed[j + 4] & 63);
    }
    (
        (packed[j + 4] & 0xf) | (packed[j - 4] >> 6 << 4),
        (packed[j + 4] >> 4) | (packed[j] >> 6 << 4),
    )
}

/// Four-bit integer of element `i` of a `Q4_K` block.
pub(super) fn q4_k_quant(block: &[u8; Q4_K_BYTES], i: usize) -> u8 {
    nibble(block[16 + i / 64 * 32 + i % 32], i % 64 >= 32)
}

pub(super) fn q4_k(block: &[u8; Q4_K_BYTES]) -> [f32; SUPER_BLOCK] {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    std::array::from_fn(|i| {
        let (factor, offset) = q4_k_scale(block, i / 32);
        let (scale, minimum) = (scale * f32::from(factor), minimum * f32::from(offset));
        scale * f32::from(q4_k_quant(block, i)) - minimum
    })
}

/// Six-bit integer of element `i` of a `Q6_K` block, before 32 is taken off.
pub(super) fn q6_k_quant(block: &[u8; Q6_K_BYTES], i: usize) -> u8 {
    let (part, row, column) = (i / 128, i % 128 / 32, i % 32);
    let low = nibble(block[part * 64 + row % 2 * 32 + column], row >= 2);
    let high = block[128 + part * 32 + column] >> (2 * row) & 3;
    low | high << 4
}

/// Signed scale of sub-block `j` of 16 elements of a `Q6_K` block.
pub(super) fn q6_k_scale(block: &[u8; Q6_K_BYTES], j: usize) -> i8 {
    block[192 + j] as i8
}

pub(super) fn q6_k(block: &[u8; Q6_K_BYTES]) -> [f32; SUPER_BLOCK] {
    let scale = half(block, 208);
    std::array::from_fn(|i| {
        let quant = i16::from(q6_k_quant(block, i)) - 32;
        scale * f32::from(q6_k_scale(block, i / 16)) * f32::from(quant)
    })
}

/// `Q8_0` blocks of values whose number is a multiple of 32; a partial block at the end is dropped.
pub fn quantise_q8_0(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * Q8_0_BYTES);
    for block in values.as_chunks::<BLOCK>().0 {
        let largest = block
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        bytes.extend(f32_to_f16(scale).to_le_bytes());
        let inverse = inverse(scale);
        bytes.extend(
            block
                .iter()
                .map(|value| (value * inverse).round() as i8 as u8),
        );
    }
    bytes
}

/// `Q4_0` blocks of values whose number is a multiple of 32; a partial block at the end is dropped.
pub fn quantise_q4_0(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * Q4_0_BYTES);
    for block in values.as_chunks::<BLOCK>().0 {
        // The value of largest magnitude keeps its sign: it becomes the integer 0, which means -8.
        let furthest = block.iter().fold(0f32, |furthest, value| {
            if value.abs() > furthest.abs() {
                *value
            } else {
                furthest
            }
        });
        let scale = furthest / -8.0;
        bytes.extend(f32_to_f16(scale).to_le_bytes());
        let inverse = inverse(scale);
        let quant = |value: f32| ((value * inverse + 8.5) as i8).min(15) as u8;
        bytes.extend((0..16).map(|i| quant(block[i]) | quant(block[i + 16]) << 4));
    }
    bytes
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

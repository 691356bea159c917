//! Quantised storage: dequantising, quantising, and splitting for upload.
//! Block layouts and rounding follow ggml's `ggml-quants.c`, bit for bit.

use crate::error::{EngineError, Result};
use crate::gguf::TensorType;

/// Elements per block of `Q8_0` and `Q4_0`.
pub const BLOCK: usize = 32;
const Q8_0_BYTES: usize = 34;
const Q4_0_BYTES: usize = 18;

/// Value of an IEEE half.
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits) & 0x3ff;
    match exponent {
        0 => f32::from_bits(sign | (mantissa as f32 * f32::powi(2.0, -24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | (mantissa << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13)),
    }
}

/// Nearest IEEE half, ties to even.
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Adding 0.5 leaves the subnormal half in the low mantissa bits, rounded by the hardware.
        let shifted = f32::from_bits(magnitude) + 0.5;
        return sign | (shifted.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = (magnitude >> 13) & 1;
    sign | ((magnitude + 0xfff + odd - (112 << 23)) >> 13) as u16
}

/// Whether the engine can compute with tensors of this type.
pub fn is_supported(ty: TensorType) -> bool {
    [
        TensorType::F32,
        TensorType::F16,
        TensorType::Q8_0,
        TensorType::Q4_0,
    ]
    .contains(&ty)
}

/// Values of raw tensor bytes; a partial block at the end is dropped.
///
/// # Errors
/// `Unsupported` for a type the engine does not compute with.
pub fn dequantise(ty: TensorType, bytes: &[u8]) -> Result<Vec<f32>> {
    match ty {
        TensorType::F32 => Ok(words(bytes).map(f32::from_bits).collect()),
        TensorType::F16 => Ok(bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f16_to_f32(u16::from_le_bytes(*b)))
            .collect()),
        TensorType::Q8_0 => Ok(bytes
            .as_chunks::<Q8_0_BYTES>()
            .0
            .iter()
            .flat_map(q8_0_block)
            .collect()),
        TensorType::Q4_0 => Ok(bytes
            .as_chunks::<Q4_0_BYTES>()
            .0
            .iter()
            .flat_map(q4_0_block)
            .collect()),
        other => Err(EngineError::Unsupported {
            what: format!("tensor type {}", other.name),
            remedy: "convert the model to F32, F16, Q8_0 or Q4_0".to_owned(),
        }),
    }
}

/// Little-endian words of a byte slice; a partial word at the end is dropped.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word))
}

fn scale(block: &[u8]) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[0], block[1]]))
}

fn q8_0_block(block: &[u8; Q8_0_BYTES]) -> [f32; BLOCK] {
    let scale = scale(block);
    std::array::from_fn(|i| f32::from(block[2 + i] as i8) * scale)
}

fn q4_0_block(block: &[u8; Q4_0_BYTES]) -> [f32; BLOCK] {
    let scale = scale(block);
    std::array::from_fn(|i| {
        let byte = block[2 + i % 16];
        let nibble = if i < 16 { byte & 0xf } else { byte >> 4 };
        (f32::from(nibble) - 8.0) * scale
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
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        bytes.extend(f32_to_f16(scale).to_le_bytes());
        bytes.extend(
            block
                .iter()
                .map(|value| (value * inverse).round() as i8 as u8),
        );
    }
    bytes
}

/// Quants of `Q8_0` blocks, four to a word in file order: the `quants` buffer of the kernels.
pub fn split_q8_0_quants(blocks: &[u8]) -> Vec<u8> {
    blocks
        .as_chunks::<Q8_0_BYTES>()
        .0
        .iter()
        .flat_map(|block| block[2..].iter().copied())
        .collect()
}

/// Scales of `Q8_0` blocks, two f16 to a word, padded to a whole word: the `scales` buffer of the kernels.
pub fn split_q8_0_scales(blocks: &[u8]) -> Vec<u8> {
    let mut scales: Vec<u8> = blocks
        .as_chunks::<Q8_0_BYTES>()
        .0
        .iter()
        .flat_map(|b| [b[0], b[1]])
        .collect();
    scales.resize(scales.len().next_multiple_of(4), 0);
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_survive_the_way_through_f32() {
        for bits in 0..=u16::MAX {
            let value = f16_to_f32(bits);
            if !value.is_nan() {
                assert_eq!(f32_to_f16(value), bits, "{bits:#06x}");
            }
        }
    }

    #[test]
    fn rounding_to_half_is_to_even() {
        assert_eq!(f32_to_f16(1.0 + f32::powi(2.0, -11)), 0x3c00);
        assert_eq!(f32_to_f16(1.0 + 3.0 * f32::powi(2.0, -11)), 0x3c02);
        assert_eq!(f32_to_f16(65519.0), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(f32::powi(2.0, -25)), 0);
        assert!(f16_to_f32(f32_to_f16(f32::NAN)).is_nan());
    }

    #[test]
    fn split_blocks_hold_the_same_values() {
        let values: Vec<f32> = (0..96).map(|i| (i as f32 - 40.0) * 0.37).collect();
        let blocks = quantise_q8_0(&values);
        let quants = split_q8_0_quants(&blocks);
        let scales = split_q8_0_scales(&blocks);
        assert_eq!((quants.len(), scales.len()), (96, 8));
        let rebuilt: Vec<f32> = (0..96)
            .map(|i| {
                let at = i / BLOCK * 2;
                f32::from(quants[i] as i8)
                    * f16_to_f32(u16::from_le_bytes([scales[at], scales[at + 1]]))
            })
            .collect();
        assert_eq!(rebuilt, dequantise(TensorType::Q8_0, &blocks).unwrap());
    }
}

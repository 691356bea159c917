//! Quantised storage: dequantising, quantising, and repacking for upload.
//! Block layouts and rounding follow ggml's `ggml-quants.c`, bit for bit.

mod blocks;
mod half;
mod pack;

use crate::error::{EngineError, Result};
use crate::gguf::TensorType;

pub use blocks::{quantise_q4_0, quantise_q8_0};
pub use half::{f16_to_f32, f32_to_f16};
pub use pack::Packing;

/// Elements per block of `Q8_0` and `Q4_0`.
pub const BLOCK: usize = 32;
/// Elements per block of `Q4_K` and `Q6_K`.
pub const SUPER_BLOCK: usize = 256;
/// What to do about a tensor type that the engine does not have.
pub const TYPE_REMEDY: &str = "convert the model to F32, F16, Q8_0, Q4_0, Q4_K or Q6_K";

/// Tensor types that the engine computes with.
pub const SUPPORTED: [TensorType; 6] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::Q8_0,
    TensorType::Q4_0,
    TensorType::Q4_K,
    TensorType::Q6_K,
];

/// Whether the engine can compute with tensors of this type.
pub fn is_supported(ty: TensorType) -> bool {
    SUPPORTED.contains(&ty)
}

/// Values of raw tensor bytes; a partial block at the end is dropped.
///
/// # Errors
/// `Unsupported` for a type the engine does not compute with.
pub fn dequantise(ty: TensorType, bytes: &[u8]) -> Result<Vec<f32>> {
    match ty {
        TensorType::F32 => Ok(words(bytes).map(f32::from_bits).collect()),
        TensorType::F16 => Ok(blocks_of(bytes, |half: &[u8; 2]| {
            [f16_to_f32(u16::from_le_bytes(*half))]
        })),
        TensorType::Q8_0 => Ok(blocks_of(bytes, blocks::q8_0)),
        TensorType::Q4_0 => Ok(blocks_of(bytes, blocks::q4_0)),
        TensorType::Q4_K => Ok(blocks_of(bytes, blocks::q4_k)),
        TensorType::Q6_K => Ok(blocks_of(bytes, blocks::q6_k)),
        other => Err(EngineError::Unsupported {
            what: format!("tensor type {}", other.name),
            remedy: TYPE_REMEDY.to_owned(),
        }),
    }
}

fn blocks_of<const BYTES: usize, const N: usize>(
    bytes: &[u8],
    values: impl Fn(&[u8; BYTES]) -> [f32; N],
) -> Vec<f32> {
    let blocks = bytes.as_chunks::<BYTES>().0;
    blocks.iter().flat_map(values).collect()
}

/// Little-endian words of a byte slice; a partial word at the end is dropped.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word))
}

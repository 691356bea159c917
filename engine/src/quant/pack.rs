//! Repacking of file bytes to the buffers that kernels read; `shaders/weights` holds the readers.
//!
//! Eight consecutive columns of a row, an octet, lie in as few consecutive words as possible: two words of signed bytes,
//! or one word of four-bit integers whose byte *b* has column *b* in its low half and column *b* + 4 in its high half.

use super::blocks::{
    Q4_0_BYTES, Q4_K_BYTES, Q6_K_BYTES, Q8_0_BYTES, q4_0_quant, q4_k_quant, q4_k_scale, q6_k_quant,
    q6_k_scale,
};
use super::dequantise;
use crate::gguf::TensorType;

/// One buffer that is made of a tensor's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// The file's bytes.
    Verbatim,
    /// Values as `f32`.
    Widened,
    /// Scales of `Q8_0` or `Q4_0`: one f16 per block, two to a word.
    Scales,
    /// Quants of `Q8_0`: signed bytes.
    Q8_0,
    /// Quants of `Q4_0`: one word per octet.
    Q4_0,
    /// Quants of `Q4_K`: one word per octet.
    Q4K,
    /// Factors of `Q4_K`, five words per block: two f16 factors, then a byte of scale and one of minimum per sub-block.
    Q4KScales,
    /// Quants of `Q6_K`, six words per 32 columns: one word of low halves per octet, then two words of high pairs.
    Q6K,
    /// Factors of `Q6_K`, five words per block: sixteen signed scales, then the f16 factor in the low half of a word.
    Q6KScales,
}

impl Packing {
    /// Bytes on the device of a tensor with that many elements.
    pub const fn device_bytes(self, elements: u64) -> u64 {
        match self {
            Packing::Widened => 4 * elements,
            Packing::Verbatim => 0,
            Packing::Scales => (2 * (elements / 32)).next_multiple_of(4),
            Packing::Q8_0 => elements,
            Packing::Q4_0 | Packing::Q4K => elements / 2,
            Packing::Q4KScales | Packing::Q6KScales => elements / 256 * 20,
            Packing::Q6K => elements / 32 * 24,
        }
    }

    /// Device bytes and file bytes of the smallest unit that both can be cut at.
    pub const fn units(self, ty: TensorType) -> (usize, usize) {
        let block = ty.block_bytes as usize;
        match self {
            Packing::Verbatim => (1, 1),
            Packing::Widened => (4 * ty.block as usize, block),
            Packing::Scales => (4, 2 * block),
            Packing::Q8_0 => (32, block),
            Packing::Q4_0 => (16, block),
            Packing::Q4K => (128, block),
            Packing::Q4KScales | Packing::Q6KScales => (20, block),
            Packing::Q6K => (192, block),
        }
    }

    /// Packs whole blocks of a tensor type; empty for a type that this packing does not take.
    pub fn pack(self, ty: TensorType, blocks: &[u8]) -> Vec<u8> {
        match self {
            Packing::Verbatim => blocks.to_vec(),
            Packing::Widened => dequantise(ty, blocks)
                .unwrap_or_default()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Packing::Scales => scales(ty, blocks),
            Packing::Q8_0 => each(blocks, |block: &[u8; Q8_0_BYTES]| block[2..].to_vec()),
            Packing::Q4_0 => each(blocks, |block: &[u8; Q4_0_BYTES]| {
                (0..4)
                    .flat_map(|octet| halves(|column| q4_0_quant(block, octet * 8 + column)))
                    .collect()
            }),
            Packing::Q4K => each(blocks, |block: &[u8; Q4_K_BYTES]| {
                (0..32)
                    .flat_map(|octet| halves(|column| q4_k_quant(block, octet * 8 + column)))
                    .collect()
            }),
            Packing::Q4KScales => each(blocks, q4_k_scales),
            Packing::Q6K => each(blocks, |block: &[u8; Q6_K_BYTES]| {
                (0..8).flat_map(|unit| q6_k_unit(block, unit)).collect()
            }),
            Packing::Q6KScales => each(blocks, |block: &[u8; Q6_K_BYTES]| {
                let scales = (0..16).map(|j| q6_k_scale(block, j) as u8);
                scales.chain([block[208], block[209], 0, 0]).collect()
            }),
        }
    }
}

fn each<const BYTES: usize>(bytes: &[u8], pack: impl Fn(&[u8; BYTES]) -> Vec<u8>) -> Vec<u8> {
    bytes.as_chunks::<BYTES>().0.iter().flat_map(pack).collect()
}

fn scales(ty: TensorType, blocks: &[u8]) -> Vec<u8> {
    let mut scales: Vec<u8> = blocks
        .chunks_exact(ty.block_bytes as usize)
        .flat_map(|block| [block[0], block[1]])
        .collect();
    scales.resize(scales.len().next_multiple_of(4), 0);
    scales
}

/// One word of the low halves of an octet's eight integers.
fn halves(quant: impl Fn(usize) -> u8) -> [u8; 4] {
    std::array::from_fn(|byte| (quant(byte) & 0xf) | quant(byte + 4) << 4)
}

fn q4_k_scales(block: &[u8; Q4_K_BYTES]) -> Vec<u8> {
    let factors = (0..8).flat_map(|j| {
        let (scale, minimum) = q4_k_scale(block, j);
        [scale, minimum]
    });
    block[..4].iter().copied().chain(factors).collect()
}

/// Low halves of four octets, then the high pairs: 16 bits per octet, column *c* at bit 2*c*.
fn q6_k_unit(block: &[u8; Q6_K_BYTES], unit: usize) -> Vec<u8> {
    let quant = |octet: usize, column: usize| q6_k_quant(block, unit * 32 + octet * 8 + column);
    let low = (0..4).flat_map(|octet| halves(|column| quant(octet, column)));
    let high = (0..4).flat_map(|octet| {
        let pair = |column: usize| u16::from(quant(octet, column) >> 4) << (2 * column);
        (0..8)
            .map(pair)
            .fold(0, |all, bits| all | bits)
            .to_le_bytes()
    });
    low.chain(high).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{f16_to_f32, quantise_q8_0, words};
    use super::*;

    /// Blocks whose bytes are all different, with finite factors.
    fn blocks(ty: TensorType, count: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let mut bytes: Vec<u8> = (0..count * ty.block_bytes as usize)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let factors: &[usize] = match ty {
            TensorType::Q4_K => &[0, 2],
            TensorType::Q6_K => &[208],
            _ => &[0],
        };
        for block in bytes.chunks_exact_mut(ty.block_bytes as usize) {
            for at in factors {
                block[at + 1] &= 0x3b;
            }
        }
        bytes
    }

    fn unpacked_octet(word: u32) -> [f32; 8] {
        std::array::from_fn(|i| (word >> (8 * (i % 4) + 4 * (i / 4)) & 0xf) as f32)
    }

    fn half_of(word: u32, high: usize) -> f32 {
        f16_to_f32((word >> (16 * high)) as u16)
    }

    fn packed(packing: Packing, ty: TensorType, bytes: &[u8]) -> Vec<u32> {
        words(&packing.pack(ty, bytes)).collect()
    }

    #[test]
    fn q8_0_keeps_its_values() {
        let values: Vec<f32> = (0..96).map(|i| (i as f32 - 40.0) * 0.37).collect();
        let file = quantise_q8_0(&values);
        let quants = Packing::Q8_0.pack(TensorType::Q8_0, &file);
        let scales = packed(Packing::Scales, TensorType::Q8_0, &file);
        assert_eq!((quants.len(), scales.len()), (96, 2));
        let rebuilt: Vec<f32> = (0..96)
            .map(|i| f32::from(quants[i] as i8) * half_of(scales[i / 64], i / 32 % 2))
            .collect();
        assert_eq!(rebuilt, dequantise(TensorType::Q8_0, &file).unwrap());
    }

    #[test]
    fn q4_0_keeps_its_values() {
        let file = blocks(TensorType::Q4_0, 3);
        let quants = packed(Packing::Q4_0, TensorType::Q4_0, &file);
        let scales = packed(Packing::Scales, TensorType::Q4_0, &file);
        let rebuilt: Vec<f32> = (0..96)
            .map(|i| {
                (unpacked_octet(quants[i / 8])[i % 8] - 8.0) * half_of(scales[i / 64], i / 32 % 2)
            })
            .collect();
        assert_eq!(rebuilt, dequantise(TensorType::Q4_0, &file).unwrap());
    }

    #[test]
    fn q4_k_keeps_its_values() {
        let file = blocks(TensorType::Q4_K, 2);
        let quants = packed(Packing::Q4K, TensorType::Q4_K, &file);
        let scales = packed(Packing::Q4KScales, TensorType::Q4_K, &file);
        assert_eq!((quants.len(), scales.len()), (64, 10));
        let rebuilt: Vec<f32> = (0..512)
            .map(|i| {
                let block = &scales[i / 256 * 5..][..5];
                let unit = i % 256 / 32;
                let factors = block[1 + unit / 2] >> (16 * (unit % 2));
                let scale = half_of(block[0], 0) * (factors & 0xff) as f32;
                let minimum = half_of(block[0], 1) * (factors >> 8 & 0xff) as f32;
                scale * unpacked_octet(quants[i / 8])[i % 8] - minimum
            })
            .collect();
        assert_eq!(rebuilt, dequantise(TensorType::Q4_K, &file).unwrap());
    }

    #[test]
    fn q6_k_keeps_its_values() {
        let file = blocks(TensorType::Q6_K, 2);
        let quants = packed(Packing::Q6K, TensorType::Q6_K, &file);
        let scales = packed(Packing::Q6KScales, TensorType::Q6_K, &file);
        assert_eq!((quants.len(), scales.len()), (96, 10));
        let rebuilt: Vec<f32> = (0..512)
            .map(|i| {
                let (unit, octet, column) = (&quants[i / 32 * 6..][..6], i % 32 / 8, i % 8);
                let high = unit[4 + octet / 2] >> (16 * (octet % 2) + 2 * column) & 3;
                let quant = unpacked_octet(unit[octet])[column] + 16.0 * high as f32 - 32.0;
                let block = &scales[i / 256 * 5..][..5];
                let sub = i % 256 / 16;
                let scale = (block[sub / 4] >> (8 * (sub % 4))) as u8 as i8;
                half_of(block[4], 0) * f32::from(scale) * quant
            })
            .collect();
        assert_eq!(rebuilt, dequantise(TensorType::Q6_K, &file).unwrap());
    }

    #[test]
    fn packed_lengths_are_the_announced_ones() {
        for (packing, ty) in [
            (Packing::Scales, TensorType::Q8_0),
            (Packing::Scales, TensorType::Q4_0),
            (Packing::Q8_0, TensorType::Q8_0),
            (Packing::Q4_0, TensorType::Q4_0),
            (Packing::Q4K, TensorType::Q4_K),
            (Packing::Q4KScales, TensorType::Q4_K),
            (Packing::Q6K, TensorType::Q6_K),
            (Packing::Q6KScales, TensorType::Q6_K),
        ] {
            let file = blocks(ty, 6);
            let found = packing.pack(ty, &file);
            assert_eq!(found.len() as u64, packing.device_bytes(6 * ty.block));
            let (device, bytes) = packing.units(ty);
            assert_eq!(found[..device], packing.pack(ty, &file[..bytes]));
            assert_eq!(found.len() / device, file.len() / bytes);
        }
    }
}

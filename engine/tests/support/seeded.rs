//! Tiny models made from a seed, for shapes that the golden files do not have.

use engine::arch::Architecture;
use engine::gguf::{GgufWriter, TensorType};
use engine::quant::{f32_to_f16, quantise_q4_0, quantise_q8_0};

/// Shape of a seeded model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) arch: Architecture,
    pub(crate) layers: u32,
    pub(crate) width: u32,
    pub(crate) heads: u32,
    pub(crate) kv_heads: u32,
    pub(crate) head_dim: u32,
    pub(crate) n_rot: u32,
    pub(crate) rope_base: f32,
    pub(crate) ff: u32,
    pub(crate) vocab: u32,
    pub(crate) tied: bool,
    pub(crate) ty: TensorType,
}

/// Numbers in -1 .. 1, by xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        bits as f32 / (1 << 23) as f32 - 1.0
    }
}

/// The bytes of a GGUF file with weights from the seed.
pub(crate) fn model(shape: &Shape, seed: u64) -> Vec<u8> {
    model_with(shape, seed, |_| {})
}

/// As [`model`], with more metadata or tensors.
pub(crate) fn model_with(shape: &Shape, seed: u64, more: impl FnOnce(&mut GgufWriter)) -> Vec<u8> {
    let mut file = GgufWriter::new();
    let arch = shape.arch.name();
    file.string("general.architecture", arch);
    for (key, value) in [
        ("block_count", shape.layers),
        ("context_length", 64),
        ("embedding_length", shape.width),
        ("feed_forward_length", shape.ff),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head_dim),
        ("attention.value_length", shape.head_dim),
        ("rope.dimension_count", shape.n_rot),
    ] {
        file.u32(&format!("{arch}.{key}"), value);
    }
    file.f32(&format!("{arch}.attention.layer_norm_rms_epsilon"), 1e-5);
    file.f32(&format!("{arch}.rope.freq_base"), shape.rope_base);
    more(&mut file);
    let mut numbers = Numbers(seed | 1);
    let [width, ff, vocab] = [shape.width, shape.ff, shape.vocab].map(u64::from);
    let [q, kv] = [shape.heads, shape.kv_heads].map(|heads| u64::from(heads * shape.head_dim));
    let mut matrices = vec![("token_embd.weight".to_owned(), width, vocab)];
    if !shape.tied {
        matrices.push(("output.weight".to_owned(), width, vocab));
    }
    norm(&mut file, &mut numbers, "output_norm.weight", width);
    for layer in 0..shape.layers {
        for part in ["attn_norm", "ffn_norm"] {
            norm(
                &mut file,
                &mut numbers,
                &format!("blk.{layer}.{part}.weight"),
                width,
            );
        }
        if shape.arch.has_head_norms() {
            for part in ["attn_q_norm", "attn_k_norm"] {
                let name = format!("blk.{layer}.{part}.weight");
                norm(&mut file, &mut numbers, &name, u64::from(shape.head_dim));
            }
        }
        let parts = [
            ("attn_q", width, q),
            ("attn_k", width, kv),
            ("attn_v", width, kv),
            ("attn_output", q, width),
            ("ffn_gate", width, ff),
            ("ffn_up", width, ff),
            ("ffn_down", ff, width),
        ];
        matrices.extend(
            parts.map(|(part, cols, rows)| (format!("blk.{layer}.{part}.weight"), cols, rows)),
        );
    }
    for (name, cols, rows) in matrices {
        let scale = (cols as f32).sqrt().recip() * 1.5;
        let values: Vec<f32> = (0..cols * rows).map(|_| numbers.next() * scale).collect();
        let data = match shape.ty {
            TensorType::Q8_0 => quantise_q8_0(&values),
            TensorType::Q4_0 => quantise_q4_0(&values),
            TensorType::Q4_K | TensorType::Q6_K => super_blocks(shape.ty, &values, &mut numbers),
            TensorType::F16 => values
                .iter()
                .flat_map(|value| f32_to_f16(*value).to_le_bytes())
                .collect(),
            _ => raw(&values),
        };
        file.tensor(&name, &[cols, rows], shape.ty, &data);
    }
    file.finish()
}

/// Blocks whose integers are random and whose factors give values of the size of the wanted ones.
fn super_blocks(ty: TensorType, values: &[f32], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in values.chunks_exact(ty.block as usize) {
        let largest = block
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        let mut raw: Vec<u8> = (0..ty.block_bytes)
            .map(|_| ((numbers.next() + 1.0) * 127.9) as u8)
            .collect();
        // Integers up to 15 times scales up to 63 less a minimum of half of that; or up to 32 times scales up to 128.
        let (at, factors) = if ty == TensorType::Q4_K {
            (0, vec![largest / 480.0, largest / 60.0])
        } else {
            (208, vec![largest / 4096.0])
        };
        let factors = factors
            .iter()
            .flat_map(|factor| f32_to_f16(*factor).to_le_bytes());
        factors
            .zip(&mut raw[at..])
            .for_each(|(factor, byte)| *byte = factor);
        bytes.extend(raw);
    }
    bytes
}

fn norm(file: &mut GgufWriter, numbers: &mut Numbers, name: &str, width: u64) {
    let values: Vec<f32> = (0..width).map(|_| 1.0 + 0.2 * numbers.next()).collect();
    file.tensor(name, &[width], TensorType::F32, &raw(&values));
}

fn raw(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

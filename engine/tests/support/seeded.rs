//! Tiny models made from a seed, for shapes that the golden files do not have.

use engine::arch::Architecture;
use engine::gguf::{GgufWriter, TensorType};
use engine::quant::{f32_to_f16, quantise_q4_0, quantise_q8_0};
use proptest::prelude::*;
use proptest::sample::select;

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

/// How positions are stretched.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scaling {
    Plain,
    Linear(f32),
    Yarn {
        factor: f32,
        original: u32,
    },
    /// A divisor for each pair, which grows from pair to pair.
    Factors,
}

impl Scaling {
    /// Writes what a file says about it.
    pub(crate) fn write(self, shape: &Shape, file: &mut GgufWriter) {
        let key = |part: &str| format!("{}.rope.scaling.{part}", shape.arch.name());
        match self {
            Scaling::Plain => {}
            Scaling::Linear(factor) => {
                file.string(&key("type"), "linear");
                file.f32(&key("factor"), factor);
            }
            Scaling::Yarn { factor, original } => {
                file.string(&key("type"), "yarn");
                file.f32(&key("factor"), factor);
                file.u32(&key("original_context_length"), original);
            }
            Scaling::Factors => {
                let pairs = shape.n_rot / 2;
                let values: Vec<f32> = (0..pairs).map(|pair| 1.0 + pair as f32 / 3.0).collect();
                let dims = [u64::from(pairs)];
                file.tensor("rope_freqs.weight", &dims, TensorType::F32, &raw(&values));
            }
        }
    }
}

/// The bytes of a model of [`any_model`].
pub(crate) fn scaled_model(shape: &Shape, scaling: Scaling, seed: u64) -> Vec<u8> {
    model_with(shape, seed, |file| scaling.write(shape, file))
}

/// Models of every type and architecture, in shapes that no golden file has: few and many heads, heads of any even length,
/// rows that end inside tiles and words, vocabularies of any size, all scalings.
pub(crate) fn any_model() -> impl Strategy<Value = (Shape, Scaling)> {
    let types = select(vec![
        TensorType::F32,
        TensorType::F16,
        TensorType::Q8_0,
        TensorType::Q4_0,
        TensorType::Q4_K,
        TensorType::Q6_K,
    ]);
    let heads = (
        select(vec![2, 6, 10, 16, 24, 40, 64, 80, 96, 128, 250, 256]),
        1u32..5,
        1u32..5,
    );
    let sizes = (1u32..4, 1u32..90, 1u32..4, 1u32..90, 1u32..160);
    let rest = (
        any::<bool>(),
        any::<bool>(),
        1u32..3,
        1u32..=8,
        any_scaling(),
    );
    (types, heads, sizes, rest).prop_filter_map("rows of whole blocks", |parts| {
        let (ty, (head_dim, kv_heads, ratio), sizes, (qwen, tied, layers, eighths, scaling)) =
            parts;
        let (blocks, width, ff_blocks, ff, vocab) = sizes;
        let block = ty.block as u32;
        // Types without blocks take any length.
        let length = |blocks: u32, plain: u32| if block == 1 { plain } else { blocks * block };
        let heads = kv_heads * ratio;
        let arch = if qwen {
            Architecture::Qwen3
        } else {
            Architecture::Llama
        };
        let shape = Shape {
            arch,
            layers,
            width: length(blocks, width),
            heads,
            kv_heads,
            head_dim,
            n_rot: (head_dim * eighths / 16).max(1) * 2,
            rope_base: 10000.0,
            ff: length(ff_blocks, ff),
            vocab: vocab + 1,
            tied,
            ty,
        };
        (heads * head_dim)
            .is_multiple_of(block)
            .then_some((shape, scaling))
    })
}

fn any_scaling() -> impl Strategy<Value = Scaling> {
    prop_oneof![
        Just(Scaling::Plain),
        (1.0f32..9.0).prop_map(Scaling::Linear),
        (1.0f32..9.0, 4u32..64).prop_map(|(factor, original)| Scaling::Yarn { factor, original }),
        Just(Scaling::Factors),
    ]
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

//! Models made from a seed, in every form of weights and in shapes that leave every kernel a remainder: the device against
//! the reference.

use engine::arch::Architecture;
use engine::cpu::{CpuReference, KeepTrace};
use engine::gguf::TensorType;
use engine::model::{Model, PassRequest};
use engine::worker::protocol::Prompt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::lab::Lab;
use crate::seeded::{self, Scaling, Shape};
use crate::support::relative_error;

/// Largest difference over the largest logit: sums in `f32` against sums in `f64`.
const LIMIT: f32 = 2e-5;

const ODD: Shape = Shape {
    arch: Architecture::Qwen3,
    layers: 1,
    width: 44,
    heads: 6,
    kv_heads: 3,
    head_dim: 10,
    n_rot: 6,
    rope_base: 10000.0,
    ff: 37,
    vocab: 71,
    tied: false,
    ty: TensorType::F32,
};

const BLOCKS: Shape = Shape {
    arch: Architecture::Llama,
    width: 96,
    heads: 3,
    kv_heads: 1,
    head_dim: 32,
    n_rot: 32,
    ff: 160,
    vocab: 131,
    tied: true,
    ..ODD
};

const SUPER_BLOCKS: Shape = Shape {
    width: 512,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    n_rot: 64,
    ff: 768,
    ..BLOCKS
};

/// Logits of the reference, prompt in one pass, the rest token by token.
fn reference(file: &[u8], prompt: &[u32], steps: &[u32]) -> Vec<Vec<f32>> {
    let model = Model::load(file, Some(128)).unwrap();
    let mut reference = CpuReference::new(&model, file).unwrap();
    let mut logits = |pass: &PassRequest| reference.run(pass, KeepTrace::No).unwrap().logits;
    let mut all = logits(&PassRequest::prefill(prompt));
    for (token, pos) in steps.iter().zip(prompt.len() as u32..) {
        all.extend(logits(&PassRequest::decode(*token, pos)));
    }
    let columns = model.params.n_vocab as usize;
    all.chunks(columns).map(<[f32]>::to_vec).collect()
}

fn check(shape: Shape) {
    check_scaled(&shape, Scaling::Plain, 128, &[(3, 1), (9, 6), (75, 70)]);
}

/// Prompts of so many tokens, of which so many at once, in a context of `n_ctx` rows.
fn check_scaled(shape: &Shape, scaling: Scaling, n_ctx: u32, prompts: &[(usize, usize)]) {
    let file = seeded::scaled_model(shape, scaling, 11);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeded.gguf");
    std::fs::write(&path, &file).unwrap();
    let mut lab = Lab::open_with(&path, n_ctx);
    let tokens: Vec<u32> = (0..75).map(|i| (i * 29 + 3) % shape.vocab).collect();
    for &(count, prefill) in prompts {
        let prompt = Prompt {
            tokens: tokens[..count].to_vec(),
            prefill: Some(prefill),
            ..Prompt::default()
        };
        let want = reference(&file, &tokens[..prefill], &tokens[prefill..count]);
        let error = relative_error(&lab.predict(prompt.clone()).logits.concat(), &want.concat());
        if error > LIMIT {
            let message = format!(
                "{shape:?} {scaling:?}, {count} tokens of which {prefill} at once: off by {error:e}, allowed are {LIMIT:e}"
            );
            lab.blame(&prompt, &message);
        }
    }
}

#[test]
fn gpu_correctness_smoke_generated_floats() {
    for ty in [TensorType::F32, TensorType::F16] {
        check(Shape { ty, ..ODD });
        check(Shape { ty, ..BLOCKS });
    }
}

#[test]
fn gpu_correctness_smoke_generated_blocks() {
    for ty in [TensorType::Q8_0, TensorType::Q4_0] {
        check(Shape { ty, ..BLOCKS });
    }
}

#[test]
fn gpu_correctness_smoke_generated_super_blocks() {
    for ty in [TensorType::Q4_K, TensorType::Q6_K] {
        check(Shape { ty, ..SUPER_BLOCKS });
    }
}

/// Models drawn in every shape that files may have, always the same ones; each fills its context to the last row.
#[test]
fn gpu_correctness_smoke_generated_shapes() {
    const MODELS: usize = 24;
    let mut runner = TestRunner::deterministic();
    for number in 0..MODELS {
        let (shape, scaling) = seeded::any_model().new_tree(&mut runner).unwrap().current();
        // Contexts of one row, prompts inside one tile of attention, and prompts beyond it.
        let count: usize = [1, 2, 7, 64, 65, 75][number % 6];
        let prefill = [count, 1, count.div_ceil(2)][number % 3];
        check_scaled(&shape, scaling, count as u32, &[(count, prefill)]);
    }
}

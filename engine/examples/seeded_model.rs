//! Writes a model of about 110 million parameters from a seed, for measurements: `seeded_model OUT [q8_0|q4_0|f16|f32]`.
//!
//! Shape and size are those of a small llama: 12 blocks, width 768, 32000 tokens, tied embeddings, 116 MB as Q8_0.
//! The weights are random and the vocabulary has no text, which llama.cpp accepts as a model without tokenizer.

#[path = "../tests/support/seeded.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod seeded;

use std::process::ExitCode;

use engine::arch::Architecture;
use engine::gguf::TensorType;
use seeded::Shape;

const SHAPE: Shape = Shape {
    arch: Architecture::Llama,
    layers: 12,
    width: 768,
    heads: 12,
    kv_heads: 12,
    head_dim: 64,
    n_rot: 64,
    rope_base: 10000.0,
    ff: 2048,
    vocab: 32000,
    tied: true,
    ty: TensorType::Q8_0,
};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            use std::io::Write as _;
            // A closed stderr leaves the exit code.
            let _ = writeln!(std::io::stderr(), "seeded_model: {message}");
            ExitCode::from(2)
        }
    }
}

fn write() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("name the file to write")?;
    let ty = arguments.next().unwrap_or_else(|| "q8_0".to_owned());
    let ty = [
        TensorType::F32,
        TensorType::F16,
        TensorType::Q8_0,
        TensorType::Q4_0,
    ]
    .into_iter()
    .find(|known| known.name.eq_ignore_ascii_case(&ty))
    .ok_or_else(|| format!("cannot make weights of type {ty}"))?;
    let file = seeded::model_with(&Shape { ty, ..SHAPE }, 7, |file| {
        file.string("tokenizer.ggml.model", "none");
        file.u32("llama.vocab_size", SHAPE.vocab);
    });
    std::fs::write(&out, file).map_err(|error| format!("{out}: {error}"))
}

//! How long the judges take for a graph of 64 layers, against their limit: `cargo bench -p engine --bench judges`.
//!
//! Each figure is the best of several runs, so that other load on the machine counts little.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints its figures, and its input is its own"
)]

use std::time::Instant;

use engine::delta::path_delta;
use engine::gguf::{GgufWriter, TensorType};
use engine::hazard;
use engine::ir::CommandIr;
use engine::model::{Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::Recording;

const LAYERS: u32 = 64;
const LIMIT_MS: f64 = 50.0;
const RUNS: u32 = 7;

fn main() {
    let file = model();
    let model = Model::load(&file, Some(512)).unwrap();
    let prompt: Vec<u32> = (0..256).map(|token| token % 64).collect();
    println!("judge        phase    commands       ms   of the limit of {LIMIT_MS} ms");
    for pass in [PassRequest::prefill(&prompt), PassRequest::decode(1, 256)] {
        judge(&model, &pass);
    }
}

fn judge(model: &Model, pass: &PassRequest) {
    let record = |legacy: &str| -> CommandIr {
        let environment = EnvSnapshot::from_vars([("ENGINE_FORCE_MULTI_SUBMIT", legacy)]);
        let profile = ExecutionProfile::resolve(&environment, RequestKind::Smoke).unwrap();
        Recording::new(model, pass, &profile, u64::MAX).unwrap().ir
    };
    let graph = model.graph(pass).unwrap();
    let (single, legacy) = (record("0"), record("1"));
    let tell = |name: &str, work: &mut dyn FnMut()| {
        let best = (0..RUNS).map(|_| timed(work)).fold(f64::INFINITY, f64::min);
        println!(
            "{name:12} {:8} {:8} {best:8.2} {:6.3}",
            pass.phase.name(),
            single.commands.len(),
            best / LIMIT_MS
        );
    };
    tell("plan", &mut || {
        assert!(Plan::new(&graph, u64::MAX).unwrap().report.requests > LAYERS);
    });
    tell("hazard", &mut || assert!(hazard::check(&single).is_empty()));
    tell("hazard multi", &mut || {
        assert!(hazard::check(&legacy).is_empty())
    });
    tell("path delta", &mut || {
        assert_eq!(path_delta(&single, &legacy).rows.len(), 6);
    });
}

/// Milliseconds of one run.
fn timed(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

/// A llama of small width: judging depends on the graph alone.
fn model() -> Vec<u8> {
    let mut file = GgufWriter::new();
    file.string("general.architecture", "llama");
    for (key, value) in [
        ("block_count", LAYERS),
        ("context_length", 512),
        ("embedding_length", 32),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 16),
        ("attention.value_length", 16),
        ("rope.dimension_count", 16),
    ] {
        file.u32(&format!("llama.{key}"), value);
    }
    file.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    file.f32("llama.rope.freq_base", 1e4);
    let mut tensor = |name: &str, dims: &[u64]| {
        let bytes = vec![0; dims.iter().product::<u64>() as usize * 4];
        file.tensor(name, dims, TensorType::F32, &bytes);
    };
    tensor("token_embd.weight", &[32, 64]);
    tensor("output_norm.weight", &[32]);
    for layer in 0..LAYERS {
        let matrices: [(&str, &[u64]); 9] = [
            ("attn_norm", &[32]),
            ("ffn_norm", &[32]),
            ("attn_q", &[32, 32]),
            ("attn_k", &[32, 16]),
            ("attn_v", &[32, 16]),
            ("attn_output", &[32, 32]),
            ("ffn_gate", &[32, 64]),
            ("ffn_up", &[32, 64]),
            ("ffn_down", &[64, 32]),
        ];
        for (part, dims) in matrices {
            tensor(&format!("blk.{layer}.{part}.weight"), dims);
        }
    }
    file.finish()
}

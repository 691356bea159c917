//! The CPU reference, the rotary table and dequantising against numbers that other programs made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::arch::dense;
use engine::cpu::{CpuReference, KeepTrace};
use engine::gguf::TensorType;
use engine::model::{LogitsRows, Model, PassRequest, Phase};
use engine::{quant, sample};
use support::{
    Golden, bytes, data, floats, golden, golden_models, golden_roots, relative_error, safetensors,
};

/// Models with traces, and stages of the first block that their trace must have.
const TRACES: [(&str, &[&str]); 5] = [
    ("llama-a.f32", &["attn_norm", "q_rope"]),
    ("llama-rope3-a.f32", &["attn_norm", "q_rope"]),
    ("qwen3-a.f32", &["q_norm", "k_norm", "q_rope"]),
    ("qwen3-a.q8_0", &["q_norm", "k_norm", "q_rope"]),
    ("qwen3-yarn-a.f32", &["q_norm", "k_norm", "q_rope"]),
];

/// Every dense model with golden values: the subset inside the project, and the whole set where it lies beside it.
fn goldens() -> Vec<Golden> {
    let found = golden_models(&["llama", "qwen3"]);
    assert!(found.len() >= if golden_roots().len() > 1 { 19 } else { 3 });
    found
}

#[test]
fn logits_equal_the_goldens_at_the_strict_level() {
    for golden in goldens() {
        let file = bytes(&golden.model);
        let model = Model::load(&file, None).unwrap();
        let mut cpu = CpuReference::new(&model, &file).unwrap();
        let limit = golden.strict();
        for case in &golden.cases {
            cpu.reset();
            let logits = cpu
                .run(&PassRequest::prefill(&case.prompt), KeepTrace::No)
                .unwrap()
                .logits;
            let error = relative_error(&logits[case.first_pos * golden.n_vocab..], &case.logits);
            println!("{} {}: {error:e} of {limit:e}", golden.name, case.id);
            assert!(
                error <= limit,
                "{} {}: {error:e} over {limit:e}",
                golden.name,
                case.id
            );
            let argmax: Vec<u32> = logits
                .chunks(golden.n_vocab)
                .map(|row| sample::greedy(row).unwrap())
                .collect();
            assert_eq!(argmax, case.argmax, "{} {}", golden.name, case.id);
        }
    }
}

#[test]
fn greedy_continuations_equal_the_goldens_exactly() {
    for golden in goldens() {
        let file = bytes(&golden.model);
        let model = Model::load(&file, None).unwrap();
        let mut cpu = CpuReference::new(&model, &file).unwrap();
        for case in &golden.cases {
            cpu.reset();
            let prompt = PassRequest {
                logits: LogitsRows::Last,
                ..PassRequest::prefill(&case.prompt)
            };
            let mut logits = cpu.run(&prompt, KeepTrace::No).unwrap().logits;
            let mut rows = Vec::new();
            for (step, want) in case.greedy.iter().enumerate() {
                let token = sample::greedy(&logits).unwrap();
                assert_eq!(token, *want, "{} {} step {step}", golden.name, case.id);
                rows.extend_from_slice(&logits);
                let pos = (case.prompt.len() + step) as u32;
                logits = cpu
                    .run(&PassRequest::decode(token, pos), KeepTrace::No)
                    .unwrap()
                    .logits;
            }
            if let Some(want) = &case.decode_logits {
                assert!(
                    relative_error(&rows, want) <= golden.strict(),
                    "{} decode",
                    golden.name
                );
            }
        }
    }
}

#[test]
fn every_stage_equals_the_golden_trace() {
    let mut compared = 0;
    for root in golden_roots() {
        for (name, needed) in TRACES {
            let path = root.join(format!("trace/{name}.p24.safetensors"));
            let (Some(golden), true) = (golden(&root, name), path.exists()) else {
                continue;
            };
            let file = bytes(&golden.model);
            let model = Model::load(&file, None).unwrap();
            let prompt = &golden
                .cases
                .iter()
                .find(|case| case.id == "p24")
                .unwrap()
                .prompt;
            let mut cpu = CpuReference::new(&model, &file).unwrap();
            let trace = cpu
                .run(&PassRequest::prefill(prompt), KeepTrace::Yes)
                .unwrap()
                .trace;
            let wanted = safetensors(&path);
            for stage in needed {
                assert!(
                    wanted.contains_key(&format!("blk.0.{stage}")),
                    "{name} {stage}"
                );
            }
            for (stage, raw) in wanted {
                let error = relative_error(&trace[&stage], &floats(&raw));
                assert!(error <= 2e-5, "{name} {stage}: {error:e}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 19, "{compared} stages");
}

#[test]
fn prefill_in_pieces_equals_prefill_at_once() {
    let file = bytes(&data().join("models/llama-a.q8_0.gguf"));
    let model = Model::load(&file, Some(64)).unwrap();
    let tokens: Vec<u32> = (0..20).map(|i| i * 29 % 600).collect();
    let mut cpu = CpuReference::new(&model, &file).unwrap();
    let whole = cpu
        .run(&PassRequest::prefill(&tokens), KeepTrace::No)
        .unwrap()
        .logits;
    cpu.reset();
    let mut pieces = Vec::new();
    for (start, end) in [(0, 7), (7, 8), (8, 20)] {
        let pass = PassRequest {
            phase: Phase::Prefill,
            tokens: tokens[start..end].to_vec(),
            pos: start as u32,
            logits: LogitsRows::All,
        };
        pieces.extend(cpu.run(&pass, KeepTrace::No).unwrap().logits);
    }
    assert_eq!(whole, pieces);
}

#[test]
fn rotary_tables_equal_the_goldens() {
    let mut compared = 0;
    for root in golden_roots() {
        for (name, model) in [
            ("llama-a", "llama-a.f32"),
            ("llama-rope3-a", "llama-rope3-a.f32"),
            ("qwen3-a", "qwen3-a.f32"),
            ("qwen3-yarn-a", "qwen3-yarn-a.q4_0"),
        ] {
            let path = root.join(format!("rope/{name}.safetensors"));
            if !path.exists() {
                continue;
            }
            let arrays = safetensors(&path);
            let file = bytes(&root.join(format!("models/{model}.gguf")));
            let params = Model::load(&file, None).unwrap().params;
            assert!(
                relative_error(
                    &dense::inverse_frequencies(&params),
                    &floats(&arrays["inv_freq"])
                ) < 1e-6
            );
            let positions: Vec<u32> = engine::quant::words(&arrays["positions"]).collect();
            let (cos, sin) = (floats(&arrays["cos"]), floats(&arrays["sin"]));
            let pairs = params.n_rot as usize / 2;
            for (row, position) in positions.iter().enumerate() {
                let limit = 1e-5 * (1.0 + *position as f32 / 64.0);
                for (pair, got) in dense::table(&params, *position, 1).chunks(2).enumerate() {
                    let at = row * pairs + pair;
                    let near =
                        (got[0] - cos[at]).abs() <= limit && (got[1] - sin[at]).abs() <= limit;
                    assert!(near, "{name} position {position} pair {pair}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 0);
}

#[test]
fn quant_blocks_equal_ggml_bit_for_bit() {
    for root in golden_roots() {
        let arrays = safetensors(&root.join("quant/blocks.safetensors"));
        for (name, ty) in [
            ("q8_0", TensorType::Q8_0),
            ("q4_0", TensorType::Q4_0),
            ("q4_k", TensorType::Q4_K),
            ("q6_k", TensorType::Q6_K),
        ] {
            let got = quant::dequantise(ty, &arrays[&format!("{name}.blocks")]).unwrap();
            let bits = |values: &[f32]| {
                values
                    .iter()
                    .map(|value| value.to_bits())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                bits(&got),
                bits(&floats(&arrays[&format!("{name}.f32")])),
                "{name}"
            );
        }
        let quantised = quant::quantise_q8_0(&floats(&arrays["q8_0.quantize_in"]));
        assert_eq!(quantised, arrays["q8_0.quantize_out"]);
        let quantised = quant::quantise_q4_0(&floats(&arrays["q4_0.quantize_in"]));
        assert_eq!(quantised, arrays["q4_0.quantize_out"]);
    }
}

//! The smoke suite: a real device computes what other implementations computed, on every path, and says how.
//!
//! It runs under `ENGINE_NOOP_DISPATCHES` and `ENGINE_PERDISPATCH=summary|full`. The driver is loaded by the worker only.
//! Without a Vulkan device every test fails with the worker's error; nothing is skipped, and no CPU takes over (law §7).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "smoke/compare.rs"]
mod compare;
#[path = "smoke/generated.rs"]
mod generated;
#[path = "smoke/golden.rs"]
mod golden;
#[path = "smoke/lab.rs"]
mod lab;
#[path = "support/seeded.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod seeded;

use compare::{distance, relative_error};
use engine::cpu::{CpuReference, KeepTrace};
use engine::kernels::Kernel;
use engine::model::{Model, PassRequest};
use engine::telemetry::{Marker, Perdispatch, RunId, Timing};
use engine::worker::protocol::{Prompt, Purpose};
use golden::{Case, Golden};
use lab::Lab;

fn prompt_of(case: &Case) -> Prompt {
    Prompt {
        tokens: case.prompt.clone(),
        ..Prompt::default()
    }
}

/// Compares the rows of the prompt with the golden ones; blames both paths when they differ.
fn check_logits(lab: &mut Lab, golden: &Golden, case: &Case, prompt: &Prompt) {
    let got = lab.predict(prompt.clone());
    assert_eq!(lab.loaded.backend, "vulkan", "law §7: no implicit fallback");
    let error = relative_error(&got.logits, &case.logits);
    if error > golden.tolerance {
        let message = format!(
            "case {}: logits are off by {error:e} of the largest, allowed are {:e}",
            case.id, golden.tolerance
        );
        lab.blame(prompt, &message);
    }
}

fn check_prompts(name: &str) {
    let golden = Golden::load(name);
    let mut lab = Lab::open(&golden.model);
    for case in golden.cases() {
        check_logits(&mut lab, &golden, case, &prompt_of(case));
    }
}

#[test]
fn gpu_correctness_smoke_llama_f32_logits() {
    check_prompts("llama-a.f32");
}

#[test]
fn gpu_correctness_smoke_llama_q8_0_logits() {
    check_prompts("llama-a.q8_0");
}

#[test]
fn gpu_correctness_smoke_qwen3_f32_logits() {
    check_prompts("qwen3-a.f32");
}

#[test]
fn gpu_correctness_smoke_llama_greedy() {
    for name in ["llama-a.f32", "llama-a.q8_0"] {
        let golden = Golden::load(name);
        let mut lab = Lab::open(&golden.model);
        for case in golden.cases() {
            let prompt = Prompt {
                greedy: u32::try_from(case.greedy.len()).unwrap(),
                ..prompt_of(case)
            };
            let got = lab.predict(prompt.clone());
            if got.tokens != case.greedy {
                let at = got
                    .tokens
                    .iter()
                    .zip(&case.greedy)
                    .take_while(|(g, w)| g == w)
                    .count();
                let message = format!(
                    "{name} {}: greedy tokens differ from choice {at} on",
                    case.id
                );
                lab.blame(&prompt, &message);
            }
            if case.decode_logits.is_empty() {
                continue;
            }
            let error = relative_error(&got.logits[case.prompt.len() - 1..], &case.decode_logits);
            if error > golden.tolerance {
                let message = format!(
                    "{name} {}: logits of the choices are off by {error:e}, allowed are {:e}",
                    case.id, golden.tolerance
                );
                lab.blame(&prompt, &message);
            }
        }
    }
}

#[test]
fn gpu_correctness_smoke_prefill_then_decode() {
    let golden = Golden::load("llama-a.f32");
    let case = golden.case("p24");
    let mut lab = Lab::open(&golden.model);
    for first in [1, 8, 23] {
        let prompt = Prompt {
            prefill: Some(first),
            ..prompt_of(case)
        };
        check_logits(&mut lab, &golden, case, &prompt);
    }
}

/// Logits of the CPU reference: prompt rows, then one row per golden choice but the last.
fn reference_logits(golden: &Golden, case: &Case, choices: usize) -> Vec<Vec<f32>> {
    let file = std::fs::read(&golden.model).unwrap();
    let model = Model::load(&file, Some(128)).unwrap();
    let mut reference = CpuReference::new(&model, &file).unwrap();
    let mut logits = |pass: &PassRequest| reference.run(pass, KeepTrace::No).unwrap().logits;
    let mut all = logits(&PassRequest::prefill(&case.prompt));
    let first = u32::try_from(case.prompt.len()).unwrap();
    for (token, pos) in case.greedy[..choices - 1].iter().zip(first..) {
        all.extend(logits(&PassRequest::decode(*token, pos)));
    }
    let columns = model.params.n_vocab as usize;
    all.chunks(columns).map(<[f32]>::to_vec).collect()
}

#[test]
fn gpu_path_equivalence_single_graph_vs_legacy() {
    const KL_LIMIT: f64 = 1e-4;
    const GAP_LIMIT: f64 = 0.01;
    let golden = Golden::load("llama-a.f32");
    let case = golden.case("p24");
    let prompt = |legacy, purpose| Prompt {
        greedy: 8,
        legacy,
        purpose,
        ..prompt_of(case)
    };
    let reference = reference_logits(&golden, case, 8);
    assert!(
        reference.iter().flatten().any(|v| *v != 0.0),
        "the reference is all zeros, so it is the wrong side"
    );
    let mut lab = Lab::open(&golden.model);
    let single = lab.predict(prompt(false, Purpose::Smoke));
    let legacy = lab.predict(prompt(true, Purpose::Smoke));
    assert_eq!(single.passes[0].path, "single_graph");
    assert_eq!(legacy.passes[0].path, "legacy_multi_submit");
    assert_eq!(single.passes[0].submits, 1);
    assert!(
        legacy.passes[0].submits > 1,
        "the legacy path submits per block"
    );
    let sides = [
        (
            "single_graph",
            "legacy_multi_submit",
            &single.logits,
            &legacy.logits,
        ),
        ("single_graph", "cpu_reference", &single.logits, &reference),
        (
            "legacy_multi_submit",
            "cpu_reference",
            &legacy.logits,
            &reference,
        ),
    ];
    for (a_name, b_name, a, b) in sides {
        let found = distance(a, b);
        println!(
            "kl_sym_top5={} kl_limit={KL_LIMIT} top1_gap={} gap_limit={GAP_LIMIT} row={} a={a_name} b={b_name}",
            found.kl_sym_top5, found.top1_gap, found.row
        );
        if found.kl_sym_top5 >= KL_LIMIT || found.top1_gap >= GAP_LIMIT {
            let message = format!(
                "{a_name} and {b_name} differ: kl_sym_top5 {:e} (limit {KL_LIMIT:e}), top-1 gap {:e} (limit {GAP_LIMIT}) at row {}",
                found.kl_sym_top5, found.top1_gap, found.row
            );
            lab.blame(&prompt(false, Purpose::Smoke), &message);
        }
    }
    for (legacy, plain) in [(false, &single), (true, &legacy)] {
        let tapped = lab.predict(prompt(legacy, Purpose::Validation));
        assert_eq!(
            tapped.logits_sha, plain.logits_sha,
            "law §6: taps change nothing"
        );
        assert_eq!(
            tapped.divergence, None,
            "law §6: equal logits, equal stages"
        );
    }
}

fn noops() -> u64 {
    let asked = std::env::var("ENGINE_NOOP_DISPATCHES").unwrap_or_default();
    asked.parse().unwrap_or(0)
}

fn full_mode() -> bool {
    std::env::var("ENGINE_PERDISPATCH").as_deref() == Ok("full")
}

fn production_passes() -> (String, Vec<Perdispatch>) {
    let golden = Golden::load("llama-a.f32");
    let mut lab = Lab::open(&golden.model);
    let got = lab.predict(Prompt {
        greedy: 8,
        ..prompt_of(golden.case("p24"))
    });
    (got.mode, got.passes)
}

#[test]
fn gpu_performance_summary_single_submit() {
    let (mode, passes) = production_passes();
    assert_eq!(mode, "GpuSingleGraph", "law §1: production has one mode");
    assert_eq!(passes.len(), 8, "one prefill and seven decode passes");
    for pass in &passes {
        assert_eq!(pass.submits, 1, "law §2: one submit per token: {pass:?}");
        assert_eq!(pass.path, "single_graph", "law §12: {pass:?}");
        assert!(
            pass.dispatches > noops(),
            "the model dispatches too: {pass:?}"
        );
        assert!(pass.barriers > 0, "{pass:?}");
        assert_ne!(pass.cb_us, Some(0), "a pass takes time: {pass:?}");
    }
    let decode: Vec<_> = passes[1..]
        .iter()
        .map(|p| (p.dispatches, p.barriers))
        .collect();
    assert!(
        decode.windows(2).all(|w| w[0] == w[1]),
        "decode passes have one topology: {decode:?}"
    );
    let numbers: Vec<_> = passes.iter().map(|p| p.pass).collect();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
}

#[test]
fn gpu_histogram_full_buckets() {
    const WANTED: [Kernel; 7] = [
        Kernel::EmbedF32,
        Kernel::RmsNorm,
        Kernel::Rope,
        Kernel::KvStore,
        Kernel::Attention,
        Kernel::SiluMul,
        Kernel::Add,
    ];
    let (_, passes) = production_passes();
    for pass in passes {
        match &pass.timing {
            Timing::Summary => {
                assert!(!full_mode(), "full mode was asked for: {pass:?}");
                let line = Marker::Perdispatch(pass.clone()).line(&RunId::fresh(0), 0);
                assert!(
                    line.ends_with("ts=summary shader_buckets=disabled(mode=summary)"),
                    "{line}"
                );
            }
            Timing::Full {
                sum_us, buckets, ..
            } => {
                assert!(full_mode(), "summary mode was asked for: {pass:?}");
                assert!(
                    buckets.iter().all(|b| b.count >= 1),
                    "an empty bucket: {pass:?}"
                );
                let total: u64 = buckets.iter().map(|b| b.count).sum();
                assert_eq!(
                    total, pass.dispatches,
                    "every dispatch is in a bucket: {pass:?}"
                );
                for kernel in WANTED {
                    assert!(
                        buckets.iter().any(|b| b.name == kernel.name()),
                        "no {}: {pass:?}",
                        kernel.name()
                    );
                }
                let products = [Kernel::MatmulF32, Kernel::MatvecF32, Kernel::MatvecWideF32];
                assert!(
                    buckets
                        .iter()
                        .any(|b| products.iter().any(|kernel| kernel.name() == b.name)),
                    "no product: {pass:?}"
                );
                assert!(*sum_us > 0, "{pass:?}");
            }
        }
    }
}

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

#[path = "smoke/check.rs"]
mod check;
#[path = "smoke/compare.rs"]
mod compare;
#[path = "smoke/generated.rs"]
mod generated;
#[path = "smoke/lab.rs"]
mod lab;
#[path = "support/seeded.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod seeded;
mod support;

use std::path::Path;

use compare::distance;
use engine::cpu::{CpuReference, KeepTrace};
use engine::delta::path_delta;
use engine::fuse::Pattern;
use engine::fuse::verified::{Identity, is_verified};
use engine::ir::CommandIr;
use engine::kernels::Kernel;
use engine::model::{Model, PassRequest};
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::Recording;
use engine::telemetry::{
    LongCtxBaseline, LongCtxSingleGraph, Marker, PathDistance, Perdispatch, RunId,
    SingleGraphBlock, Telemetry, Timing,
};
use engine::worker::protocol::{Prompt, Purpose, Role};
use lab::{Lab, Outcome};
use support::{Case, Golden, data, golden};

const KL_LIMIT: f64 = 1e-4;
const GAP_LIMIT: f64 = 0.01;

fn subset(name: &str) -> Golden {
    golden(&data(), name).unwrap()
}

fn prompt_of(case: &Case) -> Prompt {
    Prompt {
        tokens: case.prompt.clone(),
        ..Prompt::default()
    }
}

fn settings(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn check_prompts(name: &str) {
    let golden = subset(name);
    let mut lab = Lab::open(&golden.model);
    for case in &golden.cases {
        lab.check(&golden, case, &prompt_of(case));
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
        let golden = subset(name);
        let mut lab = Lab::open(&golden.model);
        for case in &golden.cases {
            let prompt = Prompt {
                greedy: u32::try_from(case.greedy.len()).unwrap(),
                ..prompt_of(case)
            };
            lab.check(&golden, case, &prompt);
        }
    }
}

#[test]
fn gpu_correctness_smoke_prefill_then_decode() {
    let golden = subset("llama-a.f32");
    let case = golden.case("p24");
    let mut lab = Lab::open(&golden.model);
    for first in [1, 8, 23] {
        let prompt = Prompt {
            prefill: Some(first),
            ..prompt_of(case)
        };
        lab.check(&golden, case, &prompt);
    }
}

/// Token ids without meaning, for shapes that no golden case has.
fn numbered_tokens(count: u32, vocabulary: u32) -> Vec<u32> {
    (0..count).map(|i| (i * 37 + 11) % vocabulary).collect()
}

/// Taps of both paths against the reference; a divergence fails with its place.
fn check_stages(lab: &mut Lab, prompt: &Prompt) {
    for legacy in [false, true] {
        let tapped = lab.predict(Prompt {
            purpose: Purpose::Validation,
            legacy,
            settings: settings(&[("ENGINE_FFN_DIVERGENCE", "1")]),
            ..prompt.clone()
        });
        if let Some(found) = tapped.divergence {
            panic!("legacy={legacy}: {found:?}");
        }
    }
}

#[test]
fn gpu_correctness_smoke_rope_beyond_the_original_context() {
    // YaRN over an original context of 32, on a quantised file whose heads are wider than its rows.
    let model = data().join("models/qwen3-yarn-a.q4_0.gguf");
    let prompt = Prompt {
        tokens: numbered_tokens(48, 600),
        prefill: Some(40),
        greedy: 4,
        purpose: Purpose::Smoke,
        ..Prompt::default()
    };
    let mut lab = Lab::open(&model);
    let got = lab.predict(prompt.clone());
    let reference = reference_logits(&model, &prompt.tokens, &got.tokens);
    expect_close(
        &mut lab,
        &prompt,
        ("single_graph", &got.logits),
        ("cpu_reference", &reference),
    );
    check_stages(&mut lab, &prompt);
}

#[test]
fn gpu_correctness_smoke_attention_and_ffn_stages() {
    for name in ["qwen3-a.f32", "llama-a.q8_0"] {
        let golden = subset(name);
        let mut lab = Lab::open(&golden.model);
        let prompt = Prompt {
            greedy: 2,
            ..prompt_of(golden.case("p24"))
        };
        check_stages(&mut lab, &prompt);
    }
}

#[test]
fn gpu_correctness_smoke_long_context() {
    let golden = subset("llama-a.f32");
    let prompt = Prompt {
        tokens: numbered_tokens(160, 600),
        prefill: Some(150),
        greedy: 8,
        purpose: Purpose::Smoke,
        ..Prompt::default()
    };
    let mut lab = Lab::open(&golden.model);
    lab.phrase(&SingleGraphBlock::Begin);
    let single = lab.predict(prompt.clone());
    lab.phrase(&SingleGraphBlock::End);
    let legacy = lab.predict(Prompt {
        legacy: true,
        ..prompt.clone()
    });
    let (ctx, n) = (160, 8);
    lab.say(LongCtxBaseline {
        ctx,
        n,
        tokens: legacy.tokens.clone(),
    });
    lab.say(LongCtxSingleGraph {
        ctx,
        n,
        tokens: single.tokens.clone(),
    });
    let reference = reference_logits(&golden.model, &prompt.tokens, &single.tokens);
    let device = ("single_graph", single.logits.as_slice());
    expect_close(
        &mut lab,
        &prompt,
        device,
        ("legacy_multi_submit", &legacy.logits),
    );
    expect_close(&mut lab, &prompt, device, ("cpu_reference", &reference));
    assert_eq!(single.tokens, legacy.tokens);
}

/// Logits of the CPU reference: prompt rows, then one row per choice but the last.
fn reference_logits(model: &Path, prompt: &[u32], choices: &[u32]) -> Vec<Vec<f32>> {
    let file = std::fs::read(model).unwrap();
    let model = Model::load(&file, Some(256)).unwrap();
    let mut reference = CpuReference::new(&model, &file).unwrap();
    let mut logits = |pass: &PassRequest| reference.run(pass, KeepTrace::No).unwrap().logits;
    let mut all = logits(&PassRequest::prefill(prompt));
    let first = u32::try_from(prompt.len()).unwrap();
    for (token, pos) in choices[..choices.len() - 1].iter().zip(first..) {
        all.extend(logits(&PassRequest::decode(*token, pos)));
    }
    assert!(
        all.iter().any(|v| *v != 0.0),
        "the reference is all zeros, so it is the wrong side"
    );
    let columns = model.params.n_vocab as usize;
    all.chunks(columns).map(<[f32]>::to_vec).collect()
}

/// Tells how far two sides are apart, and blames both paths when it is too far.
fn expect_close(
    lab: &mut Lab,
    prompt: &Prompt,
    (a_name, a): (&str, &[Vec<f32>]),
    (b_name, b): (&str, &[Vec<f32>]),
) {
    let found = distance(a, b);
    lab.phrase(&PathDistance {
        kl_sym_top5: found.kl_sym_top5,
        kl_limit: KL_LIMIT,
        top1_gap: found.top1_gap,
        gap_limit: GAP_LIMIT,
        row: found.row as u64,
        a: a_name.into(),
        b: b_name.into(),
    });
    if found.kl_sym_top5 >= KL_LIMIT || found.top1_gap >= GAP_LIMIT {
        let message = format!(
            "{a_name} and {b_name} differ: kl_sym_top5 {:e} (limit {KL_LIMIT:e}), top-1 gap {:e} (limit {GAP_LIMIT}) at row {}",
            found.kl_sym_top5, found.top1_gap, found.row
        );
        let prompt = Prompt {
            legacy: false,
            ..prompt.clone()
        };
        lab.blame(&prompt, &message);
    }
}

#[test]
fn gpu_path_equivalence_single_graph_vs_legacy() {
    let golden = subset("llama-a.f32");
    tell_path_delta(&golden);
    let case = golden.case("p24");
    let prompt = |legacy, purpose| Prompt {
        greedy: 8,
        legacy,
        purpose,
        ..prompt_of(case)
    };
    let reference = reference_logits(&golden.model, &case.prompt, &case.greedy[..8]);
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
    let [a, b, c] = [
        ("single_graph", single.logits.as_slice()),
        ("legacy_multi_submit", legacy.logits.as_slice()),
        ("cpu_reference", reference.as_slice()),
    ];
    for (left, right) in [(a, b), (a, c), (b, c)] {
        expect_close(&mut lab, &prompt(false, Purpose::Smoke), left, right);
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

/// Prints in what the recorded streams of both paths differ: with a failure below it, what a fix of a path cites.
/// No worker has a part in it, so that the rows stand in the log whatever the device does then.
fn tell_path_delta(golden: &Golden) {
    let file = std::fs::read(&golden.model).unwrap();
    let model = Model::load(&file, Some(256)).unwrap();
    let request = PassRequest::prefill(&golden.case("p24").prompt);
    let stream = |forced: &str| -> CommandIr {
        let env = EnvSnapshot::from_vars([("ENGINE_FORCE_MULTI_SUBMIT", forced)]);
        let profile = ExecutionProfile::resolve(&env, RequestKind::Smoke).unwrap();
        let recording = Recording::new(&model, &request, &profile, u64::MAX);
        recording.unwrap().ir
    };
    let rows =
        path_delta(&stream("0"), &stream("1")).markers("single_graph", "legacy_multi_submit");
    let mut telemetry = Telemetry::new(std::io::stderr());
    for row in rows {
        telemetry.emit(&row.into()).unwrap();
    }
    telemetry.end_run().unwrap();
}

#[test]
fn gpu_path_equivalence_kv_offset() {
    // However a prompt is cut into passes, every row lands at its position of the caches.
    let golden = subset("qwen3-a.f32");
    tell_path_delta(&golden);
    let case = golden.case("p24");
    let mut lab = Lab::open(&golden.model);
    let cut = |prefill, legacy| Prompt {
        prefill,
        legacy,
        greedy: 4,
        purpose: Purpose::Smoke,
        ..prompt_of(case)
    };
    let whole = lab.predict(cut(None, false));
    for (first, legacy) in [(1, false), (9, false), (23, false), (9, true)] {
        let got = lab.predict(cut(Some(first), legacy));
        assert_eq!(got.passes.len(), case.prompt.len() - first + 4);
        assert_eq!(
            got.tokens, whole.tokens,
            "prefill of {first}, legacy={legacy}"
        );
        let names = if legacy {
            "legacy_multi_submit"
        } else {
            "single_graph_in_pieces"
        };
        expect_close(
            &mut lab,
            &cut(Some(first), false),
            ("single_graph", &whole.logits),
            (names, &got.logits),
        );
    }
}

#[test]
fn gpu_path_equivalence_fusion_on_off() {
    // Fused kernels run where a row says that they were verified, and only there; the tokens are the same either way.
    let golden = subset("llama-a.f32");
    tell_path_delta(&golden);
    let case = golden.case("p24");
    let switched = |value: &str| Prompt {
        greedy: 8,
        purpose: Purpose::Smoke,
        settings: settings(&[("ENGINE_FUSE_QKV", value), ("ENGINE_FUSE_FFN", value)]),
        ..prompt_of(case)
    };
    let mut lab = Lab::open(&golden.model);
    let device = Identity {
        device: lab.loaded.device.clone(),
        driver: lab.loaded.driver.clone(),
    };
    let verified = [Pattern::FusedQkvProj, Pattern::FusedFfnGateUpSilu]
        .iter()
        .any(|pattern| is_verified(*pattern, &device));
    let single = lab.predict(switched("0"));
    let fused = lab.check(&golden, case, &switched("1"));
    let dispatches = |outcome: &Outcome| outcome.passes.last().unwrap().dispatches;
    assert_eq!(
        dispatches(&fused) < dispatches(&single),
        verified,
        "fused decode passes dispatch {}, others {}",
        dispatches(&fused),
        dispatches(&single)
    );
    expect_close(
        &mut lab,
        &switched("1"),
        ("unfused", &single.logits),
        ("fused", &fused.logits),
    );
}

#[test]
fn gpu_path_equivalence_topology_rebuild() {
    // Whatever ran before, a pass is what it is alone: the topology follows the pass, not its predecessor.
    let golden = subset("llama-a.q8_0");
    tell_path_delta(&golden);
    let case = golden.case("p24");
    let long = Prompt {
        greedy: 3,
        purpose: Purpose::Smoke,
        ..prompt_of(case)
    };
    let short = Prompt {
        tokens: case.prompt[..5].to_vec(),
        ..long.clone()
    };
    let alone = |prompt: &Prompt| Lab::open(&golden.model).predict(prompt.clone()).logits_sha;
    let (long_alone, short_alone) = (alone(&long), alone(&short));
    assert_ne!(long_alone, short_alone);
    let mut lab = Lab::open(&golden.model);
    for (round, (prompt, want)) in [(&long, &long_alone), (&short, &short_alone)]
        .into_iter()
        .cycle()
        .take(4)
        .enumerate()
    {
        for legacy in [false, true] {
            let got = lab.predict(Prompt {
                legacy,
                ..prompt.clone()
            });
            assert_eq!(&got.logits_sha, want, "round {round}, legacy={legacy}");
        }
    }
}

#[test]
fn gpu_path_equivalence_dual_model_hot_lane() {
    // Two models share the device and take turns; each gives what it gives alone.
    const BUDGET: u64 = 64 << 20;
    let (target, draft) = (subset("llama-a.f32"), subset("qwen3-a.f32"));
    tell_path_delta(&target);
    let prompt = |golden: &Golden, role| Prompt {
        role,
        greedy: 4,
        purpose: Purpose::Smoke,
        ..prompt_of(golden.case("p24"))
    };
    let alone = |golden: &Golden| {
        let prompt = prompt(golden, Role::Target);
        Lab::open(&golden.model).predict(prompt).logits_sha
    };
    let wanted = [alone(&target), alone(&draft)];
    let mut lab = Lab::open_two(&target.model, &draft.model, BUDGET);
    for turn in 0..3 {
        let sides = [(&target, Role::Target), (&draft, Role::Draft)];
        for ((golden, role), want) in sides.into_iter().zip(&wanted) {
            let got = lab.predict(prompt(golden, role));
            assert_eq!(&got.logits_sha, want, "turn {turn}, {}", role.name());
            assert!(got.passes.iter().all(|pass| pass.role == role.name()));
        }
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
    let golden = subset("llama-a.f32");
    let mut lab = Lab::open(&golden.model);
    let got: Outcome = lab.predict(Prompt {
        greedy: 8,
        settings: settings(&[("ENGINE_PROFILE_FORWARD", "1")]),
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
                let line = Marker::from(pass.clone()).line(&RunId::fresh(0), 0);
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

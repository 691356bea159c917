//! Models made from a seed: their bytes never change, and odd shapes go through every pure part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "support/seeded.rs"]
mod seeded;
mod support;

use engine::EngineError;
use engine::arch::Architecture;
use engine::arch::dense::{self, RopeScaling};
use engine::cpu::{CpuReference, KeepTrace};
use engine::gguf::{GgufFault, GgufWriter, TensorType};
use engine::hazard;
use engine::ir::Region;
use engine::model::{LogitsRows, Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::{Recording, record_pass};
use engine::sim::{Trial, Verdict, judge};
use engine::validate::{insert_taps, plan_all_taps, plan_taps};
use proptest::prelude::*;
use seeded::{Scaling, Shape};
use sha2::{Digest, Sha256};

const SMALL: Shape = Shape {
    arch: Architecture::Llama,
    layers: 1,
    width: 32,
    heads: 2,
    kv_heads: 1,
    head_dim: 16,
    n_rot: 16,
    rope_base: 10000.0,
    ff: 32,
    vocab: 40,
    tied: false,
    ty: TensorType::F32,
};

/// Heads that are rotated in part, in halves.
const QWEN3: Shape = Shape {
    arch: Architecture::Qwen3,
    heads: 6,
    kv_heads: 3,
    head_dim: 32,
    n_rot: 8,
    layers: 2,
    ..SMALL
};

/// Shapes that the golden models lack: partial rotation, heads that do not fill the width, odd row counts, many blocks.
fn shapes() -> Vec<(Shape, &'static str)> {
    vec![
        (SMALL, "dc2d380d"),
        (
            Shape {
                ty: TensorType::Q8_0,
                tied: true,
                vocab: 33,
                ..SMALL
            },
            "859565a5",
        ),
        (
            Shape {
                heads: 6,
                kv_heads: 3,
                head_dim: 32,
                n_rot: 8,
                width: 96,
                ff: 224,
                layers: 3,
                ..SMALL
            },
            "541076c6",
        ),
        (
            Shape {
                heads: 5,
                kv_heads: 5,
                head_dim: 64,
                n_rot: 64,
                ty: TensorType::Q8_0,
                layers: 9,
                ..SMALL
            },
            "925c849a",
        ),
        (
            Shape {
                head_dim: 24,
                n_rot: 24,
                ..QWEN3
            },
            "24b3fc80",
        ),
        (QWEN3, "739b8bef"),
    ]
}

#[test]
fn bytes_of_seeded_models_are_pinned() {
    for (shape, digest) in shapes() {
        let found = hex::encode(Sha256::digest(seeded::model(&shape, 7)));
        assert_eq!(&found[..8], digest, "{shape:?}");
    }
}

#[test]
fn streams_of_seeded_models_are_clean_on_every_path() {
    for (shape, _) in shapes() {
        let model = Model::load(&seeded::model(&shape, 7), Some(32)).unwrap();
        let weights = model.weights_plan().unwrap();
        for pass in [
            PassRequest::prefill(&[1, 2, 3, 4, 5]),
            PassRequest::decode(9, 5),
        ] {
            for vars in [vec![], vec![("ENGINE_FORCE_MULTI_SUBMIT", "1")]] {
                let profile =
                    ExecutionProfile::resolve(&EnvSnapshot::from_vars(vars), RequestKind::Smoke)
                        .unwrap();
                let graph = model.graph(&pass).unwrap();
                let plan = Plan::new(&graph, u64::MAX).unwrap();
                let ir = record_pass(&graph, &plan, &weights, &profile).unwrap();
                assert_eq!(hazard::check(&ir), [], "{shape:?}");
                let taps = plan_taps(&graph, &plan, ir.region_size(Region::Readback)).unwrap();
                assert_eq!(
                    hazard::check(&insert_taps(&ir, &taps).unwrap()),
                    [],
                    "{shape:?} with taps"
                );
            }
        }
    }
}

#[test]
fn decoding_equals_prefill_on_seeded_models() {
    for (shape, _) in shapes() {
        let file = seeded::model(&shape, 7);
        let model = Model::load(&file, Some(32)).unwrap();
        let tokens: Vec<u32> = (0..12).map(|i| i * 7 % shape.vocab).collect();
        let mut cpu = CpuReference::new(&model, &file).unwrap();
        let whole = cpu
            .run(&PassRequest::prefill(&tokens), KeepTrace::No)
            .unwrap()
            .logits;
        assert!(
            whole.iter().all(|logit| logit.is_finite()) && whole.iter().any(|logit| *logit != 0.0)
        );
        cpu.reset();
        let steps = (0u32..)
            .zip(&tokens)
            .map(|(pos, token)| PassRequest::decode(*token, pos));
        let stepped: Vec<f32> = steps
            .flat_map(|pass| cpu.run(&pass, KeepTrace::No).unwrap().logits)
            .collect();
        assert!(whole == stepped, "{shape:?}");
    }
}

fn load(shape: Shape, more: impl FnOnce(&mut GgufWriter)) -> Result<Model, EngineError> {
    Model::load(&seeded::model_with(&shape, 7, more), None)
}

fn yarn(file: &mut GgufWriter) {
    file.string("qwen3.rope.scaling.type", "yarn");
    file.f32("qwen3.rope.scaling.factor", 4.0);
    file.u32("qwen3.rope.scaling.original_context_length", 32);
}

#[test]
fn yarn_is_read_with_the_papers_defaults_and_the_files_values() {
    let scaling = |model: Model| model.params.rope_scaling;
    let defaults = scaling(load(QWEN3, yarn).unwrap());
    let expected = |beta_fast| RopeScaling::Yarn {
        factor: 4.0,
        original_context: 32,
        beta_fast,
        beta_slow: 1.0,
    };
    assert_eq!(defaults, expected(32.0));
    let told = load(QWEN3, |file| {
        yarn(file);
        file.f32("qwen3.rope.scaling.yarn_beta_fast", 16.0);
    });
    assert_eq!(scaling(told.unwrap()), expected(16.0));
    assert!((defaults.attention_factor() - 1.138_629_436).abs() < 1e-9);
    let shrinking = RopeScaling::Yarn {
        factor: 0.5,
        original_context: 32,
        beta_fast: 32.0,
        beta_slow: 1.0,
    };
    assert_eq!(shrinking.attention_factor(), 1.0);
}

/// No golden file is scaled like this: the definitions themselves, at powers of two, where division is exact.
#[test]
fn linear_scaling_and_factors_divide_the_frequencies() {
    let params = |scaling: Scaling| {
        let file = seeded::scaled_model(&QWEN3, scaling, 7);
        Model::load(&file, None).unwrap().params
    };
    let (plain, linear) = (params(Scaling::Plain), params(Scaling::Linear(4.0)));
    let quarters: Vec<f32> = dense::inverse_frequencies(&plain)
        .iter()
        .map(|frequency| frequency / 4.0)
        .collect();
    assert_eq!(dense::inverse_frequencies(&linear), quarters);
    for pos in [0, 1, 9] {
        let stretched = dense::table(&linear, 4 * pos, 1);
        assert_eq!(stretched, dense::table(&plain, pos, 1), "position {pos}");
    }
    let factors = params(Scaling::Factors);
    let plain = dense::inverse_frequencies(&plain);
    for (pair, found) in dense::inverse_frequencies(&factors).iter().enumerate() {
        assert_eq!(
            *found,
            plain[pair] / (1.0 + pair as f32 / 3.0),
            "pair {pair}"
        );
    }
}

#[test]
fn scalings_that_would_be_half_understood_are_refused() {
    let unread = load(QWEN3, |file| {
        yarn(file);
        file.f32("qwen3.rope.scaling.attn_factor", 0.5);
    });
    assert!(
        matches!(&unread, Err(EngineError::Unsupported { what, .. }) if what == "qwen3.rope.scaling.attn_factor"),
        "{unread:?}"
    );
    let unknown = load(QWEN3, |file| {
        file.string("qwen3.rope.scaling.type", "longrope");
    });
    assert!(
        matches!(&unknown, Err(EngineError::Unsupported { what, .. }) if what.contains("longrope")),
        "{unknown:?}"
    );
    let no_context = load(QWEN3, |file| {
        file.string("qwen3.rope.scaling.type", "yarn");
    });
    assert!(
        matches!(
            &no_context,
            Err(EngineError::Gguf {
                fault: GgufFault::MissingKey,
                ..
            })
        ),
        "{no_context:?}"
    );
    let flat = Shape {
        rope_base: 1.0,
        ..QWEN3
    };
    let base_of_one = load(flat, yarn);
    assert!(
        matches!(
            &base_of_one,
            Err(EngineError::Gguf {
                fault: GgufFault::BadHyperparameter,
                ..
            })
        ),
        "{base_of_one:?}"
    );
}

#[test]
fn head_norms_belong_to_the_architecture() {
    let extra = load(SMALL, |file| {
        let ones = [1f32; 16].iter().flat_map(|one| one.to_le_bytes());
        file.tensor(
            "blk.0.attn_q_norm.weight",
            &[16],
            TensorType::F32,
            &ones.collect::<Vec<u8>>(),
        );
    });
    assert!(
        matches!(&extra, Err(EngineError::Unsupported { what, .. }) if what.contains("attn_q_norm")),
        "{extra:?}"
    );
    let head_norms = |shape: Shape| {
        let model = load(shape, |_| {}).unwrap();
        let graph = model.graph(&PassRequest::decode(1, 0)).unwrap();
        let named = |name: &str| graph.tensor_named(name).is_some();
        ["blk.0.q_norm", "blk.0.k_norm"].map(named)
    };
    assert_eq!(head_norms(QWEN3), [true, true]);
    assert_eq!(head_norms(SMALL), [false, false]);
}

/// Judges a pass in a context that it fills to the last row.
fn check_pass(shape: &Shape, scaling: Scaling, pass: &PassRequest) {
    let file = seeded::scaled_model(shape, scaling, 3);
    let n_ctx = pass.pos + pass.n_tokens();
    let model = Model::load(&file, Some(n_ctx)).unwrap();
    let context: Vec<u32> = (0..pass.pos).map(|at| at % shape.vocab).collect();
    for profile in support::gpu_profiles().iter().take(2) {
        let recording = Recording::new(&model, pass, profile, u64::MAX).unwrap();
        assert_eq!(hazard::check(&recording.ir), [], "{shape:?}");
        let used = recording.ir.region_size(Region::Readback);
        let verdict = judge(&Trial {
            model: &model,
            file: &file,
            request: pass,
            context: &context,
            profile,
            recording: &recording,
            data: &model.host_data(pass).unwrap(),
            taps: &plan_all_taps(&recording.graph, &recording.plan, used).unwrap(),
            fill: None,
        });
        let clean = Verdict {
            bits_equal: true,
            logits_error: 0.0,
            first_divergence: None,
            invalidated: None,
        };
        assert_eq!(verdict.unwrap(), clean, "{shape:?} {scaling:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_model_is_clean_and_simulates_to_the_references_bits(
        (shape, scaling) in seeded::any_model(), count in 1u32..10, last in any::<bool>()
    ) {
        let tokens: Vec<u32> = (0..count).map(|at| (at * 7 + 1) % shape.vocab).collect();
        let logits = if last { LogitsRows::Last } else { LogitsRows::All };
        check_pass(&shape, scaling, &PassRequest { logits, ..PassRequest::prefill(&tokens) });
        check_pass(&shape, scaling, &PassRequest::decode(0, count - 1));
    }
}

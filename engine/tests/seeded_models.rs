//! Models made from a seed: their bytes never change, and odd shapes go through every pure part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "support/seeded.rs"]
mod seeded;

use engine::cpu::{CpuReference, KeepTrace};
use engine::gguf::TensorType;
use engine::hazard;
use engine::ir::Region;
use engine::model::{Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::record_pass;
use engine::validate::{insert_taps, plan_taps};
use seeded::Shape;
use sha2::{Digest, Sha256};

const SMALL: Shape = Shape {
    layers: 1,
    width: 32,
    heads: 2,
    kv_heads: 1,
    head_dim: 16,
    n_rot: 16,
    ff: 32,
    vocab: 40,
    tied: false,
    ty: TensorType::F32,
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

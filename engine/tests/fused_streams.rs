//! Streams with fused kernels before every judge: clean in every mode, with and without taps, and found out when broken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "support/seeded.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod seeded;
mod support;

use std::collections::BTreeSet;

use engine::arch::Architecture;
use engine::fuse::{Wanted, fuse};
use engine::gguf::TensorType;
use engine::graph::OpKind;
use engine::hazard;
use engine::ir::{Command, Region};
use engine::model::{Model, PassRequest};
use engine::plan::Plan;
use engine::profile::ExecutionProfile;
use engine::record::{Recording, record_pass};
use engine::sim::{Trial, Verdict, judge};
use engine::validate::{TapPlan, insert_taps, plan_all_taps, plan_taps};
use seeded::Shape;
use support::gpu_profiles;

const QKV: OpKind = OpKind::FusedQkvProj;
const FFN: OpKind = OpKind::FusedFfnGateUpSilu;
const RESIDUAL: OpKind = OpKind::FusedResidualRmsNorm;

/// Position of the decode pass.
const POS: u32 = 5;

/// What is wanted of a model, and which fused ops its decode and prefill passes then have.
struct Row {
    ty: TensorType,
    wanted: Wanted,
    decode: &'static [OpKind],
    prefill: &'static [OpKind],
}

const ROWS: [Row; 5] = [
    Row {
        ty: TensorType::F32,
        wanted: Wanted {
            qkv: true,
            ffn: false,
        },
        decode: &[QKV],
        prefill: &[],
    },
    Row {
        ty: TensorType::F32,
        wanted: Wanted {
            qkv: false,
            ffn: true,
        },
        decode: &[FFN, RESIDUAL],
        prefill: &[RESIDUAL],
    },
    // The projection kernels do not take this type, so that one fusion is left.
    Row {
        ty: TensorType::F16,
        wanted: Wanted::ALL,
        decode: &[RESIDUAL],
        prefill: &[RESIDUAL],
    },
    Row {
        ty: TensorType::F32,
        wanted: Wanted::ALL,
        decode: &[QKV, FFN, RESIDUAL],
        prefill: &[RESIDUAL],
    },
    Row {
        ty: TensorType::Q8_0,
        wanted: Wanted::ALL,
        decode: &[QKV, FFN, RESIDUAL],
        prefill: &[RESIDUAL],
    },
];

const SHAPE: Shape = Shape {
    arch: Architecture::Llama,
    layers: 2,
    width: 96,
    heads: 8,
    kv_heads: 4,
    head_dim: 32,
    n_rot: 32,
    rope_base: 10000.0,
    ff: 512,
    vocab: 70,
    tied: false,
    ty: TensorType::F32,
};

struct Lab {
    file: Vec<u8>,
    model: Model,
    wanted: Wanted,
}

impl Lab {
    fn open(row: &Row) -> Lab {
        let file = seeded::model(
            &Shape {
                ty: row.ty,
                ..SHAPE
            },
            5,
        );
        let model = Model::load(&file, Some(16)).unwrap();
        Lab {
            file,
            model,
            wanted: row.wanted,
        }
    }

    fn record(&self, pass: &PassRequest, profile: &ExecutionProfile) -> Recording {
        let weights = self.model.weights_plan().unwrap();
        let plain = self.model.graph(pass).unwrap();
        let graph = fuse(&plain, &weights, self.wanted, None).graph;
        let plan = Plan::new(&graph, u64::MAX).unwrap();
        let ir = record_pass(&graph, &plan, &weights, profile).unwrap();
        Recording { graph, plan, ir }
    }

    fn judge(
        &self,
        pass: &PassRequest,
        profile: &ExecutionProfile,
        recording: &Recording,
        taps: &TapPlan,
    ) -> Verdict {
        let context: Vec<u32> = (0..pass.pos).collect();
        judge(&Trial {
            model: &self.model,
            file: &self.file,
            request: pass,
            context: &context,
            profile,
            recording,
            data: &self.model.host_data(pass).unwrap(),
            taps,
            fill: None,
        })
        .unwrap()
    }
}

fn passes(row: &Row) -> [(PassRequest, &'static [OpKind]); 2] {
    let prompt: Vec<u32> = (0..POS).collect();
    [
        (PassRequest::decode(9, POS), row.decode),
        (PassRequest::prefill(&prompt), row.prefill),
    ]
}

fn fused_ops(recording: &Recording) -> BTreeSet<OpKind> {
    let kinds = recording.graph.nodes().iter().map(|node| node.op.kind());
    kinds
        .filter(|kind| [QKV, FFN, RESIDUAL].contains(kind))
        .collect()
}

/// No taps, those of a validation run, and those of every stage.
fn tap_plans(recording: &Recording) -> [TapPlan; 3] {
    let Recording { graph, plan, ir } = recording;
    let used = ir.region_size(Region::Readback);
    [
        TapPlan::default(),
        plan_taps(graph, plan, used).unwrap(),
        plan_all_taps(graph, plan, used).unwrap(),
    ]
}

#[test]
fn fused_streams_are_clean_in_every_mode_with_and_without_taps() {
    let clean = Verdict {
        bits_equal: true,
        logits_error: 0.0,
        first_divergence: None,
        invalidated: None,
    };
    for row in &ROWS {
        let lab = Lab::open(row);
        for (pass, expected) in passes(row) {
            for profile in gpu_profiles() {
                let label = format!("{expected:?} {:?} {:?}", pass.phase, profile.mode);
                let recording = lab.record(&pass, &profile);
                let expected: BTreeSet<OpKind> = expected.iter().copied().collect();
                assert_eq!(fused_ops(&recording), expected, "{label}");
                for taps in tap_plans(&recording) {
                    let label = format!("{label} with {} taps", taps.taps.len());
                    let tapped = insert_taps(&recording.ir, &taps).unwrap();
                    assert_eq!(hazard::check(&tapped), [], "{label}");
                    assert_eq!(tapped.without_taps(), recording.ir, "{label}");
                    let verdict = lab.judge(&pass, &profile, &recording, &taps);
                    assert_eq!(verdict, clean, "{label}");
                }
            }
        }
    }
}

#[test]
fn a_lost_barrier_beside_a_fused_kernel_is_found_by_both_judges() {
    let mut around: BTreeSet<OpKind> = BTreeSet::new();
    for row in &ROWS[3..] {
        let lab = Lab::open(row);
        let pass = PassRequest::decode(9, POS);
        for profile in gpu_profiles().iter().take(2) {
            let clean = lab.record(&pass, profile);
            let taps = &tap_plans(&clean)[2];
            for at in 0..clean.ir.commands.len() {
                let Command::Barrier(_) = clean.ir.commands[at] else {
                    continue;
                };
                let neighbour = clean.ir.commands.get(at + 1).and_then(Command::as_dispatch);
                let Some(op) = neighbour
                    .map(|d| d.op)
                    .filter(|op| [QKV, FFN, RESIDUAL].contains(op))
                else {
                    continue;
                };
                let mut broken = clean.clone();
                broken.ir.commands.remove(at);
                let findings = hazard::check(&broken.ir);
                let blamed = findings.iter().any(|finding| finding.second.index == at);
                assert!(blamed, "{op:?} {:?}: {findings:?}", profile.mode);
                let verdict = lab.judge(&pass, profile, &broken, taps);
                assert!(!verdict.bits_equal, "{op:?} {:?}", profile.mode);
                assert!(verdict.first_divergence.is_some(), "{op:?}");
                around.insert(op);
            }
        }
    }
    assert_eq!(around, BTreeSet::from([QKV, FFN, RESIDUAL]));
}

/// Keys and values, written by the fused projection without being its output, reach the caches through barriers of their own.
#[test]
fn hidden_side_effects_of_the_fused_projection_show_as_zeros() {
    let row = &ROWS[0];
    let lab = Lab::open(row);
    let pass = PassRequest::decode(9, POS);
    let profile = &gpu_profiles()[0];
    let clean = lab.record(&pass, profile);
    let mut broken = clean.clone();
    let effects: BTreeSet<_> = clean
        .graph
        .nodes()
        .iter()
        .filter(|node| node.op.kind() == QKV)
        .flat_map(|node| node.side_effects.iter().map(|effect| effect.tensor))
        .collect();
    let hidden: Vec<_> = effects
        .iter()
        .filter_map(|tensor| clean.plan.range(*tensor))
        .collect();
    let dispatch = clean
        .ir
        .commands
        .iter()
        .position(|c| c.as_dispatch().is_some_and(|d| d.op == QKV));
    let shows = clean.ir.commands[dispatch.unwrap()..]
        .iter()
        .position(|c| matches!(c, Command::Barrier(_)));
    let at = dispatch.unwrap() + shows.unwrap();
    let Command::Barrier(barrier) = &mut broken.ir.commands[at] else {
        panic!("no barrier at {at}")
    };
    barrier
        .ranges
        .retain(|range| !hidden.iter().any(|other| other.overlaps(range)));
    let found = lab
        .judge(&pass, profile, &broken, &tap_plans(&clean)[2])
        .first_divergence
        .unwrap();
    assert_eq!(
        (found.op, found.inputs_ok, found.layer),
        ("fused_qkv_proj", true, 0)
    );
    assert_ne!(hazard::check(&broken.ir), []);
}

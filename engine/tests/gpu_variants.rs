//! Kernel variants that a default run does not dispatch, on the device against the reference: both row blockings, fusions,
//! split attention, the debug ring.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "smoke/card.rs"]
mod card;
#[path = "support/seeded.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod seeded;

use std::collections::BTreeSet;
use std::process::Command;

use card::Card;
use engine::arch::Architecture;
use engine::cpu::{CpuReference, KeepTrace};
use engine::fuse::{Wanted, fuse};
use engine::gguf::TensorType;
use engine::graph::Graph;
use engine::ir::{HostOutput, Kernel};
use engine::kernels::KERNELS;
use engine::model::{LogitsRows, Model, PassRequest};
use engine::quant::words;
use engine::ring::{RingSummary, with_rings};
use engine::vk::device::Device;
use engine::weights::{RowBlocking, WeightForm};
use seeded::Shape;

/// Largest difference over the largest value: sums in `f32` against sums in `f64`.
const LIMIT: f32 = 2e-5;

const SHAPE: Shape = Shape {
    arch: Architecture::Llama,
    layers: 2,
    width: 256,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    n_rot: 64,
    rope_base: 10000.0,
    ff: 512,
    vocab: 71,
    tied: true,
    ty: TensorType::F32,
};

/// Rows that leave a remainder in every block of rows.
const REMAINDERS: Shape = Shape {
    arch: Architecture::Qwen3,
    width: 64,
    heads: 5,
    kv_heads: 5,
    head_dim: 16,
    n_rot: 16,
    ff: 88,
    ..SHAPE
};

fn floats(bytes: &[u8]) -> Vec<f32> {
    words(bytes).map(f32::from_bits).collect()
}

fn check_near(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0f32, |a, v| a.max(v.abs()));
    let off = got
        .iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs())
        .fold(0f32, f32::max);
    assert!(
        off <= LIMIT * largest,
        "{what}: off by {off:e} of {largest:e}"
    );
}

/// Prefills five tokens and decodes two on card and reference; `change` makes the graph of every pass.
/// Returns the logits of the card and the kernels that it dispatched.
fn run(
    shape: &Shape,
    blocking: RowBlocking,
    change: impl Fn(Graph, &Card<'_>) -> Graph,
) -> (Vec<f32>, BTreeSet<Kernel>) {
    let file = seeded::model(shape, 3);
    let model = Model::load(&file, Some(32)).unwrap();
    let mut card = Card::load(&model, &file, blocking);
    let mut cpu = CpuReference::new(&model, &file).unwrap();
    let mut all = Vec::new();
    let passes = [
        PassRequest::prefill(&[3, 1, 4, 1, 5]),
        PassRequest::decode(9, 5),
        PassRequest::decode(2, 6),
    ];
    for pass in passes {
        let graph = change(model.graph(&pass).unwrap(), &card);
        let reads = card.play(&graph, &pass);
        let want = cpu.run(&pass, KeepTrace::No).unwrap().logits;
        let got = floats(&reads[&HostOutput::Logits]);
        check_near(&got, &want, &format!("{} {blocking:?}", shape.ty.name));
        all.extend(got);
    }
    (all, card.dispatched)
}

#[test]
fn both_row_blockings_compute_every_form() {
    for blocking in [RowBlocking::Narrow, RowBlocking::Wide] {
        for (form, ty) in WeightForm::ALL.into_iter().zip([
            TensorType::F32,
            TensorType::F16,
            TensorType::Q8_0,
            TensorType::Q4_0,
            TensorType::Q4_K,
            TensorType::Q6_K,
        ]) {
            let (_, dispatched) = run(&Shape { ty, ..SHAPE }, blocking, |graph, _| graph);
            let matvec = match blocking {
                RowBlocking::Narrow => form.matvec(),
                RowBlocking::Wide => form.matvec_wide(),
            };
            for kernel in [form.embed(), form.matmul(), matvec] {
                assert!(dispatched.contains(&kernel), "{}", kernel.name());
            }
            if ty.block <= 32 {
                // Heads of 16 make rows of 80, which blocks of 32 do not divide.
                let heads = if ty.block == 32 { 4 } else { 5 };
                let odd = Shape {
                    ty,
                    heads,
                    kv_heads: heads,
                    ff: if ty.block == 32 { 96 } else { 88 },
                    ..REMAINDERS
                };
                run(&odd, blocking, |graph, _| graph);
            }
        }
    }
}

#[test]
fn fused_kernels_give_the_bits_of_the_single_ones() {
    let expected = [
        (
            TensorType::F32,
            RowBlocking::Narrow,
            [Kernel::QkvF32, Kernel::FfnF32],
        ),
        (
            TensorType::Q8_0,
            RowBlocking::Narrow,
            [Kernel::QkvQ8_0, Kernel::FfnQ8_0],
        ),
        (
            TensorType::F32,
            RowBlocking::Wide,
            [Kernel::QkvWideF32, Kernel::FfnWideF32],
        ),
        (
            TensorType::Q8_0,
            RowBlocking::Wide,
            [Kernel::QkvWideQ8_0, Kernel::FfnWideQ8_0],
        ),
    ];
    for (ty, blocking, kernels) in expected {
        let shape = Shape { ty, ..SHAPE };
        let (plain, _) = run(&shape, blocking, |graph, _| graph);
        let (fused, dispatched) = run(&shape, blocking, |graph, card| {
            fuse(&graph, &card.weights, Wanted::ALL, None).graph
        });
        assert!(plain == fused, "{} {blocking:?}", ty.name);
        for kernel in kernels.into_iter().chain([Kernel::ResidualNorm]) {
            assert!(dispatched.contains(&kernel), "{}", kernel.name());
        }
    }
}

#[test]
fn the_ring_changes_nothing_and_holds_what_the_reference_knows() {
    let file = seeded::model(&SHAPE, 3);
    let model = Model::load(&file, Some(160)).unwrap();
    let mut card = Card::load(&model, &file, RowBlocking::Wide);
    let mut cpu = CpuReference::new(&model, &file).unwrap();
    let tokens: Vec<u32> = (0..150).map(|i| i * 13 % 71).collect();
    for pass in [PassRequest::prefill(&tokens), PassRequest::decode(9, 150)] {
        let plain = model.graph(&pass).unwrap();
        let ringed = with_rings(&plain);
        let want = cpu.run_graph(&ringed, &pass, KeepTrace::Yes).unwrap();
        let without = card.play(&plain, &pass)[&HostOutput::Logits].clone();
        let reads = card.play(&ringed, &pass);
        assert!(
            reads[&HostOutput::Logits] == without,
            "the ring changes logits"
        );
        for block in 0..SHAPE.layers {
            let bytes = &reads[&HostOutput::Ring(block)];
            let name = format!("blk.{block}.fa_ring");
            check_near(&floats(bytes), &want.trace[&name], &name);
            let summary = RingSummary::read(bytes);
            assert!(
                summary.smallest_sum >= 1.0 && summary.not_finite == 0,
                "{summary}"
            );
        }
    }
    assert!(card.dispatched.contains(&Kernel::AttentionRing));
}

#[test]
fn split_attention_equals_the_whole() {
    let shape = Shape {
        layers: 1,
        width: 64,
        ..REMAINDERS
    };
    let file = seeded::model(&shape, 3);
    let model = Model::load(&file, Some(1400)).unwrap();
    let mut card = Card::load(&model, &file, RowBlocking::Wide);
    let mut cpu = CpuReference::new(&model, &file).unwrap();
    let tokens: Vec<u32> = (0..1300).map(|i| i * 13 % 71).collect();
    let prompt = PassRequest {
        logits: LogitsRows::Last,
        ..PassRequest::prefill(&tokens)
    };
    for pass in [
        prompt,
        PassRequest::decode(9, 1300),
        PassRequest::decode(4, 1301),
    ] {
        let graph = model.graph(&pass).unwrap();
        let got = floats(&card.play(&graph, &pass)[&HostOutput::Logits]);
        let want = cpu.run(&pass, KeepTrace::No).unwrap().logits;
        check_near(&got, &want, &format!("position {}", pass.pos));
    }
    for kernel in [
        Kernel::AttentionSplit,
        Kernel::AttentionMerge,
        Kernel::Attention,
    ] {
        assert!(card.dispatched.contains(&kernel), "{}", kernel.name());
    }
}

/// The command line, which starts a worker: its exit code and the numbers of the refusal.
fn refusal(arguments: &[&str]) -> (Option<i32>, Vec<u64>) {
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/models/llama-a.q8_0.gguf"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(["run", model, "--tokens", "1", "--n", "1"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text
        .lines()
        .find(|line| line.contains("canonical envelope needs"));
    let words = line.unwrap_or_else(|| panic!("{text}")).split(' ');
    let numbers = words.filter_map(|word| word.parse().ok()).collect();
    (output.status.code(), numbers)
}

#[test]
fn a_model_larger_than_the_device_is_refused_before_allocation() {
    const ROW_BYTES: u64 = 2 * 2 * 32 * 4;
    let heap = Device::open().unwrap().caps().heap_bytes;
    let rows = (heap / ROW_BYTES + 1).to_string();
    let (code, caches) = refusal(&["--n-ctx", &rows]);
    assert_eq!(code, Some(3));
    let [needed, remaining] = caches[..2] else {
        panic!("{caches:?}");
    };
    assert!(needed > heap && remaining <= heap, "{needed} {remaining}");
    let (code, weights) = refusal(&["--budget", "1000"]);
    assert_eq!(code, Some(3));
    assert!(weights[0] > 100_000 && weights[1] == 1000, "{weights:?}");
}

/// What the tests above dispatch by name, with what every pass of the smoke suite dispatches, is the whole table.
#[test]
fn every_kernel_is_compared_with_the_reference() {
    let forms = WeightForm::ALL.into_iter().flat_map(|form| {
        [
            form.embed(),
            form.matmul(),
            form.matvec(),
            form.matvec_wide(),
        ]
    });
    let named = [
        Kernel::QkvF32,
        Kernel::QkvQ8_0,
        Kernel::QkvWideF32,
        Kernel::QkvWideQ8_0,
        Kernel::FfnF32,
        Kernel::FfnQ8_0,
        Kernel::FfnWideF32,
        Kernel::FfnWideQ8_0,
        Kernel::ResidualNorm,
        Kernel::Attention,
        Kernel::AttentionRing,
        Kernel::AttentionSplit,
        Kernel::AttentionMerge,
    ];
    let every_pass = [
        Kernel::RmsNorm,
        Kernel::Rope,
        Kernel::KvStore,
        Kernel::SiluMul,
        Kernel::Add,
    ];
    // They compute nothing that a reference could know.
    let measuring = [Kernel::Noop, Kernel::Copy];
    let covered: BTreeSet<Kernel> = forms
        .chain(named)
        .chain(every_pass)
        .chain(measuring)
        .collect();
    let table: BTreeSet<Kernel> = KERNELS.iter().map(|spec| spec.kernel).collect();
    assert_eq!(covered, table);
}

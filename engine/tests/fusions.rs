//! The seven acceptance questions of law §8, asked of every fused kernel by one table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "support/seeded.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod seeded;

use std::collections::BTreeSet;

use engine::arch::Architecture;
use engine::cpu::{CpuReference, KeepTrace};
use engine::fuse::verified::{Identity, ROWS};
use engine::fuse::{Fused, PATTERNS, Pattern, Reject, Wanted, fuse};
use engine::gguf::TensorType;
use engine::graph::{Graph, GraphBuilder, Op, OpKind, SideEffectKind};
use engine::hazard;
use engine::ir::{Access, Command, Kernel};
use engine::model::{LogitsRows, Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::record_pass;
use engine::tensor::ElementType;
use engine::weights::{RowBlocking, WeightsPlan};
use seeded::Shape;

/// One fused kernel with what the questions expect of it.
struct Row {
    pattern: Pattern,
    op: OpKind,
    /// Kernels, for both row blockings.
    kernels: &'static [Kernel],
    /// Forms that it takes.
    accepts: &'static [TensorType],
    /// A form that it does not take, with the reason; `None` where the weights are always `F32` on the device.
    rejects: Option<(TensorType, Reject)>,
    /// A graph and weights that do not lie as the kernel needs them.
    bad_layout: fn() -> (Graph, WeightsPlan),
    bad_layout_reason: Reject,
    /// A graph whose dimensions it does not take.
    bad_dimensions: fn() -> (Graph, WeightsPlan),
    bad_dimensions_reason: Reject,
    /// Stages of block 1 that it writes without owning them.
    side_effects: &'static [&'static str],
    /// Stages of block 1 that are gone.
    gone: &'static [&'static str],
}

const ROWS_OF_TABLE: [Row; 3] = [
    Row {
        pattern: Pattern::FusedQkvProj,
        op: OpKind::FusedQkvProj,
        kernels: &[
            Kernel::QkvF32,
            Kernel::QkvQ8_0,
            Kernel::QkvWideF32,
            Kernel::QkvWideQ8_0,
        ],
        accepts: &[TensorType::F32, TensorType::Q8_0],
        rejects: Some((TensorType::Q4_0, Reject::Form { form: "q4_0" })),
        bad_layout: || decode_of(&UNALIGNED),
        bad_layout_reason: Reject::Layout,
        bad_dimensions: prefill,
        bad_dimensions_reason: Reject::Rows { rows: 5 },
        side_effects: &["k_proj", "v_proj"],
        gone: &[],
    },
    Row {
        pattern: Pattern::FusedFfnGateUpSilu,
        op: OpKind::FusedFfnGateUpSilu,
        kernels: &[
            Kernel::FfnF32,
            Kernel::FfnQ8_0,
            Kernel::FfnWideF32,
            Kernel::FfnWideQ8_0,
        ],
        accepts: &[TensorType::F32, TensorType::Q8_0],
        rejects: Some((TensorType::F16, Reject::Form { form: "f16" })),
        bad_layout: || decode_of(&UNALIGNED),
        bad_layout_reason: Reject::Layout,
        bad_dimensions: prefill,
        bad_dimensions_reason: Reject::Rows { rows: 5 },
        side_effects: &[],
        gone: &["ffn_gate", "ffn_up"],
    },
    Row {
        pattern: Pattern::FusedResidualRmsNormWeight,
        op: OpKind::FusedResidualRmsNorm,
        kernels: &[Kernel::ResidualNorm],
        accepts: &[
            TensorType::F32,
            TensorType::F16,
            TensorType::Q8_0,
            TensorType::Q4_0,
        ],
        rejects: None,
        // The sum at the end of a block and the norm at the start of the next: the legacy path submits between them.
        bad_layout: || decode_of(&SHAPE),
        bad_layout_reason: Reject::CrossesBlocks,
        bad_dimensions: norm_of_heads,
        bad_dimensions_reason: Reject::NormRuns { run: 32, row: 96 },
        side_effects: &["attn_resid"],
        gone: &[],
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

/// Weights that end between two alignments, so that the next one cannot begin there.
const UNALIGNED: Shape = Shape {
    heads: 1,
    kv_heads: 1,
    width: 33,
    ff: 31,
    ..SHAPE
};

fn model(shape: &Shape) -> (Vec<u8>, Model) {
    let file = seeded::model(shape, 5);
    let model = Model::load(&file, Some(16)).unwrap();
    (file, model)
}

fn decode_of(shape: &Shape) -> (Graph, WeightsPlan) {
    let (_, model) = model(shape);
    let graph = model.graph(&PassRequest::decode(3, 4)).unwrap();
    (graph, model.weights_plan().unwrap())
}

fn prefill() -> (Graph, WeightsPlan) {
    let (_, model) = model(&SHAPE);
    let graph = model
        .graph(&PassRequest::prefill(&[1, 2, 3, 4, 5]))
        .unwrap();
    (graph, model.weights_plan().unwrap())
}

fn norm_of_heads() -> (Graph, WeightsPlan) {
    let mut builder = GraphBuilder::new();
    let a = builder.input("a", 1, 96, ElementType::F32);
    let weight = builder.weight("head_norm.weight", 1, 32);
    let sum = builder.node(Op::Add, &[a, a], None, 1, 96);
    builder.node(Op::RmsNorm { eps: 1e-5 }, &[sum, weight], None, 1, 96);
    (builder.finish(), WeightsPlan::default())
}

/// Wanted so that only this pattern's decisions matter.
fn fused(graph: &Graph, weights: &WeightsPlan) -> Fused {
    fuse(graph, weights, Wanted::ALL, None)
}

fn outcomes(fused: &Fused, pattern: Pattern) -> Vec<Option<Reject>> {
    let mine = fused.decisions.iter().filter(|d| d.pattern == pattern);
    mine.map(|decision| decision.rejected).collect()
}

fn count(graph: &Graph, op: OpKind) -> usize {
    graph.nodes().iter().filter(|n| n.op.kind() == op).count()
}

fn layout(row: &Row) {
    let (graph, weights) = decode_of(&SHAPE);
    let accepted = fused(&graph, &weights);
    assert_eq!(count(&accepted.graph, row.op), 2, "one per block");
    let (graph, weights) = (row.bad_layout)();
    let rejected = fused(&graph, &weights);
    assert!(outcomes(&rejected, row.pattern).contains(&Some(row.bad_layout_reason)));
}

fn dimensions(row: &Row) {
    let (graph, weights) = decode_of(&SHAPE);
    assert!(outcomes(&fused(&graph, &weights), row.pattern).contains(&None));
    let (graph, weights) = (row.bad_dimensions)();
    let rejected = fused(&graph, &weights);
    assert!(outcomes(&rejected, row.pattern).contains(&Some(row.bad_dimensions_reason)));
}

fn quantisation(row: &Row) {
    for ty in row.accepts {
        let (graph, weights) = decode_of(&Shape { ty: *ty, ..SHAPE });
        for blocking in [RowBlocking::Narrow, RowBlocking::Wide] {
            let weights = weights.clone().read_by(blocking);
            let found = outcomes(&fused(&graph, &weights), row.pattern);
            assert!(found.contains(&None), "{} {blocking:?}", ty.name);
        }
    }
    let Some((ty, reason)) = row.rejects else {
        return;
    };
    let (graph, weights) = decode_of(&Shape { ty, ..SHAPE });
    let found = outcomes(&fused(&graph, &weights), row.pattern);
    assert!(found.iter().all(|outcome| *outcome == Some(reason)));
    let found = outcomes(&fused(&graph, &mixed(row)), row.pattern);
    assert!(found.contains(&Some(Reject::MixedForms)), "{found:?}");
}

/// Places of a model whose last weight of every pattern has another type than the first.
fn mixed(row: &Row) -> WeightsPlan {
    let (_, model) = model(&SHAPE);
    let part = if row.pattern == Pattern::FusedQkvProj {
        "attn_v"
    } else {
        "ffn_up"
    };
    let mut sources: Vec<_> = model.sources().cloned().collect();
    for source in sources
        .iter_mut()
        .filter(|source| source.name.contains(part))
    {
        source.ty = TensorType::F16;
    }
    WeightsPlan::new(sources.iter()).unwrap()
}

fn no_eager_registration(row: &Row) {
    let nowhere = Identity {
        device: "another card".into(),
        driver: "another driver".into(),
    };
    let (graph, weights) = decode_of(&SHAPE);
    let rejected = fuse(&graph, &weights, Wanted::ALL, Some(&nowhere));
    assert!(!outcomes(&rejected, row.pattern).is_empty());
    assert_eq!(rejected.graph, graph, "a rejected match leaves no trace");
    let accepted = fused(&graph, &weights).graph;
    let named: BTreeSet<_> = accepted
        .nodes()
        .iter()
        .flat_map(|node| node.tensors())
        .collect();
    assert_eq!(
        named.len(),
        accepted.tensors().len(),
        "every tensor is used"
    );
    for stage in row.gone {
        let name = format!("blk.1.{stage}");
        assert!(graph.tensor_named(&name).is_some() && accepted.tensor_named(&name).is_none());
    }
}

fn side_effects(row: &Row) {
    let (graph, weights) = decode_of(&SHAPE);
    let graph = fused(&graph, &weights).graph;
    let mut nodes = graph.nodes().iter().filter(|node| node.op.kind() == row.op);
    let node = nodes.nth(1).unwrap();
    let registered: Vec<_> = node
        .side_effects
        .iter()
        .map(|effect| {
            assert_eq!(effect.kind, SideEffectKind::Whole);
            let tensor = graph.tensor(effect.tensor);
            assert!(tensor.flags.side_effect);
            assert_eq!(graph.producer(tensor.id), Some(node));
            tensor.name.clone()
        })
        .collect();
    let expected: Vec<_> = row
        .side_effects
        .iter()
        .map(|s| format!("blk.1.{s}"))
        .collect();
    assert_eq!(registered, expected);
    let plan = Plan::new(&graph, u64::MAX).unwrap();
    let profile =
        ExecutionProfile::resolve(&EnvSnapshot::default(), RequestKind::Production).unwrap();
    let ir = record_pass(&graph, &plan, &weights, &profile).unwrap();
    assert_eq!(hazard::check(&ir), []);
    let dispatch = ir.dispatches().find(|d| d.node == Some(node.id)).unwrap();
    assert!(row.kernels.contains(&dispatch.kernel));
    let written = dispatch.bindings.iter().filter(|b| b.access.writes());
    let written: BTreeSet<_> = written.filter_map(|b| b.tensor).collect();
    let owned = node
        .side_effects
        .iter()
        .map(|effect| effect.tensor)
        .chain(node.output);
    assert_eq!(written, owned.collect());
    // Were the writes not known, a judge would miss them: hide them, and readers read what nobody wrote.
    let mut hidden = ir.clone();
    for command in &mut hidden.commands {
        if let Command::Dispatch(d) = command
            && d.node == Some(node.id)
        {
            d.bindings.retain(|binding| binding.access == Access::Read);
        }
    }
    assert_ne!(hazard::check(&hidden), []);
}

fn parity(row: &Row) {
    let (file, model) = model(&SHAPE);
    let weights = model.weights_plan().unwrap();
    let mut cpu = CpuReference::new(&model, &file).unwrap();
    let prompt = PassRequest {
        logits: LogitsRows::Last,
        ..PassRequest::prefill(&[7, 8, 9, 10])
    };
    cpu.run(&prompt, KeepTrace::No).unwrap();
    let step = PassRequest::decode(3, 4);
    let plain = cpu.run(&step, KeepTrace::Yes).unwrap();
    let graph = fused(&model.graph(&step).unwrap(), &weights).graph;
    assert!(count(&graph, row.op) > 0);
    let together = cpu.run_graph(&graph, &step, KeepTrace::Yes).unwrap();
    assert_eq!(together.logits, plain.logits);
    for (name, values) in &together.trace {
        assert_eq!(Some(values), plain.trace.get(name), "{name}");
    }
}

fn validated_kernel(row: &Row) {
    let verified: Vec<_> = ROWS.iter().filter(|r| r.pattern == row.pattern).collect();
    assert!(!verified.is_empty(), "verified nowhere");
    let (graph, weights) = decode_of(&SHAPE);
    for (device, outcome) in [
        (verified[0].device, None),
        ("another card", Some(Reject::NotVerified)),
    ] {
        let identity = Identity {
            device: device.into(),
            driver: verified[0].driver.into(),
        };
        let found = fuse(&graph, &weights, Wanted::ALL, Some(&identity));
        assert!(outcomes(&found, row.pattern).contains(&outcome), "{device}");
    }
    for kernel in row.kernels {
        let name = kernel.name();
        let card = include_str!("gpu_variants.rs");
        let variant = format!("Kernel::{kernel:?}");
        assert!(card.contains(&variant), "no device test dispatches {name}");
    }
}

type Question = fn(&Row);

#[test]
fn every_fused_kernel_passes_the_seven_questions() {
    let questions: [(&str, Question); 7] = [
        ("layout", layout),
        ("dimensions", dimensions),
        ("quantisation", quantisation),
        ("no eager node registration", no_eager_registration),
        ("side-effect registration", side_effects),
        ("numerical parity", parity),
        ("a validated kernel", validated_kernel),
    ];
    let asked: Vec<_> = ROWS_OF_TABLE.iter().map(|row| row.pattern).collect();
    let known: Vec<_> = PATTERNS.iter().map(|row| row.pattern).collect();
    assert_eq!(asked, known, "every pattern is asked");
    for row in &ROWS_OF_TABLE {
        for (name, question) in questions {
            let answer = std::panic::catch_unwind(|| question(row));
            assert!(answer.is_ok(), "{}: {name}", row.pattern.name());
        }
    }
}

#[test]
fn a_switch_that_is_off_leaves_the_graph_alone() {
    let (graph, weights) = decode_of(&SHAPE);
    let off = fuse(&graph, &weights, Wanted::default(), None);
    assert_eq!(off.graph, graph);
    assert!(
        off.decisions
            .iter()
            .all(|d| d.rejected == Some(Reject::NotWanted))
    );
    let only_qkv = Wanted {
        qkv: true,
        ffn: false,
    };
    let graph = fuse(&graph, &weights, only_qkv, None).graph;
    assert_eq!(count(&graph, OpKind::FusedQkvProj), 2);
    assert_eq!(count(&graph, OpKind::FusedFfnGateUpSilu), 0);
}

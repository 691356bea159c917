//! Which detector names which fault, and where it points: the data of `docs/faults.md`.

use std::fmt::Write as _;

/// What can see a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// [`crate::hazard::check`].
    Hazard,
    /// [`crate::sim::judge`].
    Sim,
    /// Khronos sync validation, on the software driver.
    SyncValidation,
    /// [`crate::plan`] and its tests.
    Planner,
    /// The smoke suite, on the software driver against the reference.
    Smoke,
    /// The predicates that a green run must also satisfy.
    Engagement,
    /// The parent of the worker process.
    Harness,
}

impl Detector {
    /// All detectors, in the order of the table.
    pub const ALL: [Detector; 7] = [
        Detector::Hazard,
        Detector::Sim,
        Detector::SyncValidation,
        Detector::Planner,
        Detector::Smoke,
        Detector::Engagement,
        Detector::Harness,
    ];

    /// Head of its column.
    pub const fn title(self) -> &'static str {
        match self {
            Detector::Hazard => "hazard",
            Detector::Sim => "sim",
            Detector::SyncValidation => "sync validation",
            Detector::Planner => "planner test",
            Detector::Smoke => "smoke test",
            Detector::Engagement => "engagement proof",
            Detector::Harness => "worker harness",
        }
    }
}

/// A detector that sees a fault, and where it points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Detector.
    pub detector: Detector,
    /// What it says, for the example of the row.
    pub place: &'static str,
}

/// A pass of a model of `engine/tests/data/models`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExamplePass {
    /// File name without its ending.
    pub model: &'static str,
    /// Tokens.
    pub tokens: u32,
    /// Position of the first.
    pub pos: u32,
}

/// A prefill of 24 tokens.
const PREFILL: ExamplePass = ExamplePass {
    model: "llama-a.f32",
    tokens: 24,
    pos: 0,
};

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultSpec {
    /// Name.
    pub name: &'static str,
    /// Name of its argument; empty when it takes none.
    pub argument: &'static str,
    /// The fault as the row's cells mean it, with its argument.
    pub example: &'static str,
    /// The pass that they mean.
    pub pass: ExamplePass,
    /// What it breaks.
    pub what: &'static str,
    /// Its seeded bug in `engine/bugs`; empty where this build has nothing that could break so.
    pub bug: &'static str,
    /// Who sees it.
    pub cells: &'static [Cell],
    /// Why the row has no cells, where it has none.
    pub note: &'static str,
}

impl FaultSpec {
    /// How it is asked for: `drop_barrier:k`.
    pub fn usage(&self) -> String {
        match self.argument {
            "" => self.name.to_owned(),
            argument => format!("{}:{argument}", self.name),
        }
    }

    /// What a detector says; `None` when it sees nothing.
    pub fn cell(&self, detector: Detector) -> Option<&'static str> {
        let mut cells = self.cells.iter();
        cells
            .find(|cell| cell.detector == detector)
            .map(|cell| cell.place)
    }
}

const fn cell(detector: Detector, place: &'static str) -> Cell {
    Cell { detector, place }
}

/// All faults. The places are those of `llama-a.f32`, a prefill of 24 tokens on the single-graph path, where the row does
/// not say otherwise.
pub const FAULTS: &[FaultSpec] = &[
    FaultSpec {
        name: "drop_barrier",
        argument: "k",
        example: "drop_barrier:1",
        pass: PREFILL,
        what: "Barrier `k` is not recorded.",
        bug: "unordered_cache",
        cells: &[
            cell(
                Detector::Hazard,
                "read_after_write: embed_f32#0 and rms_norm#1",
            ),
            cell(
                Detector::Sim,
                "layer 0 `embd` zeros: embed, inputs right, last writer embed_f32#0 in arena",
            ),
            cell(
                Detector::SyncValidation,
                "SYNC-HAZARD-READ-AFTER-WRITE first at vkCmdDispatch#4",
            ),
        ],
        note: "",
    },
    FaultSpec {
        name: "drop_side_effect",
        argument: "op",
        example: "drop_side_effect:kv_store",
        pass: PREFILL,
        what: "No barrier shows what these ops write without owning it.",
        bug: "unregistered_side_effect",
        cells: &[
            cell(
                Detector::Hazard,
                "read_after_write: kv_store#7 and attention#9",
            ),
            cell(
                Detector::Sim,
                "layer 0 `attn_out` zeros: attention, inputs wrong, last writer kv_store#7 in state",
            ),
            cell(
                Detector::SyncValidation,
                "SYNC-HAZARD-READ-AFTER-WRITE first at vkCmdDispatch#17",
            ),
        ],
        note: "",
    },
    FaultSpec {
        name: "alias_leaf",
        argument: "",
        example: "alias_leaf",
        pass: PREFILL,
        what: "Input leaves get bytes only from their first reader on.",
        bug: "aliased_input_leaf",
        cells: &[
            cell(Detector::Hazard, "clobbered: rms_norm#1 and rope#5"),
            cell(
                Detector::Sim,
                "layer 0 `q_rope` drift: rope, inputs wrong, last writer rms_norm#1 in arena",
            ),
            cell(
                Detector::Planner,
                "`tokens` lives from step 1 on, `rope_table` lives from step 6 on",
            ),
            cell(
                Detector::Smoke,
                "layer 0 `q_rope` drift: rope, inputs wrong, last writer rms_norm#1 in arena",
            ),
        ],
        note: "",
    },
    FaultSpec {
        name: "stale_topology",
        argument: "",
        example: "stale_topology",
        pass: ExamplePass {
            tokens: 1,
            pos: 6,
            ..PREFILL
        },
        what: "A decode pass runs the graph of the pass before it.",
        bug: "shared_decode_topology",
        cells: &[
            cell(
                Detector::Sim,
                "layer 0 `attn_out` drift: attention, inputs wrong, last writer kv_store#7 in state",
            ),
            cell(
                Detector::Smoke,
                "layer 0 `attn_out` drift: attention, inputs wrong, last writer kv_store#7 in state",
            ),
        ],
        note: "Places: one token at position 6.",
    },
    FaultSpec {
        name: "wrong_rope_base",
        argument: "",
        example: "wrong_rope_base",
        pass: PREFILL,
        what: "The rotary table is made for another base.",
        bug: "rope_base_default",
        cells: &[
            cell(
                Detector::Sim,
                "layer 0 `q_rope` drift: rope, inputs wrong, last writer copy(input) in arena",
            ),
            cell(
                Detector::Smoke,
                "layer 0 `q_rope` drift: rope, inputs wrong, last writer copy(input) in arena",
            ),
        ],
        note: "",
    },
    FaultSpec {
        name: "skip_dispatch",
        argument: "k",
        example: "skip_dispatch:1",
        pass: PREFILL,
        what: "Dispatch `k` is not recorded.",
        bug: "skipped_dispatch",
        cells: &[
            cell(Detector::Hazard, "unwritten: none and matmul_f32#2"),
            cell(
                Detector::Sim,
                "layer 0 `attn_norm` zeros: rms_norm not dispatched, inputs right, last writer none in arena",
            ),
            cell(
                Detector::Smoke,
                "layer 0 `attn_norm` zeros: rms_norm not dispatched, inputs right, last writer none in arena",
            ),
        ],
        note: "",
    },
    FaultSpec {
        name: "fuse_precision",
        argument: "",
        example: "fuse_precision",
        pass: PREFILL,
        what: "The query, key and value weights keep 8 bits of mantissa.",
        bug: "truncated_weights",
        cells: &[
            cell(
                Detector::Sim,
                "layer 0 `q_proj` drift: matmul, inputs right, last writer matmul_f32#2 in arena",
            ),
            cell(
                Detector::Smoke,
                "layer 0 `q_proj` drift: matmul, inputs right, last writer matmul_f32#2 in arena",
            ),
        ],
        note: "",
    },
    FaultSpec {
        name: "lora_residue",
        argument: "",
        example: "lora_residue",
        pass: PREFILL,
        what: "An adapter's product stays after it was unloaded.",
        bug: "",
        cells: &[cell(
            Detector::Engagement,
            "refused: ENGINE_REQUIRE_LORA_GPU: this build has no LoRA on the GPU; unset it",
        )],
        note: "This build has no LoRA to leave a residue.",
    },
    FaultSpec {
        name: "cpu_substitute",
        argument: "",
        example: "cpu_substitute",
        pass: PREFILL,
        what: "The reference answers in place of the device.",
        bug: "decode_on_the_cpu",
        cells: &[cell(
            Detector::Engagement,
            "`count gpu_perdispatch >= 1` fails: no pass ran on the device",
        )],
        note: "",
    },
    FaultSpec {
        name: "tap_serialises",
        argument: "",
        example: "tap_serialises",
        pass: PREFILL,
        what: "A tap is planned where no command reads the tensor.",
        bug: "serialising_taps",
        cells: &[
            cell(Detector::Sim, "invalidated: tap_serialises"),
            cell(Detector::Smoke, "invalidated: tap_serialises"),
        ],
        note: "The run says nothing, for or against the engine, and is classed as an invalid setup.",
    },
    FaultSpec {
        name: "envelope_blowup",
        argument: "",
        example: "envelope_blowup",
        pass: PREFILL,
        what: "Every leaf is pinned, weights and caches included.",
        bug: "pinned_leaves",
        cells: &[
            cell(
                Detector::Planner,
                "canonical envelope needs 726016 B but only 99072 B remain",
            ),
            cell(
                Detector::Smoke,
                "canonical envelope needs 726016 B but only 99072 B remain",
            ),
        ],
        note: "With a budget that the right plan fits.",
    },
    FaultSpec {
        name: "spec_constant_default",
        argument: "",
        example: "spec_constant_default",
        pass: ExamplePass {
            model: "qwen3-a.f32",
            ..PREFILL
        },
        what: "The rotary kernel takes the strides of adjacent pairs for every model.",
        bug: "default_strides",
        cells: &[cell(
            Detector::Smoke,
            "layer 0 `q_rope` drift: rope, inputs right, last writer rope#7 in arena",
        )],
        note: "Places: `qwen3-a.f32`, which rotates halves.",
    },
    FaultSpec {
        name: "worker_abort",
        argument: "",
        example: "worker_abort",
        pass: PREFILL,
        what: "The worker aborts in a prediction.",
        bug: "fifth_byte",
        cells: &[cell(Detector::Harness, "driver_crash in predict, signal 6")],
        note: "",
    },
    FaultSpec {
        name: "worker_hang",
        argument: "",
        example: "worker_hang",
        pass: PREFILL,
        what: "The worker never answers a prediction.",
        bug: "spare_fence",
        cells: &[cell(Detector::Harness, "gpu_hang in predict, signal 9")],
        note: "",
    },
    FaultSpec {
        name: "worker_exit",
        argument: "",
        example: "worker_exit",
        pass: PREFILL,
        what: "The worker exits in a prediction.",
        bug: "",
        cells: &[cell(Detector::Harness, "driver_crash in predict, code 0")],
        note: "",
    },
    FaultSpec {
        name: "worker_garbage",
        argument: "",
        example: "worker_garbage",
        pass: PREFILL,
        what: "The worker writes bytes that are no message.",
        bug: "",
        cells: &[cell(Detector::Harness, "protocol in predict, signal 9")],
        note: "",
    },
    FaultSpec {
        name: "worker_flood",
        argument: "",
        example: "worker_flood",
        pass: PREFILL,
        what: "The worker writes one endless line.",
        bug: "",
        cells: &[cell(Detector::Harness, "protocol in predict, signal 9")],
        note: "",
    },
    FaultSpec {
        name: "worker_babble",
        argument: "",
        example: "worker_babble",
        pass: PREFILL,
        what: "The worker streams tokens without end.",
        bug: "",
        cells: &[cell(Detector::Harness, "protocol in predict, signal 9")],
        note: "",
    },
    FaultSpec {
        name: "worker_warm_up_hang",
        argument: "",
        example: "worker_warm_up_hang",
        pass: PREFILL,
        what: "The worker hangs while it builds pipelines.",
        bug: "",
        cells: &[cell(Detector::Harness, "gpu_hang in warm_up, signal 9")],
        note: "",
    },
];

/// The table as a document.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    let titles: Vec<&str> = Detector::ALL.iter().map(|d| d.title()).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "| fault | what it breaks | {} | seeded bug |",
        titles.join(" | ")
    );
    let _ = writeln!(text, "|---|---|{}---|", "---|".repeat(titles.len()));
    for spec in FAULTS {
        let cells: Vec<&str> = Detector::ALL
            .iter()
            .map(|detector| spec.cell(*detector).unwrap_or("–"))
            .collect();
        let what = [spec.what, spec.note].join(" ");
        let bug = match spec.bug {
            "" => "–".to_owned(),
            bug => format!("[{bug}](../engine/bugs/{bug}.toml)"),
        };
        let usage = spec.usage();
        let _ = writeln!(
            text,
            "| `{usage}` | {} | {} | {bug} |",
            what.trim(),
            cells.join(" | ")
        );
    }
    text
}

const HEAD: &str = "\
# Faults on purpose

<!-- Generated from engine/src/faults/table.rs:
     UPDATE_DOCS=1 cargo test -p engine --features faults --test fault_table -->

Builds with the feature `faults` break a pass in these ways: a worker when `ENGINE_FAULT` names one, `engine sim` with
`--fault`. The table says who sees it and where it points; a dash means that the detector sees nothing. Tests prove every
cell. Where the row does not say otherwise, the places are those of the model `llama-a.f32`, a prefill of 24 tokens on the
single-graph path, and the software driver: it executes in order and shows every write at once, so a lost barrier changes
no value there.

";

//! The judges of the command stream against a real driver: Khronos sync validation agrees with `hazard`, and every fault
//! of the table does on the software driver what its row says.
//!
//! Needs a Vulkan device and the package of the Khronos validation layer. Without either, the tests fail; nothing is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "support/converse.rs"]
mod converse;
#[path = "support/faults.rs"]
mod faults;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use converse::{Log, Talk};
use engine::faults::{Detector, FAULTS, FaultSpec};
use engine::fuse::Pattern;
use engine::worker::protocol::{Answer, DeviceKind, Prompt, Purpose, Request, Role};
use engine::worker::{Worker, WorkerOptions};
use faults::{Ledger, Place, spec};
use support::{Case, Golden, data, floats, golden, relative_error};

/// Khronos validation with everything that sync validation needs: the first name alone finds nothing in some releases.
const VALIDATION: [(&str, &str); 2] = [
    ("VK_INSTANCE_LAYERS", "VK_LAYER_KHRONOS_validation"),
    (
        "VK_LAYER_ENABLES",
        "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT:VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT",
    ),
];

/// A variable and its value.
type Setting = (&'static str, &'static str);

/// The six modes that have a stream, as a prompt and the environment ask for them.
const MODES: [(&str, Purpose, bool, Option<Setting>); 6] = [
    ("GpuSingleGraph", Purpose::Production, false, None),
    ("GpuLegacyMultiSubmit", Purpose::Smoke, true, None),
    ("GpuValidationSingleGraph", Purpose::Validation, false, None),
    ("GpuValidationLegacy", Purpose::Validation, true, None),
    (
        "GpuSmokeSummary",
        Purpose::Smoke,
        false,
        Some(("ENGINE_PERDISPATCH", "summary")),
    ),
    (
        "GpuSmokeFull",
        Purpose::Smoke,
        false,
        Some(("ENGINE_PERDISPATCH", "full")),
    ),
];

/// A golden file of the subset inside the project, and its case of 24 tokens.
fn model(name: &str) -> (Golden, Case) {
    let golden = golden(&data(), name).unwrap();
    let case = golden.cases.iter().find(|case| case.id == "p24");
    let case = case.unwrap().clone();
    (golden, case)
}

fn is_wrong(golden: &Golden, case: &Case, logits: &[f32]) -> bool {
    relative_error(logits, &case.logits) > f32::max(1e-4, 5.0 * golden.f32_noise)
}

fn load(golden: &Golden) -> Request {
    Request::Load {
        id: 1,
        model: golden.model.clone(),
        device: DeviceKind::Vulkan,
        n_ctx: Some(64),
        budget: None,
        role: Role::default(),
    }
}

fn prompt(case: &Case, purpose: Purpose, legacy: bool) -> Prompt {
    Prompt {
        tokens: case.prompt.clone(),
        greedy: 4,
        purpose,
        legacy,
        ..Prompt::default()
    }
}

fn run(golden: &Golden, prompt: Prompt, environment: &[(&str, &str)]) -> Log {
    let mut talk = Talk::new(environment);
    talk.say(&load(golden));
    talk.say(&Request::Predict { id: 2, prompt });
    talk.listen()
}

#[test]
fn sync_validation_is_clean_in_every_mode() {
    for name in ["llama-a.f32", "llama-a.q8_0", "qwen3-a.f32"] {
        let (golden, case) = model(name);
        for (mode, purpose, legacy, asked) in MODES {
            for noops in ["0", "20"] {
                let mut environment = VALIDATION.to_vec();
                environment.extend(asked);
                environment.push(("ENGINE_NOOP_DISPATCHES", noops));
                let prompt = prompt(&case, purpose, legacy);
                let log = run(&golden, prompt, &environment);
                let Some(Answer::Result { counters, .. }) = log.answers.last() else {
                    panic!("{name} {mode}: {:?}", log.answers.last())
                };
                assert_eq!(counters.mode, mode);
                assert_eq!(counters.passes.len(), 4, "{name} {mode}");
                assert_eq!(log.validation(), Vec::<&str>::new(), "{name} {mode}");
            }
        }
    }
}

/// Switches of all three fused kernels.
const FUSED: [Setting; 2] = [("ENGINE_FUSE_QKV", "1"), ("ENGINE_FUSE_FFN", "1")];

#[test]
fn sync_validation_is_clean_with_fused_kernels_in_every_mode() {
    // The small Q8_0 file's projections do not end where a storage buffer may begin.
    let rows: [(&str, &[Pattern]); 2] = [
        (
            "llama-a.f32",
            &[
                Pattern::FusedQkvProj,
                Pattern::FusedFfnGateUpSilu,
                Pattern::FusedResidualRmsNormWeight,
            ],
        ),
        ("llama-a.q8_0", &[Pattern::FusedResidualRmsNormWeight]),
    ];
    for (name, patterns) in rows {
        let (golden, case) = model(name);
        for (mode, purpose, legacy, asked) in MODES {
            let mut environment = VALIDATION.to_vec();
            environment.extend(asked);
            environment.extend(FUSED);
            let log = run(&golden, prompt(&case, purpose, legacy), &environment);
            let Some(Answer::Result { counters, .. }) = log.answers.last() else {
                panic!("{name} {mode}: {:?}", log.answers.last())
            };
            assert_eq!(counters.mode, mode);
            for pattern in patterns {
                let line = format!("fusion {} in decode: fused", pattern.name());
                assert!(log.stderr.contains(&line), "{name} {mode}: no {line}");
            }
            assert_eq!(log.validation(), Vec::<&str>::new(), "{name} {mode}");
        }
    }
}

/// Without this, silence would prove nothing.
#[test]
fn sync_validation_is_not_blind() {
    let (golden, case) = model("llama-a.f32");
    for (mode, purpose, legacy, _) in &MODES[..4] {
        let mut environment = VALIDATION.to_vec();
        environment.push(("ENGINE_FAULT", "drop_barrier:1"));
        let prompt = prompt(&case, *purpose, *legacy);
        for fused in [&[][..], &FUSED] {
            let environment = [&environment[..], fused].concat();
            let found = run(&golden, prompt.clone(), &environment).hazards();
            assert!(
                !found.is_empty(),
                "{mode} {fused:?}: a dropped barrier is not reported"
            );
        }
    }
}

/// Runs the row's fault as its pass says, with taps or without.
fn faulty(spec: &FaultSpec, purpose: Purpose, more: &[(&str, &str)]) -> (Log, Vec<f32>) {
    let (golden, case) = model(spec.pass.model);
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("logits.f32");
    let mut environment = vec![("ENGINE_FAULT", spec.example)];
    environment.extend(more);
    let prompt = Prompt {
        // The row's position: what is before it is the prefill, and the rest of the prompt follows token by token.
        prefill: (spec.pass.pos > 0).then_some(spec.pass.pos as usize),
        logits_file: Some(file.clone()),
        greedy: 1,
        ..prompt(&case, purpose, false)
    };
    let log = run(&golden, prompt, &environment);
    let logits = std::fs::read(file).map_or(Vec::new(), |bytes| floats(&bytes));
    (log, logits)
}

#[test]
fn sync_validation_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    for spec in FAULTS
        .iter()
        .filter(|spec| !spec.name.starts_with("worker_"))
    {
        let (log, _) = faulty(spec, Purpose::Smoke, &VALIDATION);
        let found = log.hazards();
        let seen = (!found.is_empty()).then(|| {
            let kinds: BTreeSet<_> = found.iter().map(|hazard| hazard.kind.as_str()).collect();
            let kinds: Vec<_> = kinds.into_iter().collect();
            format!("{} first at {}", kinds.join(", "), found[0].place)
        });
        ledger.enter(spec, Detector::SyncValidation, seen);
    }
    ledger.close();
}

#[test]
fn the_smoke_suite_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    for spec in FAULTS
        .iter()
        .filter(|spec| !spec.name.starts_with("worker_"))
    {
        let seen = if spec.name == "envelope_blowup" {
            refused_budget(spec)
        } else {
            divergence(spec)
        };
        ledger.enter(spec, Detector::Smoke, seen);
    }
    ledger.close();
}

/// Logits against the golden ones; where they differ, the first divergence of a validation run.
fn divergence(spec: &FaultSpec) -> Option<String> {
    let (golden, case) = model(spec.pass.model);
    let (log, logits) = faulty(spec, Purpose::Smoke, &[]);
    assert!(
        matches!(log.answers.last(), Some(Answer::Result { .. })),
        "{:?}",
        log.answers
    );
    let wrong = is_wrong(&golden, &case, &logits);
    let (log, _) = faulty(spec, Purpose::Validation, &[]);
    match log.answers.last() {
        Some(Answer::Invalidated { reason_code, .. }) => {
            Some(format!("invalidated: {reason_code}"))
        }
        Some(Answer::Result { divergence, .. }) => {
            assert_eq!(divergence.is_some(), wrong, "{}: {divergence:?}", spec.name);
            divergence.as_ref().map(|found| {
                let place = Place {
                    layer: found.layer,
                    stage: &found.tensor_stage,
                    kind: &found.kind,
                    op: &found.op,
                    dispatched: found.dispatched,
                    inputs_ok: found.inputs_ok,
                    last_writer: &found.last_writer,
                    region: &found.region,
                };
                place.words()
            })
        }
        other => panic!("{}: {other:?}", spec.name),
    }
}

/// A budget that holds the right plan to the byte, and what is said when the fault asks for more.
fn refused_budget(spec: &FaultSpec) -> Option<String> {
    let (golden, case) = model(spec.pass.model);
    let refused = |budget: u64, fault: &str| {
        let mut talk = Talk::new(&[("ENGINE_FAULT", fault)]);
        talk.say(&Request::Load {
            id: 1,
            model: golden.model.clone(),
            device: DeviceKind::Vulkan,
            n_ctx: Some(64),
            budget: Some(budget),
            role: Role::default(),
        });
        let prompt = prompt(&case, Purpose::Smoke, false);
        talk.say(&Request::Predict { id: 2, prompt });
        talk.listen()
            .answers
            .into_iter()
            .find_map(|answer| match answer {
                Answer::Error { code, message, .. } if code == "envelope" => Some(message),
                _ => None,
            })
    };
    let mut budget = 1;
    // The refusal itself says how many bytes are missing: first of the weights, then of the pass.
    while let Some(message) = refused(budget, "none") {
        let numbers = numbers(&message);
        budget += numbers[0] - numbers[1];
    }
    refused(budget, spec.example)
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// The proof of engagement that every scope on a GPU demands: passes ran on the device, and nothing fell back.
#[test]
fn the_engagement_proof_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    let rows = FAULTS
        .iter()
        .filter(|spec| !spec.name.starts_with("worker_"));
    for spec in rows.filter(|spec| spec.name != "lora_residue") {
        let (log, _) = faulty(spec, Purpose::Smoke, &[]);
        let line = |tag: &str| log.stderr.lines().any(|line| line.starts_with(tag));
        assert!(line("[BACKEND]"), "{}: {}", spec.name, log.stderr);
        let seen = (!line("[GPU PERDISPATCH]"))
            .then(|| "`count gpu_perdispatch >= 1` fails: no pass ran on the device".to_owned());
        ledger.enter(spec, Detector::Engagement, seen);
    }
    ledger.close();
}

/// What stays of an adapter is seen by comparing with what was there before; here every adapter is refused, so that nothing
/// is there to stay.
#[test]
fn lora_residue_has_no_adapter_to_act_on() {
    let (golden, case) = model("llama-a.f32");
    let mut talk = Talk::new(&[("ENGINE_FAULT", spec("lora_residue").example)]);
    talk.say(&load(&golden));
    let predict = |id| Request::Predict {
        id,
        prompt: prompt(&case, Purpose::Smoke, false),
    };
    let adapter = golden.model.clone();
    talk.say(&predict(2));
    talk.say(&Request::LoraApply {
        id: 3,
        adapter: adapter.clone(),
        scale: 1.0,
    });
    talk.say(&Request::LoraUnload { id: 4, adapter });
    talk.say(&predict(5));
    let log = talk.listen();
    let refused = |wanted: u64| {
        log.answers.iter().any(|answer| {
            matches!(answer, Answer::Error { id: Some(id), code, .. } if *id == wanted && code == "unsupported")
        })
    };
    assert!(refused(3) && refused(4), "{:?}", log.answers);
    let logits: Vec<&str> = log
        .answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Result { logits_sha, .. } => Some(logits_sha.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(logits.len(), 2, "{:?}", log.answers);
    assert_eq!(logits[0], logits[1], "the base model stays what it was");
}

/// Lines of a tag, without the numbers that every run has of its own.
fn told<'l>(log: &'l Log, tag: &str) -> Vec<&'l str> {
    let lines = log.stderr.lines();
    lines.filter(|line| line.starts_with(tag)).collect()
}

#[test]
fn a_tapped_legacy_pass_tells_every_stage_and_others_their_logits() {
    let (golden, case) = model("llama-a.f32");
    let tag = "legacy_multi_submit ";
    let tapped = run(&golden, prompt(&case, Purpose::Validation, true), &[]);
    for stage in [
        "embd",
        "attn_norm",
        "q_rope",
        "attn_out",
        "l_out",
        "final_norm",
    ] {
        let found = told(&tapped, tag);
        let mut lines = found
            .iter()
            .filter(|line| line.contains(&format!(" stage={stage} ")));
        assert!(lines.next().is_some(), "{stage}: {found:?}");
    }
    let untapped = run(&golden, prompt(&case, Purpose::Smoke, true), &[]);
    let found = told(&untapped, tag);
    assert_eq!(found.len(), 4, "one per pass: {found:?}");
    let logits = |line: &&str| line.contains(" stage=logits layer=2 argmax=");
    assert!(found.iter().all(logits), "{found:?}");
    // The first pass chooses what the golden continuation begins with.
    let first = format!(" argmax={} ", case.greedy[0]);
    assert!(found[0].contains(&first), "{}", found[0]);
    let single = run(&golden, prompt(&case, Purpose::Validation, false), &[]);
    assert_eq!(told(&single, tag), Vec::<&str>::new());
}

#[test]
fn a_plan_is_made_once_per_shape_and_missed_aloud() {
    let (golden, case) = model("llama-a.f32");
    let tag = "[GPU SMOKE CACHE KEY MISS] ";
    let smoke = run(&golden, prompt(&case, Purpose::Smoke, false), &[]);
    let found = told(&smoke, tag);
    assert_eq!(
        found.len(),
        2,
        "a prefill and three decode passes: {found:?}"
    );
    assert!(found[0].contains(" cached=none differs=first path=single_graph phase=prefill pass=0"));
    assert!(found[1].contains(" differs=bytes path=single_graph phase=decode pass=1"));
    let production = run(&golden, prompt(&case, Purpose::Production, false), &[]);
    assert_eq!(told(&production, tag), Vec::<&str>::new());
}

/// A load and a prediction on the device, each within a limit that only a hang exceeds.
#[test]
fn a_worker_answers_before_its_deadline() {
    let (golden, case) = model("llama-a.f32");
    let mut options = WorkerOptions::new(env!("CARGO_BIN_EXE_engine"));
    options.step_timeout = Duration::from_secs(60);
    let mut worker = Worker::start(options).unwrap();
    let loaded = worker.load(golden.model, DeviceKind::Vulkan, Some(64), None);
    assert_eq!(loaded.unwrap().backend, "vulkan");
    let answer = worker.predict(prompt(&case, Purpose::Smoke, false), |_| {});
    assert!(matches!(answer, Ok(Answer::Result { .. })), "{answer:?}");
    assert_eq!(worker.shutdown().unwrap().class, "clean");
}

//! The simulated device: correct streams give the reference's bits, broken ones go wrong where the fault is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::cpu::{CpuReference, KeepTrace};
use engine::hazard::{self, HazardKind};
use engine::ir::{ByteRange, Command, CommandIr, CopyPurpose, HostInput, Region};
use engine::model::{LogitsRows, Model, PassRequest};
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::{Recording, record_upload};
use engine::sim::{Sim, Trial, Verdict, judge};
use engine::validate::{DivergenceKind, FirstDivergence, plan_all_taps};
use support::{bytes, data, gpu_profiles};

struct Lab {
    file: Vec<u8>,
    model: Model,
}

impl Lab {
    fn open(name: &str) -> Lab {
        let file = bytes(&data().join(format!("models/{name}.gguf")));
        let model = Model::load(&file, Some(64)).unwrap();
        Lab { file, model }
    }

    fn record(&self, pass: &PassRequest, profile: &ExecutionProfile) -> Recording {
        Recording::new(&self.model, pass, profile, u64::MAX).unwrap()
    }

    fn judge(&self, pass: &PassRequest, recording: &Recording) -> Verdict {
        let used = recording.ir.region_size(Region::Readback);
        let taps = plan_all_taps(&recording.graph, &recording.plan, used).unwrap();
        let context: Vec<u32> = (0..pass.pos).collect();
        judge(&Trial {
            model: &self.model,
            file: &self.file,
            request: pass,
            context: &context,
            profile: &single(),
            recording,
            data: &self.model.host_data(pass).unwrap(),
            taps: &taps,
            fill: None,
        })
        .unwrap()
    }

    /// Where a stream without some of its commands goes wrong.
    fn divergence(
        &self,
        pass: &PassRequest,
        clean: &Recording,
        edit: impl FnOnce(&mut Vec<Command>),
    ) -> Option<FirstDivergence> {
        let mut broken = clean.clone();
        edit(&mut broken.ir.commands);
        self.judge(pass, &broken).first_divergence
    }
}

fn single() -> ExecutionProfile {
    ExecutionProfile::resolve(&EnvSnapshot::default(), RequestKind::Smoke).unwrap()
}

fn prompt() -> PassRequest {
    PassRequest::prefill(&(0..12).collect::<Vec<u32>>())
}

#[test]
fn correct_streams_give_the_references_bits_in_every_mode() {
    for name in [
        "llama-a.f32",
        "llama-a.q8_0",
        "qwen3-a.f32",
        "qwen3-yarn-a.q4_0",
    ] {
        let lab = Lab::open(name);
        let last = PassRequest {
            logits: LogitsRows::Last,
            ..prompt()
        };
        for pass in [prompt(), last, PassRequest::decode(7, 12)] {
            for profile in gpu_profiles() {
                let verdict = lab.judge(&pass, &lab.record(&pass, &profile));
                let clean = Verdict {
                    bits_equal: true,
                    logits_error: 0.0,
                    first_divergence: None,
                    invalidated: None,
                };
                assert_eq!(verdict, clean, "{name} {:?}", profile.mode);
            }
        }
    }
}

#[test]
fn passes_follow_one_another_on_one_device() {
    let lab = Lab::open("llama-a.q8_0");
    let mut sim = Sim::load(&lab.model, &lab.file).unwrap();
    let mut reference = CpuReference::new(&lab.model, &lab.file).unwrap();
    let mut passes = vec![prompt()];
    passes.extend((0..6).map(|i| PassRequest::decode(40 + i, 12 + i)));
    for pass in passes {
        let recording = lab.record(&pass, &single());
        let data = lab.model.host_data(&pass).unwrap();
        let played = sim.play(&recording.ir, recording.pass(&data)).unwrap();
        let wanted = reference.run(&pass, KeepTrace::No).unwrap().logits;
        assert_eq!(played.logits(), wanted, "position {}", pass.pos);
    }
}

/// Whatever hazard finds between two commands after a barrier was lost, the simulated device shows as wrong values.
#[test]
fn every_dropped_barrier_that_hazard_finds_changes_values() {
    let lab = Lab::open("llama-a.f32");
    for pass in [prompt(), PassRequest::decode(7, 12)] {
        let clean = lab.record(&pass, &single());
        let barriers = (0..clean.ir.commands.len())
            .filter(|at| matches!(clean.ir.commands[*at], Command::Barrier(_)));
        let mut seen = 0;
        for at in barriers {
            let mut broken = clean.clone();
            broken.ir.commands.remove(at);
            let findings = hazard::check(&broken.ir);
            assert!(!findings.is_empty(), "barrier {at}");
            let verdict = lab.judge(&pass, &broken);
            let host = findings
                .iter()
                .all(|f| f.kind == HazardKind::NotVisibleToHost);
            assert!(!verdict.bits_equal, "barrier {at}: {findings:?}");
            assert!(
                host || verdict.first_divergence.is_some(),
                "barrier {at}: {findings:?}"
            );
            seen += 1;
        }
        assert!(seen > 20, "{seen} barriers");
    }
}

#[test]
fn a_lost_barrier_shows_zeros_in_the_tensor_that_nobody_sees() {
    let lab = Lab::open("llama-a.f32");
    let clean = lab.record(&prompt(), &single());
    let found = lab
        .divergence(&prompt(), &clean, |commands| {
            let norm = position(commands, "rms_norm#1");
            assert!(matches!(commands.remove(norm - 1), Command::Barrier(_)));
        })
        .unwrap();
    assert_eq!(
        (
            found.stage.name(),
            found.kind,
            found.dispatched,
            found.inputs_ok
        ),
        ("embd", DivergenceKind::Zeros, true, true)
    );
    assert_eq!(found.last_writer, "embed_f32#0");
}

#[test]
fn a_barrier_over_too_few_bytes_shows_the_rest_as_zeros() {
    let lab = Lab::open("llama-a.f32");
    let clean = lab.record(&prompt(), &single());
    let found = lab
        .divergence(&prompt(), &clean, |commands| {
            let norm = position(commands, "rms_norm#1");
            let Command::Barrier(barrier) = &mut commands[norm - 1] else {
                panic!("no barrier")
            };
            barrier.ranges[0].len -= 256;
        })
        .unwrap();
    assert_eq!(
        (found.stage.name(), found.kind),
        ("embd", DivergenceKind::Drift)
    );
    assert_eq!(found.gpu, 0.0);
}

#[test]
fn a_lost_dispatch_is_named_as_not_dispatched() {
    let lab = Lab::open("llama-a.f32");
    let clean = lab.record(&prompt(), &single());
    let found = lab
        .divergence(&prompt(), &clean, |commands| {
            let norm = position(commands, "rms_norm#1");
            commands.remove(norm);
        })
        .unwrap();
    assert_eq!(
        (
            found.stage.name(),
            found.dispatched,
            found.last_writer.as_str()
        ),
        ("attn_norm", false, "none")
    );
}

#[test]
fn stale_caches_are_found_in_the_state_region() {
    let lab = Lab::open("llama-a.f32");
    let pass = PassRequest::decode(7, 12);
    let clean = lab.record(&pass, &single());
    let found = lab
        .divergence(&pass, &clean, |commands| {
            let is_cache = |range: &ByteRange| range.region == Region::State;
            for command in commands {
                if let Command::Barrier(barrier) = command {
                    barrier.ranges.retain(|range| !is_cache(range));
                }
            }
        })
        .unwrap();
    assert_eq!((found.stage.name(), found.region), ("attn_out", "state"));
    assert!(found.last_writer.starts_with("kv_store#"), "{found:?}");
    assert_eq!((found.dispatched, found.inputs_ok), (true, false));
}

#[test]
fn without_a_fence_or_a_view_the_host_reads_what_was_there() {
    let lab = Lab::open("llama-a.f32");
    let clean = lab.record(&prompt(), &single());
    let fence = position_of(&clean.ir, |c| *c == Command::FenceWait);
    let host = position_of(&clean.ir, Command::is_submit) - 1;
    for at in [fence, host] {
        let mut broken = clean.ir.clone();
        broken.commands.remove(at);
        let mut sim = Sim::load(&lab.model, &lab.file).unwrap();
        let data = lab.model.host_data(&prompt()).unwrap();
        let logits = sim.play(&broken, clean.pass(&data)).unwrap().logits();
        assert!(logits.iter().all(|value| *value == 0.0), "without {at}");
    }
}

#[test]
fn staging_that_is_written_in_flight_reaches_the_device() {
    let lab = Lab::open("llama-a.f32");
    let clean = lab.record(&prompt(), &single());
    let play = |ir: &CommandIr| {
        let mut sim = Sim::load(&lab.model, &lab.file).unwrap();
        let data = lab.model.host_data(&prompt()).unwrap();
        sim.play(ir, clean.pass(&data)).unwrap().logits()
    };
    // The table's bytes, written over the tokens before the fence.
    let mut broken = clean.ir.clone();
    let fence = position_of(&broken, |c| *c == Command::FenceWait);
    let Command::HostWrite { dst, .. } = broken.commands[0].clone() else {
        panic!("no host write")
    };
    let input = HostInput::RopeTable;
    broken
        .commands
        .insert(fence, Command::HostWrite { dst, input });
    assert_ne!(play(&broken), play(&clean.ir));
}

#[test]
fn an_upload_that_nothing_shows_leaves_the_weights_zero() {
    let lab = Lab::open("llama-a.q8_0");
    let weights = lab.model.weights_plan().unwrap();
    let fill = |chunk, offset, out: &mut [u8]| weights.fill(&lab.file, chunk, offset, out);
    let mut upload = record_upload(&weights, 16 << 20);
    let copies = |c: &Command| !matches!(c, Command::Copy(copy) if copy.purpose == CopyPurpose::WeightUpload);
    let mut lost = upload.clone();
    lost.commands.retain(copies);
    let pass = prompt();
    let recording = lab.record(&pass, &single());
    let data = lab.model.host_data(&pass).unwrap();
    let logits = |upload: &CommandIr| {
        let mut sim = Sim::load_with(&lab.model, &lab.file, upload, &fill).unwrap();
        sim.play(&recording.ir, recording.pass(&data))
            .unwrap()
            .logits()
    };
    assert!(logits(&lost).iter().all(|value| *value == 0.0));
    // A fence in front of the passes shows what a barrier did not.
    upload
        .commands
        .retain(|c| !matches!(c, Command::Barrier(_)));
    assert!(logits(&upload).iter().any(|value| *value != 0.0));
}

fn position(commands: &[Command], name: &str) -> usize {
    commands.iter().position(|c| c.name() == name).unwrap()
}

fn position_of(ir: &CommandIr, wanted: impl Fn(&Command) -> bool) -> usize {
    ir.commands.iter().position(wanted).unwrap()
}

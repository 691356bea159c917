//! The fault table: every cell of a judge that needs no device is what that judge says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "support/faults.rs"]
mod faults;
mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::EngineError;
use engine::faults::{Detector, FAULTS, Fault, FaultSpec, VARIABLE, markdown};
use engine::hazard;
use engine::ir::Region;
use engine::model::{Model, PassRequest};
use engine::plan::{HOST_WRITES, Plan};
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::Recording;
use engine::sim::{Trial, Verdict, judge};
use engine::validate::plan_all_taps;
use engine::worker::protocol::{DeviceKind, Prompt};
use engine::worker::{Worker, WorkerError, WorkerOptions};
use faults::{Ledger, Place, spec};
use support::{bytes, data};

struct Example {
    file: Vec<u8>,
    model: Model,
    request: PassRequest,
    context: Vec<u32>,
    profile: ExecutionProfile,
    fault: Fault,
}

impl Example {
    fn of(spec: &FaultSpec) -> Example {
        let pass = spec.pass;
        let file = bytes(&data().join(format!("models/{}.gguf", pass.model)));
        let model = Model::load(&file, Some(64)).unwrap();
        let tokens: Vec<u32> = (0..pass.pos + pass.tokens).map(|i| 31 * i % 600).collect();
        let (context, tokens) = tokens.split_at(pass.pos as usize);
        let request = match tokens {
            [token] => PassRequest::decode(*token, pass.pos),
            tokens => PassRequest::prefill(tokens),
        };
        Example {
            request,
            context: context.to_vec(),
            profile: ExecutionProfile::resolve(&EnvSnapshot::default(), RequestKind::Smoke)
                .unwrap(),
            fault: spec.example.parse().unwrap(),
            model,
            file,
        }
    }

    fn recording(&self) -> Recording {
        self.fault
            .record(&self.model, &self.request, &self.profile, u64::MAX)
            .unwrap()
    }

    fn sim(&self) -> Verdict {
        let recording = self.recording();
        let used = recording.ir.region_size(Region::Readback);
        let mut taps = plan_all_taps(&recording.graph, &recording.plan, used).unwrap();
        self.fault.taps(&mut taps);
        let weights = self.model.weights_plan().unwrap();
        let names: Vec<String> = self.model.sources().map(|s| s.name.clone()).collect();
        let fill = |chunk, offset, out: &mut [u8]| {
            weights.fill(&self.file, chunk, offset, out);
            self.fault.weights(&weights, &names, (chunk, offset), out);
        };
        judge(&Trial {
            model: &self.model,
            file: &self.file,
            request: &self.request,
            context: &self.context,
            profile: &self.profile,
            recording: &recording,
            data: &self.fault.host_data(&self.model, &self.request).unwrap(),
            taps: &taps,
            fill: Some(&fill),
        })
        .unwrap()
    }
}

fn words(verdict: Verdict) -> Option<String> {
    if let Some(why) = verdict.invalidated {
        return Some(format!("invalidated: {}", why.reason_code));
    }
    let Some(found) = verdict.first_divergence else {
        assert!(verdict.bits_equal, "wrong logits have a first wrong tensor");
        return None;
    };
    let place = Place {
        layer: found.layer.into(),
        stage: found.stage.name(),
        kind: found.kind.name(),
        op: found.op,
        dispatched: found.dispatched,
        inputs_ok: found.inputs_ok,
        last_writer: &found.last_writer,
        region: found.region,
    };
    Some(place.words())
}

#[test]
fn hazard_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    for spec in FAULTS {
        let findings = hazard::check(&Example::of(spec).recording().ir);
        let seen = findings.first().map(|found| {
            let first = found.first.as_ref().map_or("none", |first| &first.name);
            format!("{}: {first} and {}", found.kind.name(), found.second.name)
        });
        ledger.enter(spec, Detector::Hazard, seen);
    }
    ledger.close();
}

#[test]
fn the_simulated_device_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    for spec in FAULTS {
        ledger.enter(spec, Detector::Sim, words(Example::of(spec).sim()));
    }
    ledger.close();
}

/// What the planner's laws say about a plan: leaves live from the host's write on, and the bytes are those of the envelope.
#[test]
fn the_planner_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    for spec in FAULTS {
        let example = Example::of(spec);
        let clean = Recording::new(&example.model, &example.request, &example.profile, u64::MAX);
        let plan = clean.unwrap().plan;
        let envelope = plan.report.peak + plan.state_bytes;
        let graph = example.model.graph(&example.request).unwrap();
        let late = |plan: Plan| {
            let requests = plan.requests().iter().copied();
            let leaves = requests.filter(|r| graph.tensor(r.tensor).flags.input);
            let late = leaves.filter(|leaf| leaf.first > HOST_WRITES);
            let names: Vec<String> = late
                .map(|leaf| {
                    format!(
                        "`{}` lives from step {} on",
                        graph.tensor(leaf.tensor).name,
                        leaf.first
                    )
                })
                .collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let seen = match example.fault.plan(&graph, envelope) {
            Ok(plan) => late(plan),
            Err(error @ EngineError::Envelope { .. }) => Some(error.to_string()),
            Err(error) => panic!("{error}"),
        };
        ledger.enter(spec, Detector::Planner, seen);
    }
    ledger.close();
}

/// How a worker goes down. The faults strike before any device is touched, so the reference serves.
fn downfall(spec: &FaultSpec) -> String {
    let mut options = WorkerOptions::new(env!("CARGO_BIN_EXE_engine"));
    options.environment = vec![(VARIABLE.into(), spec.example.into())];
    if spec.name == "worker_warm_up_hang" {
        options.warm_up_timeout = Duration::from_millis(300);
    }
    let mut worker = Worker::start(options).unwrap();
    let file = data().join(format!("models/{}.gguf", spec.pass.model));
    let prompt = Prompt {
        tokens: vec![1, 2, 3],
        ..Prompt::default()
    };
    let loaded = worker.load(file, DeviceKind::Cpu, Some(16), None);
    let outcome = loaded.and_then(|_| {
        if spec.name == "worker_hang" {
            worker.set_step_timeout(Duration::from_millis(300));
        }
        worker.predict(prompt, |_| {})
    });
    let WorkerError::Down { exit, .. } = outcome.unwrap_err() else {
        panic!("{} leaves the worker alive", spec.name)
    };
    let end = match (exit.code, exit.signal) {
        (_, Some(signal)) => format!("signal {signal}"),
        (code, None) => format!("code {}", code.unwrap_or(-1)),
    };
    format!("{} in {}, {end}", exit.class, exit.step)
}

#[cfg(unix)]
#[test]
fn the_worker_harness_says_what_the_table_says() {
    let mut ledger = Ledger::default();
    for spec in FAULTS {
        let strikes = spec.name.starts_with("worker_");
        ledger.enter(spec, Detector::Harness, strikes.then(|| downfall(spec)));
    }
    ledger.close();
}

/// Where both see a fault, the simulated device and the software driver name the same tensor.
#[test]
fn the_simulated_device_and_the_driver_agree() {
    for spec in FAULTS {
        let (sim, smoke) = (spec.cell(Detector::Sim), spec.cell(Detector::Smoke));
        if let (Some(sim), Some(smoke)) = (sim, smoke) {
            assert_eq!(sim, smoke, "{}", spec.name);
        }
    }
}

#[test]
fn a_build_without_lora_refuses_to_prove_it() {
    let environment = EnvSnapshot::from_vars([("ENGINE_REQUIRE_LORA_GPU", "1")]);
    let refused = ExecutionProfile::resolve(&environment, RequestKind::Smoke).unwrap_err();
    let mut ledger = Ledger::default();
    ledger.enter(
        spec("lora_residue"),
        Detector::Engagement,
        Some(format!("refused: {refused}")),
    );
    ledger.close();
}

#[test]
fn every_row_is_seen_by_somebody_and_named_like_its_fault() {
    for spec in FAULTS {
        assert!(!spec.cells.is_empty(), "{} is seen by nobody", spec.name);
        let fault: Fault = spec.example.parse().unwrap();
        assert_eq!(fault.to_string(), spec.example);
        assert_eq!(spec.example.split(':').next(), Some(spec.name));
        assert_eq!(spec.example.contains(':'), !spec.argument.is_empty());
    }
    for text in [
        "",
        "explode",
        "drop_barrier",
        "drop_barrier:x",
        "drop_side_effect:gpu",
        "worker_abort:1",
    ] {
        let error = text.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains("drop_barrier:k"), "{text}: {error}");
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

#[test]
fn every_fault_has_its_seeded_bug() {
    for spec in FAULTS {
        let file = repository().join(format!("engine/bugs/{}.toml", spec.bug));
        // Bytes that are no message come from no bug in the engine's own code that a patch could hold.
        const WITHOUT: [&str; 6] = [
            "lora_residue",
            "worker_exit",
            "worker_garbage",
            "worker_flood",
            "worker_babble",
            "worker_warm_up_hang",
        ];
        assert_eq!(
            spec.bug.is_empty(),
            WITHOUT.contains(&spec.name),
            "{}",
            spec.name
        );
        if spec.bug.is_empty() {
            continue;
        }
        let bug: toml::Table = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(bug["fault"].as_str(), Some(spec.name), "{}", spec.bug);
    }
}

#[test]
fn the_document_is_current() {
    let path = repository().join("docs/faults.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == markdown(),
        "docs/faults.md is stale; run UPDATE_DOCS=1 cargo test -p engine --features faults --test fault_table"
    );
}

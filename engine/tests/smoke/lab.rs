//! One worker for the whole test binary; each test loads its model into it and unloads it again.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use engine::health::Health;
use engine::telemetry::{FirstDivergence, Perdispatch};
use engine::worker::protocol::{Answer, DeviceKind, Loaded, Prompt, Purpose, Request};
use engine::worker::{Supervisor, WorkerOptions};

use crate::golden::rows;

fn supervisor() -> &'static Mutex<Supervisor> {
    static WORKER: OnceLock<Mutex<Supervisor>> = OnceLock::new();
    WORKER.get_or_init(|| {
        let mut options = WorkerOptions::new(env!("CARGO_BIN_EXE_engine"));
        options.step_timeout = Duration::from_secs(120);
        Mutex::new(Supervisor::new(options))
    })
}

/// The worker with a model in it. Dropping it unloads the model, which closes the telemetry run, also when a test fails.
pub(crate) struct Lab {
    supervisor: MutexGuard<'static, Supervisor>,
    pub(crate) loaded: Loaded,
    scratch: tempfile::TempDir,
}

/// What a prediction returned.
pub(crate) struct Outcome {
    pub(crate) tokens: Vec<u32>,
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) logits_sha: String,
    pub(crate) mode: String,
    pub(crate) passes: Vec<Perdispatch>,
    pub(crate) divergence: Option<FirstDivergence>,
}

impl Lab {
    pub(crate) fn open(model: &Path) -> Self {
        // A failed test poisons the lock, not the worker.
        let mut supervisor = supervisor().lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = supervisor
            .worker()
            .and_then(|worker| worker.load(model, DeviceKind::Vulkan, Some(128), None))
            .unwrap_or_else(|error| panic!("cannot load {}: {error}", model.display()));
        let mut lab = Self {
            supervisor,
            loaded,
            scratch: tempfile::tempdir().unwrap(),
        };
        lab.check_health();
        lab
    }

    fn check_health(&mut self) {
        let asked = self
            .supervisor
            .worker()
            .and_then(|worker| worker.ask(|id| Request::Health { id }, |_| {}));
        let healthy = matches!(
            &asked,
            Ok(Answer::Health {
                health: Health::Healthy,
                ..
            })
        );
        assert!(
            healthy,
            "the device does not compute what it should: {asked:?}"
        );
    }

    pub(crate) fn predict(&mut self, mut prompt: Prompt) -> Outcome {
        let file = self.scratch.path().join("logits.f32");
        prompt.logits_file = Some(file.clone());
        let answer = self
            .supervisor
            .worker()
            .and_then(|worker| worker.predict(prompt, |_| {}))
            .unwrap_or_else(|error| panic!("prediction failed: {error}"));
        let Answer::Result {
            tokens,
            rows: count,
            logits_sha,
            counters,
            divergence,
            ..
        } = answer
        else {
            panic!("unexpected answer {answer:?}");
        };
        let logits = rows(&std::fs::read(file).unwrap(), self.loaded.n_vocab as usize);
        assert_eq!(logits.len() as u64, count, "the file holds every row");
        Outcome {
            tokens,
            logits,
            logits_sha,
            mode: counters.mode,
            passes: counters.passes,
            divergence,
        }
    }

    /// Runs both paths with taps, which prints where each of them first leaves the reference, and fails the test.
    pub(crate) fn blame(&mut self, prompt: &Prompt, message: &str) -> ! {
        let mut found = String::new();
        for legacy in [false, true] {
            let tapped = self.predict(Prompt {
                purpose: Purpose::Validation,
                legacy,
                ..prompt.clone()
            });
            let path = tapped
                .passes
                .first()
                .map_or("none", |pass| pass.path.as_str());
            let place = tapped.divergence.map_or_else(
                || "agrees with the reference at every tap".to_owned(),
                |d| {
                    format!(
                        "first diverges at layer {} {} ({}, op {}, dispatched={})",
                        d.layer, d.tensor_stage, d.kind, d.op, d.dispatched
                    )
                },
            );
            found.push_str(&format!("; {path} {place}"));
        }
        panic!("{message}{found}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A worker that is down has been reported already.
        let _ = self
            .supervisor
            .worker()
            .and_then(|worker| worker.ask(|id| Request::Unload { id }, |_| {}));
    }
}

//! One worker for the whole test binary; each test loads its model into it and unloads it again.
#![allow(dead_code, reason = "every test binary uses a part")]

use std::fmt::Display;
use std::io::Stderr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use engine::health::Health;
use engine::telemetry::{FirstDivergence, Marker, Perdispatch, Telemetry};
use engine::worker::protocol::{Answer, DeviceKind, Loaded, Prompt, Purpose, Request, Role};
use engine::worker::{Supervisor, WorkerOptions};

use crate::check::check_case;
use crate::support::{Case, Golden, floats};

/// Rows of the caches: enough for every golden case and its continuation.
const CONTEXT: u32 = 256;

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
    telemetry: Telemetry<Stderr>,
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
        Self::open_with(model, CONTEXT)
    }

    /// As [`Lab::open`], with caches of so many rows.
    pub(crate) fn open_with(model: &Path, n_ctx: u32) -> Self {
        // A failed test poisons the lock, not the worker.
        let mut supervisor = supervisor().lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = supervisor
            .worker()
            .and_then(|worker| worker.load(model, DeviceKind::Vulkan, Some(n_ctx), None))
            .unwrap_or_else(|error| panic!("cannot load {}: {error}", model.display()));
        let mut lab = Self {
            supervisor,
            loaded,
            scratch: tempfile::tempdir().unwrap(),
            telemetry: Telemetry::new(std::io::stderr()),
        };
        lab.check_health();
        lab
    }

    /// Puts a second model beside the one that answers; both keep to their budgets.
    pub(crate) fn open_two(target: &Path, draft: &Path, budget: u64) -> Self {
        let mut lab = Self::open(target);
        for (model, role) in [(target, Role::Target), (draft, Role::Draft)] {
            let request = |id| Request::Load {
                id,
                model: model.to_owned(),
                device: DeviceKind::Vulkan,
                n_ctx: Some(CONTEXT),
                budget: Some(budget),
                role,
            };
            lab.supervisor
                .worker()
                .and_then(|worker| worker.load_with(request, |_| {}))
                .unwrap_or_else(|error| panic!("cannot load {}: {error}", model.display()));
        }
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

    /// Prints a marker of the test itself.
    pub(crate) fn say(&mut self, marker: impl Into<Marker>) {
        self.telemetry.emit(&marker.into()).unwrap();
    }

    /// Prints a phrase of the test itself.
    pub(crate) fn phrase(&mut self, phrase: &impl Display) {
        self.telemetry.phrase(&phrase.to_string()).unwrap();
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
        let values = floats(&std::fs::read(file).unwrap());
        let columns = values.len() / usize::try_from(count).unwrap();
        let logits: Vec<Vec<f32>> = values.chunks(columns).map(<[f32]>::to_vec).collect();
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

    /// Compares a prediction with everything that the golden values say; blames both paths when they differ.
    pub(crate) fn check(&mut self, golden: &Golden, case: &Case, prompt: &Prompt) -> Outcome {
        let got = self.predict(prompt.clone());
        assert_eq!(
            self.loaded.backend, "vulkan",
            "law §7: no implicit fallback"
        );
        if let Err(message) = check_case(&got, golden, case) {
            self.blame(prompt, &message);
        }
        got
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
        let _ = self.telemetry.end_run();
    }
}

//! What a worker holds between requests: the device, one loaded model, the open telemetry run.

use std::collections::BTreeMap;
use std::io::Stderr;
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::gpu::{Gpu, Resident};
use super::predict::{Prediction, Run, Stopped};
use super::protocol::{DeviceKind, Loaded, Prompt, Purpose};
use super::report::Topology;
use crate::error::{EngineError, Result};
use crate::health::{self, Health};
use crate::ir::CommandIr;
use crate::map::map;
use crate::model::{Model, PassRequest, Phase};
use crate::plan::Plan;
use crate::profile::{EnvSnapshot, ExecutionProfile, RequestKind, VARIABLES, canonical_name};
use crate::record::record_pass;
use crate::telemetry::{Marker, Telemetry};
use crate::vk::device::Caps;
use crate::weights::{RowBlocking, WeightsPlan};

/// State of a worker between requests.
pub struct Session {
    environment: Vec<(String, String)>,
    pub(super) telemetry: Telemetry<Stderr>,
    gpu: Gpu,
    loaded: Option<Held>,
    /// Passes of the open telemetry run.
    pub(super) passes: u64,
    /// Mode that the last `[BACKEND]` line of the run named.
    pub(super) announced: Option<&'static str>,
    /// Topology of the last pass in the open telemetry run.
    pub(super) topology: Option<Topology>,
}

/// A loaded model.
pub(super) struct Held {
    pub(super) file: Mmap,
    pub(super) model: Model,
    pub(super) weights: WeightsPlan,
    pub(super) place: Place,
}

/// Where its weights are.
pub(super) enum Place {
    Cpu,
    Vulkan(Box<Resident>),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("loaded", &self.loaded.is_some())
            .field("passes", &self.passes)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session without device and model; `environment` is the process environment.
    #[must_use]
    pub fn new(environment: Vec<(String, String)>) -> Self {
        Self {
            environment,
            telemetry: Telemetry::new(std::io::stderr()),
            gpu: Gpu::default(),
            loaded: None,
            passes: 0,
            announced: None,
            topology: None,
        }
    }

    /// What the device is and allows.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn caps(&mut self) -> Result<Caps> {
        Ok(self.gpu.executor()?.device().caps().clone())
    }

    /// Allocates, runs, copies, compares. Opens the device if need be.
    ///
    /// # Errors
    /// Those of opening the device.
    pub fn health(&mut self) -> Result<Health> {
        let device = std::sync::Arc::clone(self.gpu.executor()?.device());
        Ok(health::check(&device, super::gpu::DEVICE_TIMEOUT))
    }

    /// Loads a model in place of the one that is loaded.
    ///
    /// # Errors
    /// Those of the file, the device and the memory budget; after an error no model is loaded.
    pub fn load(
        &mut self,
        path: &Path,
        device: DeviceKind,
        n_ctx: Option<u32>,
        budget: Option<u64>,
    ) -> Result<Loaded> {
        self.unload()?;
        let file = map(path)?;
        let model = Model::load(&file, n_ctx)?;
        let mut weights = model.weights_plan()?;
        let mut loaded = Loaded {
            backend: "cpu".into(),
            device: "cpu reference".into(),
            driver: "none".into(),
            weights_sha: hex::encode(Sha256::digest(&file)),
            arch: model.params.arch.name().into(),
            n_vocab: model.params.n_vocab,
            n_ctx: model.n_ctx,
        };
        let place = match device {
            DeviceKind::Cpu => Place::Cpu,
            DeviceKind::Vulkan => {
                let executor = self.gpu.executor()?;
                let caps = executor.device().caps().clone();
                weights = weights.read_by(RowBlocking::for_device(&caps.kind));
                let resident = Resident::load(executor, &file, &model, &weights, budget)?;
                loaded.backend = "vulkan".into();
                loaded.device = caps.device;
                loaded.driver = caps.driver;
                Place::Vulkan(Box::new(resident))
            }
        };
        self.loaded = Some(Held {
            file,
            model,
            weights,
            place,
        });
        Ok(loaded)
    }

    /// Frees the model and closes the telemetry run.
    ///
    /// # Errors
    /// Those of stderr.
    pub fn unload(&mut self) -> Result<()> {
        self.loaded = None;
        self.passes = 0;
        self.announced = None;
        self.topology = None;
        self.telemetry.end_run().map_err(stderr_failed)
    }

    /// Runs the loaded model.
    ///
    /// # Errors
    /// `Request` without a model or with impossible parameters, `Conflict` of settings, and those of the passes.
    pub fn predict(
        &mut self,
        prompt: &Prompt,
        on_token: &mut dyn FnMut(u32, u32),
    ) -> std::result::Result<Prediction, Stopped> {
        let mut held = self.loaded.take().ok_or_else(no_model)?;
        let result = self.predict_with(&mut held, prompt, on_token);
        self.loaded = Some(held);
        result
    }

    fn predict_with(
        &mut self,
        held: &mut Held,
        prompt: &Prompt,
        on_token: &mut dyn FnMut(u32, u32),
    ) -> std::result::Result<Prediction, Stopped> {
        let reference = matches!(held.place, Place::Cpu);
        let profile = self.profile(prompt.purpose, prompt.legacy, reference, &prompt.settings)?;
        let mut gpu = std::mem::take(&mut self.gpu);
        let prediction = Run::new(self, &mut gpu, held, &profile, prompt)
            .map_err(Stopped::from)
            .and_then(|run| run.predict(on_token));
        self.gpu = gpu;
        prediction
    }

    fn profile(
        &self,
        purpose: Purpose,
        legacy: bool,
        reference: bool,
        settings: &BTreeMap<String, String>,
    ) -> Result<ExecutionProfile> {
        let kind = match purpose {
            _ if reference => RequestKind::Reference,
            Purpose::Production => RequestKind::Production,
            Purpose::Smoke => RequestKind::Smoke,
            Purpose::Validation => RequestKind::Validation,
        };
        let mut environment = EnvSnapshot::from_vars(self.environment.iter().cloned());
        for (name, value) in settings {
            let canonical = canonical_name(name).ok_or_else(|| {
                let known: Vec<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
                EngineError::Request(format!("no setting {name}; there are {}", known.join(", ")))
            })?;
            environment = environment.with(canonical, value);
        }
        if legacy {
            environment = environment.with("ENGINE_FORCE_MULTI_SUBMIT", "1");
        }
        Ok(ExecutionProfile::resolve(&environment, kind)?)
    }

    /// The command stream of one pass over the loaded model, as this session would play it.
    ///
    /// # Errors
    /// As [`Session::predict`].
    pub fn stream(&mut self, n_tokens: u32, pos: u32, legacy: bool) -> Result<CommandIr> {
        let held = self.loaded.as_ref().ok_or_else(no_model)?;
        let purpose = if legacy {
            Purpose::Smoke
        } else {
            Purpose::Production
        };
        let profile = self.profile(purpose, legacy, false, &BTreeMap::new())?;
        let phase = if n_tokens > 1 {
            Phase::Prefill
        } else {
            Phase::Decode
        };
        let pass = PassRequest {
            phase,
            tokens: vec![0; n_tokens as usize],
            pos,
            logits: crate::model::LogitsRows::All,
        };
        let graph = held.model.graph(&pass)?;
        let envelope = match &held.place {
            Place::Vulkan(resident) => resident.envelope,
            Place::Cpu => u64::MAX,
        };
        let plan = Plan::new(&graph, envelope)?;
        record_pass(&graph, &plan, &held.weights, &profile)
    }

    /// Prints a line that is evidence by itself, whatever becomes of the request.
    pub(super) fn phrase(&mut self, phrase: &impl std::fmt::Display) {
        // A parent that closed stderr still gets the answer.
        let _ = self.telemetry.phrase(phrase);
    }

    pub(super) fn say(&mut self, marker: &Marker) -> Result<()> {
        self.telemetry.emit(marker).map_err(stderr_failed)
    }
}

fn no_model() -> EngineError {
    EngineError::Request("no model is loaded; send load first".into())
}

fn stderr_failed(error: std::io::Error) -> EngineError {
    EngineError::Io {
        path: "stderr".into(),
        message: error.to_string(),
    }
}

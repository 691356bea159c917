//! What a worker holds between requests: the device, one loaded model, the open telemetry run.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::gpu::{Gpu, Resident};
use super::plans::PlanCache;
use super::predict::{Prediction, Run, Stopped};
use super::protocol::{DeviceKind, Loaded, Prompt, Purpose, Role};
use super::report::Topology;
use crate::error::{EngineError, Result};
use crate::fuse::prepared;
use crate::health::{self, Health};
use crate::ir::CommandIr;
use crate::map::map;
use crate::model::{Model, PassRequest, Phase};
use crate::plan::Plan;
use crate::profile::{
    EnvSnapshot, ExecutionProfile, RequestKind, VARIABLES, canonical_name, row_blocking,
};
use crate::record::record_pass;
use crate::telemetry::{Marker, Telemetry};
use crate::vk::device::Caps;
use crate::weights::WeightsPlan;

/// State of a worker between requests.
pub struct Session {
    environment: Vec<(String, String)>,
    pub(super) telemetry: Telemetry<Box<dyn Write + Send>>,
    gpu: Gpu,
    loaded: BTreeMap<Role, Held>,
    /// Passes of the open telemetry run.
    pub(super) passes: u64,
    /// Mode that the last `[BACKEND]` line of the run named.
    pub(super) announced: Option<&'static str>,
}

/// What to load.
#[derive(Debug, Clone, Copy)]
pub struct LoadRequest<'a> {
    /// GGUF file.
    pub path: &'a Path,
    /// Where to compute.
    pub device: DeviceKind,
    /// Rows of the caches; `None`: the engine's default.
    pub n_ctx: Option<u32>,
    /// Device bytes that the model may use; `None`: what is left of the heap.
    pub budget: Option<u64>,
    /// Which of the resident models it becomes.
    pub role: Role,
}

/// A loaded model.
pub(super) struct Held {
    pub(super) file: Mmap,
    pub(super) model: Model,
    pub(super) weights: WeightsPlan,
    pub(super) place: Place,
    /// Topology of its last pass.
    pub(super) topology: Option<Topology>,
    /// Plan of its last pass.
    pub(super) plans: PlanCache,
}

/// Where its weights are.
pub(super) enum Place {
    Cpu,
    Vulkan(Box<Resident>),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("loaded", &self.loaded.len())
            .field("passes", &self.passes)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session without device and model; `environment` is the process environment, `markers` where its telemetry goes.
    #[must_use]
    pub fn new(environment: Vec<(String, String)>, markers: Box<dyn Write + Send>) -> Self {
        Self {
            environment,
            telemetry: Telemetry::new(markers),
            gpu: Gpu::default(),
            loaded: BTreeMap::new(),
            passes: 0,
            announced: None,
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

    /// Loads a model in place of the one with the same role; `progress` hears the step, what is done of it, and all of it.
    ///
    /// # Errors
    /// Those of the file, the device and the memory budget; after an error no model has that role.
    pub fn load(
        &mut self,
        request: &LoadRequest<'_>,
        progress: &mut dyn FnMut(&'static str, u64, u64),
    ) -> Result<Loaded> {
        self.loaded.remove(&request.role);
        if self.loaded.is_empty() {
            self.unload()?;
        }
        let file = map(request.path)?;
        let model = Model::load(&file, request.n_ctx)?;
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
        let place = match request.device {
            DeviceKind::Cpu => Place::Cpu,
            DeviceKind::Vulkan => {
                let taken = taken(&self.loaded);
                let executor = self.gpu.warm(progress)?;
                let caps = executor.device().caps().clone();
                let environment = EnvSnapshot::from_vars(self.environment.iter().cloned());
                weights = weights.read_by(row_blocking(&environment, &caps.kind)?);
                let left = caps.heap_bytes.saturating_sub(taken);
                let budget = request.budget.map_or(left, |bytes| bytes.min(left));
                let resident =
                    Resident::load(executor, &file, &model, &weights, Some(budget), progress)?;
                loaded.backend = "vulkan".into();
                loaded.device = caps.device;
                loaded.driver = caps.driver;
                Place::Vulkan(Box::new(resident))
            }
        };
        let held = Held {
            file,
            model,
            weights,
            place,
            topology: None,
            plans: PlanCache::default(),
        };
        self.loaded.insert(request.role, held);
        Ok(loaded)
    }

    /// Frees all models and closes the telemetry run.
    ///
    /// # Errors
    /// Those of stderr.
    pub fn unload(&mut self) -> Result<()> {
        self.loaded.clear();
        self.passes = 0;
        self.announced = None;
        self.telemetry.end_run().map_err(stderr_failed)
    }

    /// Bytes of the weights on the device, of all models; `None` unless there are two.
    pub(super) fn shared_bytes(&self, running: &Held) -> Option<u64> {
        let others = self.loaded.values();
        let on_device = |held: &Held| matches!(held.place, Place::Vulkan(_));
        let sum = others
            .filter(|held| on_device(held))
            .map(|held| held.weights.total_bytes())
            .reduce(|a, b| a + b)?;
        on_device(running).then(|| sum + running.weights.total_bytes())
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
        let mut held = self.loaded.remove(&prompt.role).ok_or_else(no_model)?;
        let result = self.predict_with(&mut held, prompt, on_token);
        self.loaded.insert(prompt.role, held);
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
        let held = self.loaded.get(&Role::Target).ok_or_else(no_model)?;
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
        let graph = prepared(held.model.graph(&pass)?, &held.weights, &profile, None).graph;
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

/// Device bytes that resident models may use.
fn taken(loaded: &BTreeMap<Role, Held>) -> u64 {
    let budgets = loaded.values().filter_map(|held| match &held.place {
        Place::Cpu => None,
        Place::Vulkan(resident) => Some(resident.budget),
    });
    budgets.sum()
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

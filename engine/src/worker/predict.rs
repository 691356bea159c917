//! One prediction: the prompt's passes, then the choices, with their markers.

use std::collections::BTreeSet;
use std::time::Instant;

use super::fault;
use super::gpu::{self, Gpu};
use super::plans::PlanCache;
use super::protocol::{Counters, Prompt};
use super::report::{self, Pass, Topology, micros_since};
use super::rows::Rows;
use super::session::{Held, Place, Session};
use crate::cpu::{CpuPass, CpuReference, KeepTrace};
use crate::error::{EngineError, Result};
use crate::fuse::verified::Identity;
use crate::fuse::{Reject, prepared};
use crate::graph::Graph;
use crate::ir::{HostOutput, Region};
use crate::model::{LogitsRows, Model, PassRequest, Phase};
use crate::profile::{ExecutionProfile, Path, RequestKind};
use crate::record::record_pass;
use crate::ring::RingSummary;
use crate::sample::Sampler;
use crate::telemetry::{Backend, FirstDivergence, Marker};
use crate::validate::{
    Invalidated, TapPlan, first_divergence, insert_taps, plan_taps, trace_of_taps,
};
use crate::vk::exec::Played;
use crate::weights::WeightsPlan;

type Stoppable<T> = std::result::Result<T, Stopped>;

/// What a prediction came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Chosen tokens.
    pub tokens: Vec<u32>,
    /// Logits rows computed.
    pub rows: u64,
    /// SHA-256 over them.
    pub logits_sha: String,
    /// What was counted.
    pub counters: Counters,
    /// First divergence from the reference; only of a validation run.
    pub divergence: Option<FirstDivergence>,
}

/// Why there is no prediction.
#[derive(Debug)]
pub enum Stopped {
    /// Something failed.
    Failed(EngineError),
    /// The setup makes the result meaningless.
    Invalidated(Invalidated),
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl From<Invalidated> for Stopped {
    fn from(invalidated: Invalidated) -> Self {
        Self::Invalidated(invalidated)
    }
}

pub(super) struct Run<'a> {
    session: &'a mut Session,
    gpu: &'a mut Gpu,
    model: &'a Model,
    weights: &'a WeightsPlan,
    place: &'a mut Place,
    /// Computes in the place of a device, or beside one that is validated.
    reference: Option<CpuReference<'a>>,
    profile: &'a ExecutionProfile,
    prompt: &'a Prompt,
    rows: Rows,
    counters: Counters,
    divergence: Option<FirstDivergence>,
    /// Phases whose stages have been told; one pass of each tells enough.
    told: Vec<Phase>,
    topology: &'a mut Option<Topology>,
    plans: &'a mut PlanCache,
    /// Bytes of all weights on the device, where two models share it.
    shared_bytes: Option<u64>,
    /// Lines that are said once per prediction.
    said: BTreeSet<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        session: &'a mut Session,
        gpu: &'a mut Gpu,
        held: &'a mut Held,
        profile: &'a ExecutionProfile,
        prompt: &'a Prompt,
    ) -> Result<Self> {
        check(prompt, held.model.n_ctx)?;
        let shared_bytes = session.shared_bytes(held);
        let Held {
            file,
            model,
            weights,
            place,
            topology,
            plans,
        } = held;
        let refers =
            matches!(place, Place::Cpu) || profile.mode.has_taps() || fault::substitutes_cpu();
        let reference = refers.then(|| CpuReference::new(model, file)).transpose()?;
        Ok(Self {
            rows: Rows::create(prompt.logits_file.as_deref())?,
            session,
            gpu,
            model,
            weights,
            place,
            reference,
            profile,
            prompt,
            counters: Counters {
                mode: profile.mode.name().into(),
                passes: Vec::new(),
                prefill_us: 0,
                decode_us: 0,
            },
            divergence: None,
            told: Vec::new(),
            topology,
            plans,
            shared_bytes,
            said: BTreeSet::new(),
        })
    }

    pub(super) fn predict(mut self, on_token: &mut dyn FnMut(u32, u32)) -> Stoppable<Prediction> {
        self.announce()?;
        let tokens = &self.prompt.tokens;
        let first = self.prompt.prefill.unwrap_or(tokens.len());
        let (head, tail) = tokens.split_at(first);
        let start = Instant::now();
        let mut last = self.pass(Phase::Prefill, head, 0)?;
        self.counters.prefill_us = micros_since(start);
        let start = Instant::now();
        let mut pos = head.len() as u32;
        for token in tail {
            last = self.pass(Phase::Decode, &[*token], pos)?;
            pos += 1;
        }
        let mut sampler = Sampler::new(self.prompt.sampling)?;
        let mut history = tokens.clone();
        for index in 0..self.prompt.greedy {
            let token = sampler.choose(&last, &history).ok_or_else(not_a_number)?;
            history.push(token);
            on_token(index, token);
            if index + 1 < self.prompt.greedy {
                last = self.pass(Phase::Decode, &[token], pos)?;
                pos += 1;
            }
        }
        self.counters.decode_us = micros_since(start);
        let (rows, logits_sha) = self.rows.finish()?;
        Ok(Prediction {
            tokens: history.split_off(tokens.len()),
            rows,
            logits_sha,
            counters: self.counters,
            divergence: self.divergence,
        })
    }

    /// `[BACKEND]`, once per mode and run.
    fn announce(&mut self) -> Result<()> {
        let mode = self.profile.mode.name();
        if self.session.announced == Some(mode) {
            return Ok(());
        }
        let backend = match self.place {
            Place::Cpu => Backend {
                backend: "cpu".into(),
                device: "cpu reference".into(),
                driver: "none".into(),
                api: "n/a".into(),
                cpu_fallback: false,
                mode: mode.into(),
            },
            Place::Vulkan(_) => {
                let caps = self.gpu.executor()?.device().caps();
                Backend {
                    backend: "vulkan".into(),
                    device: caps.device.clone().into(),
                    driver: caps.driver.clone().into(),
                    api: caps.api.clone(),
                    cpu_fallback: false,
                    mode: mode.into(),
                }
            }
        };
        self.session.say(&backend.into())?;
        self.session.announced = Some(mode);
        Ok(())
    }

    /// Runs one pass and returns its last logits row.
    fn pass(&mut self, phase: Phase, tokens: &[u32], pos: u32) -> Stoppable<Vec<f32>> {
        let request = PassRequest {
            phase,
            tokens: tokens.to_vec(),
            pos,
            logits: LogitsRows::All,
        };
        let keep = if self.profile.mode.has_taps() {
            KeepTrace::Yes
        } else {
            KeepTrace::No
        };
        let reference = self
            .reference
            .as_mut()
            .map(|r| r.run(&request, keep))
            .transpose()?;
        let logits = match (&self.place, reference) {
            (Place::Cpu, reference) => reference.map(|pass| pass.logits).unwrap_or_default(),
            (_, Some(pass)) if fault::substitutes_cpu() => pass.logits,
            (Place::Vulkan(_), reference) => self.device_pass(&request, reference.as_ref())?,
        };
        let n_vocab = self.model.params.n_vocab;
        self.rows.push(&logits, n_vocab)?;
        let last = logits.len().saturating_sub(n_vocab as usize);
        Ok(logits.get(last..).unwrap_or_default().to_vec())
    }

    /// Plays one pass; with a reference, taps it and compares.
    fn device_pass(
        &mut self,
        request: &PassRequest,
        reference: Option<&CpuPass>,
    ) -> Stoppable<Vec<f32>> {
        let start = Instant::now();
        let graph = self.prepared(request)?;
        let Place::Vulkan(resident) = &mut *self.place else {
            return Err(not_on_a_device().into());
        };
        let (plan, miss) = self.plans.plan(&graph, resident.envelope, fault::plan)?;
        let recorded = record_pass(&graph, &plan, self.weights, self.profile)?;
        let mut stream = fault::stream(&graph, recorded);
        let mut taps = TapPlan::default();
        if reference.is_some() {
            taps = plan_taps(&graph, &plan, stream.region_size(Region::Readback))?;
            fault::taps(&mut taps);
            stream = insert_taps(&stream, &taps)?;
        }
        let data = fault::host_data(self.model, request)?;
        let record_us = micros_since(start);
        let options = gpu::play_options(self.prompt.sync, report::stamps_dispatches(self.profile));
        let played = resident.pass(self.gpu.executor()?, &stream, &data, &options)?;
        let total_us = micros_since(start);
        let pass = Pass {
            place: report::Place::new(self.profile, request, self.session.passes),
            request,
            graph: &graph,
            plan: &plan,
            miss: miss.as_ref(),
            stream: &stream,
            played: &played,
            record_us,
            total_us,
        };
        self.session.passes += 1;
        self.tell(&pass)?;
        self.say_rings(&played);
        if let Some(reference) = reference {
            self.compare(&pass, &taps, reference)?;
        }
        let logits = gpu::logits(&played)?;
        let last = logits
            .len()
            .saturating_sub(self.model.params.n_vocab as usize);
        self.tell_logits(&pass, logits.get(last..).unwrap_or_default())?;
        Ok(logits)
    }

    /// What every pass says.
    fn tell(&mut self, pass: &Pass<'_>) -> Result<()> {
        let topology = Topology::of(pass);
        if self.topology.as_ref() != Some(&topology) {
            let before = self.topology.replace(topology.clone());
            self.session.say(&topology.marker(pass, before.as_ref()))?;
            if self.profile.request != RequestKind::Production {
                self.say_all(report::hazards(pass))?;
            }
        }
        if self.profile.request != RequestKind::Production {
            self.say_all(report::cache_key_miss(pass).into_iter().collect())?;
        }
        if pass.request.phase == Phase::Prefill {
            self.session.say(&report::arena_plan(pass.plan))?;
        }
        let role = self.prompt.role.name();
        let row = report::perdispatch(&pass.place, role, pass.played);
        self.session.say(&row.clone().into())?;
        self.counters.passes.push(row);
        if let Some(bytes) = self.shared_bytes {
            let model = self.model.params.arch.name();
            self.session
                .say(&report::dual_model(pass, role, model, bytes))?;
        }
        if self.profile.profile_forward || self.profile.request == RequestKind::Smoke {
            let noops = self.profile.noop_dispatches;
            self.session.say(&report::timing_breakdown(pass, noops))?;
        }
        if self.profile.profile_forward {
            self.session.phrase(&report::forward_profile(pass));
            self.say_all(report::layer_profiles(pass))?;
        }
        Ok(())
    }

    fn say_all(&mut self, markers: Vec<Marker>) -> Result<()> {
        markers
            .iter()
            .try_for_each(|marker| self.session.say(marker))
    }

    fn tell_logits(&mut self, pass: &Pass<'_>, row: &[f32]) -> Result<()> {
        if self.profile.profile_forward {
            self.session.say(&report::logits_profile(pass, row))?;
        }
        if self.profile.path() == Some(Path::LegacyMultiSubmit) {
            self.session.say(&report::legacy_logits(pass, row))?;
        }
        Ok(())
    }

    /// Compares the taps of a pass with the reference. One pass of each phase tells every stage, and so does the first
    /// that diverges.
    fn compare(&mut self, pass: &Pass<'_>, taps: &TapPlan, reference: &CpuPass) -> Result<()> {
        let trace = trace_of_taps(taps, |number| tap_bytes(pass.played, number));
        let found = match self.divergence {
            Some(_) => None,
            None => first_divergence(pass.graph, pass.stream, taps, &reference.trace, &trace),
        };
        let phase = pass.request.phase;
        if found.is_some() || !self.told.contains(&phase) {
            self.told.push(phase);
            self.session.say(&report::rope_debug(pass, self.model))?;
            self.say_all(report::stages(pass, self.profile, &reference.trace, &trace))?;
        }
        if let Some(found) = found {
            let divergence = report::divergence(&found, pass);
            self.session.say(&divergence.clone().into())?;
            self.divergence = Some(divergence);
        }
        Ok(())
    }

    /// The graph of a pass as the profile wants it; what became of fusions is said once per prediction.
    fn prepared(&mut self, request: &PassRequest) -> Result<Graph> {
        let caps = self.gpu.executor()?.device().caps();
        let identity = Identity {
            device: caps.device.clone(),
            driver: caps.driver.clone(),
        };
        let graph = fault::graph(self.model, request)?;
        let prepared = prepared(graph, self.weights, self.profile, Some(&identity));
        for decision in &prepared.decisions {
            let outcome = decision.rejected.map_or_else(
                || "fused".to_owned(),
                |reason| format!("single nodes run, {reason}"),
            );
            let phase = request.phase.name();
            let line = format!("fusion {} in {phase}: {outcome}", decision.pattern.name());
            let wanted = decision.rejected != Some(Reject::NotWanted);
            if wanted && self.said.insert(line.clone()) {
                self.session.phrase(&line);
            }
        }
        Ok(prepared.graph)
    }

    fn say_rings(&mut self, played: &Played) {
        for (output, bytes) in &played.reads {
            if let HostOutput::Ring(block) = output {
                let summary = RingSummary::read(bytes);
                self.session
                    .phrase(&format!("fa_debug_ring block={block} {summary}"));
            }
        }
    }
}

fn not_on_a_device() -> EngineError {
    EngineError::Request("the cpu plays no command stream".into())
}

fn not_a_number() -> EngineError {
    EngineError::Request(
        "the logits are not numbers; run a validation to see where that begins".into(),
    )
}

fn tap_bytes(played: &Played, number: u32) -> Option<&[u8]> {
    let tap = HostOutput::Tap(number);
    let read = played.reads.iter().find(|(output, _)| *output == tap);
    read.map(|(_, bytes)| bytes.as_slice())
}

fn check(prompt: &Prompt, n_ctx: u32) -> Result<()> {
    prompt.sampling.check()?;
    let refuse = |message: String| Err(EngineError::Request(message));
    let count = prompt.tokens.len();
    if count == 0 {
        return refuse("a prompt of no tokens; give at least one".into());
    }
    if prompt
        .prefill
        .is_some_and(|first| first == 0 || first > count)
    {
        return refuse(format!(
            "prefill must take 1 to {count} tokens of this prompt"
        ));
    }
    let total = count as u64 + u64::from(prompt.greedy.saturating_sub(1));
    if total > u64::from(n_ctx) {
        return refuse(format!(
            "{total} positions in a context of {n_ctx}; load with more"
        ));
    }
    Ok(())
}

//! One pass on the simulated device against the reference.

use serde::Serialize;

use super::{Pass, Sim};
use crate::cpu::{CpuReference, KeepTrace};
use crate::error::Result;
use crate::ir::HostOutput;
use crate::model::{HostData, Model, PassRequest};
use crate::profile::ExecutionProfile;
use crate::record::{Recording, STAGING_BYTES, record_upload};
use crate::validate::{
    FirstDivergence, Invalidated, TapPlan, first_divergence, insert_taps, trace_of_taps,
};

/// Gives the packed weight bytes of a chunk from an offset on.
pub type Fill<'f> = dyn Fn(u16, u64, &mut [u8]) + 'f;

/// A pass to be judged.
#[derive(Clone, Copy)]
pub struct Trial<'t> {
    /// Model.
    pub model: &'t Model,
    /// The file that it was loaded from.
    pub file: &'t [u8],
    /// What the pass computes.
    pub request: &'t PassRequest,
    /// Tokens before it, as many as its position says.
    pub context: &'t [u32],
    /// Profile of the pass before it.
    pub profile: &'t ExecutionProfile,
    /// The stream to judge.
    pub recording: &'t Recording,
    /// What the host writes for it.
    pub data: &'t HostData,
    /// Where to look.
    pub taps: &'t TapPlan,
    /// Packed weight bytes of a chunk from an offset on; `None`: those of the file.
    pub fill: Option<&'t Fill<'t>>,
}

impl std::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial")
            .field("request", &self.request)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether the logits are the reference's, bit for bit.
    pub bits_equal: bool,
    /// Largest difference of the logits, relative to the reference's largest; infinite when one is not a number.
    pub logits_error: f32,
    /// The first wrong tensor.
    pub first_divergence: Option<FirstDivergence>,
    /// Why the stream cannot be tapped; then nothing was played.
    pub invalidated: Option<Invalidated>,
}

/// Plays the context and then the pass, with taps, and compares.
///
/// # Errors
/// As [`Sim::play`] and [`CpuReference::run`].
pub fn judge(trial: &Trial<'_>) -> Result<Verdict> {
    let Recording { graph, plan, ir } = trial.recording;
    let tapped = match insert_taps(ir, trial.taps) {
        Ok(tapped) => tapped,
        Err(invalidated) => {
            return Ok(Verdict {
                bits_equal: false,
                logits_error: f32::INFINITY,
                first_divergence: None,
                invalidated: Some(invalidated),
            });
        }
    };
    let mut sim = load(trial)?;
    let mut reference = CpuReference::new(trial.model, trial.file)?;
    if !trial.context.is_empty() {
        let before = PassRequest::prefill(trial.context);
        let recording = Recording::new(trial.model, &before, trial.profile, u64::MAX)?;
        let data = trial.model.host_data(&before)?;
        sim.play(&recording.ir, recording.pass(&data))?;
        reference.run(&before, KeepTrace::No)?;
    }
    let wanted = reference.run(trial.request, KeepTrace::Yes)?;
    let data = trial.data;
    let played = sim.play(&tapped, Pass { graph, plan, data })?;
    let trace = trace_of_taps(trial.taps, |number| played.bytes(HostOutput::Tap(number)));
    let logits = played.logits();
    Ok(Verdict {
        bits_equal: same_bits(&logits, &wanted.logits),
        logits_error: relative_error(&logits, &wanted.logits),
        first_divergence: first_divergence(graph, &tapped, trial.taps, &wanted.trace, &trace),
        invalidated: None,
    })
}

fn load<'t>(trial: &Trial<'t>) -> Result<Sim<'t>> {
    let Some(fill) = trial.fill else {
        return Sim::load(trial.model, trial.file);
    };
    let upload = record_upload(&trial.model.weights_plan()?, STAGING_BYTES);
    Sim::load_with(trial.model, trial.file, &upload, fill)
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn relative_error(got: &[f32], wanted: &[f32]) -> f32 {
    if got.len() != wanted.len() || got.iter().any(|value| !value.is_finite()) {
        return f32::INFINITY;
    }
    let largest = wanted
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    let differences = got.iter().zip(wanted).map(|(g, w)| (g - w).abs());
    differences.fold(0f32, f32::max) / largest.max(f32::MIN_POSITIVE)
}

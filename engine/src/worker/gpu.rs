//! One model on one Vulkan device: memory, upload, passes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::fault;
use crate::error::{EngineError, Result};
use crate::ir::{CommandIr, HostInput, HostOutput, Region, RegionSize};
use crate::model::{HostData, Model, PassRequest};
use crate::plan::Plan;
use crate::record::{STAGING_BYTES, record_initialisation, record_upload};
use crate::vk::device::Device;
use crate::vk::exec::{Executor, PlayOptions, Played};
use crate::vk::regions::Regions;
use crate::vk::{SyncKind, VkError};
use crate::weights::WeightsPlan;

/// Limit of one wait for the device. The parent's step limit is the one that users set; this one only keeps a worker
/// whose parent is gone from waiting forever.
pub(super) const DEVICE_TIMEOUT: Duration = Duration::from_secs(600);

/// Hears the step, what is done of it, and all of it.
pub(super) type Progress<'p> = dyn FnMut(&'static str, u64, u64) + 'p;

/// Step of building pipelines, which has a deadline of its own.
pub(super) const WARM_UP: &str = "pipelines";
/// Step of uploading weights.
const UPLOAD: &str = "weights";

/// Device memory and weights of a loaded model.
pub(crate) struct Resident {
    regions: Regions,
    /// Bytes that arena and state may use together.
    pub(crate) envelope: u64,
    /// Bytes that the model may use on the device, weights included.
    pub(super) budget: u64,
}

impl Resident {
    /// Checks the budget, places the lasting regions, uploads the weights and zeroes the state.
    pub(crate) fn load(
        executor: &mut Executor,
        file: &[u8],
        model: &Model,
        weights: &WeightsPlan,
        budget: Option<u64>,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let device = Arc::clone(executor.device());
        let heap = device.caps().heap_bytes;
        let total = budget.map_or(heap, |b| b.min(heap));
        let envelope = envelope(weights, total)?;
        let smallest = model.graph(&PassRequest::decode(0, 0))?;
        let plan = Plan::new(&smallest, envelope)?;
        let mut regions = Regions::new(&device, Some(total));
        regions.place_lasting(&lasting_sizes(weights, plan.state_bytes))?;
        let mut resident = Self {
            regions,
            envelope,
            budget: total,
        };
        resident.upload(executor, file, model, weights, progress)?;
        let state = RegionSize {
            region: Region::State,
            bytes: plan.state_bytes,
        };
        resident.zero(executor, &[state])?;
        Ok(resident)
    }

    fn upload(
        &mut self,
        executor: &mut Executor,
        file: &[u8],
        model: &Model,
        weights: &WeightsPlan,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let staging = staging_bytes(weights);
        let uploaded = RefCell::new(Uploaded {
            bytes: 0,
            total: weights.total_bytes().max(1),
            progress,
        });
        let host = |input: HostInput, len: u64| match input {
            HostInput::Weights { chunk, offset } => {
                uploaded.borrow_mut().add(len);
                let mut out = vec![0; usize::try_from(len).ok()?];
                weights.fill(file, chunk, offset, &mut out);
                fault::weights(model, weights, (chunk, offset), &mut out);
                Some(Cow::Owned(out))
            }
            HostInput::Tokens | HostInput::RopeTable => None,
        };
        let upload = record_upload(weights, staging);
        executor.play(
            &upload,
            &mut self.regions,
            &host,
            &play_options(SyncKind::Fence, false),
        )?;
        Ok(())
    }

    fn zero(&mut self, executor: &mut Executor, sizes: &[RegionSize]) -> Result<()> {
        let nothing = |_: HostInput, _: u64| None;
        executor.play(
            &record_initialisation(sizes),
            &mut self.regions,
            &nothing,
            &play_options(SyncKind::Fence, false),
        )?;
        Ok(())
    }

    /// Plays one pass and checks that nothing was written beside its regions.
    pub(crate) fn pass(
        &mut self,
        executor: &mut Executor,
        stream: &CommandIr,
        data: &HostData,
        options: &PlayOptions,
    ) -> Result<Played> {
        let host = |input: HostInput, _: u64| data.bytes(input).map(|b| Cow::Owned(b.to_vec()));
        let undefined = self.regions.ensure(&stream.region_sizes)?;
        if !undefined.is_empty() {
            self.zero(executor, &undefined)?;
        }
        let played = executor.play(stream, &mut self.regions, &host, options)?;
        self.regions.check_guards()?;
        Ok(played)
    }
}

/// Tells every percent of an upload once.
struct Uploaded<'p, 'f> {
    bytes: u64,
    total: u64,
    progress: &'p mut Progress<'f>,
}

impl Uploaded<'_, '_> {
    fn add(&mut self, len: u64) {
        let percent = |bytes: u64| u128::from(bytes) * 100 / u128::from(self.total);
        let before = self.bytes;
        let after = (before + len).min(self.total);
        self.bytes = after;
        if percent(after) > percent(before) {
            (self.progress)(UPLOAD, after, self.total);
        }
    }
}

/// Options of a pass.
pub(super) fn play_options(sync: SyncKind, stamp_dispatches: bool) -> PlayOptions {
    PlayOptions {
        sync,
        stamp_dispatches,
        timeout: DEVICE_TIMEOUT,
    }
}

/// The logits that a pass read back.
pub(crate) fn logits(played: &Played) -> Result<Vec<f32>> {
    let bytes = played
        .reads
        .iter()
        .find(|(output, _)| *output == HostOutput::Logits)
        .map(|(_, bytes)| bytes);
    let bytes = bytes.ok_or_else(|| {
        EngineError::Vulkan(VkError::BadStream {
            command: 0,
            detail: "the stream reads no logits".into(),
        })
    })?;
    Ok(floats(bytes))
}

/// Little-endian `f32` values.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

fn staging_bytes(weights: &WeightsPlan) -> u64 {
    STAGING_BYTES.min(weights.chunks().iter().copied().max().unwrap_or(0))
}

/// What a budget leaves for arena and state once the weights and their staging are placed.
fn envelope(weights: &WeightsPlan, total: u64) -> Result<u64> {
    let fixed = weights.total_bytes().saturating_add(staging_bytes(weights));
    total.checked_sub(fixed).ok_or(EngineError::Envelope {
        needed: fixed,
        remaining: total,
    })
}

fn lasting_sizes(weights: &WeightsPlan, state_bytes: u64) -> Vec<RegionSize> {
    let chunks = (0_u16..)
        .zip(weights.chunks())
        .map(|(chunk, bytes)| RegionSize {
            region: Region::Weights(chunk),
            bytes: *bytes,
        });
    let state = RegionSize {
        region: Region::State,
        bytes: state_bytes,
    };
    chunks.chain((state_bytes > 0).then_some(state)).collect()
}

/// The device of a worker, opened when it is first needed.
#[derive(Default)]
pub(super) struct Gpu {
    executor: Option<Executor>,
}

impl Gpu {
    /// The player, with every pipeline built.
    pub(super) fn executor(&mut self) -> Result<&mut Executor> {
        self.warm(&mut |_, _, _| {})
    }

    /// The same, telling how far the building is.
    pub(super) fn warm(&mut self, progress: &mut Progress<'_>) -> Result<&mut Executor> {
        match &mut self.executor {
            Some(executor) => Ok(executor),
            empty => {
                let device = Device::open()?;
                let mut executor = Executor::new(&device)?;
                executor.warm_up(&mut |done, total| progress(WARM_UP, done, total))?;
                Ok(empty.insert(executor))
            }
        }
    }
}

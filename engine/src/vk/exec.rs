//! The player: executes a [`CommandIr`] literally and reports what it did.
//!
//! One command buffer per submit boundary; barriers, waits and host accesses exactly where the stream has them. What
//! the report counts is what was really recorded and submitted, not what the stream announces.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ash::vk;

use super::VkError;
use super::device::Device;
use super::error::Named;
use super::pipe::{KernelShape, Pipelines};
use super::play::Play;
use super::regions::Regions;
use super::shaders::shader;
use super::sync::SyncKind;
use crate::ir::{CommandIr, HostInput, HostOutput};
use crate::kernels::{KERNELS, Kernel};

/// How to play a stream.
#[derive(Debug, Clone, Copy)]
pub struct PlayOptions {
    /// Means of waiting.
    pub sync: SyncKind,
    /// A pair of timestamps around every dispatch, besides the pair around every command buffer.
    pub stamp_dispatches: bool,
    /// Limit of one wait.
    pub timeout: Duration,
}

/// Time and number of a kernel's dispatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTime {
    /// Kernel.
    pub kernel: Kernel,
    /// Dispatches.
    pub count: u64,
    /// Nanoseconds on the device.
    pub ns: u64,
}

/// What playing a stream did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Played {
    /// Queue submits.
    pub submits: u64,
    /// Dispatches recorded.
    pub dispatches: u64,
    /// Barriers recorded, without those of taps.
    pub barriers: u64,
    /// Nanoseconds between the ends of the command buffers, summed; `None` where the queue has no timestamps.
    pub command_buffer_ns: Option<u64>,
    /// Per kernel, in table order; `None` unless dispatches were stamped.
    pub kernels: Option<Vec<KernelTime>>,
    /// Nanoseconds of each dispatch, in stream order; `None` unless dispatches were stamped.
    pub dispatch_ns: Option<Vec<u64>>,
    /// Nanoseconds that the host waited for the device.
    pub wait_ns: u64,
    /// Bytes that the host read, in stream order.
    pub reads: Vec<(HostOutput, Vec<u8>)>,
}

/// Bytes for a host write of so many bytes; `None` when the caller has no such input.
pub type HostBytes<'a> = dyn Fn(HostInput, u64) -> Option<Cow<'a, [u8]>> + 'a;

/// Plays streams on one device.
pub struct Executor {
    device: Arc<Device>,
    pipelines: Pipelines,
    pool: vk::CommandPool,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("pipelines", &self.pipelines)
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// A player without pipelines.
    ///
    /// # Errors
    /// [`VkError::Call`] when the driver refuses a command pool.
    pub fn new(device: &Arc<Device>) -> Result<Self, VkError> {
        let info = vk::CommandPoolCreateInfo::default().queue_family_index(device.queue_family);
        // SAFETY: the device is live.
        let pool =
            unsafe { device.raw.create_command_pool(&info, None) }.named("vkCreateCommandPool")?;
        Ok(Self {
            device: Arc::clone(device),
            pipelines: Pipelines::new(device),
            pool,
        })
    }

    /// The device that this player uses.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Builds every pipeline ahead of the first pass; `progress` hears how many are built, of how many.
    ///
    /// # Errors
    /// [`VkError::Call`] when the driver refuses a shader.
    pub fn warm_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<usize, VkError> {
        let total = KERNELS.len() as u64;
        progress(0, total);
        for (spec, built) in KERNELS.iter().zip(1..) {
            self.ensure(spec.kernel)?;
            progress(built, total);
        }
        Ok(self.pipelines.count())
    }

    fn ensure(&mut self, kernel: Kernel) -> Result<(), VkError> {
        let spec = kernel.spec();
        self.pipelines.ensure(&KernelShape {
            name: spec.name,
            spirv: shader(kernel).spirv,
            bindings: spec.bindings.len(),
            immediates: spec.immediates.len(),
        })
    }

    /// Plays `stream` over `regions`; `host` gives the bytes of host writes.
    ///
    /// # Errors
    /// [`VkError::BadStream`] names the command that cannot be played; memory and driver failures as they come. After
    /// an error that [`VkError::poisons_context`], the process must be replaced.
    pub fn play(
        &mut self,
        stream: &CommandIr,
        regions: &mut Regions,
        host: &HostBytes<'_>,
        options: &PlayOptions,
    ) -> Result<Played, VkError> {
        regions.ensure(&stream.region_sizes)?;
        for dispatch in stream.dispatches() {
            self.ensure(dispatch.kernel)?;
        }
        Play::new(
            &self.device,
            &self.pipelines,
            self.pool,
            regions,
            options,
            stream,
        )?
        .finish(stream, host)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // SAFETY: `play` settles every submit before it returns.
        unsafe { self.device.raw.destroy_command_pool(self.pool, None) };
    }
}

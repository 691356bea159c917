//! One stream being played: recording, submitting, measuring, settling.

use std::sync::Arc;
use std::time::Instant;

use ash::vk;

use super::VkError;
use super::device::Device;
use super::encode::Encoder;
use super::error::Named;
use super::exec::{HostBytes, KernelTime, PlayOptions, Played};
use super::pipe::Pipelines;
use super::query::Timestamps;
use super::regions::Regions;
use super::sets::Sets;
use super::sync::Submitter;
use crate::ir::{Command, CommandIr, Dispatch, Submit};
use crate::kernels::{KERNELS, Kernel};

/// Numbers that pools are sized by.
struct Shape {
    dispatches: u32,
    bindings: u32,
    submits: u32,
}

impl Shape {
    fn of(stream: &CommandIr) -> Self {
        let mut shape = Self {
            dispatches: 0,
            bindings: 0,
            submits: 0,
        };
        for command in &stream.commands {
            match command {
                Command::Dispatch(dispatch) => {
                    shape.dispatches += 1;
                    shape.bindings += u32::try_from(dispatch.bindings.len()).unwrap_or(u32::MAX);
                }
                Command::SubmitBoundary(_) => shape.submits += 1,
                _ => {}
            }
        }
        shape
    }

    fn queries(&self, stamp_dispatches: bool) -> u32 {
        2 * self.submits
            + if stamp_dispatches {
                2 * self.dispatches
            } else {
                0
            }
    }
}

/// What a pair of timestamps encloses.
enum Span {
    CommandBuffer,
    Dispatch(Kernel),
}

/// One stream being played.
pub(super) struct Play<'a> {
    device: &'a Arc<Device>,
    pipelines: &'a Pipelines,
    regions: &'a mut Regions,
    options: &'a PlayOptions,
    sets: Sets,
    submitter: Submitter,
    stamps: Option<Timestamps>,
    pool: vk::CommandPool,
    open: Option<vk::CommandBuffer>,
    buffers: Vec<vk::CommandBuffer>,
    next_stamp: u32,
    /// Enclosed thing with the indices of its two timestamps.
    spans: Vec<(Span, u32, u32)>,
    unfenced: bool,
    done: Played,
}

impl<'a> Play<'a> {
    pub(super) fn new(
        device: &'a Arc<Device>,
        pipelines: &'a Pipelines,
        pool: vk::CommandPool,
        regions: &'a mut Regions,
        options: &'a PlayOptions,
        stream: &CommandIr,
    ) -> Result<Self, VkError> {
        let shape = Shape::of(stream);
        let queries = shape.queries(options.stamp_dispatches);
        Ok(Self {
            device,
            pipelines,
            regions,
            options,
            sets: Sets::new(device, shape.dispatches, shape.bindings)?,
            submitter: Submitter::new(device, options.sync, options.timeout)?,
            stamps: Timestamps::new(device, queries)?,
            pool,
            open: None,
            buffers: Vec::new(),
            next_stamp: 0,
            spans: Vec::new(),
            unfenced: false,
            done: Played::default(),
        })
    }

    /// Plays every command and leaves nothing in flight.
    pub(super) fn finish(
        mut self,
        stream: &CommandIr,
        host: &HostBytes<'_>,
    ) -> Result<Played, VkError> {
        let result = self.run(stream, host).and_then(|()| self.measure());
        match self.settle(result) {
            Ok(()) => Ok(std::mem::take(&mut self.done)),
            Err(error) => {
                if error.poisons_context() {
                    // Nothing that a hung or lost device may still use can be destroyed; the process ends soon.
                    std::mem::forget(self);
                }
                Err(error)
            }
        }
    }

    fn run(&mut self, stream: &CommandIr, host: &HostBytes<'_>) -> Result<(), VkError> {
        for (at, command) in stream.commands.iter().enumerate() {
            self.command(at, command, host)?;
        }
        if self.open.is_some() {
            return Err(VkError::BadStream {
                command: stream.commands.len(),
                detail: "the stream ends with commands that were never submitted".into(),
            });
        }
        Ok(())
    }

    fn command(
        &mut self,
        at: usize,
        command: &Command,
        host: &HostBytes<'_>,
    ) -> Result<(), VkError> {
        match command {
            Command::HostWrite { dst, input } => {
                let bytes = host(*input, dst.len).filter(|bytes| bytes.len() as u64 == dst.len);
                let bytes = bytes.ok_or_else(|| VkError::BadStream {
                    command: at,
                    detail: format!("{} of {} B has no such bytes", command.name(), dst.len),
                })?;
                self.regions.write(dst, &bytes)
            }
            Command::HostRead { src, output } => {
                let bytes = self.regions.read(src)?;
                self.done.reads.push((*output, bytes));
                Ok(())
            }
            Command::Zero { dst, .. } => self.encoder(at)?.zero(dst),
            Command::Copy(copy) => self.encoder(at)?.copy(copy),
            Command::Barrier(barrier) => {
                self.done.barriers += u64::from(!barrier.for_taps);
                self.encoder(at)?.barrier(barrier)
            }
            Command::Dispatch(dispatch) => self.dispatch(at, dispatch),
            Command::SubmitBoundary(submit) if *submit != Submit::default() => {
                Err(VkError::BadStream {
                    command: at,
                    detail: format!(
                        "a submit to queue {} behind {:?}; the player has one queue and no semaphores",
                        submit.queue.0, submit.after
                    ),
                })
            }
            Command::SubmitBoundary(_) => self.submit(),
            Command::FenceWait => self.wait(),
        }
    }

    fn encoder(&mut self, at: usize) -> Result<Encoder<'_>, VkError> {
        let commands = match self.open {
            Some(commands) => commands,
            None => self.begin()?,
        };
        Ok(Encoder {
            device: self.device,
            regions: self.regions,
            commands,
            at,
        })
    }

    fn begin(&mut self) -> Result<vk::CommandBuffer, VkError> {
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(1);
        // SAFETY: the pool is live and used by this thread only.
        let allocated = unsafe { self.device.raw.allocate_command_buffers(&info) }
            .named("vkAllocateCommandBuffers")?;
        let commands = allocated.first().copied().unwrap_or_default();
        self.buffers.push(commands);
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the command buffer is fresh.
        unsafe { self.device.raw.begin_command_buffer(commands, &info) }
            .named("vkBeginCommandBuffer")?;
        if let Some(stamps) = &self.stamps
            && self.next_stamp == 0
        {
            stamps.reset(commands, 0, stamps.capacity());
        }
        self.open = Some(commands);
        self.begin_span(Span::CommandBuffer);
        Ok(commands)
    }

    fn dispatch(&mut self, at: usize, dispatch: &Dispatch) -> Result<(), VkError> {
        let pipeline = self.pipelines.get(dispatch.kernel.name())?;
        let set = self.sets.allocate(pipeline.set_layout)?;
        let stamped = self.options.stamp_dispatches;
        self.encoder(at)?;
        if stamped {
            self.begin_span(Span::Dispatch(dispatch.kernel));
        }
        self.encoder(at)?.dispatch(dispatch, pipeline, set)?;
        if stamped {
            self.end_span(self.spans.len() - 1);
        }
        self.done.dispatches += 1;
        Ok(())
    }

    fn submit(&mut self) -> Result<(), VkError> {
        // An empty command buffer is still a submit of the stream.
        let commands = match self.open {
            Some(commands) => commands,
            None => self.begin()?,
        };
        let span = self
            .spans
            .iter()
            .rposition(|(span, ..)| matches!(span, Span::CommandBuffer));
        if let Some(span) = span {
            self.end_span(span);
        }
        self.open = None;
        // SAFETY: the command buffer is recording.
        unsafe { self.device.raw.end_command_buffer(commands) }.named("vkEndCommandBuffer")?;
        self.submitter.submit(commands)?;
        self.done.submits += 1;
        self.unfenced = true;
        Ok(())
    }

    fn wait(&mut self) -> Result<(), VkError> {
        let start = Instant::now();
        self.submitter.wait()?;
        self.done.wait_ns += u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.unfenced = false;
        Ok(())
    }

    fn begin_span(&mut self, span: Span) {
        if let (Some(stamps), Some(commands)) = (&self.stamps, self.open) {
            stamps.stamp(commands, self.next_stamp);
            self.spans.push((span, self.next_stamp, self.next_stamp));
            self.next_stamp += 1;
        }
    }

    fn end_span(&mut self, index: usize) {
        if let (Some(stamps), Some(commands)) = (&self.stamps, self.open)
            && let Some((_, _, end)) = self.spans.get_mut(index)
        {
            stamps.stamp(commands, self.next_stamp);
            *end = self.next_stamp;
            self.next_stamp += 1;
        }
    }

    /// Reads the timestamps; waits for the device when the stream did not.
    fn measure(&mut self) -> Result<(), VkError> {
        if self.stamps.is_some() && self.unfenced {
            self.wait()?;
        }
        let Some(stamps) = &self.stamps else {
            return Ok(());
        };
        let ns = stamps.read_ns(self.next_stamp)?;
        let at = |index: u32| ns.get(index as usize).copied().unwrap_or(0);
        let mut whole = 0;
        let mut dispatches = Vec::new();
        let mut kernels: Vec<KernelTime> = KERNELS
            .iter()
            .map(|spec| KernelTime {
                kernel: spec.kernel,
                count: 0,
                ns: 0,
            })
            .collect();
        for (span, begin, end) in &self.spans {
            let elapsed = at(*end).saturating_sub(at(*begin));
            match span {
                Span::CommandBuffer => whole += elapsed,
                Span::Dispatch(kernel) => {
                    dispatches.push(elapsed);
                    if let Some(time) = kernels.get_mut(*kernel as usize) {
                        time.count += 1;
                        time.ns += elapsed;
                    }
                }
            }
        }
        kernels.retain(|time| time.count > 0);
        self.done.command_buffer_ns = Some(whole);
        self.done.kernels = self.options.stamp_dispatches.then_some(kernels);
        self.done.dispatch_ns = self.options.stamp_dispatches.then_some(dispatches);
        Ok(())
    }

    /// Leaves nothing in flight, whatever happened before, and gives the command buffers back.
    fn settle(&mut self, result: Result<(), VkError>) -> Result<(), VkError> {
        if result.as_ref().err().is_some_and(VkError::poisons_context) {
            return result;
        }
        let waited = if self.unfenced {
            self.submitter.wait()
        } else {
            Ok(())
        };
        if waited.is_ok() && !self.buffers.is_empty() {
            // SAFETY: every submit has finished, or was never made.
            unsafe {
                self.device
                    .raw
                    .free_command_buffers(self.pool, &self.buffers);
            }
            self.buffers.clear();
        }
        result.and(waited)
    }
}

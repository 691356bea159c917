//! How the host learns that a submit has finished.

use std::sync::Arc;
use std::time::Duration;

use ash::vk;
use serde::{Deserialize, Serialize};

use super::VkError;
use super::device::Device;
use super::error::Named;

/// Means of waiting. Fences are the default: Khronos sync validation reports false hazards with timeline semaphores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncKind {
    /// One fence per submit.
    #[default]
    Fence,
    /// One timeline semaphore, one value per submit.
    Timeline,
}

/// Submits command buffers and waits for them.
pub(super) struct Submitter {
    device: Arc<Device>,
    means: Means,
    timeout: Duration,
}

enum Means {
    Fences(Vec<vk::Fence>),
    Timeline {
        semaphore: vk::Semaphore,
        value: u64,
    },
}

impl Submitter {
    pub(super) fn new(
        device: &Arc<Device>,
        kind: SyncKind,
        timeout: Duration,
    ) -> Result<Self, VkError> {
        let means = match kind {
            SyncKind::Fence => Means::Fences(Vec::new()),
            SyncKind::Timeline if !device.caps().timeline_semaphores => {
                return Err(VkError::BadStream {
                    command: 0,
                    detail: "this device has no timeline semaphores; use sync=fence".into(),
                });
            }
            SyncKind::Timeline => Means::Timeline {
                semaphore: create_timeline(device)?,
                value: 0,
            },
        };
        Ok(Self {
            device: Arc::clone(device),
            means,
            timeout,
        })
    }

    /// Submits one ended command buffer.
    pub(super) fn submit(&mut self, commands: vk::CommandBuffer) -> Result<(), VkError> {
        let buffers = [commands];
        let raw = &self.device.raw;
        match &mut self.means {
            Means::Fences(fences) => {
                // SAFETY: the device is live.
                let fence = unsafe { raw.create_fence(&vk::FenceCreateInfo::default(), None) }
                    .named("vkCreateFence")?;
                fences.push(fence);
                let submit = vk::SubmitInfo::default().command_buffers(&buffers);
                // SAFETY: the buffer is ended; everything it uses outlives the wait in `wait`.
                unsafe { raw.queue_submit(self.device.queue, &[submit], fence) }
                    .named("vkQueueSubmit")
            }
            Means::Timeline { semaphore, value } => {
                *value += 1;
                let semaphores = [*semaphore];
                let values = [*value];
                let mut timeline =
                    vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
                let submit = vk::SubmitInfo::default()
                    .command_buffers(&buffers)
                    .signal_semaphores(&semaphores)
                    .push_next(&mut timeline);
                // SAFETY: as above.
                unsafe { raw.queue_submit(self.device.queue, &[submit], vk::Fence::null()) }
                    .named("vkQueueSubmit")
            }
        }
    }

    /// Waits for everything submitted so far.
    pub(super) fn wait(&mut self) -> Result<(), VkError> {
        let nanos = u64::try_from(self.timeout.as_nanos()).unwrap_or(u64::MAX);
        let raw = &self.device.raw;
        let (result, what) = match &self.means {
            Means::Fences(fences) if fences.is_empty() => return Ok(()),
            // SAFETY: the fences are live and each was given to one submit.
            Means::Fences(fences) => (unsafe { raw.wait_for_fences(fences, true, nanos) }, "fence"),
            Means::Timeline { semaphore, value } => {
                let semaphores = [*semaphore];
                let values = [*value];
                let info = vk::SemaphoreWaitInfo::default()
                    .semaphores(&semaphores)
                    .values(&values);
                // SAFETY: the semaphore is live and `value` was submitted to be signalled.
                (
                    unsafe { raw.wait_semaphores(&info, nanos) },
                    "timeline semaphore",
                )
            }
        };
        match result {
            Err(vk::Result::TIMEOUT) => Err(VkError::Timeout {
                what,
                ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            }),
            other => other.named("vkWaitForFences"),
        }?;
        self.retire();
        Ok(())
    }

    fn retire(&mut self) {
        if let Means::Fences(fences) = &mut self.means {
            for fence in fences.drain(..) {
                // SAFETY: the fence is signalled, so its submit has finished.
                unsafe { self.device.raw.destroy_fence(fence, None) };
            }
        }
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        // Fences that are still pending belong to a hung or lost device: they are leaked, their process ends.
        if let Means::Timeline { semaphore, .. } = self.means {
            // SAFETY: the player waits before it drops the submitter, except on a device that is beyond use.
            unsafe { self.device.raw.destroy_semaphore(semaphore, None) };
        }
    }
}

fn create_timeline(device: &Device) -> Result<vk::Semaphore, VkError> {
    let mut kind =
        vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
    let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
    // SAFETY: the feature is on and the create info outlives the call.
    unsafe { device.raw.create_semaphore(&info, None) }.named("vkCreateSemaphore")
}

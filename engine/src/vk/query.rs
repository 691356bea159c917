//! Timestamps: a pair per command buffer in summary mode, a pair per dispatch in full mode.

use std::sync::Arc;

use ash::vk;

use super::VkError;
use super::device::Device;
use super::error::Named;

/// A pool of timestamp queries.
pub(super) struct Timestamps {
    device: Arc<Device>,
    pool: vk::QueryPool,
    capacity: u32,
}

impl Timestamps {
    /// A pool of `capacity` timestamps, or `None` where the queue has none.
    pub(super) fn new(device: &Arc<Device>, capacity: u32) -> Result<Option<Self>, VkError> {
        if device.caps().timestamp_bits == 0 || capacity == 0 {
            return Ok(None);
        }
        let info = vk::QueryPoolCreateInfo::default()
            .query_type(vk::QueryType::TIMESTAMP)
            .query_count(capacity);
        // SAFETY: the device is live and the create info outlives the call.
        let pool =
            unsafe { device.raw.create_query_pool(&info, None) }.named("vkCreateQueryPool")?;
        Ok(Some(Self {
            device: Arc::clone(device),
            pool,
            capacity,
        }))
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Records the reset of `count` queries from `first`; must precede their use in the same stream of submits.
    pub(super) fn reset(&self, commands: vk::CommandBuffer, first: u32, count: u32) {
        // SAFETY: the buffer is in the recording state, outside a render pass, and the pool is live.
        unsafe {
            self.device
                .raw
                .cmd_reset_query_pool(commands, self.pool, first, count);
        }
    }

    /// Records timestamp `index`, taken when all earlier commands have finished.
    pub(super) fn stamp(&self, commands: vk::CommandBuffer, index: u32) {
        // SAFETY: as in `reset`; the index was reset before.
        unsafe {
            self.device.raw.cmd_write_timestamp(
                commands,
                vk::PipelineStageFlags::BOTTOM_OF_PIPE,
                self.pool,
                index,
            );
        }
    }

    /// The first `count` timestamps in nanoseconds, once their submits have finished.
    pub(super) fn read_ns(&self, count: u32) -> Result<Vec<u64>, VkError> {
        let mut ticks = vec![0_u64; count as usize];
        if count == 0 {
            return Ok(ticks);
        }
        // SAFETY: every one of these queries was written by a finished submit; the slice holds `count` results.
        unsafe {
            self.device.raw.get_query_pool_results(
                self.pool,
                0,
                &mut ticks,
                vk::QueryResultFlags::TYPE_64 | vk::QueryResultFlags::WAIT,
            )
        }
        .named("vkGetQueryPoolResults")?;
        let bits = self.device.caps().timestamp_bits;
        let mask = if bits >= 64 {
            u64::MAX
        } else {
            (1 << bits) - 1
        };
        let period = f64::from(self.device.caps().timestamp_period_ns);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "ticks to nanoseconds; the driver's period is a float"
        )]
        let to_ns = |tick: u64| {
            if (period - 1.0).abs() < f64::EPSILON {
                tick & mask
            } else {
                ((tick & mask) as f64 * period) as u64
            }
        };
        Ok(ticks.into_iter().map(to_ns).collect())
    }
}

impl Drop for Timestamps {
    fn drop(&mut self) {
        // SAFETY: the executor waits for its submits before the pool is dropped.
        unsafe { self.device.raw.destroy_query_pool(self.pool, None) };
    }
}

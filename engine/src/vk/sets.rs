//! Descriptor sets of one play.

use std::sync::Arc;

use ash::vk;

use super::VkError;
use super::device::Device;
use super::error::Named;

/// Descriptor sets of one play, freed together.
pub(super) struct Sets {
    device: Arc<Device>,
    pool: Option<vk::DescriptorPool>,
}

impl Sets {
    pub(super) fn new(device: &Arc<Device>, sets: u32, bindings: u32) -> Result<Self, VkError> {
        let mut pool = None;
        if sets > 0 {
            let sizes = [vk::DescriptorPoolSize {
                ty: vk::DescriptorType::STORAGE_BUFFER,
                descriptor_count: bindings.max(1),
            }];
            let info = vk::DescriptorPoolCreateInfo::default()
                .max_sets(sets)
                .pool_sizes(&sizes);
            // SAFETY: the device is live and the create info outlives the call.
            let created = unsafe { device.raw.create_descriptor_pool(&info, None) };
            pool = Some(created.named("vkCreateDescriptorPool")?);
        }
        Ok(Self {
            device: Arc::clone(device),
            pool,
        })
    }

    pub(super) fn allocate(
        &self,
        layout: vk::DescriptorSetLayout,
    ) -> Result<vk::DescriptorSet, VkError> {
        let layouts = [layout];
        let info = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(self.pool.unwrap_or_default())
            .set_layouts(&layouts);
        // SAFETY: the pool was sized for every dispatch of the stream; the layout is live.
        let sets = unsafe { self.device.raw.allocate_descriptor_sets(&info) }
            .named("vkAllocateDescriptorSets")?;
        Ok(sets.first().copied().unwrap_or_default())
    }
}

impl Drop for Sets {
    fn drop(&mut self) {
        if let Some(pool) = self.pool {
            // SAFETY: the player waited for every submit that uses the sets.
            unsafe { self.device.raw.destroy_descriptor_pool(pool, None) };
        }
    }
}

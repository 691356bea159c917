//! Turns single commands of the stream into Vulkan commands.

use ash::vk;

use super::VkError;
use super::device::Device;
use super::pipe::Pipeline;
use super::regions::Regions;
use crate::ir::{Barrier, Binding, ByteRange, Copy, Dispatch, ScopeSet};

/// Where commands are encoded to.
pub(super) struct Encoder<'a> {
    pub(super) device: &'a Device,
    pub(super) regions: &'a Regions,
    pub(super) commands: vk::CommandBuffer,
    /// Index of the command in its stream, for messages.
    pub(super) at: usize,
}

impl Encoder<'_> {
    fn bad(&self, detail: impl Into<String>) -> VkError {
        VkError::BadStream {
            command: self.at,
            detail: detail.into(),
        }
    }

    fn locate(&self, range: &ByteRange) -> Result<(vk::Buffer, u64), VkError> {
        let place = self
            .regions
            .location(range.region)
            .ok_or_else(|| self.bad(format!("{range} has no memory")))?;
        let end = range.offset.checked_add(range.len);
        if end.is_none_or(|end| end > place.bytes) {
            return Err(self.bad(format!("{range} leaves its region of {} B", place.bytes)));
        }
        Ok((place.buffer, place.offset + range.offset))
    }

    pub(super) fn zero(&self, dst: &ByteRange) -> Result<(), VkError> {
        let (buffer, offset) = self.locate(dst)?;
        // SAFETY: `locate` proved the range inside the live buffer; the command buffer is recording.
        unsafe {
            self.device
                .raw
                .cmd_fill_buffer(self.commands, buffer, offset, dst.len, 0);
        }
        Ok(())
    }

    pub(super) fn copy(&self, copy: &Copy) -> Result<(), VkError> {
        if copy.src.len != copy.dst.len {
            return Err(self.bad(format!("copies {} to {}", copy.src, copy.dst)));
        }
        let (src, src_offset) = self.locate(&copy.src)?;
        let (dst, dst_offset) = self.locate(&copy.dst)?;
        let region = vk::BufferCopy {
            src_offset,
            dst_offset,
            size: copy.src.len,
        };
        // SAFETY: `locate` proved both ranges inside live buffers; the command buffer is recording.
        unsafe {
            self.device
                .raw
                .cmd_copy_buffer(self.commands, src, dst, &[region]);
        }
        Ok(())
    }

    pub(super) fn barrier(&self, barrier: &Barrier) -> Result<(), VkError> {
        let mut buffers = Vec::with_capacity(barrier.ranges.len());
        for range in &barrier.ranges {
            let (buffer, offset) = self.locate(range)?;
            buffers.push(
                vk::BufferMemoryBarrier::default()
                    .src_access_mask(access_of(barrier.src))
                    .dst_access_mask(access_of(barrier.dst))
                    .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                    .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                    .buffer(buffer)
                    .offset(offset)
                    .size(range.len),
            );
        }
        let (src, dst) = (stages_of(barrier.src), stages_of(barrier.dst));
        if src.is_empty() || dst.is_empty() {
            return Err(self.bad("barrier with an empty scope"));
        }
        // SAFETY: the ranges lie inside live buffers; the command buffer is recording, outside a render pass.
        unsafe {
            self.device.raw.cmd_pipeline_barrier(
                self.commands,
                src,
                dst,
                vk::DependencyFlags::empty(),
                &[],
                &buffers,
                &[],
            );
        }
        Ok(())
    }

    pub(super) fn dispatch(
        &self,
        dispatch: &Dispatch,
        pipeline: Pipeline,
        set: vk::DescriptorSet,
    ) -> Result<(), VkError> {
        self.check(dispatch, pipeline)?;
        self.write_set(dispatch, set)?;
        let immediates: Vec<u8> = dispatch
            .immediates
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let [x, y, z] = dispatch.groups;
        let raw = &self.device.raw;
        // SAFETY: pipeline, layout and set are live and belong together (`check` compared their shapes); the command
        // buffer is recording.
        unsafe {
            raw.cmd_bind_pipeline(
                self.commands,
                vk::PipelineBindPoint::COMPUTE,
                pipeline.pipeline,
            );
            raw.cmd_bind_descriptor_sets(
                self.commands,
                vk::PipelineBindPoint::COMPUTE,
                pipeline.layout,
                0,
                &[set],
                &[],
            );
            if !immediates.is_empty() {
                raw.cmd_push_constants(
                    self.commands,
                    pipeline.layout,
                    vk::ShaderStageFlags::COMPUTE,
                    0,
                    &immediates,
                );
            }
            raw.cmd_dispatch(self.commands, x, y, z);
        }
        Ok(())
    }

    fn check(&self, dispatch: &Dispatch, pipeline: Pipeline) -> Result<(), VkError> {
        let caps = self.device.caps();
        if dispatch.bindings.len() != pipeline.bindings
            || dispatch.immediates.len() != pipeline.immediates
        {
            return Err(self.bad(format!(
                "{} gives {} bindings and {} immediates, its shader takes {} and {}",
                dispatch.name(),
                dispatch.bindings.len(),
                dispatch.immediates.len(),
                pipeline.bindings,
                pipeline.immediates
            )));
        }
        let fits = dispatch
            .groups
            .iter()
            .zip(caps.max_workgroups)
            .all(|(&n, max)| n > 0 && n <= max);
        if !fits {
            return Err(self.bad(format!(
                "{} asks for {:?} workgroups, the device allows 1 to {:?}",
                dispatch.name(),
                dispatch.groups,
                caps.max_workgroups
            )));
        }
        Ok(())
    }

    fn write_set(&self, dispatch: &Dispatch, set: vk::DescriptorSet) -> Result<(), VkError> {
        let infos = dispatch
            .bindings
            .iter()
            .zip(0_u32..)
            .map(|(binding, slot)| self.buffer_info(binding, slot))
            .collect::<Result<Vec<_>, _>>()?;
        let writes: Vec<_> = infos
            .iter()
            .zip(0_u32..)
            .map(|(info, slot)| {
                vk::WriteDescriptorSet::default()
                    .dst_set(set)
                    .dst_binding(slot)
                    .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                    .buffer_info(std::slice::from_ref(info))
            })
            .collect();
        // SAFETY: the set was allocated for this pipeline's layout and no submitted command buffer uses it yet.
        unsafe { self.device.raw.update_descriptor_sets(&writes, &[]) };
        Ok(())
    }

    fn buffer_info(
        &self,
        binding: &Binding,
        slot: u32,
    ) -> Result<vk::DescriptorBufferInfo, VkError> {
        let caps = self.device.caps();
        let (buffer, offset) = self.locate(&binding.range)?;
        if binding.slot != slot {
            return Err(self.bad(format!("binding {slot} says it is {}", binding.slot)));
        }
        if offset % caps.storage_offset_alignment != 0 {
            return Err(self.bad(format!(
                "{} is not aligned to {}",
                binding.range, caps.storage_offset_alignment
            )));
        }
        if binding.range.len == 0 || binding.range.len > caps.max_storage_buffer_range {
            return Err(self.bad(format!(
                "{} cannot be bound: the device takes 1 to {} B",
                binding.range, caps.max_storage_buffer_range
            )));
        }
        Ok(vk::DescriptorBufferInfo {
            buffer,
            offset,
            range: binding.range.len,
        })
    }
}

fn stages_of(scope: ScopeSet) -> vk::PipelineStageFlags {
    let mut stages = vk::PipelineStageFlags::empty();
    for (holds, stage) in [
        (scope.has_compute(), vk::PipelineStageFlags::COMPUTE_SHADER),
        (scope.has_transfer(), vk::PipelineStageFlags::TRANSFER),
        (scope.has_host(), vk::PipelineStageFlags::HOST),
    ] {
        if holds {
            stages |= stage;
        }
    }
    stages
}

fn access_of(scope: ScopeSet) -> vk::AccessFlags {
    let mut access = vk::AccessFlags::empty();
    for (member, flag) in [
        (ScopeSet::SHADER_READ, vk::AccessFlags::SHADER_READ),
        (ScopeSet::SHADER_WRITE, vk::AccessFlags::SHADER_WRITE),
        (ScopeSet::TRANSFER_READ, vk::AccessFlags::TRANSFER_READ),
        (ScopeSet::TRANSFER_WRITE, vk::AccessFlags::TRANSFER_WRITE),
        (ScopeSet::HOST_READ, vk::AccessFlags::HOST_READ),
    ] {
        if scope.contains(member) {
            access |= flag;
        }
    }
    access
}

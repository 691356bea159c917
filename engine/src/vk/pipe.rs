//! Compute pipelines from the SPIR-V that `build.rs` made.

use std::collections::HashMap;
use std::sync::Arc;

use ash::vk;

use super::VkError;
use super::device::Device;
use super::error::Named;

/// What a pipeline needs to know of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelShape<'a> {
    /// Name; also the shader's file stem.
    pub name: &'a str,
    /// SPIR-V bytes, little endian, entry point `main`.
    pub spirv: &'a [u8],
    /// Number of storage buffer bindings, 0-based and dense, all in set 0.
    pub bindings: usize,
    /// Number of 32-bit immediates (push constants).
    pub immediates: usize,
}

/// One built pipeline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pipeline {
    pub(super) pipeline: vk::Pipeline,
    pub(super) layout: vk::PipelineLayout,
    pub(super) set_layout: vk::DescriptorSetLayout,
    pub(super) bindings: usize,
    pub(super) immediates: usize,
}

/// Pipelines by kernel name.
pub struct Pipelines {
    device: Arc<Device>,
    built: HashMap<String, Pipeline>,
}

impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipelines")
            .field("built", &self.built.len())
            .finish_non_exhaustive()
    }
}

impl Pipelines {
    /// No pipeline yet; [`Pipelines::ensure`] builds them.
    #[must_use]
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            device: Arc::clone(device),
            built: HashMap::new(),
        }
    }

    /// Builds the pipeline of `kernel` unless it exists.
    ///
    /// # Errors
    /// [`VkError::Call`] when the driver refuses the shader, [`VkError::BadStream`] when it needs more immediates than
    /// the device has.
    pub fn ensure(&mut self, kernel: &KernelShape<'_>) -> Result<(), VkError> {
        if self.built.contains_key(kernel.name) {
            return Ok(());
        }
        let limit = self.device.caps().max_push_constant_bytes as usize;
        if kernel.immediates * 4 > limit {
            return Err(VkError::BadStream {
                command: 0,
                detail: format!(
                    "kernel {} has {} immediates but the device takes {limit} B",
                    kernel.name, kernel.immediates
                ),
            });
        }
        let pipeline = build(&self.device, kernel)?;
        self.built.insert(kernel.name.to_owned(), pipeline);
        Ok(())
    }

    /// Number of pipelines built so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.built.len()
    }

    pub(super) fn get(&self, name: &str) -> Result<Pipeline, VkError> {
        self.built
            .get(name)
            .copied()
            .ok_or_else(|| VkError::UnknownKernel { name: name.into() })
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        for pipeline in self.built.values() {
            // SAFETY: the executor waits for its submits, so no pipeline is in use.
            unsafe {
                self.device.raw.destroy_pipeline(pipeline.pipeline, None);
                self.device
                    .raw
                    .destroy_pipeline_layout(pipeline.layout, None);
                self.device
                    .raw
                    .destroy_descriptor_set_layout(pipeline.set_layout, None);
            }
        }
    }
}

fn build(device: &Device, kernel: &KernelShape<'_>) -> Result<Pipeline, VkError> {
    let set_layout = create_set_layout(device, kernel.bindings)?;
    match build_on(device, kernel, set_layout) {
        Ok((pipeline, layout)) => Ok(Pipeline {
            pipeline,
            layout,
            set_layout,
            bindings: kernel.bindings,
            immediates: kernel.immediates,
        }),
        Err(error) => {
            // SAFETY: nothing that uses the layout survived the failure.
            unsafe { device.raw.destroy_descriptor_set_layout(set_layout, None) };
            Err(error)
        }
    }
}

fn create_set_layout(device: &Device, count: usize) -> Result<vk::DescriptorSetLayout, VkError> {
    let bindings: Vec<_> = (0_u32..)
        .take(count)
        .map(|binding| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        })
        .collect();
    let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
    // SAFETY: the create info and its bindings outlive the call.
    unsafe { device.raw.create_descriptor_set_layout(&info, None) }
        .named("vkCreateDescriptorSetLayout")
}

fn build_on(
    device: &Device,
    kernel: &KernelShape<'_>,
    set_layout: vk::DescriptorSetLayout,
) -> Result<(vk::Pipeline, vk::PipelineLayout), VkError> {
    let set_layouts = [set_layout];
    let bytes = u32::try_from(kernel.immediates * 4).unwrap_or(u32::MAX);
    let ranges = [vk::PushConstantRange::default()
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
        .size(bytes)];
    let mut info = vk::PipelineLayoutCreateInfo::default().set_layouts(&set_layouts);
    if kernel.immediates > 0 {
        info = info.push_constant_ranges(&ranges);
    }
    // SAFETY: the create info and what it points to outlive the call.
    let layout = unsafe { device.raw.create_pipeline_layout(&info, None) }
        .named("vkCreatePipelineLayout")?;
    build_pipeline(device, kernel, layout)
        .map(|pipeline| (pipeline, layout))
        .inspect_err(|_| {
            // SAFETY: no pipeline was made from the layout.
            unsafe { device.raw.destroy_pipeline_layout(layout, None) };
        })
}

fn build_pipeline(
    device: &Device,
    kernel: &KernelShape<'_>,
    layout: vk::PipelineLayout,
) -> Result<vk::Pipeline, VkError> {
    let words: Vec<u32> = kernel
        .spirv
        .chunks_exact(4)
        .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
        .collect();
    let info = vk::ShaderModuleCreateInfo::default().code(&words);
    // SAFETY: the words are SPIR-V that naga validated at build time.
    let module =
        unsafe { device.raw.create_shader_module(&info, None) }.named("vkCreateShaderModule")?;
    let stage = vk::PipelineShaderStageCreateInfo::default()
        .stage(vk::ShaderStageFlags::COMPUTE)
        .module(module)
        .name(c"main");
    let info = vk::ComputePipelineCreateInfo::default()
        .stage(stage)
        .layout(layout);
    // SAFETY: module and layout are live; the layout was made for this kernel's bindings.
    let created = unsafe {
        device
            .raw
            .create_compute_pipelines(vk::PipelineCache::null(), &[info], None)
    };
    // SAFETY: a shader module may be destroyed once its pipelines exist.
    unsafe { device.raw.destroy_shader_module(module, None) };
    let pipelines = created
        .map_err(|(_, code)| code)
        .named("vkCreateComputePipelines")?;
    pipelines.first().copied().ok_or(VkError::Call {
        what: "vkCreateComputePipelines",
        code: "no pipeline returned".into(),
    })
}

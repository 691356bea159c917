//! Chunks of device memory: one buffer each, mapped where the host can see it.

use std::ptr::NonNull;

use ash::vk;

use super::VkError;
use super::device::Device;
use super::error::Named;
use super::mem::Placement;

/// One buffer with memory behind it.
pub(super) struct Chunk {
    pub(super) buffer: vk::Buffer,
    pub(super) memory: vk::DeviceMemory,
    pub(super) bytes: u64,
    pub(super) mapped: Option<NonNull<u8>>,
}

pub(super) fn destroy_chunk(device: &Device, chunk: &Chunk) {
    // SAFETY: the executor waits for every submit before it returns, so nothing in flight uses the buffer; freeing
    // unmaps.
    unsafe {
        device.raw.destroy_buffer(chunk.buffer, None);
        device.raw.free_memory(chunk.memory, None);
    }
}

pub(super) fn create_chunk(
    device: &Device,
    bytes: u64,
    placement: Placement,
) -> Result<Chunk, VkError> {
    let info = vk::BufferCreateInfo::default()
        .size(bytes.max(4))
        .usage(
            vk::BufferUsageFlags::STORAGE_BUFFER
                | vk::BufferUsageFlags::TRANSFER_SRC
                | vk::BufferUsageFlags::TRANSFER_DST,
        )
        .sharing_mode(vk::SharingMode::EXCLUSIVE);
    // SAFETY: the device is live and the create info outlives the call.
    let buffer = unsafe { device.raw.create_buffer(&info, None) }.named("vkCreateBuffer")?;
    match back_buffer(device, buffer, placement) {
        Ok((memory, mapped)) => Ok(Chunk {
            buffer,
            memory,
            bytes: bytes.max(4),
            mapped,
        }),
        Err(error) => {
            // SAFETY: the buffer was just created and is bound to nothing that lives.
            unsafe { device.raw.destroy_buffer(buffer, None) };
            Err(error)
        }
    }
}

fn back_buffer(
    device: &Device,
    buffer: vk::Buffer,
    placement: Placement,
) -> Result<(vk::DeviceMemory, Option<NonNull<u8>>), VkError> {
    // SAFETY: the buffer belongs to this device.
    let needs = unsafe { device.raw.get_buffer_memory_requirements(buffer) };
    let (index, flags) = memory_type(&device.memory, needs.memory_type_bits, placement)?;
    let info = vk::MemoryAllocateInfo::default()
        .allocation_size(needs.size)
        .memory_type_index(index);
    // SAFETY: the type index comes from the device's own table.
    let memory = unsafe { device.raw.allocate_memory(&info, None) }.named("vkAllocateMemory")?;
    let map = flags.contains(vk::MemoryPropertyFlags::HOST_VISIBLE);
    bind_and_map(device, buffer, memory, map).inspect_err(|_| {
        // SAFETY: the memory was just allocated and is not in use.
        unsafe { device.raw.free_memory(memory, None) };
    })
}

fn bind_and_map(
    device: &Device,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    map: bool,
) -> Result<(vk::DeviceMemory, Option<NonNull<u8>>), VkError> {
    // SAFETY: the memory has the size and type that this buffer requires, at offset 0.
    unsafe { device.raw.bind_buffer_memory(buffer, memory, 0) }.named("vkBindBufferMemory")?;
    if !map {
        return Ok((memory, None));
    }
    // SAFETY: the memory is host visible and not mapped yet.
    let pointer = unsafe {
        device
            .raw
            .map_memory(memory, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty())
    }
    .named("vkMapMemory")?;
    Ok((memory, NonNull::new(pointer.cast::<u8>())))
}

fn memory_type(
    memory: &vk::PhysicalDeviceMemoryProperties,
    allowed: u32,
    placement: Placement,
) -> Result<(u32, vk::MemoryPropertyFlags), VkError> {
    use vk::MemoryPropertyFlags as F;
    let host = F::HOST_VISIBLE | F::HOST_COHERENT;
    let (required, preferred, wanted) = match placement {
        Placement::Device => (F::DEVICE_LOCAL, host, "device-local memory"),
        Placement::HostWrite => (host, F::DEVICE_LOCAL, "host-visible coherent memory"),
        Placement::HostRead => (host, F::HOST_CACHED, "host-visible coherent memory"),
    };
    let fits = |flags: F| {
        memory
            .memory_types_as_slice()
            .iter()
            .zip(0_u32..)
            .find(|(kind, i)| allowed & (1 << i) != 0 && kind.property_flags.contains(flags))
            .map(|(kind, i)| (i, kind.property_flags))
    };
    fits(required | preferred)
        .or_else(|| fits(required))
        .ok_or(VkError::NoMemoryType { wanted })
}

//! Device memory: a bump sub-allocator over few, bounded chunks.
//!
//! A region is one contiguous byte range inside one `VkBuffer`. Chunks are at most [`CHUNK_BYTES`] (and the device's
//! `maxStorageBufferRange`), because a software driver binds no more than 128 MiB at once. A guard zone of known bytes
//! stands behind each host-visible region, so that a shader that writes past its region is noticed.

use std::ptr::NonNull;
use std::sync::Arc;

use ash::vk;

use super::VkError;
use super::chunk::{Chunk, create_chunk, destroy_chunk};
use super::device::Device;

/// Largest chunk in bytes: what lavapipe can bind as one storage buffer.
pub const CHUNK_BYTES: u64 = 128 << 20;
/// Bytes of the guard zone behind each region.
const GUARD_BYTES: u64 = 256;
/// What it is filled with.
const GUARD_BYTE: u8 = 0xA5;
/// Region starts are aligned to this; no device asks for more than 256.
const REGION_ALIGNMENT: u64 = 256;

/// Who touches a region besides the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Device only; what the host has to say arrives by copies from a staging region.
    Device,
    /// The host writes it between submits.
    HostWrite,
    /// The host reads it after a fence.
    HostRead,
}

/// One region to place.
#[derive(Debug, Clone)]
pub struct RegionSpec {
    /// Name for messages.
    pub name: String,
    /// Size in bytes; rounded up to a multiple of 4.
    pub bytes: u64,
    /// Who touches it.
    pub placement: Placement,
}

struct Placed {
    name: String,
    chunk: usize,
    offset: u64,
    bytes: u64,
}

/// Where a region lives, for command recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    pub(super) buffer: vk::Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// A set of placed regions, freed together.
pub struct Memory {
    device: Arc<Device>,
    chunks: Vec<Chunk>,
    regions: Vec<Placed>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("chunks", &self.chunks.len())
            .field("regions", &self.regions.len())
            .finish_non_exhaustive()
    }
}

/// Bytes that `specs` occupy, guards and alignment included.
#[must_use]
pub fn footprint(specs: &[RegionSpec]) -> u64 {
    specs.iter().map(|spec| stride(spec.bytes)).sum()
}

fn stride(bytes: u64) -> u64 {
    bytes
        .next_multiple_of(4)
        .saturating_add(GUARD_BYTES)
        .next_multiple_of(REGION_ALIGNMENT)
}

/// A chunk to be: which regions lie where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    placement: Placement,
    bytes: u64,
    /// Number of each region with its offset.
    slots: Vec<(usize, u64)>,
}

/// Puts regions of one placement behind one another, into as few chunks of at most `limit` bytes (and one guard) as their
/// order allows.
fn layouts(specs: &[RegionSpec], limit: u64) -> Vec<Layout> {
    let mut layouts: Vec<Layout> = Vec::new();
    for placement in [Placement::Device, Placement::HostWrite, Placement::HostRead] {
        let first = layouts.len();
        let mine = specs.iter().enumerate();
        for (index, spec) in mine.filter(|(_, spec)| spec.placement == placement) {
            let open = layouts[first..].last_mut();
            match open.filter(|open| open.bytes + spec.bytes <= limit) {
                Some(open) => {
                    open.slots.push((index, open.bytes));
                    open.bytes += stride(spec.bytes);
                }
                None => layouts.push(Layout {
                    placement,
                    bytes: stride(spec.bytes),
                    slots: vec![(index, 0)],
                }),
            }
        }
    }
    layouts
}

/// A refused chunk with how many there were before it; other failures stay what they are.
fn refused(error: VkError, allocated: usize, wanted: usize) -> VkError {
    match error {
        VkError::Call { what, code } => VkError::ChunkRefused {
            allocated,
            wanted,
            what,
            code,
        },
        other => other,
    }
}

impl Memory {
    /// Places `specs` in order within `budget` bytes; region `i` answers to index `i`.
    ///
    /// # Errors
    /// [`VkError::Budget`] before anything is allocated when the sum does not fit, [`VkError::RegionTooLarge`] when one
    /// region exceeds a storage buffer, [`VkError::ChunkRefused`] when the driver refuses.
    pub fn allocate(
        device: &Arc<Device>,
        specs: &[RegionSpec],
        budget: u64,
    ) -> Result<Self, VkError> {
        let limit = CHUNK_BYTES.min(device.caps().max_storage_buffer_range);
        for spec in specs {
            if spec.bytes > limit {
                return Err(VkError::RegionTooLarge {
                    region: spec.name.clone(),
                    needs: spec.bytes,
                    limit,
                });
            }
        }
        let needs = footprint(specs);
        let remain = budget.min(device.caps().heap_bytes);
        if needs > remain {
            return Err(VkError::Budget { needs, remain });
        }
        let mut memory = Self {
            device: Arc::clone(device),
            chunks: Vec::new(),
            regions: Vec::new(),
        };
        memory.place(specs, limit)?;
        memory.paint_guards();
        Ok(memory)
    }

    fn place(&mut self, specs: &[RegionSpec], limit: u64) -> Result<(), VkError> {
        let layouts = layouts(specs, limit);
        let mut slots: Vec<Option<Placed>> = specs.iter().map(|_| None).collect();
        for layout in &layouts {
            let chunk = create_chunk(&self.device, layout.bytes, layout.placement)
                .map_err(|error| refused(error, self.chunks.len(), layouts.len()))?;
            self.chunks.push(chunk);
            for &(index, offset) in &layout.slots {
                if let (Some(spec), Some(slot)) = (specs.get(index), slots.get_mut(index)) {
                    *slot = Some(Placed {
                        name: spec.name.clone(),
                        chunk: self.chunks.len() - 1,
                        offset,
                        bytes: spec.bytes.next_multiple_of(4),
                    });
                }
            }
        }
        self.regions = slots.into_iter().flatten().collect();
        Ok(())
    }

    /// Total bytes of all chunks.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    pub(super) fn location(&self, region: usize) -> Option<Location> {
        let placed = self.regions.get(region)?;
        let chunk = self.chunks.get(placed.chunk)?;
        Some(Location {
            buffer: chunk.buffer,
            offset: placed.offset,
            bytes: placed.bytes,
        })
    }

    /// Host write of `bytes` at `offset` of a host-visible region. The command stream orders it against the device:
    /// nothing in flight may use the range.
    ///
    /// # Errors
    /// [`VkError::BadStream`] when the range leaves the region or the region is not host visible.
    pub fn write(&mut self, region: usize, offset: u64, bytes: &[u8]) -> Result<(), VkError> {
        let (placed, chunk) = self.resolve(region, offset, bytes.len() as u64)?;
        let at = placed.offset + offset;
        let Some(base) = chunk.mapped else {
            return Err(bad_range(&placed.name, "is not host visible"));
        };
        // SAFETY: `resolve` proved the range within the mapped chunk; the source is a Rust slice elsewhere.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                base.as_ptr().add(to_usize(at)),
                bytes.len(),
            );
        }
        Ok(())
    }

    /// Reads `len` bytes at `offset` of a host-visible region.
    ///
    /// # Errors
    /// [`VkError::BadStream`] when the range leaves the region or the region is not host visible.
    pub fn read(&self, region: usize, offset: u64, len: u64) -> Result<Vec<u8>, VkError> {
        let (placed, chunk) = self.resolve(region, offset, len)?;
        let Some(base) = chunk.mapped else {
            return Err(bad_range(&placed.name, "is not host visible"));
        };
        let at = to_usize(placed.offset + offset);
        let mut out = vec![0_u8; to_usize(len)];
        // SAFETY: `resolve` proved the range within the mapped chunk; `out` is a fresh allocation of `len` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(base.as_ptr().add(at), out.as_mut_ptr(), out.len())
        };
        Ok(out)
    }

    /// Checks that no guard zone of a host-visible region was overwritten.
    ///
    /// # Errors
    /// [`VkError::GuardBroken`] naming the region before the broken guard.
    pub fn check_guards(&self) -> Result<(), VkError> {
        for placed in &self.regions {
            let Some((base, start, len)) = self.guard_of(placed) else {
                continue;
            };
            // SAFETY: `guard_of` keeps the zone inside the mapped chunk; the device is idle when guards are checked.
            let guard = unsafe { std::slice::from_raw_parts(base.as_ptr().add(start), len) };
            if guard.iter().any(|&byte| byte != GUARD_BYTE) {
                return Err(VkError::GuardBroken {
                    region: placed.name.clone(),
                });
            }
        }
        Ok(())
    }

    fn paint_guards(&mut self) {
        for placed in &self.regions {
            if let Some((base, start, len)) = self.guard_of(placed) {
                // SAFETY: `guard_of` keeps the zone inside the mapped chunk, and no region overlaps a guard.
                unsafe { std::ptr::write_bytes(base.as_ptr().add(start), GUARD_BYTE, len) };
            }
        }
    }

    fn guard_of(&self, placed: &Placed) -> Option<(NonNull<u8>, usize, usize)> {
        let chunk = self.chunks.get(placed.chunk)?;
        let start = placed.offset + placed.bytes;
        let end = (start + GUARD_BYTES).min(chunk.bytes);
        Some((chunk.mapped?, to_usize(start), to_usize(end - start)))
    }

    fn resolve(&self, region: usize, offset: u64, len: u64) -> Result<(&Placed, &Chunk), VkError> {
        let placed = self
            .regions
            .get(region)
            .ok_or_else(|| bad_range(&format!("#{region}"), "does not exist"))?;
        let inside = offset
            .checked_add(len)
            .is_some_and(|end| end <= placed.bytes);
        let chunk = self.chunks.get(placed.chunk);
        match (inside, chunk) {
            (true, Some(chunk)) => Ok((placed, chunk)),
            _ => Err(bad_range(
                &placed.name,
                &format!("holds {} B, not {offset}+{len}", placed.bytes),
            )),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for chunk in self.chunks.drain(..) {
            destroy_chunk(&self.device, &chunk);
        }
    }
}

fn bad_range(region: &str, detail: &str) -> VkError {
    VkError::BadStream {
        command: 0,
        detail: format!("region {region} {detail}"),
    }
}

/// Region sizes are bounded by [`CHUNK_BYTES`], so the value always fits.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(sizes: &[(u64, Placement)]) -> Vec<RegionSpec> {
        let spec = |(bytes, placement): &(u64, Placement)| RegionSpec {
            name: "region".into(),
            bytes: *bytes,
            placement: *placement,
        };
        sizes.iter().map(spec).collect()
    }

    #[test]
    fn chunks_hold_one_placement_each_and_stay_within_the_limit() {
        let limit = 4096;
        let found = layouts(
            &specs(&[
                (1000, Placement::Device),
                (64, Placement::HostRead),
                (2000, Placement::Device),
                (2000, Placement::Device),
                (4096, Placement::Device),
            ]),
            limit,
        );
        let layout = |placement, bytes, slots: &[(usize, u64)]| Layout {
            placement,
            bytes,
            slots: slots.to_vec(),
        };
        assert_eq!(
            found,
            [
                layout(Placement::Device, 1280 + 2304, &[(0, 0), (2, 1280)]),
                layout(Placement::Device, 2304, &[(3, 0)]),
                layout(Placement::Device, 4352, &[(4, 0)]),
                layout(Placement::HostRead, 512, &[(1, 0)]),
            ]
        );
    }

    #[test]
    fn a_refused_chunk_is_counted_and_a_lost_device_stays_lost() {
        let call = VkError::Call {
            what: "vkAllocateMemory",
            code: "ERROR_OUT_OF_DEVICE_MEMORY".into(),
        };
        let error = refused(call, 2, 5);
        assert_eq!(error.code(), "chunk_refused");
        assert_eq!(
            error.to_string(),
            "ABORT: only 2/5 chunks allocated, vkAllocateMemory answers ERROR_OUT_OF_DEVICE_MEMORY; free memory, lower the \
             context or use a smaller model"
        );
        let lost = VkError::DeviceLost {
            what: "vkAllocateMemory",
        };
        assert_eq!(refused(lost.clone(), 2, 5), lost);
    }
}

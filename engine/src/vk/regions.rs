//! Memory for the regions of command streams: what lives as long as the model, and what a pass may outgrow.

use std::collections::HashMap;
use std::sync::Arc;

use super::VkError;
use super::device::Device;
use super::mem::{Location, Memory, Placement, RegionSpec, footprint};
use crate::ir::{ByteRange, Region, RegionSize};

struct Group {
    memory: Memory,
    slots: HashMap<Region, usize>,
    bytes: u64,
}

/// Memory by region. Weights and state are placed once; arena, staging, readback and dummy are replaced when a stream
/// needs more of them.
pub struct Regions {
    device: Arc<Device>,
    budget: u64,
    lasting: Option<Group>,
    scratch: Option<Group>,
}

impl std::fmt::Debug for Regions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Regions")
            .field("bytes", &self.allocated_bytes())
            .finish_non_exhaustive()
    }
}

const fn lasts(region: Region) -> bool {
    matches!(region, Region::Weights(_) | Region::State)
}

const fn placement(region: Region) -> Placement {
    match region {
        Region::Staging => Placement::HostWrite,
        Region::Readback => Placement::HostRead,
        Region::Weights(_) | Region::State | Region::Arena | Region::Dummy => Placement::Device,
    }
}

impl Regions {
    /// No memory yet; at most `budget` bytes later, and never more than the device's heap.
    #[must_use]
    pub fn new(device: &Arc<Device>, budget: Option<u64>) -> Self {
        let heap = device.caps().heap_bytes;
        Self {
            device: Arc::clone(device),
            budget: budget.map_or(heap, |b| b.min(heap)),
            lasting: None,
            scratch: None,
        }
    }

    /// Places the regions that live as long as the model. Their contents are undefined until a stream fills them.
    ///
    /// # Errors
    /// [`VkError::Budget`] with both numbers before anything is allocated; driver failures.
    pub fn place_lasting(&mut self, sizes: &[RegionSize]) -> Result<(), VkError> {
        let sizes: Vec<_> = sizes.iter().copied().filter(|s| lasts(s.region)).collect();
        self.lasting = None;
        let remain = self.budget - self.allocated_bytes().min(self.budget);
        self.lasting = Some(allocate(&self.device, &sizes, remain)?);
        Ok(())
    }

    /// Makes sure that every region of a stream has memory. Scratch regions grow, and lose their contents when they
    /// do; weights and state do not. Returns the scratch regions of the device that are new and hold undefined bytes.
    ///
    /// # Errors
    /// [`VkError::Budget`], [`VkError::RegionTooLarge`], driver failures, and [`VkError::BadStream`] when the stream
    /// wants more weights or state than the model has.
    pub fn ensure(&mut self, sizes: &[RegionSize]) -> Result<Vec<RegionSize>, VkError> {
        for size in sizes.iter().filter(|s| lasts(s.region)) {
            let have = self.location(size.region).map_or(0, |l| l.bytes);
            if have < size.bytes {
                return Err(VkError::BadStream {
                    command: 0,
                    detail: format!(
                        "region {} has {have} B but the stream uses {}",
                        size.region.name(),
                        size.bytes
                    ),
                });
            }
        }
        let short = sizes
            .iter()
            .any(|s| !lasts(s.region) && self.location(s.region).is_none_or(|l| l.bytes < s.bytes));
        if !short {
            return Ok(Vec::new());
        }
        let wanted = self.grown(sizes);
        self.scratch = None;
        let used = self.lasting.as_ref().map_or(0, |g| g.bytes);
        self.scratch = Some(allocate(
            &self.device,
            &wanted,
            self.budget.saturating_sub(used),
        )?);
        let undefined = wanted.into_iter();
        Ok(undefined
            .filter(|size| placement(size.region) == Placement::Device)
            .collect())
    }

    fn grown(&self, sizes: &[RegionSize]) -> Vec<RegionSize> {
        [
            Region::Arena,
            Region::Staging,
            Region::Readback,
            Region::Dummy,
        ]
        .into_iter()
        .filter_map(|region| {
            let have = self.location(region).map_or(0, |l| l.bytes);
            let want = sizes
                .iter()
                .find(|s| s.region == region)
                .map_or(0, |s| s.bytes);
            let bytes = have.max(want);
            (bytes > 0).then_some(RegionSize { region, bytes })
        })
        .collect()
    }

    /// Bytes held now.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        [&self.lasting, &self.scratch]
            .into_iter()
            .flatten()
            .map(|g| g.bytes)
            .sum()
    }

    /// Checks that no guard zone was overwritten.
    ///
    /// # Errors
    /// [`VkError::GuardBroken`] naming the region.
    pub fn check_guards(&self) -> Result<(), VkError> {
        [&self.lasting, &self.scratch]
            .into_iter()
            .flatten()
            .try_for_each(|g| g.memory.check_guards())
    }

    pub(super) fn location(&self, region: Region) -> Option<Location> {
        let group = self.group(region)?;
        group.memory.location(*group.slots.get(&region)?)
    }

    pub(super) fn write(&mut self, dst: &ByteRange, bytes: &[u8]) -> Result<(), VkError> {
        let group = if lasts(dst.region) {
            &mut self.lasting
        } else {
            &mut self.scratch
        };
        match group
            .as_mut()
            .map(|g| (g.slots.get(&dst.region).copied(), g))
        {
            Some((Some(slot), group)) => group.memory.write(slot, dst.offset, bytes),
            _ => Err(missing(dst.region)),
        }
    }

    pub(super) fn read(&self, src: &ByteRange) -> Result<Vec<u8>, VkError> {
        let group = self.group(src.region).ok_or_else(|| missing(src.region))?;
        let slot = group
            .slots
            .get(&src.region)
            .ok_or_else(|| missing(src.region))?;
        group.memory.read(*slot, src.offset, src.len)
    }

    fn group(&self, region: Region) -> Option<&Group> {
        if lasts(region) {
            self.lasting.as_ref()
        } else {
            self.scratch.as_ref()
        }
    }
}

fn missing(region: Region) -> VkError {
    VkError::BadStream {
        command: 0,
        detail: format!("region {} has no memory", region.name()),
    }
}

fn allocate(device: &Arc<Device>, sizes: &[RegionSize], budget: u64) -> Result<Group, VkError> {
    let specs: Vec<_> = sizes
        .iter()
        .map(|size| RegionSpec {
            name: size.region.name().to_owned(),
            bytes: size.bytes,
            placement: placement(size.region),
        })
        .collect();
    let slots = sizes
        .iter()
        .enumerate()
        .map(|(i, s)| (s.region, i))
        .collect();
    Ok(Group {
        memory: Memory::allocate(device, &specs, budget)?,
        slots,
        bytes: footprint(&specs),
    })
}

//! Which weight bytes go where on the device.
//!
//! Matrices keep their type and, but for a few scales, their size; they are only repacked, so that a kernel reads whole words.
//! Rows of factors (norms) become `F32`. Weights that a fused kernel takes as one matrix lie back to back.

mod blocking;
mod form;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::{EngineError, Result};
use crate::gguf::TensorType;
use crate::ir::{ByteRange, Region, align_up};
use crate::model::WeightSource;
use crate::quant::Packing;

pub use blocking::RowBlocking;
pub use form::WeightForm;

/// Largest chunk: the `maxStorageBufferRange` that every Vulkan device has.
pub const CHUNK_BYTES: u64 = 128 << 20;

/// Tensors of a block that a fused kernel reads as one matrix, in the order of its rows.
pub const FUSED_WEIGHTS: [&[&str]; 2] = [&["attn_q", "attn_k", "attn_v"], &["ffn_gate", "ffn_up"]];

/// Where a weight lies on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightPlace {
    /// Storage.
    pub form: WeightForm,
    /// Ranges in the order of the kernels' bindings.
    pub parts: Vec<ByteRange>,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    range: ByteRange,
    packing: Packing,
    ty: TensorType,
    file: std::ops::Range<usize>,
}

/// Places of all weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WeightsPlan {
    places: BTreeMap<String, WeightPlace>,
    parts: Vec<Part>,
    chunks: Vec<u64>,
    blocking: RowBlocking,
}

impl WeightsPlan {
    /// Places weights one behind the other, a new chunk when the next part does not fit.
    ///
    /// # Errors
    /// `Unsupported` when one part is larger than [`CHUNK_BYTES`].
    pub fn new<'a>(sources: impl Iterator<Item = &'a WeightSource>) -> Result<WeightsPlan> {
        let mut plan = WeightsPlan::default();
        for group in groups(&sources.collect::<Vec<_>>()) {
            plan.add(&group)?;
        }
        Ok(plan)
    }

    /// The same places, read by the kernels that suit a kind of device.
    #[must_use]
    pub fn read_by(mut self, blocking: RowBlocking) -> WeightsPlan {
        self.blocking = blocking;
        self
    }

    /// How decode products take rows.
    pub fn blocking(&self) -> RowBlocking {
        self.blocking
    }

    /// Place of a weight by GGUF name.
    pub fn place(&self, name: &str) -> Option<&WeightPlace> {
        self.places.get(name)
    }

    /// Several weights as one matrix whose rows are theirs in order; `None` unless they have one form and lie back to back.
    pub fn joined(&self, names: &[&str]) -> Option<WeightPlace> {
        let mut joined = self.place(names.first()?)?.clone();
        for name in &names[1..] {
            let next = self.place(name)?;
            if next.form != joined.form {
                return None;
            }
            for (part, more) in joined.parts.iter_mut().zip(&next.parts) {
                if part.region != more.region || part.end() != more.offset {
                    return None;
                }
                part.len += more.len;
            }
        }
        Some(joined)
    }

    /// Bytes of every chunk, each a multiple of [`crate::ir::ALIGNMENT`].
    pub fn chunks(&self) -> &[u64] {
        &self.chunks
    }

    /// Bytes on the device.
    pub fn total_bytes(&self) -> u64 {
        self.chunks.iter().sum()
    }

    /// Writes bytes `offset ..` of a chunk into `out`, from the file that the model was loaded from. Gaps become zero.
    pub fn fill(&self, file: &[u8], chunk: u16, offset: u64, out: &mut [u8]) {
        out.fill(0);
        let wanted = ByteRange::new(Region::Weights(chunk), offset, out.len() as u64);
        for part in self
            .parts
            .iter()
            .filter(|part| part.range.overlaps(&wanted))
        {
            let start = wanted.offset.max(part.range.offset);
            let end = wanted.end().min(part.range.end());
            let bytes = part.bytes(
                file,
                (start - part.range.offset) as usize,
                (end - part.range.offset) as usize,
            );
            let at = (start - wanted.offset) as usize;
            out[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// Places weights of one form part by part, so that the same part of all of them is one run of bytes where the lengths
    /// allow it.
    fn add(&mut self, group: &[&WeightSource]) -> Result<()> {
        let form = WeightForm::of(group[0]);
        let mut ranges = vec![Vec::new(); group.len()];
        for packing in form.packings(group[0].ty) {
            self.open_chunk_for(
                &group
                    .iter()
                    .map(|s| part_bytes(s, *packing))
                    .collect::<Vec<_>>(),
            );
            for (source, ranges) in group.iter().zip(&mut ranges) {
                let range = self.reserve(&source.name, part_bytes(source, *packing))?;
                ranges.push(range);
                self.parts.push(Part {
                    range,
                    packing: *packing,
                    ty: source.ty,
                    file: source.file.clone(),
                });
            }
        }
        for (source, parts) in group.iter().zip(ranges) {
            self.places
                .insert(source.name.clone(), WeightPlace { form, parts });
        }
        Ok(())
    }

    /// Begins a new chunk when the last one has no room for all of these lengths but an empty one has.
    fn open_chunk_for(&mut self, lengths: &[u64]) {
        let sum = lengths
            .iter()
            .try_fold(0u64, |sum, len| sum.checked_add(align_up(*len)?));
        let Some(sum) = sum.filter(|sum| *sum <= CHUNK_BYTES) else {
            return;
        };
        if self
            .chunks
            .last()
            .is_some_and(|used| used + sum > CHUNK_BYTES)
        {
            self.chunks.push(0);
        }
    }

    fn reserve(&mut self, name: &str, len: u64) -> Result<ByteRange> {
        let aligned = align_up(len)
            .filter(|bytes| *bytes <= CHUNK_BYTES)
            .ok_or_else(|| EngineError::Unsupported {
                what: format!("tensor {name} of {len} B"),
                remedy: format!(
                    "one tensor may have {CHUNK_BYTES} B on the device; use a smaller type"
                ),
            })?;
        if self
            .chunks
            .last()
            .is_none_or(|used| used + aligned > CHUNK_BYTES)
        {
            self.chunks.push(0);
        }
        let chunk = self.chunks.len() - 1;
        let offset = self.chunks[chunk];
        self.chunks[chunk] += aligned;
        Ok(ByteRange::new(Region::Weights(chunk as u16), offset, len))
    }
}

fn part_bytes(source: &WeightSource, packing: Packing) -> u64 {
    match packing {
        Packing::Verbatim => (source.file.len() as u64).next_multiple_of(4),
        other => other.device_bytes(u64::from(source.rows) * u64::from(source.cols)),
    }
}

/// Sources in their order, those that a fused kernel takes together as one group where they have one type.
fn groups<'a>(sources: &[&'a WeightSource]) -> Vec<Vec<&'a WeightSource>> {
    let mut groups: Vec<Vec<&WeightSource>> = Vec::new();
    let mut taken = BTreeSet::new();
    for source in sources {
        let group = fused_with(source, sources).unwrap_or_else(|| vec![*source]);
        if taken.contains(source.name.as_str()) {
            continue;
        }
        taken.extend(group.iter().map(|member| member.name.as_str()));
        groups.push(group);
    }
    groups
}

fn fused_with<'a>(
    source: &WeightSource,
    sources: &[&'a WeightSource],
) -> Option<Vec<&'a WeightSource>> {
    let (block, part) = source.name.strip_suffix(".weight")?.rsplit_once('.')?;
    let parts = FUSED_WEIGHTS.iter().find(|parts| parts.contains(&part))?;
    let members = parts.iter().map(|part| {
        let name = format!("{block}.{part}.weight");
        sources
            .iter()
            .find(|other| other.name == name && other.ty == source.ty)
            .copied()
    });
    members.collect()
}

impl Part {
    /// Packed bytes `start .. end` of the part; empty when the file is not the one that was planned.
    fn bytes(&self, file: &[u8], start: usize, end: usize) -> Vec<u8> {
        let source = file.get(self.file.clone()).unwrap_or_default();
        let (device_unit, file_unit) = self.packing.units(self.ty);
        let first = start / device_unit;
        let last = end.div_ceil(device_unit);
        let cut = source
            .get(first * file_unit..source.len().min(last * file_unit))
            .unwrap_or_default();
        let packed = self.packing.pack(self.ty, cut);
        let skip = start - first * device_unit;
        packed
            .get(skip..packed.len().min(skip + end - start))
            .unwrap_or_default()
            .to_vec()
    }
}

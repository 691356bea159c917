//! Which weight bytes go where on the device.
//!
//! `F32` and `Q8_0` keep their precision and size; `F16` and `Q4_0` are widened to `F32` at upload, because no kernel reads them yet.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{EngineError, Result};
use crate::gguf::TensorType;
use crate::ir::{ByteRange, Region, align_up};
use crate::model::WeightSource;
use crate::quant;

/// Largest chunk: the `maxStorageBufferRange` that every Vulkan device has.
pub const CHUNK_BYTES: u64 = 128 << 20;

/// How a weight is stored on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightForm {
    /// One part: `f32` values.
    F32,
    /// Two parts: quants, then scales.
    Q8_0,
}

/// Where a weight lies on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightPlace {
    /// Storage.
    pub form: WeightForm,
    /// Ranges in the order of the kernels' bindings.
    pub parts: Vec<ByteRange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Verbatim,
    Widened,
    Quants,
    Scales,
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
}

impl WeightsPlan {
    /// Places weights one behind the other, a new chunk when the next part does not fit.
    ///
    /// # Errors
    /// `Unsupported` when one part is larger than [`CHUNK_BYTES`].
    pub fn new<'a>(sources: impl Iterator<Item = &'a WeightSource>) -> Result<WeightsPlan> {
        let mut plan = WeightsPlan::default();
        for source in sources {
            plan.add(source)?;
        }
        Ok(plan)
    }

    /// Place of a weight by GGUF name.
    pub fn place(&self, name: &str) -> Option<&WeightPlace> {
        self.places.get(name)
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

    fn add(&mut self, source: &WeightSource) -> Result<()> {
        let elements = u64::from(source.rows) * u64::from(source.cols);
        let blocks = elements / quant::BLOCK as u64;
        let (form, parts) = match source.ty {
            TensorType::Q8_0 => (
                WeightForm::Q8_0,
                vec![
                    (Packing::Quants, elements),
                    (Packing::Scales, (2 * blocks).next_multiple_of(4)),
                ],
            ),
            TensorType::F32 => (WeightForm::F32, vec![(Packing::Verbatim, 4 * elements)]),
            _ => (WeightForm::F32, vec![(Packing::Widened, 4 * elements)]),
        };
        let mut ranges = Vec::new();
        for (packing, len) in parts {
            let range = self.reserve(&source.name, len)?;
            ranges.push(range);
            self.parts.push(Part {
                range,
                packing,
                ty: source.ty,
                file: source.file.clone(),
            });
        }
        self.places.insert(
            source.name.clone(),
            WeightPlace {
                form,
                parts: ranges,
            },
        );
        Ok(())
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

impl Part {
    /// Packed bytes `start .. end` of the part; empty when the file is not the one that was planned.
    fn bytes(&self, file: &[u8], start: usize, end: usize) -> Vec<u8> {
        let source = file.get(self.file.clone()).unwrap_or_default();
        // Device bytes and file bytes of the smallest unit that both can be cut at.
        let (device_unit, file_unit) = match self.packing {
            Packing::Verbatim => (1, 1),
            Packing::Widened => (4 * self.ty.block as usize, self.ty.block_bytes as usize),
            Packing::Quants => (quant::BLOCK, self.ty.block_bytes as usize),
            Packing::Scales => (4, 2 * self.ty.block_bytes as usize),
        };
        let first = start / device_unit;
        let last = end.div_ceil(device_unit);
        let cut = source
            .get(first * file_unit..source.len().min(last * file_unit))
            .unwrap_or_default();
        let packed = match self.packing {
            Packing::Verbatim => cut.to_vec(),
            Packing::Widened => quant::dequantise(self.ty, cut)
                .unwrap_or_default()
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            Packing::Quants => quant::split_q8_0_quants(cut),
            Packing::Scales => quant::split_q8_0_scales(cut),
        };
        let skip = start - first * device_unit;
        packed
            .get(skip..packed.len().min(skip + end - start))
            .unwrap_or_default()
            .to_vec()
    }
}

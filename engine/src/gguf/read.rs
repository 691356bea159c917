//! The reader.

use std::collections::{BTreeMap, BTreeSet};

use super::cursor::Cursor;
use super::{Array, GgufFault, TensorType, Value, fault};
use crate::error::{EngineError, Result};

const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u32 = 1 << 20;
const MAX_DIMENSIONS: u32 = 4;
/// ggml keeps names in 64 bytes with a final zero.
const MAX_NAME: usize = 63;
/// Far above any real model; a walk of so many entries is still cheap.
const MAX_ENTRIES: u64 = 1 << 20;

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo<'a> {
    /// Name.
    pub name: &'a str,
    /// Dimensions, the contiguous one (row length) first; one to four, none zero.
    pub dims: Vec<u64>,
    /// Element type.
    pub ty: TensorType,
    /// First byte in the file.
    pub offset: usize,
    /// Number of bytes.
    pub len: usize,
}

impl TensorInfo<'_> {
    /// Elements per row.
    pub fn cols(&self) -> u64 {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Number of rows, all other dimensions joined.
    pub fn rows(&self) -> u64 {
        self.dims.iter().skip(1).product()
    }
}

/// A checked GGUF file.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf<'a> {
    /// Format version, 2 or 3.
    pub version: u32,
    /// Alignment of tensor data, in bytes.
    pub alignment: u64,
    metadata: BTreeMap<&'a str, Value<'a>>,
    tensors: Vec<TensorInfo<'a>>,
    bytes: &'a [u8],
}

impl<'a> Gguf<'a> {
    /// Reads and checks a whole file.
    ///
    /// # Errors
    /// [`crate::EngineError::Gguf`] with the category of the first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Gguf<'a>> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(4, "magic")? != b"GGUF" {
            return Err(fault(
                GgufFault::BadMagic,
                "the file does not begin with GGUF",
            ));
        }
        let version = cursor.u32("version")?;
        if !(2..=3).contains(&version) {
            return Err(fault(
                GgufFault::UnsupportedVersion,
                format!("version {version}, supported are 2 and 3"),
            ));
        }
        let tensor_count = count(&mut cursor, "tensor count")?;
        let metadata_count = count(&mut cursor, "metadata count")?;
        let metadata = metadata(&mut cursor, metadata_count)?;
        let alignment = alignment(metadata.get("general.alignment"))?;
        let raw = raw_tensors(&mut cursor, tensor_count)?;
        let tensors = place_tensors(raw, cursor.position() as u64, alignment, bytes.len() as u64)?;
        refuse_overlap(&tensors)?;
        Ok(Gguf {
            version,
            alignment,
            metadata,
            tensors,
            bytes,
        })
    }

    /// Tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo<'a>] {
        &self.tensors
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo<'a>> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Raw bytes of a tensor of this file.
    pub fn data(&self, tensor: &TensorInfo<'_>) -> &'a [u8] {
        self.bytes
            .get(tensor.offset..tensor.offset + tensor.len)
            .unwrap_or_default()
    }

    /// Metadata value of a key.
    pub fn value(&self, key: &str) -> Option<Value<'a>> {
        self.metadata.get(key).copied()
    }

    /// Keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.metadata.keys().copied()
    }

    /// A string.
    ///
    /// # Errors
    /// `KeyType` when the key holds something else.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// An unsigned number of any width.
    ///
    /// # Errors
    /// `KeyType` when the key holds something else or a negative number.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "an unsigned integer", |value| match value {
            Value::U8(number) => Some(number.into()),
            Value::U16(number) => Some(number.into()),
            Value::U32(number) => Some(number.into()),
            Value::U64(number) => Some(number),
            Value::I8(number) => number.try_into().ok(),
            Value::I16(number) => number.try_into().ok(),
            Value::I32(number) => number.try_into().ok(),
            Value::I64(number) => number.try_into().ok(),
            _ => None,
        })
    }

    /// A float of either width.
    ///
    /// # Errors
    /// `KeyType` when the key holds something else.
    pub fn float(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a float", |value| match value {
            Value::F32(number) => Some(number),
            Value::F64(number) => Some(number as f32),
            _ => None,
        })
    }

    /// An array.
    ///
    /// # Errors
    /// `KeyType` when the key holds something else.
    pub fn array(&self, key: &str) -> Result<Option<Array<'a>>> {
        self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        what: &str,
        pick: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => match pick(value) {
                Some(found) => Ok(Some(found)),
                None => Err(fault(GgufFault::KeyType, format!("{key} is not {what}"))),
            },
        }
    }
}

fn count(cursor: &mut Cursor<'_>, what: &str) -> Result<u64> {
    let count = cursor.u64(what)?;
    if count > MAX_ENTRIES {
        return Err(fault(
            GgufFault::CountOverflow,
            format!("{what} is {count}, at most {MAX_ENTRIES} are read"),
        ));
    }
    Ok(count)
}

fn metadata<'a>(cursor: &mut Cursor<'a>, count: u64) -> Result<BTreeMap<&'a str, Value<'a>>> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = cursor.string("metadata key")?;
        let value = Value::read(cursor, key)?;
        if metadata.insert(key, value).is_some() {
            return Err(fault(
                GgufFault::DuplicateKey,
                format!("metadata key {key} stands twice"),
            ));
        }
    }
    Ok(metadata)
}

fn alignment(value: Option<&Value<'_>>) -> Result<u64> {
    match value {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(bytes)) if bytes.is_power_of_two() && *bytes <= MAX_ALIGNMENT => {
            Ok(u64::from(*bytes))
        }
        Some(other) => Err(fault(
            GgufFault::BadAlignment,
            format!("general.alignment is {other:?}, not a u32 power of two up to {MAX_ALIGNMENT}"),
        )),
    }
}

struct RawTensor<'a> {
    name: &'a str,
    dims: Vec<u64>,
    ty: TensorType,
    offset: u64,
    len: u64,
}

fn raw_tensors<'a>(cursor: &mut Cursor<'a>, count: u64) -> Result<Vec<RawTensor<'a>>> {
    let mut tensors = Vec::new();
    let mut names = BTreeSet::new();
    for _ in 0..count {
        let tensor = raw_tensor(cursor)?;
        if !names.insert(tensor.name) {
            return Err(fault(
                GgufFault::DuplicateTensor,
                format!("tensor {} stands twice", tensor.name),
            ));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn raw_tensor<'a>(cursor: &mut Cursor<'a>) -> Result<RawTensor<'a>> {
    let name = cursor.string("tensor name").map_err(infos_may_have_ended)?;
    if name.len() > MAX_NAME {
        return Err(fault(
            GgufFault::NameTooLong,
            format!("tensor name of {} bytes, at most {MAX_NAME}", name.len()),
        ));
    }
    let dims = dimensions(cursor, name)?;
    let id = cursor.u32("tensor type")?;
    let ty = TensorType::from_id(id).ok_or_else(|| {
        fault(
            GgufFault::UnknownTensorType,
            format!("tensor {name} has type {id}"),
        )
    })?;
    let offset = cursor.u64("tensor offset")?;
    let len = tensor_bytes(name, &dims, ty)?;
    Ok(RawTensor {
        name,
        dims,
        ty,
        offset,
        len,
    })
}

/// An impossible name length mostly means that tensor data is read as one more info than the file has.
fn infos_may_have_ended(error: EngineError) -> EngineError {
    match error {
        EngineError::Gguf {
            fault: GgufFault::StringTooLong,
            detail,
        } => fault(GgufFault::Truncated, detail),
        other => other,
    }
}

fn dimensions(cursor: &mut Cursor<'_>, name: &str) -> Result<Vec<u64>> {
    let count = cursor.u32("dimension count")?;
    if count == 0 || count > MAX_DIMENSIONS {
        return Err(fault(
            GgufFault::TooManyDims,
            format!("tensor {name} has {count} dimensions, 1 to 4 are possible"),
        ));
    }
    let dims = (0..count)
        .map(|_| cursor.u64("dimension"))
        .collect::<Result<Vec<_>>>()?;
    if dims.contains(&0) {
        return Err(fault(
            GgufFault::ZeroDim,
            format!("tensor {name} has dimensions {dims:?}"),
        ));
    }
    Ok(dims)
}

fn tensor_bytes(name: &str, dims: &[u64], ty: TensorType) -> Result<u64> {
    let overflow = || {
        fault(
            GgufFault::DimsOverflow,
            format!("tensor {name} has dimensions {dims:?}"),
        )
    };
    if dims.iter().any(|dim| i64::try_from(*dim).is_err()) {
        return Err(overflow());
    }
    let elements = dims
        .iter()
        .try_fold(1u64, |product, dim| product.checked_mul(*dim))
        .ok_or_else(overflow)?;
    if !dims[0].is_multiple_of(ty.block) {
        return Err(fault(
            GgufFault::RowNotBlockMultiple,
            format!(
                "tensor {name}: rows of {} elements, {} has blocks of {}",
                dims[0], ty.name, ty.block
            ),
        ));
    }
    ty.bytes(elements)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(overflow)
}

fn place_tensors<'a>(
    raw: Vec<RawTensor<'a>>,
    header_end: u64,
    alignment: u64,
    file_len: u64,
) -> Result<Vec<TensorInfo<'a>>> {
    let data_start = header_end.next_multiple_of(alignment);
    raw.into_iter()
        .map(|tensor| place_tensor(tensor, data_start, alignment, file_len))
        .collect()
}

fn place_tensor<'a>(
    tensor: RawTensor<'a>,
    data_start: u64,
    alignment: u64,
    file_len: u64,
) -> Result<TensorInfo<'a>> {
    let RawTensor {
        name,
        dims,
        ty,
        offset,
        len,
    } = tensor;
    if !offset.is_multiple_of(alignment) {
        let detail = format!("tensor {name} at offset {offset}, alignment is {alignment}");
        return Err(fault(GgufFault::MisalignedOffset, detail));
    }
    let start = data_start.checked_add(offset);
    let end = start.and_then(|start| start.checked_add(len));
    match (start, end) {
        (Some(start), Some(end)) if end <= file_len => Ok(TensorInfo {
            name,
            dims,
            ty,
            offset: start as usize,
            len: len as usize,
        }),
        _ => Err(fault(
            GgufFault::TensorOutOfRange,
            format!(
                "tensor {name} has {len} bytes at offset {offset} of the data in a file of {file_len} bytes"
            ),
        )),
    }
}

fn refuse_overlap(tensors: &[TensorInfo<'_>]) -> Result<()> {
    let mut by_offset: Vec<_> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    for pair in by_offset.windows(2) {
        if pair[0].offset + pair[0].len > pair[1].offset {
            return Err(fault(
                GgufFault::TensorOverlap,
                format!("{} and {} share bytes", pair[0].name, pair[1].name),
            ));
        }
    }
    Ok(())
}

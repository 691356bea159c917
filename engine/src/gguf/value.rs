//! Metadata values.

use super::cursor::Cursor;
use super::{GgufFault, fault};
use crate::error::Result;

/// Type of a metadata value, by its number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(
    missing_docs,
    reason = "the variants are the format's own scalar types"
)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::String,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    fn from_id(id: u32, what: &str) -> Result<ValueType> {
        Self::ALL.get(id as usize).copied().ok_or_else(|| {
            fault(
                GgufFault::BadValueType,
                format!("{what} has value type {id}, the last is 12"),
            )
        })
    }

    /// Bytes of a scalar; `None` for strings and arrays.
    fn size(self) -> Option<u64> {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => Some(1),
            ValueType::U16 | ValueType::I16 => Some(2),
            ValueType::U32 | ValueType::I32 | ValueType::F32 => Some(4),
            ValueType::U64 | ValueType::I64 | ValueType::F64 => Some(8),
            ValueType::String | ValueType::Array => None,
        }
    }
}

/// A metadata value, borrowed from the file.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the variants are the format's own types")]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of scalars or strings, checked and left in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    /// Type of every element.
    pub element: ValueType,
    /// Number of elements.
    pub len: u64,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        let element = self.element;
        (0..self.len).map_while(move |_| Value::scalar(element, &mut cursor, "array element").ok())
    }
}

impl<'a> Value<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>, key: &str) -> Result<Value<'a>> {
        let id = cursor.u32(key)?;
        match ValueType::from_id(id, key)? {
            ValueType::Array => Self::array(cursor, key).map(Value::Array),
            scalar => Self::scalar(scalar, cursor, key),
        }
    }

    fn array(cursor: &mut Cursor<'a>, key: &str) -> Result<Array<'a>> {
        let id = cursor.u32(key)?;
        let element = ValueType::from_id(id, key)?;
        let len = cursor.u64(key)?;
        let bytes = match element {
            ValueType::Array => {
                return Err(fault(
                    GgufFault::NestedArray,
                    format!("{key} is an array of arrays"),
                ));
            }
            ValueType::String => Self::strings(cursor, len, key)?,
            scalar => cursor.elements(len, scalar.size().unwrap_or(8), key)?,
        };
        Ok(Array {
            element,
            len,
            bytes,
        })
    }

    /// Walks over `len` strings, which have at least 8 bytes each, and returns the bytes they take.
    fn strings(cursor: &mut Cursor<'a>, len: u64, key: &str) -> Result<&'a [u8]> {
        let mut start = cursor.clone();
        // A claim beyond the file is refused before the walk begins.
        cursor.clone().elements(len, 8, key)?;
        for _ in 0..len {
            cursor.string(key)?;
        }
        start.take(cursor.position() - start.position(), key)
    }

    fn scalar(ty: ValueType, cursor: &mut Cursor<'a>, what: &str) -> Result<Value<'a>> {
        if ty == ValueType::String {
            return Ok(Value::String(cursor.string(what)?));
        }
        let size = ty.size().unwrap_or(8) as usize;
        let mut raw = [0; 8];
        raw[..size].copy_from_slice(cursor.take(size, what)?);
        let bits = u64::from_le_bytes(raw);
        Ok(match ty {
            ValueType::U8 => Value::U8(bits as u8),
            ValueType::I8 => Value::I8(bits as i8),
            ValueType::U16 => Value::U16(bits as u16),
            ValueType::I16 => Value::I16(bits as i16),
            ValueType::U32 => Value::U32(bits as u32),
            ValueType::I32 => Value::I32(bits as i32),
            ValueType::F32 => Value::F32(f32::from_bits(bits as u32)),
            ValueType::Bool => Value::Bool(bits != 0),
            ValueType::I64 => Value::I64(bits as i64),
            ValueType::F64 => Value::F64(f64::from_bits(bits)),
            ValueType::U64 | ValueType::String | ValueType::Array => Value::U64(bits),
        })
    }
}

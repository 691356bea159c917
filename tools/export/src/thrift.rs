//! Thrift's compact protocol, as far as Parquet's metadata needs it (Apache Thrift, "Thrift compact protocol").

/// Types of fields and list items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    I32 = 5,
    I64 = 6,
    Binary = 8,
    List = 9,
    Struct = 12,
}

/// A struct being written; dropped into its parent by [`Struct::end`].
#[derive(Debug, Default)]
pub(crate) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    pub(crate) fn i32(mut self, field: u8, value: i32) -> Self {
        self.header(field, Type::I32);
        varint(&mut self.bytes, zigzag(i64::from(value)));
        self
    }

    pub(crate) fn i64(mut self, field: u8, value: i64) -> Self {
        self.header(field, Type::I64);
        varint(&mut self.bytes, zigzag(value));
        self
    }

    pub(crate) fn text(mut self, field: u8, value: &str) -> Self {
        self.header(field, Type::Binary);
        text(&mut self.bytes, value);
        self
    }

    pub(crate) fn nested(mut self, field: u8, value: Struct) -> Self {
        self.header(field, Type::Struct);
        self.bytes.extend(value.end());
        self
    }

    pub(crate) fn structs(mut self, field: u8, items: Vec<Struct>) -> Self {
        self.header(field, Type::List);
        list(&mut self.bytes, items.len(), Type::Struct);
        self.bytes.extend(items.into_iter().flat_map(Struct::end));
        self
    }

    pub(crate) fn i32s(mut self, field: u8, items: &[i32]) -> Self {
        self.header(field, Type::List);
        list(&mut self.bytes, items.len(), Type::I32);
        for item in items {
            varint(&mut self.bytes, zigzag(i64::from(*item)));
        }
        self
    }

    pub(crate) fn texts(mut self, field: u8, items: &[&str]) -> Self {
        self.header(field, Type::List);
        list(&mut self.bytes, items.len(), Type::Binary);
        for item in items {
            text(&mut self.bytes, item);
        }
        self
    }

    /// The bytes, with the stop field.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    /// Fields come in ascending order and less than 16 apart.
    fn header(&mut self, field: u8, kind: Type) {
        self.bytes.push((field - self.last) << 4 | kind as u8);
        self.last = field;
    }
}

fn list(bytes: &mut Vec<u8>, len: usize, kind: Type) {
    match u8::try_from(len) {
        Ok(short) if short < 15 => bytes.push(short << 4 | kind as u8),
        _ => {
            bytes.push(0xf0 | kind as u8);
            varint(bytes, len as u64);
        }
    }
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value.as_bytes());
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Seven bits a byte, the lowest first.
pub(crate) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

//! Apache Parquet: one row group, one page a column, plain values, zstd (parquet-format 2.10, `parquet.thrift`).
//!
//! The format's own library brings twenty crates for its readers and its Arrow bridge; a file of flat optional
//! columns needs none of that, and any engine reads it.

use serde_json::Value;

use crate::thrift::{Struct, varint};
use crate::{Column, Error, Kind, Row};

const MAGIC: &[u8; 4] = b"PAR1";
/// `Encoding.PLAIN` and `Encoding.RLE`.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
/// `CompressionCodec.ZSTD`.
const ZSTD: i32 = 6;
const LEVEL: i32 = 3;

pub(crate) fn encode(schema: &[Column], rows: &[Row]) -> Result<Vec<u8>, Error> {
    let mut out = MAGIC.to_vec();
    let (mut chunks, mut total) = (Vec::new(), 0);
    for column in schema {
        let chunk = Chunk::of(column, rows, &mut out)?;
        total += chunk.raw;
        chunks.push(chunk.metadata());
    }
    let count = length(rows.len());
    let group = Struct::default()
        .structs(1, chunks)
        .i64(2, total)
        .i64(3, count);
    let footer = Struct::default()
        .i32(1, 1)
        .structs(2, elements(schema))
        .i64(3, count)
        .structs(4, vec![group])
        .text(6, concat!("greenloop version ", env!("CARGO_PKG_VERSION")))
        .end();
    out.extend_from_slice(&footer);
    out.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    out.extend_from_slice(MAGIC);
    Ok(out)
}

/// `SchemaElement`s: the root, then the columns, each optional.
fn elements(schema: &[Column]) -> Vec<Struct> {
    let root = Struct::default()
        .text(4, "markers")
        .i32(5, i32::try_from(schema.len()).unwrap_or(i32::MAX));
    let element = |column: &Column| {
        let element = Struct::default()
            .i32(1, physical(column.kind))
            .i32(3, 1)
            .text(4, column.name);
        match column.kind {
            // `ConvertedType.UTF8`.
            Kind::Text => element.i32(6, 0),
            _ => element,
        }
    };
    std::iter::once(root)
        .chain(schema.iter().map(element))
        .collect()
}

/// `Type`.
fn physical(kind: Kind) -> i32 {
    match kind {
        Kind::Bool => 0,
        Kind::Int => 2,
        Kind::Double => 5,
        Kind::Text => 6,
    }
}

/// A column chunk that stands in the file.
struct Chunk {
    column: Column,
    values: i64,
    offset: i64,
    /// Bytes with the page's header, before and after compression.
    raw: i64,
    stored: i64,
}

impl Chunk {
    fn of(column: &Column, rows: &[Row], out: &mut Vec<u8>) -> Result<Self, Error> {
        let body = body(column, rows);
        let too_large = |_| Error::TooLarge(column.name);
        let raw = i32::try_from(body.len()).map_err(too_large)?;
        let page = zstd::bulk::compress(&body, LEVEL)
            .map_err(|error| Error::Compression(error.to_string()))?;
        let stored = i32::try_from(page.len()).map_err(too_large)?;
        let values = i32::try_from(rows.len()).map_err(too_large)?;
        let data = Struct::default()
            .i32(1, values)
            .i32(2, PLAIN)
            .i32(3, RLE)
            .i32(4, RLE);
        let header = Struct::default()
            .i32(1, 0)
            .i32(2, raw)
            .i32(3, stored)
            .nested(5, data)
            .end();
        let offset = length(out.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(&page);
        Ok(Self {
            column: *column,
            values: i64::from(values),
            offset,
            raw: length(header.len()) + i64::from(raw),
            stored: length(header.len()) + i64::from(stored),
        })
    }

    /// `ColumnChunk` with its `ColumnMetaData`.
    fn metadata(&self) -> Struct {
        let data = Struct::default()
            .i32(1, physical(self.column.kind))
            .i32s(2, &[PLAIN, RLE])
            .texts(3, &[self.column.name])
            .i32(4, ZSTD)
            .i64(5, self.values)
            .i64(6, self.raw)
            .i64(7, self.stored)
            .i64(9, self.offset);
        Struct::default().i64(2, self.offset).nested(3, data)
    }
}

/// Which rows have a value, then the values.
fn body(column: &Column, rows: &[Row]) -> Vec<u8> {
    let cells: Vec<Option<&Value>> = rows
        .iter()
        .map(|row| row.get(column.name).filter(|value| !value.is_null()))
        .collect();
    let mut levels = Vec::new();
    for run in cells.chunk_by(|a, b| a.is_some() == b.is_some()) {
        varint(&mut levels, (run.len() as u64) << 1);
        levels.push(u8::from(run.iter().any(Option::is_some)));
    }
    let mut body = (levels.len() as u32).to_le_bytes().to_vec();
    body.extend_from_slice(&levels);
    let mut bits = Vec::new();
    for value in cells.into_iter().flatten() {
        match value {
            Value::Bool(value) => bits.push(*value),
            Value::String(text) => {
                body.extend_from_slice(&(text.len() as u32).to_le_bytes());
                body.extend_from_slice(text.as_bytes());
            }
            Value::Number(number) if column.kind == Kind::Int => {
                body.extend_from_slice(&number.as_i64().unwrap_or(0).to_le_bytes());
            }
            Value::Number(number) => {
                body.extend_from_slice(&number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
            }
            _ => {}
        }
    }
    for eight in bits.chunks(8) {
        let byte = eight.iter().enumerate();
        body.push(byte.fold(0, |byte, (at, bit)| byte | u8::from(*bit) << at));
    }
    body
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

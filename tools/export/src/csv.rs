//! Comma-separated values (RFC 4180).

use serde_json::Value;

use crate::{Column, Row};

pub(crate) fn encode(schema: &[Column], rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    let names = schema.iter().map(|column| Some(column.name.to_owned()));
    line(&mut out, names);
    for row in rows {
        let cells = schema.iter().map(|column| match row.get(column.name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        });
        line(&mut out, cells);
    }
    out
}

/// An empty text is quoted, so that it is not taken for a missing one.
fn line(out: &mut Vec<u8>, cells: impl Iterator<Item = Option<String>>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Some(cell) = cell else { continue };
        let plain = !cell.is_empty() && !cell.contains([',', '"', '\n', '\r']);
        if plain {
            out.extend_from_slice(cell.as_bytes());
        } else {
            out.extend_from_slice(format!("\"{}\"", cell.replace('"', "\"\"")).as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

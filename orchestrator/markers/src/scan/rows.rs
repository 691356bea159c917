//! Messages to typed rows.

use std::collections::BTreeMap;

use super::clean::Piece;
use crate::catalogue::{Place, parse_pairs};
use crate::{Catalogue, Marker, Value};

/// The only version of the envelope there is.
const ENVELOPE_VERSION: u64 = 1;
/// Bytes after a phrase that its form may use.
const PHRASE_REACH: usize = 4 << 10;

/// One row, before it knows its place.
#[derive(Debug)]
pub(super) struct Row {
    /// Position of the marker in the catalogue.
    pub(super) marker: usize,
    pub(super) fields: BTreeMap<String, Value>,
    /// First byte within the message.
    pub(super) at: usize,
    /// The test it belongs to, where the line itself says so.
    pub(super) test: Option<String>,
    pub(super) unknown: Vec<String>,
}

/// The row of a message that begins with a tag, or why its grammar is wrong.
pub(super) fn tagged(
    catalogue: &Catalogue,
    piece: &Piece<'_>,
    cut: bool,
) -> Option<Result<Row, (usize, String)>> {
    let (index, len) = catalogue.index.tag(piece.bytes())?;
    let marker = catalogue.markers().get(index)?;
    if cut {
        return Some(Err((
            index,
            "the line is longer than a row can be".to_owned(),
        )));
    }
    let rest = String::from_utf8_lossy(piece.bytes().get(len..).unwrap_or(&[]));
    if excluded(marker, &rest) {
        return None;
    }
    let row = parse_pairs(marker, &rest).and_then(|row| {
        check_version(marker, &row.fields)?;
        Ok(Row {
            marker: index,
            fields: row.fields,
            at: 0,
            test: None,
            unknown: row.unknown,
        })
    });
    Some(row.map_err(|reason| (index, reason)))
}

fn check_version(marker: &Marker, fields: &BTreeMap<String, Value>) -> Result<(), String> {
    match fields.get("v") {
        Some(Value::Number(v)) if v.to_u64() != Some(ENVELOPE_VERSION) && marker.enveloped => {
            Err(format!(
                "version {v} of the envelope is not known; this reads version {ENVELOPE_VERSION}"
            ))
        }
        _ => Ok(()),
    }
}

/// Rows of markers whose lines begin with fixed text; one per marker.
pub(super) fn starts(catalogue: &Catalogue, text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for reference in catalogue.index.starts(text.as_bytes()) {
        if rows.iter().any(|row| row.marker == reference.marker) {
            continue;
        }
        let Some(marker) = catalogue.markers().get(reference.marker) else {
            continue;
        };
        let Some(form) = marker
            .forms
            .get(reference.form)
            .filter(|form| text.starts_with(form.anchor()))
        else {
            continue;
        };
        debug_assert!(form.place != Place::Anywhere);
        if let Some(fields) = form
            .read(text, &marker.fields)
            .filter(|_| !excluded(marker, text))
        {
            rows.push(Row {
                marker: reference.marker,
                fields,
                at: 0,
                test: None,
                unknown: Vec::new(),
            });
        }
    }
    rows
}

/// Rows of free phrases that begin before byte `until`; one per marker, the form that its file lists first.
pub(super) fn phrases(catalogue: &Catalogue, piece: &Piece<'_>, until: usize) -> Vec<Row> {
    let mut hits: Vec<_> = catalogue
        .index
        .phrases(piece.bytes())
        .filter(|(at, _)| *at < until)
        .collect();
    hits.sort_unstable_by_key(|(at, reference)| (reference.marker, reference.form, *at));
    let mut rows: Vec<Row> = Vec::new();
    for (at, reference) in hits {
        if rows.iter().any(|row| row.marker == reference.marker) {
            continue;
        }
        let Some(marker) = catalogue.markers().get(reference.marker) else {
            continue;
        };
        let Some(form) = marker.forms.get(reference.form) else {
            continue;
        };
        let around = reach(piece.bytes(), at);
        let text = String::from_utf8_lossy(piece.bytes().get(at..around.1).unwrap_or(&[]));
        let context = String::from_utf8_lossy(piece.bytes().get(around.0..around.1).unwrap_or(&[]));
        if let Some(fields) = form
            .read(&text, &marker.fields)
            .filter(|_| !excluded(marker, &context))
        {
            rows.push(Row {
                marker: reference.marker,
                fields,
                at,
                test: None,
                unknown: Vec::new(),
            });
        }
    }
    rows
}

fn reach(bytes: &[u8], at: usize) -> (usize, usize) {
    (
        at.saturating_sub(PHRASE_REACH),
        (at + PHRASE_REACH).min(bytes.len()),
    )
}

fn excluded(marker: &Marker, text: &str) -> bool {
    marker
        .unless
        .iter()
        .any(|other| text.contains(other.as_str()))
}

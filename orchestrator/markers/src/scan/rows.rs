//! Messages to typed rows.

use std::collections::BTreeMap;

use super::clean::Piece;
use crate::catalogue::{Anchor, FormRef, Scratch, parse_pairs};
use crate::{Catalogue, Marker, Value};

/// The only version of the envelope there is.
const ENVELOPE_VERSION: u64 = 1;
/// Bytes after a phrase that its form may use.
const PHRASE_REACH: usize = 4 << 10;

/// One row of a form, before it knows its place.
#[derive(Debug)]
pub(super) struct Row {
    /// Position of the marker in the catalogue.
    pub(super) marker: usize,
    pub(super) fields: BTreeMap<String, Value>,
    /// First byte within the message.
    pub(super) at: usize,
    /// The test it belongs to, where the line itself says so.
    pub(super) test: Option<String>,
}

/// The marker whose tag begins a message and whose pairs now stand in the scratch, or why they do not.
pub(super) fn tagged<'c>(
    catalogue: &'c Catalogue,
    message: &str,
    cut: bool,
    scratch: &mut Scratch,
) -> Option<(usize, &'c Marker, Result<(), String>)> {
    let (index, len) = catalogue
        .index
        .tag(message.as_bytes())
        .find_map(|anchor| match anchor {
            Anchor::Pairs { marker, len } => Some((marker, len)),
            Anchor::Form(_) => None,
        })?;
    let marker = catalogue.markers().get(index)?;
    if cut {
        let reason = "the line is longer than a row can be".to_owned();
        return Some((index, marker, Err(reason)));
    }
    if !marker.unless.is_empty() && excluded(marker, message.get(len..).unwrap_or("")) {
        return None;
    }
    let read = parse_pairs(marker, message, len, scratch);
    Some((
        index,
        marker,
        read.and_then(|()| check_version(marker, message, scratch)),
    ))
}

fn check_version(marker: &Marker, message: &str, scratch: &Scratch) -> Result<(), String> {
    let Some([version, _, _]) = marker.envelope.filter(|_| marker.enveloped) else {
        return Ok(());
    };
    let slot = scratch.slot(version);
    if slot.to_u64() == Some(ENVELOPE_VERSION) {
        return Ok(());
    }
    match scratch.value(message, slot) {
        Some(Value::Number(v)) if v.to_u64() != Some(ENVELOPE_VERSION) => Err(format!(
            "version {v} of the envelope is not known; this reads version {ENVELOPE_VERSION}"
        )),
        _ => Ok(()),
    }
}

/// Rows of markers whose lines begin with fixed text; one per marker, the form that its file lists first.
pub(super) fn starts(catalogue: &Catalogue, text: &str) -> Vec<Row> {
    let index = &catalogue.index;
    let dispatched = index
        .tag(text.as_bytes())
        .filter_map(|anchor| match anchor {
            Anchor::Form(reference) => Some(reference),
            Anchor::Pairs { .. } => None,
        });
    let mut forms: Vec<FormRef> = index
        .starts(text.as_bytes())
        .iter()
        .copied()
        .chain(dispatched)
        .collect();
    forms.sort_unstable_by_key(|reference| (reference.marker, reference.form));
    let mut rows: Vec<Row> = Vec::new();
    for reference in forms {
        rows.extend(start(catalogue, text, reference, &rows));
    }
    rows
}

fn start(catalogue: &Catalogue, text: &str, reference: FormRef, rows: &[Row]) -> Option<Row> {
    if rows.iter().any(|row| row.marker == reference.marker) {
        return None;
    }
    let marker = catalogue.markers().get(reference.marker)?;
    let form = marker.forms.get(reference.form)?;
    if !text.starts_with(form.anchor()) {
        return None;
    }
    let fields = form.read(text, marker)?;
    (!excluded(marker, text)).then_some(Row {
        marker: reference.marker,
        fields,
        at: 0,
        test: None,
    })
}

/// Rows of free phrases that begin before byte `until`; one per marker, the form that its file lists first.
pub(super) fn phrases(catalogue: &Catalogue, piece: &Piece<'_>, until: usize) -> Vec<Row> {
    let mut hits = catalogue.index.phrases(piece.bytes());
    hits.retain(|(at, _)| *at < until);
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
        let found = piece.bytes().get(at..around.1).unwrap_or(&[]);
        if !found.starts_with(form.anchor().as_bytes()) {
            continue;
        }
        let text = String::from_utf8_lossy(found);
        let Some(fields) = form.read(&text, marker) else {
            continue;
        };
        let context = String::from_utf8_lossy(piece.bytes().get(around.0..around.1).unwrap_or(&[]));
        if !excluded(marker, &context) {
            rows.push(Row {
                marker: reference.marker,
                fields,
                at,
                test: None,
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

//! The examples of a catalogue file, checked with the real scanner at load.

use super::format::{MarkerFile, MatchFile};
use super::{Catalogue, Marker};
use crate::{Error, Observation};

pub(super) fn check(catalogue: &Catalogue, file: &str, source: &MarkerFile) -> Result<(), Error> {
    let Some(marker) = catalogue.marker(&source.name) else {
        return Ok(());
    };
    let fail = |example: String, reason| Error::Example {
        file: file.to_owned(),
        example,
        reason,
    };
    for (index, example) in source.matches.iter().enumerate() {
        check_match(catalogue, marker, example)
            .map_err(|reason| fail(format!("match {}", index + 1), reason))?;
    }
    for (index, example) in source.not_match.iter().enumerate() {
        if !rows(catalogue, &source.name, &example.log).0.is_empty() {
            let reason = format!("it reads as a row although {}", example.why);
            return Err(fail(format!("not_match {}", index + 1), reason));
        }
    }
    Ok(())
}

fn check_match(catalogue: &Catalogue, marker: &Marker, example: &MatchFile) -> Result<(), String> {
    let (rows, complaints) = rows(catalogue, &marker.name, &example.log);
    if rows.len() != example.rows {
        return Err(format!(
            "it reads as {} rows, {} expected{complaints}",
            rows.len(),
            example.rows
        ));
    }
    for (name, text) in &example.fields {
        let field = marker
            .field(name)
            .ok_or_else(|| format!("`{name}` is no field"))?;
        let expected = field
            .read(text)
            .map_err(|reason| format!("{name}: {reason}"))?;
        let read = rows.first().and_then(|row| row.fields.get(name));
        if read != Some(&expected) {
            let read = read.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
            return Err(format!("{name} reads as {read}, `{text}` expected"));
        }
    }
    Ok(())
}

fn rows(catalogue: &Catalogue, kind: &str, log: &str) -> (Vec<Observation>, String) {
    let scan = crate::scan(catalogue, log.as_bytes());
    let complaints = scan
        .diagnostics
        .first()
        .map_or_else(String::new, |first| format!(" ({first:?})"));
    (
        scan.observations
            .into_iter()
            .filter(|row| row.kind == kind)
            .collect(),
        complaints,
    )
}

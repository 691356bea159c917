//! `extract_markers`: typed facts of a log with their byte spans.

use markers::{Catalogue, Diagnostic, Observation};

use super::logs::{count_read, known_log};
use super::{cursor, unknown};
use crate::ServiceError;
use crate::api::{ExtractMarkersAnswer, ExtractMarkersRequest, UnparsedView};
use crate::shared::Shared;
use crate::{classes, observe, views};

/// Most unparsed lines in an answer.
const MAX_UNPARSED: usize = 100;

/// Observations of the kinds and with the values asked for, a page at a time.
pub(super) fn extract_markers(
    shared: &Shared,
    request: ExtractMarkersRequest,
) -> Result<ExtractMarkersAnswer, ServiceError> {
    let digest = known_log(shared, &request.log_id)?;
    let origin = observe::origin(shared, &digest);
    let base = match &origin {
        Some(origin) => Some(classes::base_of(shared, &origin.run)?),
        None => None,
    };
    let builtin;
    let catalogue = match &base {
        Some(base) => &base.rulebook.catalogue,
        None => {
            builtin =
                Catalogue::builtin().map_err(|error| ServiceError::Internal(error.to_string()))?;
            &builtin
        }
    };
    check_kinds(catalogue, request.kinds.as_deref())?;
    let scan = observe::scan_of(shared, &digest, catalogue)?;
    let start = cursor(request.cursor.as_deref())?;
    let limit = usize::try_from(request.limit.unwrap_or(100).clamp(1, 500)).unwrap_or(100);
    let chosen: Vec<&Observation> = scan
        .observations
        .iter()
        .filter(|row| takes(&request, row))
        .collect();
    let page: Vec<_> = chosen.iter().skip(start).take(limit).collect();
    let end = start + page.len();
    if let Some(origin) = &origin {
        count_read(shared, &origin.run.scope);
    }
    Ok(ExtractMarkersAnswer {
        observations: page
            .into_iter()
            .map(|row| views::observation(row))
            .collect(),
        unparsed: unparsed(&scan.diagnostics),
        next_cursor: (end < chosen.len()).then(|| end.to_string()),
        catalogue: scan.catalogue.clone(),
        untrusted: true,
    })
}

/// Kinds that the catalogue does not know are an error that names the closest ones.
pub(super) fn check_kinds(
    catalogue: &Catalogue,
    kinds: Option<&[String]>,
) -> Result<(), ServiceError> {
    let mut kinds = kinds.into_iter().flatten();
    let Some(kind) = kinds.find(|kind| catalogue.marker(kind).is_none()) else {
        return Ok(());
    };
    let names = catalogue
        .markers()
        .iter()
        .map(|marker| marker.name.as_str());
    Err(nearest(kind, names))
}

fn takes(request: &ExtractMarkersRequest, row: &Observation) -> bool {
    let kind = request
        .kinds
        .as_ref()
        .is_none_or(|kinds| kinds.contains(&row.kind));
    let values = request.r#where.iter().flatten().all(|(name, wanted)| {
        row.fields
            .get(name)
            .is_some_and(|value| value.to_string() == *wanted)
    });
    kind && values
}

/// The error names the closest kinds rather than the newest.
fn nearest<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> ServiceError {
    let mut names: Vec<&str> = names.collect();
    names.sort_by(|a, b| {
        let score = |name: &str| strsim::jaro_winkler(name, kind);
        score(a).total_cmp(&score(b))
    });
    let valid = names.split_off(names.len().saturating_sub(super::LISTED));
    unknown("marker kind", kind, valid.into_iter())
}

fn unparsed(diagnostics: &[Diagnostic]) -> Vec<UnparsedView> {
    let views = diagnostics.iter().map(|diagnostic| {
        // Every diagnostic serialises with its line; reasons are the scanner's own words.
        let value = serde_json::to_value(diagnostic).unwrap_or_default();
        let line = ["line", "last_line"]
            .iter()
            .find_map(|name| value.get(name)?.as_u64());
        let code = value.get("code").and_then(|code| code.as_str());
        let reason = value.get("reason").and_then(|reason| reason.as_str());
        UnparsedView {
            line: line.unwrap_or(0),
            reason: match (code, reason) {
                (Some(code), Some(reason)) => format!("{code}: {}", crate::page::plain(reason)),
                (Some(code), None) => code.to_owned(),
                _ => "not readable".to_owned(),
            },
        }
    });
    views.take(MAX_UNPARSED).collect()
}

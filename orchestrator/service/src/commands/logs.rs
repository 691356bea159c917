//! `read_log`: every byte through a narrow door.

use attest::digest::Digest;

use super::unknown;
use crate::ServiceError;
use crate::api::{LogViewKind, ReadLogAnswer, ReadLogRequest};
use crate::page;
use crate::shared::Shared;
use crate::{observe, views};

/// Bytes of a page when nothing is asked for.
const DEFAULT_BYTES: u32 = 8 << 10;
/// Most bytes of a page.
const MAX_BYTES: u32 = 64 << 10;

/// Reads of evidence are counted for the loops that work on its scope.
pub(super) fn count_read(shared: &Shared, scope: &str) {
    let mut core = shared.core();
    let ids: Vec<_> = core
        .state
        .loops
        .values()
        .filter(|found| found.open && found.scopes.iter().any(|own| own == scope))
        .map(|found| found.id.clone())
        .collect();
    for id in ids {
        core.count(&id, "reads");
    }
}

/// The log of this id, or an error that names the newest ones.
pub(super) fn known_log(shared: &Shared, text: &str) -> Result<Digest, ServiceError> {
    let digest = views::digest(text, "log_id")?;
    if observe::log_ref(shared, &digest).is_some() {
        return Ok(digest);
    }
    let core = shared.core();
    let logs: Vec<String> = core
        .state
        .runs
        .values()
        .flat_map(|run| &run.jobs)
        .filter_map(|job| job.log.as_ref().map(|log| log.log_id.to_string()))
        .collect();
    Err(unknown("log", text, logs.iter().map(String::as_str)))
}

/// One page of a log.
pub(super) fn read_log(
    shared: &Shared,
    request: ReadLogRequest,
) -> Result<ReadLogAnswer, ServiceError> {
    let digest = known_log(shared, &request.log_id)?;
    let reader = shared.evidence.open_log(&digest)?;
    let total = reader.total_bytes();
    let offset = match (request.offset, request.line) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::BadArgument {
                field: "line",
                reason: "`offset` and `line` are both given".into(),
                remedy: "give one of them".into(),
            });
        }
        (Some(offset), None) if offset <= total => offset,
        (Some(offset), None) => {
            return Err(ServiceError::BadArgument {
                field: "offset",
                reason: format!("{offset} is past the end"),
                remedy: format!("the log has {total} bytes"),
            });
        }
        (None, Some(line)) => {
            reader
                .line_to_offset(line)?
                .ok_or_else(|| ServiceError::BadArgument {
                    field: "line",
                    reason: format!("there is no line {line}"),
                    remedy: format!("the log has lines 1 to {}", reader.total_lines()),
                })?
        }
        (None, None) => 0,
    };
    let length = request
        .max_bytes
        .unwrap_or(DEFAULT_BYTES)
        .clamp(1, MAX_BYTES);
    let window = reader.read_range(offset, u64::from(length))?;
    let at_end = offset + window.len() as u64 == total;
    let page = page::cut(&window, at_end);
    let bytes = window.get(..page.len).unwrap_or_default();
    let end = offset + bytes.len() as u64;
    let line_start = match reader.offset_to_line(offset)? {
        Some(line) => line,
        None => reader.total_lines() + 1,
    };
    let log = observe::log_ref(shared, &digest);
    if let Some(origin) = observe::origin(shared, &digest) {
        count_read(shared, &origin.run.scope);
    }
    let lossy = request.view == LogViewKind::Text;
    let (encoding, data) = match lossy {
        true => ("text", page::fenced(bytes, &nonce()?)),
        false => page.encode(bytes),
    };
    Ok(ReadLogAnswer {
        log_id: digest.to_string(),
        total_bytes: total,
        sha256: digest.to_string(),
        offset,
        len: bytes.len() as u64,
        next_offset: (end < total).then_some(end),
        page_sha256: Digest::of(bytes).to_string(),
        line_start,
        encoding: encoding.into(),
        data,
        complete: log.is_some_and(|log| log.complete),
        lossy,
        untrusted: true,
    })
}

pub(super) fn nonce() -> Result<String, ServiceError> {
    Ok(hex::encode(&crate::keys::random()?[..8]))
}

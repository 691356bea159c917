//! `pull_full_log`, `read_log`: every byte through a narrow door.

use attest::digest::Digest;
use discipline::model::{Run, RunStatus};

use super::{find_run, unknown};
use crate::ServiceError;
use crate::api::{
    LogViewKind, PullFullLogAnswer, PullFullLogRequest, PulledLog, ReadLogAnswer, ReadLogRequest,
};
use crate::page;
use crate::shared::Shared;
use crate::{classes, observe, views};

/// Bytes of a page when nothing is asked for.
const DEFAULT_BYTES: u32 = 8 << 10;
/// Most bytes of a page.
const MAX_BYTES: u32 = 64 << 10;

/// Handles of a run's complete logs, with what they hold.
pub(super) fn pull_full_log(
    shared: &Shared,
    request: PullFullLogRequest,
) -> Result<PullFullLogAnswer, ServiceError> {
    let (run, attempts) = chosen(shared, &request)?;
    let base = classes::base_of(shared, &run)?;
    let cells: Vec<&str> = run.jobs.iter().map(|job| job.cell.as_str()).collect();
    if let Some(wanted) = &request.job
        && !cells.contains(&wanted.as_str())
    {
        return Err(unknown("cell", wanted, cells.into_iter()));
    }
    let mut logs = Vec::new();
    for job in &run.jobs {
        if request
            .job
            .as_ref()
            .is_some_and(|wanted| wanted != &job.cell)
        {
            continue;
        }
        let marker_counts = match &job.log {
            Some(log) => {
                let catalogue = &base.rulebook.catalogue;
                let scan = observe::scan_of(shared, &log.log_id, catalogue)?;
                scan.counts.clone()
            }
            None => Default::default(),
        };
        logs.push(PulledLog {
            job: job.cell.clone(),
            log: job.log.as_ref().map(views::log),
            why_empty: job.why_empty.map(|why| views::why_empty_word(why).into()),
            marker_counts,
        });
    }
    count_read(shared, &run.scope);
    let whole = |log: &PulledLog| log.log.as_ref().is_some_and(|log| log.complete);
    Ok(PullFullLogAnswer {
        run_id: run.run_id.to_string(),
        complete: run.status == RunStatus::Completed && logs.iter().all(whole),
        logs,
        attempts,
    })
}

/// The attempt asked for, and all attempts of the same run.
fn chosen(shared: &Shared, request: &PullFullLogRequest) -> Result<(Run, Vec<u32>), ServiceError> {
    let core = shared.core();
    let run = find_run(&core.state, &request.run_id)?;
    let same = |other: &&Run| {
        other.run_id == run.run_id
            || (other.trigger == run.trigger
                && other.head_sha == run.head_sha
                && other.scope == run.scope
                && other.trigger != discipline::model::Trigger::Manual)
    };
    let family: Vec<&Run> = core.state.runs.values().filter(same).collect();
    let mut attempts: Vec<u32> = family.iter().map(|run| run.attempt).collect();
    attempts.sort_unstable();
    attempts.dedup();
    let Some(wanted) = request.attempt else {
        return Ok((run.clone(), attempts));
    };
    match family.iter().find(|run| run.attempt == wanted) {
        Some(found) => Ok(((*found).clone(), attempts)),
        None => Err(ServiceError::BadArgument {
            field: "attempt",
            reason: format!("{} has no attempt {wanted}", run.run_id),
            remedy: format!("use one of {attempts:?}"),
        }),
    }
}

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

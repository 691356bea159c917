//! What logs show, read once per catalogue.

use std::collections::BTreeSet;
use std::sync::Arc;

use attest::digest::Digest;
use discipline::model::{LogRef, Run};
use markers::{Catalogue, CellObservations, Scan, Scanner};
use state::Change;

use crate::ServiceError;
use crate::shared::Shared;

/// Projection: `<log hex>:<catalogue digest>` → digest of the scan's blob.
const SCANS: &str = "scans";
/// Projection: catalogue digest → digest of each marker's file, as JSON.
const CATALOGUES: &str = "catalogues";
/// Bytes of a log read at a time.
const CHUNK: u64 = 1 << 20;

/// The scan of a log under a catalogue, from the store where it was made before.
pub(crate) fn scan_of(
    shared: &Shared,
    log: &Digest,
    catalogue: &Catalogue,
) -> Result<Arc<Scan>, ServiceError> {
    remember(shared, catalogue);
    if let Some(known) = stored(shared, log, catalogue) {
        return Ok(Arc::new(known));
    }
    if let Some(carried) = carried(shared, log, catalogue) {
        keep_scan(shared, log, &carried);
        return Ok(Arc::new(carried));
    }
    let reader = shared.evidence.open_log(log)?;
    let mut scanner = Scanner::new(catalogue);
    let mut offset = 0;
    while offset < reader.total_bytes() {
        let bytes = reader.read_range(offset, CHUNK)?;
        offset += bytes.len() as u64;
        scanner.push(&bytes);
    }
    let scan = scanner.finish();
    keep_scan(shared, log, &scan);
    Ok(Arc::new(scan))
}

/// Notes what a catalogue consists of, so that a later one can tell what it changed.
fn remember(shared: &Shared, catalogue: &Catalogue) {
    let mut core = shared.core();
    let key = catalogue.digest().as_bytes();
    if matches!(core.dir.index.get(CATALOGUES, key), Ok(Some(_))) {
        return;
    }
    let Ok(value) = serde_json::to_vec(catalogue.files()) else {
        return;
    };
    let head = core.dir.journal.head();
    let change = Change::Put {
        table: CATALOGUES,
        key: key.to_vec(),
        value,
    };
    if let Err(error) = core.dir.index.apply(head, [change]) {
        tracing::warn!(%error, "catalogue is not kept");
    }
}

/// What an earlier catalogue's scan says under this one, where the log need not be read for it.
fn carried(shared: &Shared, log: &Digest, catalogue: &Catalogue) -> Option<Scan> {
    let prefix = format!("{}:", log.to_hex()).into_bytes();
    let earlier = shared.core().dir.index.scan(SCANS, &prefix).ok()?;
    earlier.into_iter().find_map(|(_, digest)| {
        let scan = scan_at(shared, &digest)?;
        let files = shared
            .core()
            .dir
            .index
            .get(CATALOGUES, scan.catalogue.as_bytes());
        let known = serde_json::from_slice(&files.ok()??).ok()?;
        scan.under(catalogue, &known)
    })
}

fn key(log: &Digest, catalogue: &str) -> Vec<u8> {
    format!("{}:{catalogue}", log.to_hex()).into_bytes()
}

fn stored(shared: &Shared, log: &Digest, catalogue: &Catalogue) -> Option<Scan> {
    let key = key(log, catalogue.digest());
    let digest = shared.core().dir.index.get(SCANS, &key).ok()??;
    scan_at(shared, &digest)
}

fn scan_at(shared: &Shared, digest: &[u8]) -> Option<Scan> {
    let digest: Digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    let blob = shared.evidence.get_blob(&digest).ok()?;
    serde_json::from_slice(&blob).ok()
}

/// Keeps a scan. Failing to costs a second reading and nothing else.
pub(crate) fn keep_scan(shared: &Shared, log: &Digest, scan: &Scan) {
    let keep = || -> Result<(), ServiceError> {
        let blob =
            serde_json::to_vec(scan).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let digest = shared.evidence.put_blob(&blob)?;
        let change = Change::Put {
            table: SCANS,
            key: key(log, &scan.catalogue),
            value: digest.to_string().into_bytes(),
        };
        let mut core = shared.core();
        let head = core.dir.journal.head();
        core.dir.index.apply(head, [change])?;
        Ok(())
    };
    if let Err(error) = keep() {
        tracing::warn!(%error, "scan is not kept");
    }
}

/// What the cells of a run showed; cells without a log are left out.
pub(crate) fn cells_of(
    shared: &Shared,
    run: &Run,
    catalogue: &Catalogue,
) -> Result<Vec<CellObservations>, ServiceError> {
    let mut cells = Vec::new();
    for job in &run.jobs {
        let Some(log) = &job.log else { continue };
        let scan = scan_of(shared, &log.log_id, catalogue)?;
        cells.push(CellObservations {
            cell: job.cell.clone(),
            complete: scan.complete && log.complete,
            observations: scan.observations.clone(),
        });
    }
    Ok(cells)
}

/// Only the rows of these kinds.
pub(crate) fn only(
    mut cells: Vec<CellObservations>,
    kinds: &BTreeSet<String>,
) -> Vec<CellObservations> {
    for cell in &mut cells {
        cell.observations.retain(|row| kinds.contains(&row.kind));
    }
    cells
}

/// Where a log comes from.
pub(crate) struct Origin {
    pub(crate) run: Run,
    pub(crate) log: LogRef,
}

/// The run whose log this is; gate transcripts have none.
pub(crate) fn origin(shared: &Shared, log: &Digest) -> Option<Origin> {
    let core = shared.core();
    core.state.runs.values().find_map(|run| {
        let found = logs_of(run).find(|found| &found.log_id == log)?.clone();
        Some(Origin {
            run: run.clone(),
            log: found,
        })
    })
}

/// Every log of a run: of its jobs, outranked ones, and those that stood in artifacts.
pub(crate) fn logs_of(run: &Run) -> impl Iterator<Item = &LogRef> {
    let jobs = run
        .jobs
        .iter()
        .flat_map(|job| job.log.iter().chain(&job.outranked));
    let artifacts = run.artifacts.iter().flat_map(|artifact| &artifact.logs);
    jobs.chain(artifacts.map(|entry| &entry.log))
}

/// True when the store holds this log, as a run's or a gate's.
pub(crate) fn log_ref(shared: &Shared, log: &Digest) -> Option<LogRef> {
    if let Some(origin) = origin(shared, log) {
        return Some(origin.log);
    }
    let core = shared.core();
    core.state
        .gate_runs
        .values()
        .flat_map(|gate_run| &gate_run.results)
        .filter_map(|result| result.transcript.as_ref())
        .find(|found| &found.log_id == log)
        .cloned()
}

//! `export_markers`: what a run's logs show, value by value.

use discipline::model::{Job, Run};
use markers::{Catalogue, Observation, Scan};

use super::{cursor, find_run};
use crate::ServiceError;
use crate::api::{ExportMarkersAnswer, ExportMarkersRequest, ExportRow};
use crate::shared::Shared;
use crate::{classes, observe};

/// Observations of one page.
const PAGE: usize = 1_000;

/// The next observations of a run, all cells one after the other.
pub(super) fn export_markers(
    shared: &Shared,
    request: &ExportMarkersRequest,
) -> Result<ExportMarkersAnswer, ServiceError> {
    let start = cursor(request.cursor.as_deref())?;
    let run = find_run(&shared.core().state, &request.run_id)?.clone();
    let base = classes::base_of(shared, &run)?;
    let catalogue = &base.rulebook.catalogue;
    let (mut rows, mut seen, mut more) = (Vec::new(), 0, false);
    for job in &run.jobs {
        let Some(log) = &job.log else { continue };
        let scan = observe::scan_of(shared, &log.log_id, catalogue)?;
        let front = front(shared, &run, job, &scan);
        for (number, observation) in scan.observations.iter().enumerate() {
            if seen >= start + PAGE {
                more = true;
                break;
            }
            if seen >= start {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                observed(&front, number, observation, catalogue, &mut rows);
            }
            seen += 1;
        }
    }
    Ok(ExportMarkersAnswer {
        rows,
        next_cursor: more.then(|| (start + PAGE).to_string()),
        untrusted: true,
    })
}

/// What all rows of one log share.
fn front(shared: &Shared, run: &Run, job: &Job, scan: &Scan) -> ExportRow {
    let core = shared.core();
    let classified = core.state.classifications.get(&run.run_id);
    let log = job.log.as_ref();
    ExportRow {
        scope: run.scope.clone(),
        cell: job.cell.clone(),
        head_sha: run.head_sha.clone(),
        created_ms: run.created_ms,
        conclusion: run
            .conclusion
            .as_ref()
            .map(|conclusion| conclusion.word().to_owned()),
        class: classified.map(|found| found.classification.class.to_string()),
        green: classified.map(|found| found.green),
        log_id: log.map(|log| log.log_id.to_string()).unwrap_or_default(),
        complete: scan.complete && log.is_some_and(|log| log.complete),
        catalogue: scan.catalogue.clone(),
        ..ExportRow::default()
    }
}

fn observed(
    front: &ExportRow,
    number: i64,
    row: &Observation,
    catalogue: &Catalogue,
    rows: &mut Vec<ExportRow>,
) {
    let base = ExportRow {
        observation: number,
        kind: row.kind.clone(),
        line: signed(row.line),
        byte_start: signed(row.span.start),
        byte_end: signed(row.span.end),
        test: row.test.clone(),
        path: row.text("path").map(str::to_owned),
        phase: row.text("phase").map(str::to_owned),
        ..front.clone()
    };
    let values = export::values(row, catalogue);
    if values.is_empty() {
        rows.push(base);
        return;
    }
    rows.extend(values.into_iter().map(|value| ExportRow {
        field: Some(value.field),
        part: value.part,
        number: value.number,
        text: Some(value.text),
        unit: value.unit,
        ..base.clone()
    }));
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

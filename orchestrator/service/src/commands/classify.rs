//! `classify_run`: class, disposition, and the lines they rest on.

use std::time::{Duration, Instant};

use discipline::model::{Run, RunStatus};
use markers::{CellObservations, Decimal, Observation};
use playbooks::{Anchor, Classification, Disposition, Group};

use super::find_run;
use crate::ServiceError;
use crate::api::{AnchorView, ClassifyRunAnswer, ClassifyRunRequest, GroupView, SlopeView};
use crate::shared::{Ctx, Shared};
use crate::{classes, observe, page, views};

/// Most characters of one field in a summary.
const FIELD_CHARS: usize = 80;
/// Between the end of a run and its class there are milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The class of a run that has ended.
pub(super) fn classify_run(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ClassifyRunRequest,
) -> Result<ClassifyRunAnswer, ServiceError> {
    let run = find_run(&shared.core().state, &request.run_id)?.clone();
    if run.status != RunStatus::Completed {
        return Err(ServiceError::WrongState {
            what: format!("run {}", run.run_id),
            state: views::status_word(run.status).into(),
            remedy: "wait for it with `wait_for_run`; local work is not blocked".into(),
        });
    }
    let base = classes::base_of(shared, &run)?;
    let known = shared.wait(ctx, Instant::now() + PATIENCE, |core| {
        core.state.classifications.get(&run.run_id).cloned()
    })?;
    let classified = match known {
        Some(classified) => classified,
        None => {
            classes::classify(shared, &run, &base)?;
            let core = shared.core();
            let found = core.state.classifications.get(&run.run_id).cloned();
            found.ok_or_else(|| ServiceError::Internal("no class was recorded".into()))?
        }
    };
    let cells = observe::cells_of(shared, &run, &base.rulebook.catalogue)?;
    super::logs::count_read(shared, &run.scope);
    Ok(answer(
        &run,
        &classified.classification,
        classified.green,
        &cells,
    ))
}

fn answer(
    run: &Run,
    class: &Classification,
    green: bool,
    cells: &[CellObservations],
) -> ClassifyRunAnswer {
    let view = |anchors: &[Anchor]| anchors.iter().map(|a| anchor(run, cells, a)).collect();
    let (disposition, remedy) = match &class.disposition {
        Disposition::FixEnvironment { remedy } => ("fix_environment", Some(remedy.clone())),
        Disposition::FixLocally => ("fix_locally", None),
        Disposition::Debug => ("debug", None),
        Disposition::NoSignal => ("no_signal", None),
    };
    let mut also: Vec<String> = class
        .hits
        .iter()
        .filter(|hit| hit.class != class.class)
        .map(|hit| hit.class.to_string())
        .collect();
    also.dedup();
    ClassifyRunAnswer {
        run_id: run.run_id.to_string(),
        class: class.class.to_string(),
        disposition: disposition.into(),
        remedy,
        green,
        anchors: view(&class.anchors),
        also,
        groups: class.groups.iter().map(group).collect(),
        first_divergence: first_divergence(run, cells),
        unread_panics: view(&class.unread_panics),
        slopes: markers::slopes(cells, "timing_breakdown", "noops", "wait_us")
            .into_iter()
            .map(slope)
            .collect(),
    }
}

fn slope(found: markers::Slope) -> SlopeView {
    let of: Vec<String> = found
        .of
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    SlopeView {
        of: page::plain(&of.join(" ")),
        us_per_noop: found.slope.to_string(),
        rows: found.rows,
        steps: found.steps,
    }
}

fn group(group: &Group) -> GroupView {
    let mut tests: Vec<String> = group.tests.iter().map(|test| test.name.clone()).collect();
    tests.sort();
    tests.dedup();
    GroupView {
        signature: page::plain(&group.signature),
        tests,
        complete: group.complete,
    }
}

fn log_of(run: &Run, cell: &str) -> String {
    let job = run.jobs.iter().find(|job| job.cell == cell);
    let log = job.and_then(|job| job.log.as_ref());
    log.map(|log| log.log_id.to_string()).unwrap_or_default()
}

fn anchor(run: &Run, cells: &[CellObservations], anchor: &Anchor) -> AnchorView {
    let row = cells
        .iter()
        .filter(|cell| cell.cell == anchor.cell)
        .flat_map(|cell| &cell.observations)
        .find(|row| row.line == anchor.line && row.kind == anchor.marker);
    AnchorView {
        cell: anchor.cell.clone(),
        log_id: log_of(run, &anchor.cell),
        line: anchor.line,
        kind: anchor.marker.clone(),
        summary: row.map(summary).unwrap_or_default(),
    }
}

/// `name=value` of each field that the line has.
fn summary(row: &Observation) -> String {
    let shown = row.fields.iter().map(|(name, value)| {
        let text: String = page::plain(&value.to_string())
            .chars()
            .filter(|c| *c != '\n')
            .take(FIELD_CHARS)
            .collect();
        format!("{name}={text}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The first divergence in order of (pass, layer, place in the log).
fn first_divergence(run: &Run, cells: &[CellObservations]) -> Option<AnchorView> {
    let number = |row: &Observation, field: &str| -> Option<Decimal> { row.number(field).cloned() };
    let rows = cells.iter().flat_map(|cell| {
        let found = cell.observations.iter();
        found
            .filter(|row| row.kind == "first_divergence")
            .map(move |row| (cell, row))
    });
    let first = rows.min_by(|(_, a), (_, b)| {
        let key = |row: &Observation| (number(row, "pass"), number(row, "layer"), row.line);
        key(a)
            .partial_cmp(&key(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    first.map(|(cell, row)| AnchorView {
        cell: cell.cell.clone(),
        log_id: log_of(run, &cell.cell),
        line: row.line,
        kind: row.kind.clone(),
        summary: summary(row),
    })
}

//! `contrast`: what separates failing from passing segments.

use discipline::contrast::{Segment, Selector, contrast as rank, segments};
use discipline::model::Refusal;

use super::find_run;
use crate::ServiceError;
use crate::api::{ContrastAnswer, ContrastRequest, SegmentView, SeparatorView};
use crate::shared::Shared;
use crate::{classes, observe, views};

/// Most separators in an answer.
const MAX_SEPARATORS: usize = 50;

/// Ranks separators, best first.
pub(super) fn contrast(
    shared: &Shared,
    request: ContrastRequest,
) -> Result<ContrastAnswer, ServiceError> {
    let failing = side(shared, &request.failing)?;
    let passing = side(shared, &request.passing)?;
    let mut refused = Vec::new();
    for (name, found) in [("failing", &failing), ("passing", &passing)] {
        if found.iter().all(|segment| segment.observations.is_empty()) {
            refused.push(Refusal::new(
                "segment_empty",
                name,
                format!("no row of the {name} side matches its selection"),
                "choose run, cell, path, phase and test so that `extract_markers` shows rows there",
            ));
        }
    }
    let first = request.failing.first().or_else(|| request.passing.first());
    let Some(first) = first.filter(|_| refused.is_empty()) else {
        return Ok(ContrastAnswer {
            separators: Vec::new(),
            refused: views::refusals(&refused),
        });
    };
    let run = find_run(&shared.core().state, &first.run_id)?.clone();
    super::logs::count_read(shared, &run.scope);
    let base = classes::base_of(shared, &run)?;
    let ranked = rank(&base.rulebook.catalogue, &failing, &passing);
    let separators = ranked
        .into_iter()
        .take(MAX_SEPARATORS)
        .map(|found| SeparatorView {
            kind: found.marker,
            field: found.field.unwrap_or_default(),
            value: crate::page::plain(&found.value),
            failing_support: u64::from(found.fail_support),
            passing_support: u64::from(found.pass_support),
            score_milli: found.score_permille,
            also_on_good_path: (found.also_on_good_path > 0).then_some(found.also_on_good_path),
        });
    Ok(ContrastAnswer {
        separators: separators.collect(),
        refused: Vec::new(),
    })
}

fn side(shared: &Shared, selections: &[SegmentView]) -> Result<Vec<Segment>, ServiceError> {
    let mut found = Vec::new();
    for selection in selections {
        let run = find_run(&shared.core().state, &selection.run_id)?.clone();
        let base = classes::base_of(shared, &run)?;
        let cells = observe::cells_of(shared, &run, &base.rulebook.catalogue)?;
        let selector = Selector {
            cell: selection.cell.clone(),
            path: selection.path.clone(),
            phase: selection.phase.clone(),
            test: selection.test.clone(),
        };
        let catalogue = &base.rulebook.catalogue;
        found.extend(segments(catalogue, run.run_id.as_str(), &cells, &selector));
    }
    Ok(found)
}

//! `compare_runs`: what moved between two runs.

use discipline::compare::{Comparison, Delta, FirstDifference, compare};
use discipline::model::{Refusal, Run};
use markers::{CellObservations, Margin, Value};

use super::{cursor, find_run};
use crate::ServiceError;
use crate::api::{
    CompareRunsAnswer, CompareRunsRequest, DeltaView, FirstDifferenceView, MarginView,
};
use crate::shared::Shared;
use crate::{classes, observe, page, views};

/// Most characters of a value.
const VALUE_CHARS: usize = 200;

/// Compares two runs of one scope under the catalogue of the head's base.
pub(super) fn compare_runs(
    shared: &Shared,
    request: &CompareRunsRequest,
) -> Result<CompareRunsAnswer, ServiceError> {
    let start = cursor(request.cursor.as_deref())?;
    let limit = usize::try_from(request.limit.unwrap_or(50).clamp(1, 200)).unwrap_or(50);
    let (base, head) = {
        let core = shared.core();
        let find = |id: &str| find_run(&core.state, id).cloned();
        (find(&request.base)?, find(&request.head)?)
    };
    let facts = classes::base_of(shared, &head)?;
    let catalogue = &facts.rulebook.catalogue;
    super::extract::check_kinds(catalogue, request.kinds.as_deref())?;
    let before = cells(shared, &base, catalogue, request)?;
    let after = cells(shared, &head, catalogue, request)?;
    super::logs::count_read(shared, &head.scope);
    let refused = not_comparable(&base, &head, &before, &after);
    let found = match refused.is_empty() {
        true => compare(catalogue, &before, &after),
        false => Comparison::default(),
    };
    let wanted = |delta: &&Delta| {
        let kinds = request.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&delta.marker))
    };
    let deltas: Vec<&Delta> = found.deltas.iter().filter(wanted).collect();
    let page: Vec<DeltaView> = deltas
        .iter()
        .skip(start)
        .take(limit)
        .map(|d| view(d))
        .collect();
    let end = start + page.len();
    Ok(CompareRunsAnswer {
        deltas: page,
        total: deltas.len() as u64,
        next_cursor: (end < deltas.len()).then(|| end.to_string()),
        only_base: found.only_base,
        only_head: found.only_head,
        catalogue: catalogue.digest().to_owned(),
        refused: views::refusals(&refused),
        untrusted: true,
    })
}

fn cells(
    shared: &Shared,
    run: &Run,
    catalogue: &markers::Catalogue,
    request: &CompareRunsRequest,
) -> Result<Vec<CellObservations>, ServiceError> {
    let mut cells = observe::cells_of(shared, run, catalogue)?;
    if let Some(wanted) = &request.cell {
        cells.retain(|cell| &cell.cell == wanted);
    }
    Ok(cells)
}

fn not_comparable(
    base: &Run,
    head: &Run,
    before: &[CellObservations],
    after: &[CellObservations],
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if base.scope != head.scope {
        refused.push(Refusal::new(
            "scopes_differ",
            "head",
            format!(
                "{} ran `{}`, {} ran `{}`",
                base.run_id, base.scope, head.run_id, head.scope
            ),
            "name two runs of one scope; `list_runs` filters by scope",
        ));
    }
    for (field, run, cells) in [("base", base, before), ("head", head, after)] {
        if cells.is_empty() {
            refused.push(Refusal::new(
                "logs_missing",
                field,
                format!("{} has no log of the cells asked for", run.run_id),
                "name a run and a cell for which `pull_full_log` lists a log",
            ));
        }
    }
    refused
}

fn view(delta: &Delta) -> DeltaView {
    let mut at = delta.at.fields.clone();
    if let Some(test) = &delta.at.test {
        at.insert("test".into(), test.clone());
    }
    if delta.at.nth > 1 {
        at.insert("nth".into(), delta.at.nth.to_string());
    }
    let clean = |(name, text): (String, String)| (name, short(&text));
    DeltaView {
        cell: delta.cell.clone(),
        kind: delta.marker.clone(),
        at: at.into_iter().map(clean).collect(),
        field: delta.field.as_deref().map(short),
        change: delta.change.as_str().into(),
        base: delta.base.as_ref().map(value),
        head: delta.head.as_ref().map(value),
        margin: delta.margin.as_ref().map(margin),
        first_difference: delta.first_difference.as_ref().map(first),
        base_line: delta.base_line,
        head_line: delta.head_line,
        observable: delta.observable,
    }
}

fn first(found: &FirstDifference) -> FirstDifferenceView {
    FirstDifferenceView {
        index: found.index,
        base: found.base.as_ref().map(value),
        head: found.head.as_ref().map(value),
        margin: found.margin.as_ref().map(margin),
        differing: found.differing,
    }
}

fn margin(margin: &Margin) -> MarginView {
    MarginView {
        difference: margin.difference.to_string(),
        percent: margin.percent.clone(),
        unit: margin.unit.map(|unit| views::word(&unit)),
    }
}

/// A vector is told by its length; `first_difference` tells the rest.
fn value(value: &Value) -> String {
    match value {
        Value::List(items) if items.len() > 8 => format!("[{} elements]", items.len()),
        other => short(&other.to_string()),
    }
}

fn short(text: &str) -> String {
    let plain = page::plain(text);
    let shown = plain.chars().filter(|c| *c != '\n').take(VALUE_CHARS);
    shown.collect()
}

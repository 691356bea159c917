//! Completions of ids, in prompts and resource templates.

use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo};
use service::Ids;

/// Ids that begin with what was typed, the newest first.
pub(crate) fn complete(ids: &Ids, request: &CompleteRequestParams) -> CompleteResult {
    let candidates = match request.argument.name.as_str() {
        "loop_id" => &ids.loops,
        "run_id" => &ids.runs,
        "claim_id" => &ids.claims,
        "hypothesis_id" => &ids.hypotheses,
        "log_id" => &ids.logs,
        "commit" => &ids.pushed,
        _ => return CompleteResult::default(),
    };
    let typed = request.argument.value.as_str();
    let found: Vec<&String> = candidates
        .iter()
        .rev()
        .filter(|id| id.starts_with(typed))
        .collect();
    let shown = found.iter().take(CompletionInfo::MAX_VALUES);
    let values: Vec<String> = shown.map(|id| (*id).clone()).collect();
    let (total, more) = (u32::try_from(found.len()).ok(), values.len() < found.len());
    let info = CompletionInfo::with_pagination(values, total, more);
    CompleteResult::new(info.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmcp::model::{ArgumentInfo, Reference};

    #[test]
    fn ids_complete_by_their_beginning_and_no_more_than_a_hundred() {
        let ids = Ids {
            runs: (1..=300).map(|n| format!("R{n}")).collect(),
            ..Ids::default()
        };
        let of = |argument: &str, typed: &str| {
            let reference = Reference::for_resource("run://{run_id}");
            let argument = ArgumentInfo::new(argument, typed);
            complete(&ids, &CompleteRequestParams::new(reference, argument)).completion
        };
        assert_eq!(of("run_id", "R30").values, ["R300", "R30"]);
        let all = of("run_id", "");
        assert_eq!(
            (all.values.len(), all.total, all.has_more),
            (100, Some(300), Some(true))
        );
        assert!(of("claim_id", "").values.is_empty() && of("no_such", "").values.is_empty());
    }
}

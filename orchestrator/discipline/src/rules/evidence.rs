//! Citations are complete, of this scope, current, and show the failure.

use super::Case;
use crate::decision::EvidenceFact;
use crate::event::Mechanism;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let cited = &case.body().evidence;
    let facts = &case.input.evidence;
    if cited.is_empty() {
        return match case.demands().evidence {
            false => Vec::new(),
            true => vec![Refusal::new(
                "evidence_missing",
                "evidence",
                "no bytes of any log are cited",
                "cite the lines that show the failure: log_id, byte range and line range from `extract_markers`",
            )],
        };
    }
    let same = facts.len() == cited.len()
        && facts
            .iter()
            .zip(cited)
            .all(|(fact, cite)| &fact.citation == cite);
    if !same {
        return vec![Refusal::new(
            "evidence_not_looked_up",
            "evidence",
            "the citations judged are not those of the claim",
            "propose the claim again, so that its citations are looked up",
        )];
    }
    let mut refused: Vec<_> = facts
        .iter()
        .enumerate()
        .flat_map(|(index, fact)| judge_one(case, index, fact))
        .collect();
    if case.demands().evidence && refused.is_empty() && !facts.iter().any(|fact| fact.shows_failure)
    {
        refused.push(Refusal::new(
            "evidence_shows_no_failure",
            "evidence",
            "none of the cited lines shows a failed test, a panic, a divergence or an error",
            "cite the lines that `classify_run` rests its class on",
        ));
    }
    refused
}

fn judge_one(case: &Case<'_>, index: usize, fact: &EvidenceFact) -> Vec<Refusal> {
    let field = format!("evidence[{index}]");
    if !fact.exists {
        return vec![Refusal::new(
            "evidence_not_found",
            field,
            "no stored log has these bytes on these lines",
            "pull the log with `pull_full_log` and copy the spans that `extract_markers` prints",
        )];
    }
    let mut refused = Vec::new();
    let scope = &case.body().proof_scope;
    if !fact.complete {
        refused.push(Refusal::new(
            "evidence_incomplete",
            &field,
            "the log is not complete, so what it lacks proves nothing",
            "pull it again with `pull_full_log` when the job has ended, or cite a complete log",
        ));
    }
    if fact.scope.as_ref() != Some(scope) {
        let found = fact.scope.as_deref().unwrap_or("no scope");
        refused.push(Refusal::new(
            "evidence_other_scope",
            &field,
            format!("the log belongs to {found}, the claim is about `{scope}`"),
            format!("cite a run of `{scope}`; `list_runs` has them"),
        ));
    }
    let mechanism = case.input.hypothesis.as_ref().map(|facts| facts.mechanism);
    if let Some(said) = fact
        .blames_reference
        .as_ref()
        .filter(|_| mechanism != Some(Mechanism::WrongReference))
    {
        refused.push(Refusal::new(
            "reference_is_zeros",
            &field,
            said,
            "act on a hypothesis of mechanism `wrong_reference`, or cite a comparison whose reference has values",
        ));
    }
    if !fact.current {
        let of = fact.commit.as_deref().unwrap_or("an unknown commit");
        refused.push(Refusal::new(
            "evidence_stale",
            &field,
            format!("it was read at {of}, and files of `sites` changed since"),
            format!("cite a run of the parent commit: `greenloop run {scope}`"),
        ));
    }
    refused
}

//! A fix shows what the playbooks want seen of the tests it is about, such as the path delta of diverging paths.

use attest::claim::ClaimKind;

use super::Case;
use crate::decision::ExhibitFact;
use crate::model::Refusal;

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    if case.body().kind != ClaimKind::Fix {
        return Vec::new();
    }
    let facts = case.input.exhibits.iter();
    facts
        .filter(|fact| !fact.missing.is_empty())
        .map(|fact| missing(case, fact))
        .collect()
}

fn missing(case: &Case<'_>, fact: &ExhibitFact) -> Refusal {
    let ExhibitFact {
        marker,
        field,
        family,
        test,
        missing,
        show,
    } = fact;
    let scope = &case.body().proof_scope;
    Refusal::new(
        "exhibit_missing",
        "evidence",
        format!(
            "`{test}` is a test of `{family}`, and no cited line is a `{marker}` of {field} {}",
            missing.join(", ")
        ),
        format!(
            "cite them from a log of `{scope}`: `extract_markers` with kinds=[\"{marker}\"]; `greenloop run {scope}` makes \
             one, and `{show}` prints the same lines to read"
        ),
    )
}

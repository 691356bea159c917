//! The rules over claims in force at the commit that is checked out, each with the file that says it.

use discipline::policy::{EffectiveRule, Policy};
use gitread::GitReader;
use verify::VerifyError;

use super::Finding;
use super::repository::text_of;
use crate::place::Place;

const NAME: &str = "rules";

/// Nothing where the commit has no policy, or one that another finding speaks about.
pub(super) fn look(place: &Place) -> Option<Finding> {
    let head = text_of(&place.repo, &["rev-parse", "--verify", "--quiet", "HEAD"])?;
    let reader = GitReader::open(&place.repo).ok()?;
    match verify::base_facts(&reader, &head) {
        Ok(base) => Some(Finding::ok(NAME, listed(&base.facts.policy))),
        Err(VerifyError::Base {
            what: what @ ("marker catalogue" | "playbooks"),
            detail,
            ..
        }) => Some(Finding::missing(
            NAME,
            format!(
                "the {what} of HEAD cannot be used: {}",
                detail.lines().next().unwrap_or_default()
            ),
            "correct that file, commit and push it",
        )),
        Err(_) => None,
    }
}

fn listed(policy: &Policy) -> String {
    let said = |one: EffectiveRule<'_>| format!("{one}: {}", one.rule.decision.as_str());
    let rules: Vec<String> = policy.effective_rules().map(said).collect();
    match rules.is_empty() {
        true => "none of the project's own".to_owned(),
        false => rules.join("; "),
    }
}

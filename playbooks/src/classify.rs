//! The class of a run: every rule over its facts and observations, exclusions, and the winner by order.

use std::collections::BTreeSet;

use markers::{Catalogue, CellObservations};

use crate::view::View;
use crate::{Anchor, Class, ClassName, Classification, Group, Hit, Playbooks, RunFacts, group};

/// Classifies a run.
///
/// Reads nothing but its arguments, so an auditor gets the same answer from the same observations.
#[must_use]
pub fn classify(
    playbooks: &Playbooks,
    catalogue: &Catalogue,
    facts: &RunFacts,
    cells: &[CellObservations],
) -> Classification {
    let view = View::new(playbooks, catalogue, facts, cells);
    let (mut hits, mut excluded) = (Vec::new(), Vec::new());
    for class in playbooks.classes() {
        let found = view.hits(class, &mut excluded);
        hits.extend(view.exclude(class, found, &mut excluded));
    }
    let winner = hits
        .first()
        .and_then(|hit: &Hit| playbooks.class(hit.class.as_str()));
    let winner = winner.or_else(|| playbooks.class(ClassName::UNCLASSIFIED.as_str()));
    let class = winner.map_or(ClassName::UNCLASSIFIED, |class| class.name.clone());
    let won: Vec<&Hit> = hits.iter().filter(|hit| hit.class == class).collect();
    let anchors: BTreeSet<Anchor> = won
        .iter()
        .flat_map(|hit| hit.anchors.iter().cloned())
        .collect();
    let grouping = playbooks
        .classes()
        .iter()
        .find_map(|class| class.grouping.as_ref());
    let grouped = grouping
        .map(|grouping| group::groups(grouping, catalogue, cells))
        .unwrap_or_default();
    Classification {
        sub: won
            .iter()
            .find_map(|hit| hit.sub.clone())
            .or_else(|| winner.and_then(|w| family(w, &grouped.groups))),
        disposition: view.disposition(winner, &won),
        anchors: anchors.into_iter().collect(),
        unread_panics: grouped.unread,
        groups: grouped.groups,
        notes: view.notes(),
        class,
        hits,
        excluded,
        playbooks: playbooks.digest().to_owned(),
        catalogue: catalogue.digest().to_owned(),
    }
}

/// The family of all failing tests, or `mixed`.
fn family(class: &Class, groups: &[Group]) -> Option<String> {
    if class.families.is_empty() {
        return None;
    }
    let of = |name: &str| {
        let mut families = class.families.iter();
        let found = families.find(|family| name.starts_with(&family.prefix));
        found.map_or("other", |family| family.name.as_str())
    };
    let families: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| &group.tests)
        .map(|test| of(&test.name))
        .collect();
    match families.len() {
        0 => None,
        1 => families.first().map(|family| (*family).to_owned()),
        _ => Some("mixed".to_owned()),
    }
}

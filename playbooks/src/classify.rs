//! The class of a run: every rule over its facts and observations, exclusions, and the winner by order.

use std::collections::{BTreeMap, BTreeSet};

use markers::{Catalogue, CellObservations, Observation, Predicate, Span, Truth, evaluate};
use serde::{Deserialize, Serialize};

use crate::group::{self, Group};
use crate::load::{Class, Exclusion, Rule};
use crate::{ClassName, Disposition, ExclusionReach, Playbooks, RunFacts};

/// Lines that one hit lists; a flood of the same line adds nothing.
const MAX_ANCHORS: usize = 32;

/// What a run is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The class that won.
    pub class: ClassName,
    /// Finer than the class, where a rule or the names of the failing tests say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// What to do about it.
    pub disposition: Disposition,
    /// The lines the class rests on; empty where it rests on facts alone.
    pub anchors: Vec<Anchor>,
    /// Every rule that holds, of all classes, in order of classes. The first ones are the winner's.
    pub hits: Vec<Hit>,
    /// Rules that would hold but for an exclusion.
    pub excluded: Vec<ExcludedHit>,
    /// Panics that nothing explains yet.
    pub unread_panics: Vec<Anchor>,
    /// Failing tests by signature.
    pub groups: Vec<Group>,
    /// Warnings about how the log is to be read.
    pub notes: Vec<String>,
    /// Digest of the playbooks.
    pub playbooks: String,
    /// Digest of the marker catalogue.
    pub catalogue: String,
}

/// One line of one cell's log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The cell.
    pub cell: String,
    /// 1-based line.
    pub line: u64,
    /// Raw bytes.
    pub span: Span,
    /// Marker that was read there.
    pub marker: String,
    /// The test that was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// One rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// Its class.
    pub class: ClassName,
    /// Its id within the class.
    pub rule: String,
    /// Sub-class it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Lines it rests on, at most 32.
    pub anchors: Vec<Anchor>,
    /// Facts it rests on, `conclusion = "cancelled"`.
    pub facts: Vec<String>,
}

/// A hit, or lines of one, that an exclusion beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludedHit {
    /// The class that does not hold because of it.
    pub class: ClassName,
    /// The rule.
    pub rule: String,
    /// The lines that do not count.
    pub anchors: Vec<Anchor>,
    /// Why not.
    pub reason: String,
}

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
        .map(|grouping| group::groups(grouping, cells))
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
        let found = class
            .families
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix.as_str()));
        found.map_or("other", |(_, family)| family.as_str())
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

/// The observations that rules can see, once with and once without those of passed tests.
struct View<'a> {
    playbooks: &'a Playbooks,
    catalogue: &'a Catalogue,
    facts: &'a RunFacts,
    cells: Vec<CellObservations>,
    /// Without rows that passed tests provoked.
    sifted: Vec<CellObservations>,
}

impl<'a> View<'a> {
    fn new(
        playbooks: &'a Playbooks,
        catalogue: &'a Catalogue,
        facts: &'a RunFacts,
        cells: &[CellObservations],
    ) -> Self {
        let mut kinds = BTreeSet::new();
        for class in playbooks.classes() {
            let rules = class.rules.iter().flat_map(|rule| &rule.when);
            let exclusions = class
                .exclusions
                .iter()
                .filter_map(|exclusion| exclusion.when.as_ref());
            let notes = class.notes.iter().map(|(when, _)| when);
            kinds.extend(
                rules
                    .chain(exclusions)
                    .chain(notes)
                    .flat_map(|when| when.kinds(catalogue)),
            );
        }
        let grouping = playbooks
            .classes()
            .iter()
            .find_map(|class| class.grouping.as_ref());
        let keep =
            |cell: &CellObservations, keep: &dyn Fn(&Observation) -> bool| CellObservations {
                cell: cell.cell.clone(),
                complete: cell.complete,
                observations: cell
                    .observations
                    .iter()
                    .filter(|row| kinds.contains(row.kind.as_str()) && keep(row))
                    .cloned()
                    .collect(),
            };
        let sift = |cell: &CellObservations| {
            let passed = grouping
                .map(|grouping| group::passed_tests(grouping, cell))
                .unwrap_or_default();
            keep(cell, &|row| {
                row.test
                    .as_ref()
                    .is_none_or(|test| !passed.contains(test.as_str()))
            })
        };
        Self {
            playbooks,
            catalogue,
            facts,
            cells: cells.iter().map(|cell| keep(cell, &|_| true)).collect(),
            sifted: cells.iter().map(sift).collect(),
        }
    }

    fn hits(&self, class: &Class, excluded: &mut Vec<ExcludedHit>) -> Vec<Hit> {
        let mut hits = Vec::new();
        for rule in &class.rules {
            let Some(facts) = rule.facts.holds(self.facts) else {
                continue;
            };
            let hit = |anchors| Hit {
                class: class.name.clone(),
                rule: rule.id.clone(),
                sub: rule.sub.clone(),
                anchors,
                facts: facts.clone(),
            };
            if rule.when.is_empty() {
                hits.push(hit(Vec::new()));
                continue;
            }
            for (cell, sifted) in self.cells.iter().zip(&self.sifted) {
                let Some(found) = self.rows(rule, cell) else {
                    continue;
                };
                if !rule.ignore_passed_tests {
                    hits.push(hit(found));
                    continue;
                }
                let kept = self.rows(rule, sifted);
                let counts =
                    |anchor: &Anchor| kept.as_ref().is_some_and(|kept| kept.contains(anchor));
                let anchors: Vec<Anchor> =
                    found.into_iter().filter(|anchor| !counts(anchor)).collect();
                if !anchors.is_empty() {
                    let reason = "the test that provoked it passed".to_owned();
                    let (class, rule) = (class.name.clone(), rule.id.clone());
                    excluded.push(ExcludedHit {
                        class,
                        rule,
                        anchors,
                        reason,
                    });
                }
                hits.extend(kept.map(&hit));
            }
        }
        hits
    }

    /// The rows on which a rule holds in a cell.
    fn rows(&self, rule: &Rule, cell: &CellObservations) -> Option<Vec<Anchor>> {
        let mut anchors = Vec::new();
        for when in &rule.when {
            anchors.extend(self.holding(when, cell)?);
        }
        anchors.truncate(MAX_ANCHORS);
        Some(anchors)
    }

    fn holding(&self, when: &Predicate, cell: &CellObservations) -> Option<Vec<Anchor>> {
        let verdict = evaluate(when, self.catalogue, std::slice::from_ref(cell));
        if verdict.truth != Truth::Holds {
            return None;
        }
        let rows = verdict.cells.into_iter().flat_map(|graded| graded.observed);
        let rows = rows
            .filter(|row| row.truth == Truth::Holds)
            .filter_map(|row| usize::try_from(row.index).ok());
        Some(
            rows.filter_map(|index| cell.observations.get(index))
                .map(|row| anchor(&cell.cell, row))
                .collect(),
        )
    }

    fn exclude(
        &self,
        class: &Class,
        mut hits: Vec<Hit>,
        excluded: &mut Vec<ExcludedHit>,
    ) -> Vec<Hit> {
        for exclusion in &class.exclusions {
            let Some(lines) = self.excluded_lines(exclusion) else {
                continue;
            };
            let mut kept = Vec::new();
            for mut hit in hits {
                let (gone, stays): (Vec<Anchor>, Vec<Anchor>) = match exclusion.reach {
                    ExclusionReach::Run => (std::mem::take(&mut hit.anchors), Vec::new()),
                    ExclusionReach::Line => hit
                        .anchors
                        .drain(..)
                        .partition(|anchor| lines.contains(&(anchor.cell.clone(), anchor.line))),
                };
                let beaten = exclusion.reach == ExclusionReach::Run
                    || (!gone.is_empty() && stays.is_empty());
                if beaten || !gone.is_empty() {
                    excluded.push(ExcludedHit {
                        class: hit.class.clone(),
                        rule: hit.rule.clone(),
                        anchors: gone,
                        reason: exclusion.reason.clone(),
                    });
                }
                if !beaten {
                    hit.anchors = stays;
                    kept.push(hit);
                }
            }
            hits = kept;
        }
        hits
    }

    /// The lines an exclusion stands on; `None` where it does not hold.
    fn excluded_lines(&self, exclusion: &Exclusion) -> Option<BTreeSet<(String, u64)>> {
        exclusion.facts.holds(self.facts)?;
        let Some(when) = &exclusion.when else {
            return Some(BTreeSet::new());
        };
        let found: Vec<Anchor> = self
            .cells
            .iter()
            .filter_map(|cell| self.holding(when, cell))
            .flatten()
            .collect();
        if found.is_empty() {
            return None;
        }
        Some(
            found
                .into_iter()
                .map(|anchor| (anchor.cell, anchor.line))
                .collect(),
        )
    }

    fn disposition(&self, winner: Option<&Class>, won: &[&Hit]) -> Disposition {
        let Some(class) = winner else {
            return Disposition::Debug;
        };
        let rules: BTreeMap<&str, &Rule> = class
            .rules
            .iter()
            .map(|rule| (rule.id.as_str(), rule))
            .collect();
        let special = won
            .iter()
            .find_map(|hit| rules.get(hit.rule.as_str())?.remedy.clone());
        match (&class.disposition, special) {
            (Disposition::FixEnvironment { .. }, Some(remedy)) => {
                Disposition::FixEnvironment { remedy }
            }
            (disposition, _) => disposition.clone(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let notes = self
            .playbooks
            .classes()
            .iter()
            .flat_map(|class| &class.notes);
        notes
            .filter(|(when, _)| {
                self.cells
                    .iter()
                    .any(|cell| self.holding(when, cell).is_some())
            })
            .map(|(_, text)| text.clone())
            .collect()
    }
}

pub(crate) fn anchor(cell: &str, row: &Observation) -> Anchor {
    Anchor {
        cell: cell.to_owned(),
        line: row.line,
        span: row.span,
        marker: row.kind.clone(),
        test: row.test.clone(),
    }
}

//! Rules, exclusions and notes over what a run shows.

use std::collections::{BTreeMap, BTreeSet};

use markers::{Catalogue, CellObservations, Observation, Predicate, Truth, evaluate};

use crate::class::{Exclusion, Rule};
use crate::report::anchor;
use crate::{
    Anchor, Class, Disposition, ExcludedHit, ExclusionReach, Hit, Playbooks, RunFacts, group,
};

/// Lines that one hit lists; a flood of the same line adds nothing.
const MAX_ANCHORS: usize = 32;

/// The observations that rules can see, once with and once without those of passed tests.
pub(crate) struct View<'a> {
    playbooks: &'a Playbooks,
    catalogue: &'a Catalogue,
    facts: &'a RunFacts,
    cells: Vec<CellObservations>,
    /// Without rows that passed tests provoked.
    sifted: Vec<CellObservations>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
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
            let notes = class.notes.iter().map(|note| &note.when);
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
                .map(|grouping| group::passed_tests(&grouping.form, cell))
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

    pub(crate) fn hits(&self, class: &Class, excluded: &mut Vec<ExcludedHit>) -> Vec<Hit> {
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

    pub(crate) fn exclude(
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

    pub(crate) fn disposition(&self, winner: Option<&Class>, won: &[&Hit]) -> Disposition {
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

    pub(crate) fn notes(&self) -> Vec<String> {
        let notes = self
            .playbooks
            .classes()
            .iter()
            .flat_map(|class| &class.notes);
        notes
            .filter(|note| {
                self.cells
                    .iter()
                    .any(|cell| self.holding(&note.when, cell).is_some())
            })
            .map(|note| note.text.clone())
            .collect()
    }
}

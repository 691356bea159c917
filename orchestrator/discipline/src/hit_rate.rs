//! How often the predictions of each author came true.

use std::collections::BTreeMap;

use markers::Truth;
use serde::{Deserialize, Serialize};

use crate::model::Grade;
use crate::state::LoopState;

/// Graded predictions of one author. The name is self-declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitRate {
    /// Who proposed the claims.
    pub author: String,
    /// Claims whose run was graded.
    pub claims: u64,
    /// Predictions that held.
    pub hits: u64,
    /// Predictions that failed.
    pub misses: u64,
    /// Predictions that the run could not show.
    pub not_observable: u64,
}

impl HitRate {
    /// Hits of a hundred predictions that could be seen; `None` when none could.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        let seen = self.hits.saturating_add(self.misses);
        self.hits.saturating_mul(100).checked_div(seen)
    }

    fn add(&mut self, grade: &Grade) {
        let counter = match grade.truth {
            Truth::Holds => &mut self.hits,
            Truth::Fails => &mut self.misses,
            Truth::NotObservable => &mut self.not_observable,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Every author with a graded claim, by name.
#[must_use]
pub fn by_author(state: &LoopState) -> Vec<HitRate> {
    let mut rates: BTreeMap<&str, HitRate> = BTreeMap::new();
    for claim in state.claims.values() {
        let Some(verdict) = &claim.verdict else {
            continue;
        };
        let author = claim.author.name.as_str();
        let rate = rates.entry(author).or_insert_with(|| HitRate {
            author: author.to_owned(),
            ..HitRate::default()
        });
        rate.claims = rate.claims.saturating_add(1);
        let predictions = verdict.grades.iter();
        predictions
            .filter(|grade| grade.role == "prediction")
            .for_each(|grade| rate.add(grade));
    }
    rates.into_values().collect()
}

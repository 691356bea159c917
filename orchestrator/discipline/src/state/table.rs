//! Maps that can go back to how they were, at the price of what was changed.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A map of the state. It reads as a [`BTreeMap`]; every change goes through the methods here, which
/// remember the row before it while a change is on trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    transparent,
    bound(
        serialize = "K: Serialize, V: Serialize",
        deserialize = "K: Deserialize<'de>, V: Deserialize<'de>"
    )
)]
pub struct Table<K: Ord, V> {
    rows: BTreeMap<K, V>,
    /// Rows as they were, oldest first; `None` while nothing is on trial.
    #[serde(skip)]
    before: Option<Vec<(K, Option<V>)>>,
}

impl<K: Ord, V> Default for Table<K, V> {
    fn default() -> Self {
        Table {
            rows: BTreeMap::new(),
            before: None,
        }
    }
}

/// Rows decide; what a trial remembers does not.
impl<K: Ord, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl<K: Ord, V: Eq> Eq for Table<K, V> {}

impl<K: Ord, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.rows
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::collections::btree_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// Sets a row.
    pub fn insert(&mut self, key: K, row: V) {
        match &mut self.before {
            None => drop(self.rows.insert(key, row)),
            Some(before) => {
                let was = self.rows.insert(key.clone(), row);
                before.push((key, was));
            }
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let was = self.rows.remove(key)?;
        if let Some(before) = &mut self.before {
            before.push((key.clone(), Some(was.clone())));
        }
        Some(was)
    }

    /// A row to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        if let Some(before) = &mut self.before {
            before.push((key.clone(), Some(row.clone())));
        }
        Some(row)
    }

    /// From here on, remembers what changes.
    pub(super) fn begin(&mut self) {
        self.before = Some(Vec::new());
    }

    /// What changed stays.
    pub(super) fn keep(&mut self) {
        self.before = None;
    }

    /// What changed never did.
    pub(super) fn roll_back(&mut self) {
        for (key, was) in self.before.take().into_iter().flatten().rev() {
            match was {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
    }
}

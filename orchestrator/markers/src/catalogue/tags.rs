//! Tags by their first word.

use super::index::Anchor;
use crate::words::{load, same};

/// A first word, and the tags that begin with it, the longest first.
#[derive(Debug, Clone)]
struct Entry {
    word: Vec<u8>,
    tags: Vec<(String, Anchor)>,
}

/// A table of few short words, asked once for every line that may be a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Tags {
    entries: Vec<Entry>,
    /// By hash: one more than the place of an entry, or 0. A power of two long, and never more than half full.
    slots: Vec<u16>,
}

impl Tags {
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|entry| entry.word.as_slice())
    }

    pub(super) fn get(&self, word: &[u8]) -> &[(String, Anchor)] {
        let found = self.find(word).and_then(|at| self.entries.get(at));
        found.map_or(&[], |entry| &entry.tags)
    }

    /// The tags of a word, none if it is new.
    pub(super) fn entry(&mut self, word: &[u8]) -> &mut Vec<(String, Anchor)> {
        let at = self.find(word).unwrap_or_else(|| {
            self.entries.push(Entry {
                word: word.to_vec(),
                tags: Vec::new(),
            });
            self.rebuild();
            self.entries.len() - 1
        });
        &mut self.entries[at].tags
    }

    fn find(&self, word: &[u8]) -> Option<usize> {
        let mut slot = self.home(word);
        loop {
            let at = usize::from(self.slots.get(slot).copied()?).checked_sub(1)?;
            if same(&self.entries.get(at)?.word, word) {
                return Some(at);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn rebuild(&mut self) {
        self.slots = vec![0; (self.entries.len() * 2 + 1).next_power_of_two()];
        for at in 0..self.entries.len() {
            let mut slot = self.home(&self.entries[at].word);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            self.slots[slot] = u16::try_from(at + 1).unwrap_or(u16::MAX);
        }
    }

    /// The slot where a word is looked for first.
    fn home(&self, word: &[u8]) -> usize {
        let (first, last) = (load(word, 0), load(word, word.len().saturating_sub(8)));
        let mixed =
            (first ^ last.rotate_left(23) ^ word.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & self.slots.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_finds_its_own_tags_and_no_other() {
        let mut tags = Tags::default();
        let word = |number: usize| format!("[KIND {number}]");
        for number in 0..300 {
            let anchor = Anchor::Pairs {
                marker: number,
                len: 0,
            };
            tags.entry(word(number).as_bytes())
                .push((word(number), anchor));
        }
        tags.entry(word(7).as_bytes()).push((
            "[KIND 7] more".to_owned(),
            Anchor::Pairs {
                marker: 300,
                len: 0,
            },
        ));
        for number in 0..300 {
            let found = tags.get(word(number).as_bytes());
            assert_eq!(found.len(), if number == 7 { 2 } else { 1 });
            assert_eq!(found[0].0, word(number));
        }
        assert!(tags.get(b"[KIND 300]").is_empty() && tags.get(b"").is_empty());
        assert!(Tags::default().get(b"[KIND 1]").is_empty());
        assert_eq!(tags.words().count(), 300);
    }
}

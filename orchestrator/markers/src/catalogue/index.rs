//! How a message finds its markers: tags by hash, line starts by first byte, free phrases by automaton.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use aho_corasick::{AhoCorasick, Input, MatchKind};

use super::{Marker, Place};
use crate::Error;
use crate::words::load;

/// Patterns per automaton: aho-corasick's fast path ends there.
const PHRASES_PER_AUTOMATON: usize = 64;
/// Phrases that begin alike for so long are searched as what they share.
const SHARED_PREFIX: usize = 8;
/// Longest first word of a tag, brackets included.
const TAG_REACH: usize = 64;
/// How libtest begins the line of a test, and what parts its name from what follows.
const TEST_OPEN: &str = "test ";
const TEST_GLUE: &str = " ... ";

/// A marker and one of its forms, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormRef {
    pub(crate) marker: usize,
    pub(crate) form: usize,
}

/// What stands behind a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Pairs of a marker, from the tag's end on.
    Pairs {
        /// Position of the marker.
        marker: usize,
        /// Length of the tag.
        len: usize,
    },
    /// A form that begins with the tag.
    Form(FormRef),
}

/// Compiled anchors of a catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// First word of a tag → what begins with it, the longest first.
    tags: HashMap<Vec<u8>, Vec<(String, Anchor)>, BuildHasherDefault<Words>>,
    starts: Vec<Vec<FormRef>>,
    phrases: Vec<Automaton>,
    /// First bytes of messages that can be anything but noise.
    first: [bool; 256],
    /// First bytes of what can follow `test NAME ... ` as its outcome.
    outcome: [bool; 256],
}

#[derive(Debug, Clone)]
struct Automaton {
    search: AhoCorasick,
    /// By needle: how far before it the form begins, and the form.
    forms: Vec<Vec<(usize, FormRef)>>,
}

impl Index {
    pub(super) fn build(markers: &[Marker]) -> Result<Self, Error> {
        let mut index = Self {
            tags: HashMap::default(),
            starts: vec![Vec::new(); 256],
            phrases: Vec::new(),
            first: [false; 256],
            outcome: [false; 256],
        };
        let mut phrases: Vec<(&str, FormRef)> = Vec::new();
        for (at, marker) in markers.iter().enumerate() {
            if let Some(tag) = &marker.tag {
                let len = tag.len();
                index.add_tag(markers, tag, Anchor::Pairs { marker: at, len })?;
            }
            for (form_at, form) in marker.forms.iter().enumerate() {
                let reference = FormRef {
                    marker: at,
                    form: form_at,
                };
                match form.place {
                    Place::Anywhere => phrases.push((form.anchor(), reference)),
                    _ if first_word(form.anchor().as_bytes()).is_some() => {
                        index.add_tag(markers, form.anchor(), Anchor::Form(reference))?;
                    }
                    _ => index.add_start(form.anchor(), reference),
                }
            }
        }
        for word in index.tags.keys() {
            mark(&mut index.first, word.first().copied());
        }
        // Tags that no catalogue knows yet, a test's own lines, the structure around them, the forge's groups and
        // byte order marks.
        for byte in *b"[trf-#\xEF" {
            mark(&mut index.first, Some(byte));
        }
        index.outcome = outcomes(markers);
        index.phrases = automata(&phrases)?;
        Ok(index)
    }

    fn add_tag(&mut self, markers: &[Marker], tag: &str, anchor: Anchor) -> Result<(), Error> {
        let word = first_word(tag.as_bytes()).unwrap_or(tag.len());
        let key = tag.as_bytes().get(..word).unwrap_or(&[]).to_vec();
        let entries = self.tags.entry(key).or_default();
        let twin = entries.iter().find_map(|(other, anchor)| match anchor {
            Anchor::Pairs { marker, .. } if other == tag => Some(*marker),
            _ => None,
        });
        if let (Some(first), Anchor::Pairs { marker, .. }) = (twin, anchor) {
            let name = |at: usize| markers.get(at).map_or("", |m| m.name.as_str());
            return Err(Error::CatalogueFile {
                file: name(marker).to_owned(),
                reason: format!("tag `{tag}` already belongs to `{}`", name(first)),
            });
        }
        entries.push((tag.to_owned(), anchor));
        entries.sort_by_key(|(tag, _)| std::cmp::Reverse(tag.len()));
        Ok(())
    }

    fn add_start(&mut self, anchor: &str, reference: FormRef) {
        let first = anchor.bytes().next();
        mark(&mut self.first, first);
        let list = self.starts.get_mut(usize::from(first.unwrap_or(0)));
        list.into_iter().for_each(|list| list.push(reference));
    }

    /// Whether a message that begins with this byte can be anything but noise.
    pub(crate) fn can_begin(&self, first: u8) -> bool {
        self.first.get(usize::from(first)).is_some_and(|can| *can)
    }

    /// Whether a message can be the outcome of the test that is running.
    pub(crate) fn can_be_outcome(&self, message: &[u8]) -> bool {
        let first = message.first().copied().unwrap_or(0);
        self.outcome.get(usize::from(first)).is_some_and(|can| *can)
    }

    /// What begins with the tag that begins the message, the longest tag first.
    pub(crate) fn tag(&self, message: &[u8]) -> impl Iterator<Item = Anchor> {
        let word = match message.first() {
            Some(first) if self.can_begin(*first) => first_word(message),
            _ => None,
        };
        let word = word.and_then(|end| message.get(..end));
        let entries = word.and_then(|word| self.tags.get(word));
        entries.into_iter().flatten().filter_map(|(tag, anchor)| {
            let rest = message.strip_prefix(tag.as_bytes())?;
            let closed =
                matches!(anchor, Anchor::Form(_)) || matches!(rest.first(), None | Some(b' '));
            closed.then_some(*anchor)
        })
    }

    /// Forms that a message with this first byte may have.
    pub(crate) fn starts(&self, message: &[u8]) -> &[FormRef] {
        let first = message.first().copied().unwrap_or(0);
        self.starts
            .get(usize::from(first))
            .map_or(&[], Vec::as_slice)
    }

    /// Where the first needle of any phrase stands within `from..to`. Between needles there is no phrase.
    pub(crate) fn next_needle(&self, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
        let next = |automaton: &Automaton| {
            let input = Input::new(bytes.get(..to).unwrap_or(bytes)).range(from.min(to)..);
            automaton.search.find(input).map(|found| found.start())
        };
        self.phrases.iter().filter_map(next).min()
    }

    /// Every place where a form may begin, with the form.
    pub(crate) fn phrases(&self, message: &[u8]) -> Vec<(usize, FormRef)> {
        let mut found = Vec::new();
        for automaton in &self.phrases {
            let mut from = 0;
            while let Some(hit) = automaton.search.find(Input::new(message).range(from..)) {
                let forms = automaton.forms.get(hit.pattern().as_usize());
                for (before, form) in forms.into_iter().flatten() {
                    found.extend(hit.start().checked_sub(*before).map(|at| (at, *form)));
                }
                from = hit.start() + 1;
            }
        }
        found
    }
}

fn mark(table: &mut [bool; 256], byte: Option<u8>) {
    let entry = byte.and_then(|byte| table.get_mut(usize::from(byte)));
    entry.into_iter().for_each(|entry| *entry = true);
}

/// Length of the word or bracketed text that a tag begins with.
pub(crate) fn first_word(message: &[u8]) -> Option<usize> {
    let reach = message.get(..TAG_REACH.min(message.len()))?;
    match message.first()? {
        b'[' => Some(memchr::memchr(b']', reach)? + 1),
        b'A'..=b'Z' | b'a'..=b'z' => memchr::memchr(b' ', reach),
        _ => None,
    }
}

/// First bytes of what the forms of test lines allow after the test's name.
fn outcomes(markers: &[Marker]) -> [bool; 256] {
    let mut table = [false; 256];
    let forms = markers.iter().flat_map(|marker| {
        let forms = marker
            .forms
            .iter()
            .filter(|f| f.anchor().starts_with(TEST_OPEN));
        forms.map(move |form| (marker, form))
    });
    for (marker, form) in forms {
        match form.after(TEST_GLUE, &marker.fields) {
            None => {}
            Some(firsts) if firsts.is_empty() => return [true; 256],
            Some(firsts) => firsts
                .into_iter()
                .for_each(|byte| mark(&mut table, Some(byte))),
        }
    }
    table
}

/// Automata over needles of which none begins another, so that at most one stands at any place.
fn automata(phrases: &[(&str, FormRef)]) -> Result<Vec<Automaton>, Error> {
    let needles = needles(phrases.iter().map(|(phrase, _)| *phrase).collect());
    let mut built = Vec::new();
    for chunk in needles.chunks(PHRASES_PER_AUTOMATON) {
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(chunk)
            .map_err(|error| Error::CatalogueFile {
                file: "(phrases)".to_owned(),
                reason: error.to_string(),
            })?;
        let mut automaton = Automaton {
            search,
            forms: vec![Vec::new(); chunk.len()],
        };
        for (phrase, reference) in phrases {
            // The first needle of the list that the phrase contains finds it, and only that one.
            let Some(needle) = needles
                .iter()
                .find(|needle| phrase.contains(needle.as_str()))
            else {
                continue;
            };
            let at = chunk.iter().position(|other| other == needle);
            if let Some(forms) = at.and_then(|at| automaton.forms.get_mut(at)) {
                forms.push((phrase.find(needle.as_str()).unwrap_or(0), *reference));
            }
        }
        built.push(automaton);
    }
    Ok(built)
}

/// Few texts of which every phrase contains one: what several begin with, and no text that contains another.
fn needles(mut phrases: Vec<&str>) -> Vec<String> {
    phrases.sort_unstable();
    phrases.dedup();
    let mut shared: Vec<String> = Vec::new();
    for phrase in phrases {
        let common = |last: &String| {
            let same = last.bytes().zip(phrase.bytes()).take_while(|(a, b)| a == b);
            same.count()
        };
        match shared.last_mut() {
            Some(last) if common(last) >= SHARED_PREFIX => {
                let mut len = common(last);
                while !last.is_char_boundary(len) {
                    len -= 1;
                }
                last.truncate(len);
            }
            _ => shared.push(phrase.to_owned()),
        }
    }
    let contained = |needle: &String| {
        shared
            .iter()
            .any(|other| other != needle && needle.contains(other.as_str()))
    };
    shared
        .iter()
        .filter(|needle| !contained(needle))
        .cloned()
        .collect()
}

/// Hashes the short first words of a catalogue's own tags by their ends.
#[derive(Debug, Clone, Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (first, last) = (load(bytes, 0), load(bytes, bytes.len().saturating_sub(8)));
        let mixed = self.0.rotate_left(5) ^ first ^ last.rotate_left(23) ^ bytes.len() as u64;
        self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table looks at both ends of a hash.
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::needles;

    #[test]
    fn needles_are_few_and_every_phrase_contains_one() {
        let phrases = vec![
            "top1_gap=",
            "top-1 gap ",
            "STATUS_ACCESS_VIOLATION",
            "ACCESS_VIOLATION",
            "invalidated (",
            "invalidated{reason_code=",
            "VUID-",
            "[ VUID-",
        ];
        let found = needles(phrases.clone());
        assert_eq!(
            found,
            [
                "ACCESS_VIOLATION",
                "VUID-",
                "invalidated",
                "top-1 gap ",
                "top1_gap="
            ]
        );
        assert!(
            phrases
                .iter()
                .all(|p| found.iter().any(|n| p.contains(n.as_str())))
        );
    }
}

//! How a message finds its marker: tags by hash, line starts by first byte, free phrases by automaton.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use super::{Marker, Place};
use crate::Error;

/// Patterns per automaton: aho-corasick's fast path ends there.
const PHRASES_PER_AUTOMATON: usize = 64;

/// A marker and one of its forms, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormRef {
    pub(crate) marker: usize,
    pub(crate) form: usize,
}

/// Compiled anchors of a catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    tags: HashMap<Vec<u8>, usize>,
    starts: Vec<Vec<FormRef>>,
    phrases: Vec<(AhoCorasick, Vec<FormRef>)>,
    /// Longest phrase in bytes.
    pub(crate) longest_phrase: usize,
}

impl Index {
    pub(super) fn build(markers: &[Marker]) -> Result<Self, Error> {
        let mut index = Self {
            tags: HashMap::new(),
            starts: vec![Vec::new(); 256],
            phrases: Vec::new(),
            longest_phrase: 0,
        };
        let mut phrases: Vec<(&str, FormRef)> = Vec::new();
        for (at, marker) in markers.iter().enumerate() {
            if let Some(tag) = &marker.tag
                && let Some(first) = index.tags.insert(tag.clone().into_bytes(), at)
            {
                let first = markers.get(first).map_or("", |m| &m.name);
                let reason = format!("tag `{tag}` already belongs to `{first}`");
                return Err(Error::CatalogueFile {
                    file: marker.name.clone(),
                    reason,
                });
            }
            for (form_at, form) in marker.forms.iter().enumerate() {
                let reference = FormRef {
                    marker: at,
                    form: form_at,
                };
                let first = form.anchor().bytes().next().unwrap_or(0);
                match form.place {
                    Place::Anywhere => phrases.push((form.anchor(), reference)),
                    _ => index
                        .starts
                        .get_mut(usize::from(first))
                        .into_iter()
                        .for_each(|s| s.push(reference)),
                }
            }
        }
        index.longest_phrase = phrases
            .iter()
            .map(|(phrase, _)| phrase.len())
            .max()
            .unwrap_or(0);
        for chunk in phrases.chunks(PHRASES_PER_AUTOMATON) {
            let automaton =
                AhoCorasick::new(chunk.iter().map(|(phrase, _)| phrase)).map_err(|error| {
                    Error::CatalogueFile {
                        file: "(phrases)".to_owned(),
                        reason: error.to_string(),
                    }
                })?;
            index.phrases.push((
                automaton,
                chunk.iter().map(|(_, reference)| *reference).collect(),
            ));
        }
        Ok(index)
    }

    /// The marker whose tag begins the message, and the tag's length.
    pub(crate) fn tag(&self, message: &[u8]) -> Option<(usize, usize)> {
        let end = match message.first()? {
            b'[' => memchr::memchr(b']', message.get(..64.min(message.len()))?)? + 1,
            b'A'..=b'Z' | b'a'..=b'z' => {
                memchr::memchr(b' ', message.get(..64.min(message.len()))?)?
            }
            _ => return None,
        };
        let closed = message.get(end).is_none_or(|b| *b == b' ');
        let marker = self.tags.get(message.get(..end)?).filter(|_| closed)?;
        Some((*marker, end))
    }

    /// Forms that a message with this first byte may have.
    pub(crate) fn starts(&self, message: &[u8]) -> &[FormRef] {
        let first = message.first().copied().unwrap_or(0);
        self.starts
            .get(usize::from(first))
            .map_or(&[], Vec::as_slice)
    }

    /// Every free phrase in the message with its offset, overlapping ones included.
    pub(crate) fn phrases<'a>(
        &'a self,
        message: &'a [u8],
    ) -> impl Iterator<Item = (usize, FormRef)> + 'a {
        self.phrases.iter().flat_map(move |(automaton, forms)| {
            automaton
                .find_overlapping_iter(message)
                .filter_map(|found| Some((found.start(), *forms.get(found.pattern().as_usize())?)))
        })
    }
}

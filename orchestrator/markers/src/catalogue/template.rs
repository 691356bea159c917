//! Line grammars without regular expressions: literal text with typed captures.

use std::collections::BTreeMap;

use super::fields::some_pairs;
use super::{Field, Marker, Scratch};
use crate::Value;

/// Stands for text between two literals that no field takes, `{_}`.
const GAP: usize = usize::MAX;
/// Tries that one line may cost before it counts as no match.
const MAX_STEPS: usize = 10_000;

/// Where in a message a form may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The form is the whole message.
    Line,
    /// The message begins with it.
    Start,
    /// It can stand anywhere.
    Anywhere,
}

/// One form of a marker's lines.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) place: Place,
    parts: Vec<Part>,
    set: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Index into the marker's fields.
    Capture(usize),
    /// `k=v` pairs, `{..}`.
    Pairs,
}

impl Form {
    pub(super) fn compile(
        text: &str,
        place: Place,
        set: &BTreeMap<String, String>,
        fields: &[Field],
    ) -> Result<Self, String> {
        let parts = split(text, fields)?;
        let Some(Part::Literal(_)) = parts.first() else {
            return Err(format!("form `{text}` must begin with literal text"));
        };
        if parts
            .windows(2)
            .any(|pair| !pair.iter().any(|part| matches!(part, Part::Literal(_))))
        {
            return Err(format!(
                "form `{text}` has two captures with nothing between them"
            ));
        }
        let mut fixed = BTreeMap::new();
        for (name, value) in set {
            let field = fields.iter().find(|field| field.name == *name);
            let field =
                field.ok_or_else(|| format!("form `{text}` sets `{name}`, which is no field"))?;
            fixed.insert(name.clone(), field.read(value)?);
        }
        let given = |index: usize, field: &Field| {
            field.optional
                || fixed.contains_key(&field.name)
                || parts.contains(&Part::Capture(index))
                || parts.contains(&Part::Pairs)
        };
        match fields
            .iter()
            .enumerate()
            .find(|(index, field)| !given(*index, field))
        {
            Some((_, field)) => Err(format!(
                "form `{text}` never gives `{}`; mark it optional",
                field.name
            )),
            None => Ok(Self {
                place,
                parts,
                set: fixed,
            }),
        }
    }

    /// The literal text that every line of this form has first.
    pub(crate) fn anchor(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// First bytes of what may follow `glue`: none where anything may; `None` where the form has no such literal.
    pub(super) fn after(&self, glue: &str, fields: &[Field]) -> Option<Vec<u8>> {
        let literal = |part: &Part| match part {
            Part::Literal(text) => Some(text.split_once(glue)?.1.bytes().next()),
            _ => None,
        };
        let (at, next) = self
            .parts
            .iter()
            .enumerate()
            .find_map(|(at, part)| Some((at, literal(part)?)))?;
        if let Some(byte) = next {
            return Some(vec![byte]);
        }
        let Some(Part::Capture(field)) = self.parts.get(at + 1) else {
            return Some(Vec::new());
        };
        let field = fields.get(*field)?;
        let texts = field.values.iter().chain(field.rename.keys());
        Some(texts.filter_map(|text| text.bytes().next()).collect())
    }

    /// Reads `text`, which begins where the form would.
    pub(crate) fn read(&self, text: &str, marker: &Marker) -> Option<BTreeMap<String, Value>> {
        let mut reader = Reader {
            marker,
            whole: self.place == Place::Line,
            steps: MAX_STEPS,
            row: self.set.clone(),
        };
        let read = reader.parts(&self.parts, text);
        let row = reader.row;
        let given = |field: &Field| field.optional || row.contains_key(&field.name);
        (read && marker.fields.iter().all(given)).then_some(row)
    }
}

fn split(text: &str, fields: &[Field]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or("");
        if (c == '{' || c == '}') && after.starts_with(c) {
            literal.push(c);
            rest = after.get(1..).unwrap_or("");
        } else if c == '{' {
            let (name, tail) = after
                .split_once('}')
                .ok_or_else(|| format!("form `{text}` has an open brace"))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(match fields.iter().position(|field| field.name == name) {
                Some(index) => Part::Capture(index),
                None if name == ".." => Part::Pairs,
                None if name == "_" => Part::Capture(GAP),
                None => {
                    return Err(format!(
                        "form `{text}` captures `{name}`, which is no field"
                    ));
                }
            });
            rest = tail;
        } else {
            literal.push(c);
            rest = after;
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

struct Reader<'f> {
    marker: &'f Marker,
    whole: bool,
    steps: usize,
    row: BTreeMap<String, Value>,
}

impl Reader<'_> {
    /// Whether the parts match from the start of `text`. A capture extends to the first place where all that
    /// follows it fits.
    fn parts(&mut self, parts: &[Part], text: &str) -> bool {
        match parts {
            [] => !self.whole || text.trim_end().is_empty(),
            [Part::Literal(literal), rest @ ..] => match text.strip_prefix(literal.as_str()) {
                Some(after) => self.parts(rest, after),
                None => false,
            },
            [Part::Pairs, rest @ ..] => self.pairs(rest, text),
            [Part::Capture(field)] => self.last(*field, text),
            [Part::Capture(field), rest @ ..] => self.inner(*field, rest, text),
        }
    }

    /// Pairs up to the last place of what follows them.
    fn pairs(&mut self, rest: &[Part], text: &str) -> bool {
        let end = match rest.first() {
            Some(Part::Literal(next)) => text.rfind(next.as_str()),
            _ => Some(text.len()),
        };
        let Some((pairs, after)) = end.and_then(|end| text.split_at_checked(end)) else {
            return false;
        };
        let mut scratch = Scratch::default();
        if some_pairs(self.marker, pairs, 0, &mut scratch).is_err() {
            return false;
        }
        for (field, slot) in self.marker.fields.iter().zip(&scratch.slots) {
            let value = scratch.value(pairs, *slot);
            self.row
                .extend(value.map(|value| (field.name.clone(), value)));
        }
        self.parts(rest, after)
    }

    fn inner(&mut self, field: usize, rest: &[Part], text: &str) -> bool {
        let Some(Part::Literal(next)) = rest.first() else {
            return false;
        };
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|tail| tail.find(next.as_str())) {
            if self.steps == 0 {
                return false;
            }
            self.steps -= 1;
            let (value, after) = text.split_at(from + at);
            if self.take(field, value) && self.parts(rest, after) {
                return true;
            }
            from += at + next.chars().next().map_or(1, char::len_utf8);
        }
        false
    }

    /// A capture that ends its form takes the rest of the line, or of the number where more may follow.
    fn last(&mut self, field: usize, text: &str) -> bool {
        let numeric = self
            .marker
            .fields
            .get(field)
            .is_some_and(|f| f.kind.is_number());
        let value = if self.whole || !numeric {
            text.trim_end()
        } else {
            let end = text
                .find(|c: char| !(c.is_ascii_alphanumeric() || "+-.*".contains(c)))
                .unwrap_or(text.len());
            text.get(..end).unwrap_or("").trim_end_matches('.')
        };
        self.take(field, value)
    }

    fn take(&mut self, index: usize, value: &str) -> bool {
        if index == GAP {
            return true;
        }
        let Some(field) = self.marker.fields.get(index).filter(|_| !value.is_empty()) else {
            return false;
        };
        match field.read(value) {
            Ok(value) => {
                self.row.insert(field.name.clone(), value);
                true
            }
            Err(_) => false,
        }
    }
}

//! Line grammars without regular expressions: literal text with typed captures.

use std::collections::BTreeMap;

use super::Field;
use crate::Value;

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
            .any(|pair| matches!(pair, [Part::Capture(_), Part::Capture(_)]))
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

    /// Reads `text`, which begins where the form would.
    pub(crate) fn read(&self, text: &str, fields: &[Field]) -> Option<BTreeMap<String, Value>> {
        let mut reader = Reader {
            fields,
            whole: self.place == Place::Line,
            steps: MAX_STEPS,
            row: self.set.clone(),
        };
        reader.parts(&self.parts, text).then_some(reader.row)
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
            let index = fields.iter().position(|field| field.name == name);
            let index = index
                .ok_or_else(|| format!("form `{text}` captures `{name}`, which is no field"))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Capture(index));
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
    fields: &'f [Field],
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
            [Part::Capture(field)] => self.last(*field, text),
            [Part::Capture(field), rest @ ..] => self.inner(*field, rest, text),
        }
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
        let numeric = self.fields.get(field).is_some_and(|f| f.kind.is_number());
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
        let Some(field) = self.fields.get(index).filter(|_| !value.is_empty()) else {
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

//! Text of one field into a typed [`Value`], and `k=v` pairs of a tagged line into a row.

use std::collections::BTreeMap;

use super::{Field, FieldType, Marker};
use crate::{Bucket, Buckets, Decimal, NonFinite, Value};

/// Longest list or histogram that is kept; longer ones are refused as a whole, never cut.
const MAX_ITEMS: usize = 1 << 20;

/// A row read from a tagged line.
pub(crate) struct Row {
    pub(crate) fields: BTreeMap<String, Value>,
    /// Keys that the catalogue does not know.
    pub(crate) unknown: Vec<String>,
}

/// Reads `k=v k="text" k=[a, b]` into the marker's fields.
pub(crate) fn parse_pairs(marker: &Marker, text: &str) -> Result<Row, String> {
    let mut row = Row {
        fields: BTreeMap::new(),
        unknown: Vec::new(),
    };
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| format!("`{}` is no key=value", head(rest)))?;
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '"' || c == '[') {
            return Err(format!("`{}` is no key", head(key)));
        }
        let (value, after) = take_value(after)?;
        rest = after.trim_start();
        let Some(field) = marker.field(key) else {
            row.unknown.push(key.to_owned());
            continue;
        };
        let value = field
            .read(&value)
            .map_err(|reason| format!("{key}: {reason}"))?;
        if row.fields.insert(key.to_owned(), value).is_some() {
            return Err(format!("{key} stands twice"));
        }
    }
    let missing = marker
        .fields
        .iter()
        .find(|field| !field.optional && !row.fields.contains_key(&field.name));
    match missing {
        Some(field) => Err(format!("{} is missing", field.name)),
        None => Ok(row),
    }
}

/// The value at the start of `text`, unquoted, and what follows its closing space.
fn take_value(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        return take_quoted(quoted);
    }
    let end = match text.strip_prefix('[').and_then(|list| list.find(']')) {
        Some(close) => close + 2,
        None => text.find(char::is_whitespace).unwrap_or(text.len()),
    };
    let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        Ok((value.to_owned(), rest))
    } else {
        Err(format!("`{}` follows a list without a space", head(rest)))
    }
}

fn take_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let rest = text.get(at + 1..).unwrap_or("");
                let closed = rest.is_empty() || rest.starts_with(char::is_whitespace);
                return if closed {
                    Ok((value, rest))
                } else {
                    Err("text follows a closing quote".to_owned())
                };
            }
            '\\' => value.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

impl Field {
    /// Reads one value as this field's type.
    ///
    /// # Errors
    /// A fragment saying what the text is not.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        if text.contains("***") {
            return Ok(Value::Masked);
        }
        if text == "n/a" {
            return Ok(Value::NotAvailable);
        }
        match self.kind {
            FieldType::Int | FieldType::Decimal => number(text, self.kind),
            FieldType::Text => self.read_text(text),
            FieldType::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(format!("`{}` is neither true nor false", head(text))),
            },
            FieldType::IntList => list(text, |item| number(item, FieldType::Int)),
            FieldType::DecimalList => list(text, |item| number(item, FieldType::Decimal)),
            FieldType::TextList => list(text, |item| Ok(Value::Text(item.to_owned()))),
            FieldType::Buckets => buckets(text).map(Value::Buckets),
        }
    }

    fn read_text(&self, text: &str) -> Result<Value, String> {
        let text = self.rename.get(text).map_or(text, String::as_str);
        if !text.starts_with(self.prefix.as_str()) {
            return Err(format!(
                "`{}` does not begin with {}",
                head(text),
                self.prefix
            ));
        }
        if self.values.is_empty() || self.values.iter().any(|value| value == text) {
            return Ok(Value::Text(text.to_owned()));
        }
        Err(format!(
            "`{}` is none of {}",
            head(text),
            self.values.join(", ")
        ))
    }
}

fn number(text: &str, kind: FieldType) -> Result<Value, String> {
    if text == "none" {
        return Ok(Value::Nothing);
    }
    if kind == FieldType::Decimal
        && let Some(value) = non_finite(text)
    {
        return Ok(Value::NonFinite(value));
    }
    let number: Decimal = text
        .parse()
        .map_err(|_| format!("`{}` is no number", head(text)))?;
    if kind == FieldType::Int && !number.is_integer() {
        return Err(format!("`{}` is no whole number", head(text)));
    }
    Ok(Value::Number(number))
}

/// `nan`, `inf` and their usual spellings.
pub(crate) fn non_finite(text: &str) -> Option<NonFinite> {
    match text.to_ascii_lowercase().as_str() {
        "nan" | "-nan" => Some(NonFinite::Nan),
        "inf" | "+inf" | "infinity" => Some(NonFinite::Infinity),
        "-inf" | "-infinity" => Some(NonFinite::NegativeInfinity),
        _ => None,
    }
}

fn items(text: &str) -> Result<Vec<&str>, String> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let inner = inner
        .ok_or_else(|| format!("`{}` is no list", head(text)))?
        .trim();
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<&str> = inner
        .split(',')
        .map(str::trim)
        .take(MAX_ITEMS + 1)
        .collect();
    if items.len() > MAX_ITEMS {
        Err(format!("more than {MAX_ITEMS} items"))
    } else {
        Ok(items)
    }
}

fn list(text: &str, read: impl Fn(&str) -> Result<Value, String>) -> Result<Value, String> {
    Ok(Value::List(
        items(text)?
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()?,
    ))
}

fn buckets(text: &str) -> Result<Buckets, String> {
    if let Some(reason) = text
        .strip_prefix("disabled(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        return Ok(Buckets::Disabled(reason.to_owned()));
    }
    let items = items(text)?;
    if items.is_empty() {
        return Ok(Buckets::Empty);
    }
    Ok(Buckets::Populated(
        items.into_iter().map(bucket).collect::<Result<_, _>>()?,
    ))
}

fn bucket(text: &str) -> Result<Bucket, String> {
    let fail = || format!("`{}` is no name:count:us", head(text));
    let (rest, us) = text.rsplit_once(':').ok_or_else(fail)?;
    let (name, count) = rest.rsplit_once(':').ok_or_else(fail)?;
    let number = |text: &str| text.parse::<Decimal>().map_err(|_| fail());
    let (count, us) = (number(count)?, number(us)?);
    if name.is_empty() || !count.is_integer() || count.is_negative() {
        return Err(fail());
    }
    Ok(Bucket {
        name: name.to_owned(),
        count,
        us,
    })
}

/// The start of a text for a message.
fn head(text: &str) -> String {
    text.chars().take(40).collect()
}

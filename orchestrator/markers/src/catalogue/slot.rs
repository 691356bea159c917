//! One field's value as it is read: numbers as integers, texts as places, nothing copied.
//!
//! A dense log has half a million rows in a hundred megabytes. A row therefore lands in a [`Scratch`] that is used
//! again for the next one, and becomes owned [`Value`]s only where somebody keeps it.

use super::{Field, FieldType};
use crate::observation::NonFinite;
use crate::{Bucket, Buckets, Decimal, Unit, Value};

/// Longest list or histogram that is kept; longer ones are refused as a whole, never cut.
const MAX_ITEMS: usize = 1 << 20;
/// Decimal digits that always fit an `i64`.
const SMALL_DIGITS: usize = 18;

/// Where a text stands: in the message, or in the scratch where it had to be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) own: bool,
}

/// A number: its text, and `mantissa · 10^exponent` where it has at most 18 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) text: Piece,
    pub(crate) small: Option<(i64, i32)>,
}

/// A field's value in a [`Scratch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The line does not give the field.
    Missing,
    Number(Number),
    NonFinite(NonFinite),
    Text(Piece),
    Bool(bool),
    /// Range of the scratch's items.
    List(u32, u32),
    /// Range of the scratch's buckets.
    Populated(u32, u32),
    Empty,
    Disabled(Piece),
    Nothing,
    NotAvailable,
    Masked,
}

/// A bucket in a [`Scratch`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketSlot {
    pub(super) name: Piece,
    pub(super) count: Number,
    pub(super) us: Number,
}

/// One row, as it is read.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// By position in the marker's fields.
    pub(crate) slots: Vec<Slot>,
    pub(crate) items: Vec<Slot>,
    pub(crate) buckets: Vec<BucketSlot>,
    /// Texts that do not stand in the message as they are meant.
    pub(crate) own: String,
    /// Keys that the catalogue does not know.
    pub(crate) unknown: Vec<String>,
}

impl Scratch {
    pub(crate) fn begin(&mut self, fields: usize) {
        self.slots.clear();
        self.slots.resize(fields, Slot::Missing);
        self.items.clear();
        self.buckets.clear();
        self.own.clear();
        self.unknown.clear();
    }

    pub(crate) fn slot(&self, index: usize) -> Slot {
        self.slots.get(index).copied().unwrap_or(Slot::Missing)
    }

    pub(crate) fn text<'t>(&'t self, message: &'t str, piece: Piece) -> &'t str {
        let from = if piece.own { &self.own } else { message };
        from.get(piece.start as usize..piece.end as usize)
            .unwrap_or("")
    }

    /// Keeps a text that does not stand in the message.
    pub(crate) fn keep(&mut self, text: &str) -> Piece {
        let start = place(self.own.len());
        self.own.push_str(text);
        Piece {
            start,
            end: place(self.own.len()),
            own: true,
        }
    }

    /// The value of a slot, owned; `None` for a field that the line does not give.
    pub(crate) fn value(&self, message: &str, slot: Slot) -> Option<Value> {
        let text = |piece| self.text(message, piece);
        Some(match slot {
            Slot::Missing => return None,
            Slot::Number(number) => Value::Number(decimal(text(number.text))),
            Slot::NonFinite(value) => Value::NonFinite(value),
            Slot::Text(piece) => Value::Text(text(piece).to_owned()),
            Slot::Bool(value) => Value::Bool(value),
            Slot::List(from, to) => {
                let items = self.items.get(from as usize..to as usize);
                let items = items.unwrap_or(&[]).iter();
                Value::List(
                    items
                        .filter_map(|item| self.value(message, *item))
                        .collect(),
                )
            }
            Slot::Populated(from, to) => {
                let buckets = self.buckets.get(from as usize..to as usize);
                let owned = |bucket: &BucketSlot| Bucket {
                    name: text(bucket.name).to_owned(),
                    count: decimal(text(bucket.count.text)),
                    us: decimal(text(bucket.us.text)),
                };
                Value::Buckets(Buckets::Populated(
                    buckets.unwrap_or(&[]).iter().map(owned).collect(),
                ))
            }
            Slot::Empty => Value::Buckets(Buckets::Empty),
            Slot::Disabled(piece) => Value::Buckets(Buckets::Disabled(text(piece).to_owned())),
            Slot::Nothing => Value::Nothing,
            Slot::NotAvailable => Value::NotAvailable,
            Slot::Masked => Value::Masked,
        })
    }

    /// Calls `take` with every number of a slot, those of lists and buckets included.
    #[inline]
    pub(crate) fn numbers(&self, slot: Slot, mut take: impl FnMut(Number)) {
        match slot {
            Slot::Number(number) => take(number),
            Slot::List(from, to) => {
                let items = self.items.get(from as usize..to as usize);
                for item in items.unwrap_or(&[]) {
                    if let Slot::Number(number) = item {
                        take(*number);
                    }
                }
            }
            Slot::Populated(from, to) => {
                let buckets = self.buckets.get(from as usize..to as usize);
                for bucket in buckets.unwrap_or(&[]) {
                    take(bucket.count);
                    take(bucket.us);
                }
            }
            _ => {}
        }
    }
}

/// Texts in slots were read as numbers before.
fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|_| Decimal::from(0_u64))
}

/// Messages are shorter than a segment, which fits.
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Reads `message[start..end]` as a field's value.
///
/// # Errors
/// A fragment saying what the text is not.
pub(crate) fn read(
    field: &Field,
    message: &str,
    piece: Piece,
    scratch: &mut Scratch,
) -> Result<Slot, String> {
    let own;
    let text = if piece.own {
        own = scratch.text(message, piece).to_owned();
        own.as_str()
    } else {
        message
            .get(piece.start as usize..piece.end as usize)
            .unwrap_or("")
    };
    match text.as_bytes() {
        b"n/a" => return Ok(Slot::NotAvailable),
        bytes if memchr::memchr(b'*', bytes).is_some() && text.contains("***") => {
            return Ok(Slot::Masked);
        }
        _ => {}
    }
    match field.kind {
        FieldType::Int | FieldType::Decimal => number(text, piece, field.kind, field.unit, scratch),
        FieldType::Text => read_text(field, text, piece, scratch),
        FieldType::Bool => match text {
            "true" => Ok(Slot::Bool(true)),
            "false" => Ok(Slot::Bool(false)),
            _ => Err(format!("`{}` is neither true nor false", head(text))),
        },
        FieldType::IntList => list(text, piece, Some(FieldType::Int), scratch),
        FieldType::DecimalList => list(text, piece, Some(FieldType::Decimal), scratch),
        FieldType::TextList => list(text, piece, None, scratch),
        FieldType::Buckets => buckets(text, piece, scratch),
    }
}

fn read_text(
    field: &Field,
    text: &str,
    piece: Piece,
    scratch: &mut Scratch,
) -> Result<Slot, String> {
    let renamed = if field.rename.is_empty() {
        None
    } else {
        field.rename.get(text)
    };
    let meant = renamed.map_or(text, String::as_str);
    if !(field.prefix.is_empty() || meant.starts_with(field.prefix.as_str())) {
        return Err(format!(
            "`{}` does not begin with {}",
            head(meant),
            field.prefix
        ));
    }
    if !field.values.is_empty() && !field.values.iter().any(|value| value == meant) {
        return Err(format!(
            "`{}` is none of {}",
            head(meant),
            field.values.join(", ")
        ));
    }
    Ok(Slot::Text(match renamed {
        Some(renamed) => scratch.keep(renamed),
        None => piece,
    }))
}

fn number(
    text: &str,
    piece: Piece,
    kind: FieldType,
    unit: Option<Unit>,
    scratch: &mut Scratch,
) -> Result<Slot, String> {
    if text == "none" {
        return Ok(Slot::Nothing);
    }
    let read = plain_number(text, piece).or_else(|| with_unit(text, unit?, scratch));
    match read {
        Some(number) if kind == FieldType::Int && !is_whole(&number, text) => {
            Err(format!("`{}` is no whole number", head(text)))
        }
        Some(number) => Ok(Slot::Number(number)),
        None => match non_finite(text) {
            Some(value) if kind == FieldType::Decimal => Ok(Slot::NonFinite(value)),
            _ => Err(format!("`{}` is no number", head(text))),
        },
    }
}

fn plain_number(text: &str, piece: Piece) -> Option<Number> {
    if let Some(small) = small(text.as_bytes()) {
        return Some(Number {
            text: piece,
            small: Some(small),
        });
    }
    let exact: Decimal = text.parse().ok()?;
    Some(Number {
        text: piece,
        small: exact.small(),
    })
}

/// A number with a unit after it, in the field's unit.
fn with_unit(text: &str, unit: Unit, scratch: &mut Scratch) -> Option<Number> {
    let found = Unit::ALL
        .into_iter()
        .filter_map(|from| Some((from, text.strip_suffix(from.symbol())?)))
        .max_by_key(|(from, _)| from.symbol().len())
        .or_else(|| Some((Unit::Us, text.strip_suffix("µs")?)));
    let (from, number) = found?;
    let number: Decimal = number.trim_end().parse().ok()?;
    let converted = from.convert(&number, unit)?;
    Some(Number {
        text: scratch.keep(converted.text()),
        small: converted.small(),
    })
}

fn is_whole(number: &Number, text: &str) -> bool {
    match number.small {
        Some((_, exponent)) if exponent >= 0 => true,
        Some((mantissa, exponent)) => 10_i64
            .checked_pow(exponent.unsigned_abs())
            .is_some_and(|unit| mantissa % unit == 0),
        None => text
            .parse::<Decimal>()
            .is_ok_and(|number| number.is_integer()),
    }
}

/// `-12.5` as (-125, -1), in the grammar of [`Decimal`] less exponents and more than 18 digits.
pub(crate) fn small(bytes: &[u8]) -> Option<(i64, i32)> {
    let (negative, body) = match bytes {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    if body.is_empty() || body.len() > SMALL_DIGITS {
        return None;
    }
    let (mut mantissa, mut point) = (0_i64, None);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 && at + 1 < body.len() => point = Some(at + 1),
            _ => return None,
        }
    }
    let exponent = point.map_or(0, |from| {
        -i32::try_from(body.len() - from).unwrap_or(i32::MAX)
    });
    Some((if negative { -mantissa } else { mantissa }, exponent))
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

/// Calls `each` with every item between the brackets, without the space around it, and its place.
fn items(
    text: &str,
    piece: Piece,
    mut each: impl FnMut(&str, Piece) -> Result<(), String>,
) -> Result<(), String> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(|| format!("`{}` is no list", head(text)))?;
    if inner.trim().is_empty() {
        return Ok(());
    }
    let (mut rest, mut at, mut count) = (inner, piece.start + 1, 0);
    loop {
        count += 1;
        if count > MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} items"));
        }
        let end = rest.bytes().position(|byte| byte == b',');
        let raw = rest.get(..end.unwrap_or(rest.len())).unwrap_or("");
        let bytes = raw.as_bytes();
        let edges = [bytes.first(), bytes.last()];
        let spaced = edges.into_iter().flatten().any(u8::is_ascii_whitespace);
        let item = if spaced { raw.trim() } else { raw };
        let led = if spaced {
            raw.len() - raw.trim_start().len()
        } else {
            0
        };
        let start = at + place(led);
        let end_of_item = start + place(item.len());
        let own = piece.own;
        each(
            item,
            Piece {
                start,
                end: end_of_item,
                own,
            },
        )?;
        let Some(end) = end else { return Ok(()) };
        rest = rest.get(end + 1..).unwrap_or("");
        at += place(end) + 1;
    }
}

fn list(
    text: &str,
    piece: Piece,
    kind: Option<FieldType>,
    scratch: &mut Scratch,
) -> Result<Slot, String> {
    let from = place(scratch.items.len());
    items(text, piece, |item, piece| {
        let slot = match kind {
            Some(kind) => number(item, piece, kind, None, scratch)?,
            None => Slot::Text(piece),
        };
        scratch.items.push(slot);
        Ok(())
    })?;
    Ok(Slot::List(from, place(scratch.items.len())))
}

fn buckets(text: &str, piece: Piece, scratch: &mut Scratch) -> Result<Slot, String> {
    const OPEN: &str = "disabled(";
    if let Some(rest) = text.strip_prefix(OPEN)
        && rest.ends_with(')')
    {
        return Ok(Slot::Disabled(Piece {
            start: piece.start + place(OPEN.len()),
            end: piece.end - 1,
            own: piece.own,
        }));
    }
    let from = place(scratch.buckets.len());
    items(text, piece, |item, piece| {
        let bucket =
            bucket(item, piece).ok_or_else(|| format!("`{}` is no name:count:us", head(item)))?;
        scratch.buckets.push(bucket);
        Ok(())
    })?;
    let to = place(scratch.buckets.len());
    Ok(if from == to {
        Slot::Empty
    } else {
        Slot::Populated(from, to)
    })
}

fn bucket(text: &str, piece: Piece) -> Option<BucketSlot> {
    let part = |from: usize, to: usize| Piece {
        start: piece.start + place(from),
        end: piece.start + place(to),
        own: piece.own,
    };
    let bytes = text.as_bytes();
    if let Some((us, middle)) = digits_back(bytes, bytes.len())
        && let Some((count, name)) = digits_back(bytes, middle)
        && name > 0
    {
        let number = |value, from, to| Number {
            text: part(from, to),
            small: Some((value, 0)),
        };
        return Some(BucketSlot {
            name: part(0, name),
            count: number(count, name + 1, middle),
            us: number(us, middle + 1, text.len()),
        });
    }
    let (rest, us) = text.rsplit_once(':')?;
    let (name, count) = rest.rsplit_once(':')?;
    let us = plain_number(us, part(rest.len() + 1, text.len()))?;
    let count_number = plain_number(count, part(name.len() + 1, rest.len()))?;
    if name.is_empty() || !is_whole(&count_number, count) || is_negative(&count_number, count) {
        return None;
    }
    Some(BucketSlot {
        name: part(0, name.len()),
        count: count_number,
        us,
    })
}

/// The digits before `end` and where the colon before them stands.
fn digits_back(bytes: &[u8], end: usize) -> Option<(i64, usize)> {
    let (mut value, mut unit, mut at) = (0_i64, 1_i64, end);
    loop {
        at = at.checked_sub(1)?;
        match bytes.get(at)? {
            byte @ b'0'..=b'9' if end - at <= SMALL_DIGITS => {
                value += i64::from(byte - b'0') * unit;
                unit = unit.wrapping_mul(10);
            }
            b':' if at + 1 < end => return Some((value, at)),
            _ => return None,
        }
    }
}

fn is_negative(number: &Number, text: &str) -> bool {
    number
        .small
        .map_or_else(|| text.starts_with('-'), |(mantissa, _)| mantissa < 0)
}

/// The start of a text for a message.
pub(crate) fn head(text: &str) -> String {
    text.chars().take(40).collect()
}

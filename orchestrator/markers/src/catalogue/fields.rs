//! `k=v` pairs of a line into a row.

use super::slot::{self, Piece, Scratch, Slot, head, place};
use super::{Field, Marker, Pairs};
use crate::Value;

/// How many of the next keys are asked for before the key is looked up: emitters leave optional fields out.
const KEYS_AHEAD: usize = 4;

/// Reads `k=v k="text" k=[a, b]` from byte `from` of the message into the scratch, which must hold every field that
/// the marker requires.
///
/// # Errors
/// A fragment saying what does not follow the marker's grammar.
pub(crate) fn parse_pairs(
    marker: &Marker,
    message: &str,
    from: usize,
    scratch: &mut Scratch,
) -> Result<(), String> {
    let missing = marker.required & !some_pairs(marker, message, from, scratch)?;
    if missing == 0 {
        return Ok(());
    }
    let first = marker.fields.get(missing.trailing_zeros() as usize);
    let name = first.map_or("a field", |field| field.name.as_str());
    Err(format!("{name} is missing"))
}

/// As [`parse_pairs`], for lines that may give only some of the fields. Returns which, as bits by position.
pub(crate) fn some_pairs(
    marker: &Marker,
    message: &str,
    from: usize,
    scratch: &mut Scratch,
) -> Result<u128, String> {
    scratch.begin(marker.fields.len());
    let mut reader = Reader {
        marker,
        message,
        at: from,
        expected: 0,
        seen: 0,
    };
    while reader.skip_space() {
        reader.usual_pairs(scratch);
        if reader.skip_space() {
            reader.pair(scratch)?;
        }
    }
    Ok(reader.seen)
}

struct Reader<'m> {
    marker: &'m Marker,
    message: &'m str,
    at: usize,
    /// Place in the order of keys where the next one is looked for first.
    expected: usize,
    /// Fields read, by position.
    seen: u128,
}

impl<'m> Reader<'m> {
    fn rest(&self) -> &'m str {
        self.message.get(self.at..).unwrap_or("")
    }

    /// Whether anything but space is left.
    fn skip_space(&mut self) -> bool {
        let bytes = self.message.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.at < bytes.len()
    }

    /// Reads pairs as long as the keys come in their usual order with values in their plain form. Anything else is
    /// left where it is.
    fn usual_pairs(&mut self, scratch: &mut Scratch) {
        let bytes = self.message.as_bytes();
        let order = self.marker.order.as_slice();
        let (mut at, mut next, mut seen) = (self.at, self.expected, self.seen);
        while let Some(expected) = order.get(next) {
            let Some(from) = expected.key(bytes, at) else {
                let mut ahead = order.iter().skip(next + 1).take(KEYS_AHEAD);
                match ahead.position(|e| e.key(bytes, at).is_some()) {
                    Some(skipped) => next += skipped + 1,
                    None => break,
                }
                continue;
            };
            if seen & expected.bit != 0 {
                break;
            }
            let Some(end) = expected.value(bytes, from, scratch) else {
                break;
            };
            seen |= expected.bit;
            next += 1;
            at = end;
            match bytes.get(at) {
                Some(b' ') => at += 1,
                _ => break,
            }
        }
        (self.at, self.expected, self.seen) = (at, next, seen);
    }

    fn pair(&mut self, scratch: &mut Scratch) -> Result<(), String> {
        let index = match self.key()? {
            Key::Known(index) => Some(index),
            Key::Unknown(name) => {
                scratch.unknown.push(name);
                None
            }
            Key::Word => return Ok(()),
        };
        let Some((index, field)) = index.and_then(|i| Some((i, self.marker.fields.get(i)?))) else {
            return self.value(scratch).map(drop);
        };
        if self.seen & (1 << index) != 0 {
            return Err(format!("{} stands twice", field.name));
        }
        self.seen |= 1 << index;
        let piece = self.value(scratch)?;
        let slot = slot::read(field, self.message, piece, scratch)
            .map_err(|reason| format!("{}: {reason}", field.name))?;
        if let Some(place) = scratch.slots.get_mut(index) {
            *place = slot;
        }
        Ok(())
    }

    fn key(&mut self) -> Result<Key, String> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let end = match self.marker.pairs {
            Pairs::Strict => memchr::memchr(b'=', bytes),
            Pairs::Loose => memchr::memchr2(b'=', b':', bytes),
        };
        let word = rest.find(|c: char| c.is_ascii_whitespace());
        if self.marker.pairs == Pairs::Loose && word.is_some_and(|w| end.is_none_or(|e| w < e)) {
            self.at += word.unwrap_or(rest.len());
            return Ok(Key::Word);
        }
        let Some((end, key)) = end.and_then(|end| Some((end, rest.get(..end)?))) else {
            if self.marker.pairs == Pairs::Loose {
                self.at = self.message.len();
                return Ok(Key::Word);
            }
            return Err(format!("`{}` is no key=value", head(rest)));
        };
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '"' || c == '[') {
            return Err(format!("`{}` is no key", head(key)));
        }
        self.at += end + 1;
        if self.marker.pairs == Pairs::Loose && self.rest().starts_with(' ') {
            self.at += 1;
        }
        let Some(index) = self.marker.fields.iter().position(|f| f.name == key) else {
            return Ok(Key::Unknown(key.to_owned()));
        };
        let order = &self.marker.order;
        self.expected = order.iter().position(|e| e.index == index).unwrap_or(0) + 1;
        Ok(Key::Known(index))
    }

    /// Where the value that begins here stands, unquoted.
    fn value(&mut self, scratch: &mut Scratch) -> Result<Piece, String> {
        let bytes = self.message.as_bytes();
        let start = self.at;
        match bytes.get(start) {
            Some(b'"') => return self.quoted(scratch),
            Some(b'[') => {
                let rest = bytes.get(start..).unwrap_or(&[]);
                match memchr::memchr(b']', rest) {
                    Some(close) => self.at = start + close + 1,
                    None => self.pass_word(),
                }
            }
            _ => self.pass_word(),
        }
        let mut end = self.at;
        if self.marker.pairs == Pairs::Loose {
            while end > start && matches!(bytes.get(end - 1), Some(b',' | b';')) {
                end -= 1;
            }
        }
        self.skip_commas();
        let closed = bytes.get(self.at).is_none_or(u8::is_ascii_whitespace);
        if !closed {
            return Err(format!(
                "`{}` follows a list without a space",
                head(self.rest())
            ));
        }
        Ok(Piece {
            start: place(start),
            end: place(end),
            own: false,
        })
    }

    fn skip_commas(&mut self) {
        let bytes = self.message.as_bytes();
        while self.marker.pairs == Pairs::Loose && matches!(bytes.get(self.at), Some(b',' | b';')) {
            self.at += 1;
        }
    }

    fn pass_word(&mut self) {
        let rest = self.message.as_bytes().get(self.at..).unwrap_or(&[]);
        let end = rest.iter().position(u8::is_ascii_whitespace);
        self.at += end.unwrap_or(rest.len());
    }

    fn quoted(&mut self, scratch: &mut Scratch) -> Result<Piece, String> {
        let start = self.at + 1;
        let quoted = self.message.get(start..).unwrap_or("");
        let close = memchr::memchr2(b'"', b'\\', quoted.as_bytes());
        let (piece, after) = match close {
            Some(close) if quoted.as_bytes().get(close) == Some(&b'"') => {
                let piece = Piece {
                    start: place(start),
                    end: place(start + close),
                    own: false,
                };
                (piece, start + close + 1)
            }
            Some(_) => {
                let (text, len) = unescape(quoted).ok_or("a quote is not closed")?;
                (scratch.keep(&text), start + len)
            }
            None => return Err("a quote is not closed".to_owned()),
        };
        self.at = after;
        self.skip_commas();
        match self.message.as_bytes().get(self.at) {
            Some(byte) if !byte.is_ascii_whitespace() => {
                Err("text follows a closing quote".to_owned())
            }
            _ => Ok(piece),
        }
    }
}

enum Key {
    Known(usize),
    Unknown(String),
    /// Prose between pairs.
    Word,
}

/// A quoted text and its length up to and with the closing quote.
fn unescape(quoted: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => value.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    None
}

impl Field {
    /// Reads one value as this field's type.
    ///
    /// # Errors
    /// A fragment saying what the text is not.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        let mut scratch = Scratch::default();
        let piece = Piece {
            start: 0,
            end: place(text.len()),
            own: false,
        };
        let slot = slot::read(self, text, piece, &mut scratch)?;
        Ok(scratch
            .value(text, slot)
            .unwrap_or_else(|| Value::Text(text.to_owned())))
    }
}

impl Slot {
    /// A small whole number that is not negative.
    pub(crate) fn to_u64(self) -> Option<u64> {
        match self {
            Self::Number(number) => match number.small? {
                (mantissa, 0) => u64::try_from(mantissa).ok(),
                _ => None,
            },
            _ => None,
        }
    }
}

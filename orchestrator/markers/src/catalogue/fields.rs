//! `k=v` pairs of a line into a row.

use super::slot::{self, Number, Piece, SMALL_DIGITS, Scratch, Slot, head, place};
use super::{Field, FieldType, Marker, Pairs};
use crate::Value;

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
        reader.pair(scratch)?;
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

    fn pair(&mut self, scratch: &mut Scratch) -> Result<(), String> {
        let index = match self.expected_key() {
            Some(index) => Some(index),
            None => match self.any_key()? {
                Key::Known(index) => Some(index),
                Key::Unknown(name) => {
                    scratch.unknown.push(name);
                    None
                }
                Key::Word => return Ok(()),
            },
        };
        let Some((index, field)) = index.and_then(|i| Some((i, self.marker.fields.get(i)?))) else {
            return self.value(scratch).map(drop);
        };
        if self.seen & (1 << index) != 0 {
            return Err(format!("{} stands twice", field.name));
        }
        self.seen |= 1 << index;
        let slot = match self.plain_number(field) {
            Some(slot) => slot,
            None => {
                let piece = self.value(scratch)?;
                slot::read(field, self.message, piece, scratch)
                    .map_err(|reason| format!("{}: {reason}", field.name))?
            }
        };
        if let Some(place) = scratch.slots.get_mut(index) {
            *place = slot;
        }
        Ok(())
    }

    /// Most values are a few digits and a space, read in one go. Anything else is left where it is.
    fn plain_number(&mut self, field: &Field) -> Option<Slot> {
        if !field.kind.is_number() {
            return None;
        }
        let rest = self.message.as_bytes().get(self.at..)?;
        let (mut mantissa, mut len, mut point) = (0_i64, 0, None);
        for byte in rest {
            match byte {
                b'0'..=b'9' => {
                    mantissa = mantissa
                        .wrapping_mul(10)
                        .wrapping_add(i64::from(byte - b'0'));
                }
                b'.' if point.is_none() && len > 0 => point = Some(len + 1),
                b' ' => break,
                _ => return None,
            }
            len += 1;
        }
        let exponent = match point {
            None => 0,
            Some(from) if from < len && field.kind == FieldType::Decimal => {
                -i32::try_from(len - from).ok()?
            }
            Some(_) => return None,
        };
        if len == 0 || len > SMALL_DIGITS {
            return None;
        }
        let text = Piece {
            start: place(self.at),
            end: place(self.at + len),
            own: false,
        };
        self.at += len;
        let small = Some((mantissa, exponent));
        Some(Slot::Number(Number { text, small }))
    }

    /// The key that usually follows the one before, which is cheaper to ask for than to look up.
    fn expected_key(&mut self) -> Option<usize> {
        let (key, index) = self.marker.order.get(self.expected)?;
        let rest = self.message.as_bytes().get(self.at..)?;
        // Keys are too short for a call to pay.
        let same = rest.len() >= key.len() && rest.iter().zip(key.as_bytes()).all(|(a, b)| a == b);
        if !same {
            return None;
        }
        self.at += key.len();
        self.expected += 1;
        Some(*index)
    }

    fn any_key(&mut self) -> Result<Key, String> {
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
        self.expected = order.iter().position(|(_, i)| *i == index).unwrap_or(0) + 1;
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

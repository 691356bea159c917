//! The usual pair: the key that an emitter prints next, with a value in its plain form.
//!
//! Whatever is not read here is read by the whole grammar in [`super::fields`], from the same byte and to the same
//! effect; what is read here, the grammar would read alike.

use super::slot::{BucketSlot, Number, Piece, Scratch, Slot, place};
use super::{Field, FieldType};
use crate::words::{self, Short};

/// A key and its `=`, and the field that it names.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// `None` for a key that is too long to be compared at once.
    key: Option<Short>,
    /// Position of the field, and the same as a bit.
    pub(super) index: usize,
    pub(super) bit: u128,
    value: Plain,
}

/// Plain forms of a value.
#[derive(Debug, Clone)]
enum Plain {
    Number {
        whole: bool,
    },
    /// A word.
    Word,
    /// One of few words.
    Words(Vec<Short>),
    Truth([Short; 2]),
    Buckets,
    /// Read by the grammar alone.
    Other,
}

impl Expected {
    pub(super) fn new(index: usize, field: &Field) -> Self {
        Self {
            key: Short::new(&format!("{}=", field.name)),
            index,
            bit: 1 << index,
            value: Plain::new(field),
        }
    }

    /// Where the value begins, if the key stands at `at`.
    #[inline]
    pub(super) fn key(&self, bytes: &[u8], at: usize) -> Option<usize> {
        self.key.as_ref()?.stands(bytes, at)
    }

    /// Reads the value at `at` into its slot and says where it ends, if it has a plain form and a space or nothing
    /// follows.
    #[inline]
    pub(super) fn value(&self, bytes: &[u8], at: usize, scratch: &mut Scratch) -> Option<usize> {
        let Scratch { slots, buckets, .. } = scratch;
        let slot = slots.get_mut(self.index)?;
        match &self.value {
            Plain::Number { whole } => {
                let (small, end) = words::number(bytes, at)?;
                if !closes(bytes, end) || (*whole && small.1 != 0) {
                    return None;
                }
                *slot = Slot::Number(plain(small, at, end));
                Some(end)
            }
            Plain::Word if bytes.get(at) == Some(&b'"') => {
                let end = quoted(bytes, at + 1)?;
                *slot = Slot::Text(piece(at + 1, end));
                closes(bytes, end + 1).then_some(end + 1)
            }
            Plain::Word => {
                let end = word(bytes, at)?;
                *slot = Slot::Text(piece(at, end));
                Some(end)
            }
            Plain::Words(texts) => {
                let ends = |text: &Short| {
                    let end = text.stands(bytes, at)?;
                    closes(bytes, end).then_some(end)
                };
                let end = texts.iter().find_map(ends)?;
                *slot = Slot::Text(piece(at, end));
                Some(end)
            }
            Plain::Truth([yes, no]) => {
                let (value, end) = match (yes.stands(bytes, at), no.stands(bytes, at)) {
                    (Some(end), _) => (true, end),
                    (_, Some(end)) => (false, end),
                    _ => return None,
                };
                *slot = Slot::Bool(value);
                closes(bytes, end).then_some(end)
            }
            Plain::Buckets => {
                let from = buckets.len();
                let end = list(bytes, at, buckets).filter(|end| closes(bytes, *end));
                match end {
                    Some(_) => *slot = Slot::Populated(place(from), place(buckets.len())),
                    None => buckets.truncate(from),
                }
                end
            }
            Plain::Other => None,
        }
    }
}

impl Plain {
    fn new(field: &Field) -> Self {
        let meant = field.rename.is_empty() && field.prefix.is_empty();
        match field.kind {
            FieldType::Int => Self::Number { whole: true },
            FieldType::Decimal => Self::Number { whole: false },
            FieldType::Bool => match [Short::new("true"), Short::new("false")] {
                [Some(yes), Some(no)] => Self::Truth([yes, no]),
                _ => Self::Other,
            },
            FieldType::Text if meant && field.values.is_empty() => Self::Word,
            FieldType::Text if meant => {
                let special = |text: &str| {
                    text == "n/a"
                        || text.contains("***")
                        || text.starts_with(['"', '['])
                        || text.contains(|c: char| c.is_ascii_whitespace())
                };
                let plain = field.values.iter().filter(|text| !special(text));
                Self::Words(plain.filter_map(|text| Short::new(text)).collect())
            }
            FieldType::Buckets => Self::Buckets,
            _ => Self::Other,
        }
    }
}

#[inline]
fn closes(bytes: &[u8], end: usize) -> bool {
    matches!(bytes.get(end), None | Some(b' '))
}

#[inline]
fn piece(start: usize, end: usize) -> Piece {
    Piece {
        start: place(start),
        end: place(end),
        own: false,
    }
}

#[inline]
fn plain(small: (i64, i32), start: usize, end: usize) -> Number {
    Number {
        text: piece(start, end),
        small: Some(small),
    }
}

/// First of the bytes that `stops` marks, at or after `at`. Past the end there are zeros.
#[inline]
fn first(bytes: &[u8], mut at: usize, stops: impl Fn(u64) -> u64) -> usize {
    loop {
        match stops(words::load(bytes, at)) {
            0 => at += 8,
            marks => return at + words::before(marks),
        }
    }
}

#[inline]
fn is_not_available(bytes: &[u8], at: usize, end: usize) -> bool {
    bytes.get(at..end) == Some(b"n/a")
}

/// End of the word at `at`, unless it is empty, a list, not available, masked, or ends with what loose pairs may
/// have after a value.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let stops = |word| words::below(word, b' ' + 1) | words::equal(word, b'*');
    let end = first(bytes, at, stops);
    let loose = matches!(bytes.get(end.wrapping_sub(1)), Some(b',' | b';'));
    let list = bytes.get(at) == Some(&b'[');
    let odd = end == at || loose || list || is_not_available(bytes, at, end);
    (closes(bytes, end) && !odd).then_some(end)
}

/// The closing quote of a text that begins at `at`, unless it is escaped, not available or masked.
#[inline]
fn quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let stops = |word| {
        words::equal(word, b'"')
            | words::equal(word, b'\\')
            | words::equal(word, b'*')
            | words::equal(word, 0)
    };
    let end = first(bytes, at, stops);
    (bytes.get(end) == Some(&b'"') && !is_not_available(bytes, at, end)).then_some(end)
}

/// Where `[name:count:us,…]`, in whole numbers, ends.
fn list(bytes: &[u8], mut at: usize, buckets: &mut Vec<BucketSlot>) -> Option<usize> {
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    loop {
        at += 1;
        let name = name(bytes, at)?;
        let (count, middle) = words::digits(bytes, name + 1)?;
        if bytes.get(middle) != Some(&b':') {
            return None;
        }
        let (us, end) = words::digits(bytes, middle + 1)?;
        buckets.push(BucketSlot {
            name: piece(at, name),
            count: plain((count.cast_signed(), 0), name + 1, middle),
            us: plain((us.cast_signed(), 0), middle + 1, end),
        });
        at = end;
        match bytes.get(at)? {
            b',' => {}
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// End of a bucket's name, at its colon.
#[inline]
fn name(bytes: &[u8], at: usize) -> Option<usize> {
    // Blanks, quotes, stars and commas are all below `-`.
    let stops =
        |word| words::below(word, b'-') | words::equal(word, b':') | words::equal(word, b']');
    let end = first(bytes, at, stops);
    (end > at && bytes.get(end) == Some(&b':')).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalogue::fields::some_pairs;
    use crate::{Catalogue, Marker, Value};

    fn catalogue() -> &'static Catalogue {
        static BUILTIN: std::sync::LazyLock<Catalogue> =
            std::sync::LazyLock::new(|| Catalogue::builtin().expect("the catalogue loads"));
        &BUILTIN
    }

    /// What a line says.
    type Row = (
        u128,
        Vec<Option<Value>>,
        Vec<Option<(i64, i32)>>,
        Vec<String>,
    );

    /// What a line says, or why it says nothing.
    fn read(marker: &Marker, message: &str) -> Result<Row, String> {
        let mut scratch = Scratch::default();
        let seen = some_pairs(marker, message, 0, &mut scratch)?;
        let slots = scratch.slots.iter();
        let values = slots.map(|slot| scratch.value(message, *slot)).collect();
        let mut numbers = Vec::new();
        for slot in &scratch.slots {
            scratch.numbers(*slot, |number| numbers.push(number.small));
        }
        Ok((seen, values, numbers, scratch.unknown))
    }

    fn value() -> impl Strategy<Value = String> {
        let plain = prop_oneof![
            "-?[0-9]{1,17}",
            "-?[0-9]{0,4}\\.[0-9]{0,9}",
            "[a-z_]{0,20}",
            Just("n/a".to_owned()),
            Just("none".to_owned()),
            Just("nan".to_owned()),
            "(true|false|single_graph|prefill|decode|full|zeros|vulkan|legacy_multi_submit)x?",
            "[0-9]{0,2}\\*{1,3}[0-9]{0,2}",
            "[0-9]{1,4} ?(ms|us|µs)",
        ];
        prop_oneof![
            4 => plain,
            1 => "\"[a-z* /\\\\é]{0,12}\"?[,x]?",
            1 => "\\[([a-zé]{0,9}:[0-9]{0,10}:[0-9]{0,3},?){0,4}\\]?[ x]?",
            1 => "\\[([a-z:* ]{0,6},?){0,3}\\]",
            1 => "disabled\\([a-z=]{0,9}\\)",
            1 => "[ -~é]{0,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn a_plain_form_is_read_as_the_grammar_reads_it(
            which in any::<prop::sample::Index>(),
            pairs in prop::collection::vec((0_u8..10, value(), prop_oneof![9 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just(", ")]), 0..20),
        ) {
            let catalogue = catalogue();
            // A key that is cleared from the order is looked up by its name.
            let tagged: Vec<&Marker> = catalogue.markers().iter().filter(|m| m.tag.is_some()).collect();
            let marker = which.get(&tagged);
            let mut grammar = (*marker).clone();
            grammar.order.clear();
            let (mut message, mut next) = (String::new(), 0_usize);
            for (step, value, between) in pairs {
                next += match step { 0 => 2, 1 => 0, 2 => 0, _ => 1 };
                let key = marker.order.get(next.wrapping_sub(1)).and_then(|e| marker.fields.get(e.index));
                message.push_str(key.map_or("strange", |field| field.name.as_str()));
                message.push('=');
                message.push_str(&value);
                message.push_str(between);
                next = next.min(marker.order.len());
            }
            prop_assert_eq!(read(marker, &message), read(&grammar, &message), "{}", message);
        }
    }
}

//! Bytes read eight at a time.
//!
//! Keys, values and numbers of a line are a few bytes long: a loop over them costs more in its branches than a handful
//! of operations on one machine word.

/// The lowest bit of every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of every byte.
const TOPS: u64 = 0x8080_8080_8080_8080;
const POWERS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The eight bytes from `at` on, the first one lowest, with zeros past the end.
#[inline]
pub(crate) fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => tail(bytes, at),
    }
}

fn tail(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or(&[]).iter().rev();
    rest.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Marks the bytes of a word that equal `byte`; the lowest mark is exact.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & TOPS
}

/// Marks the bytes of a word that are below `byte`, which is at most 128; the lowest mark is exact.
#[inline]
pub(crate) fn below(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(byte)) & !word & TOPS
}

/// How many bytes stand before the lowest mark.
#[inline]
pub(crate) fn before(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Whether every byte is that of `shape`, where `d` stands for any digit.
#[inline]
pub(crate) fn has_shape(word: u64, shape: [u8; 8]) -> bool {
    let exact = |byte: u8| if byte == b'd' { b'0' } else { byte };
    let room = |byte: u8| if byte == b'd' { 0x76 } else { 0x7f };
    let off = word ^ u64::from_le_bytes(shape.map(exact));
    (off.wrapping_add(u64::from_le_bytes(shape.map(room))) | off) & TOPS == 0
}

/// The digits that a word begins with: their value, and how many.
#[inline]
fn digits_of(word: u64) -> (u64, usize) {
    let off = word ^ (ONES * u64::from(b'0'));
    let count = before((off.wrapping_add(ONES * 0x76) | off) & TOPS);
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the top, so that zeros stand before them; then pairs, fours and eights are joined.
    let ones = off << (64 - 8 * count);
    let pairs = (ones.wrapping_mul(10).wrapping_add(ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff;
    (eight, count)
}

/// The digits at `at`: value, and where they end. `None` without any and for more than fifteen.
#[inline]
pub(crate) fn digits(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    match digits_of(load(bytes, at)) {
        (_, 0) => None,
        (value, 8) => more_digits(bytes, at + 8, value),
        (value, count) => Some((value, at + count)),
    }
}

/// Up to seven digits after eight whose value is `first`.
#[inline(never)]
fn more_digits(bytes: &[u8], at: usize, first: u64) -> Option<(u64, usize)> {
    let (more, count) = digits_of(load(bytes, at));
    let power = POWERS.get(count).filter(|_| count < 8)?;
    Some((first * power + more, at + count))
}

/// The number at `at`, as mantissa and power of ten, and where it ends. `None` for what is written otherwise than
/// `-12.5`, and for more than fifteen digits.
#[inline]
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<((i64, i32), usize)> {
    let word = load(bytes, at);
    match digits_of(word) {
        (value, count @ 1..8) if word >> (8 * count) & 0xff != u64::from(b'.') => {
            Some(((value.cast_signed(), 0), at + count))
        }
        _ => signed_number(bytes, at),
    }
}

fn signed_number(bytes: &[u8], at: usize) -> Option<((i64, i32), usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let from = at + usize::from(negative);
    let (whole, point) = digits(bytes, from)?;
    let (mantissa, exponent, end) = if bytes.get(point) == Some(&b'.') {
        let (fraction, end) = digits(bytes, point + 1)?;
        let places = end - point - 1;
        if point - from + places > 15 {
            return None;
        }
        let power = POWERS.get(places)?;
        (whole * power + fraction, -i32::try_from(places).ok()?, end)
    } else {
        (whole, 0, point)
    };
    let mantissa = mantissa.cast_signed();
    let signed = if negative { -mantissa } else { mantissa };
    Some(((signed, exponent), end))
}

/// A text of at most sixteen bytes, none of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    words: [u64; 2],
    masks: [u64; 2],
    len: usize,
}

impl Short {
    /// `None` for a text that is longer, empty, or holds a zero.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 16 || bytes.contains(&0) {
            return None;
        }
        let mask = |len: usize| match len {
            0 => 0,
            len if len >= 8 => u64::MAX,
            len => u64::MAX >> (64 - 8 * len),
        };
        Some(Self {
            words: [load(bytes, 0), load(bytes, 8)],
            masks: [mask(bytes.len()), mask(bytes.len().saturating_sub(8))],
            len: bytes.len(),
        })
    }

    /// Where the text ends, if it stands at `at`.
    #[inline]
    pub(crate) fn stands(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let first = (load(bytes, at) ^ self.words[0]) & self.masks[0];
        let same = first == 0
            && (self.len <= 8 || (load(bytes, at + 8) ^ self.words[1]) & self.masks[1] == 0);
        same.then_some(at + self.len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_are_told_apart_at_every_length() {
        let text = "abcdefghijklmnopq";
        for len in 1..=16 {
            let short = Short::new(&text[..len]).expect("a short text");
            assert_eq!(short.stands(text.as_bytes(), 0), Some(len));
            assert_eq!(short.stands(&text.as_bytes()[..len], 0), Some(len));
            assert_eq!(short.stands(&text.as_bytes()[..len - 1], 0), None);
            assert_eq!(short.stands(text.as_bytes(), 1), None);
            let mut other = text.as_bytes().to_vec();
            other[len - 1] ^= 1;
            assert_eq!(short.stands(&other, 0), None, "{len}");
        }
        assert_eq!(Short::new(text), None);
        assert_eq!(Short::new(""), None);
        assert_eq!(Short::new("a\0"), None);
    }

    #[test]
    fn a_shape_is_digits_and_its_own_bytes() {
        let stamp = |text: &str| has_shape(load(text.as_bytes(), 0), *b"ddTdd:dd");
        assert!(stamp("01T23:59") && stamp("99T00:00"));
        for wrong in [
            "01T23:5",
            "01T23:5/",
            "01T23:5:",
            "01t23:59",
            "01T23;59",
            "0\u{e9}23:59",
        ] {
            assert!(!stamp(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn words_say_what_a_loop_says(bytes in prop::collection::vec(any::<u8>(), 0..24), at in 0_usize..26, byte in any::<u8>()) {
            let word = load(&bytes, at);
            let rest: Vec<u8> = (at..at + 8).map(|at| bytes.get(at).copied().unwrap_or(0)).collect();
            prop_assert_eq!(word.to_le_bytes().to_vec(), rest.clone());
            prop_assert_eq!(before(equal(word, byte)), rest.iter().position(|b| *b == byte).unwrap_or(8));
            let limit = byte & 0x7f;
            prop_assert_eq!(before(below(word, limit)), rest.iter().position(|b| *b < limit).unwrap_or(8));
        }

        #[test]
        fn numbers_are_those_of_the_decimal_grammar(text in "-?[0-9]{0,17}(\\.[0-9]{0,9})?", after in "[ a:,]?") {
            let line = format!("x{text}{after}");
            match number(line.as_bytes(), 1) {
                Some((number, end)) => {
                    let read = &line[1..end];
                    prop_assert_eq!(Some(number), crate::catalogue::small(read.as_bytes()), "{}", read);
                    prop_assert_eq!(read, text.as_str());
                }
                None => {
                    let digits = text.bytes().filter(u8::is_ascii_digit).count();
                    let plain = crate::catalogue::small(text.as_bytes()).is_some();
                    prop_assert!(!plain || digits > 15 || text.split('.').nth(1).is_some_and(|f| f.len() > 8), "{}", text);
                }
            }
        }
    }
}

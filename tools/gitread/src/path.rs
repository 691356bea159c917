//! Paths of trees as text: git paths are bytes, reports and digests are UTF-8.

use std::fmt::Write as _;

/// A path as text, and whether it had to be escaped.
///
/// Bytes that are not UTF-8 become `\xNN` and a backslash becomes `\\`, so that two paths never
/// share one text.
#[must_use]
pub fn escape(path: &[u8]) -> (String, bool) {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    let escaped = text.as_bytes() != path;
    (text, escaped)
}

/// The bytes that [`escape`] made `text` from; `None` for text it never makes.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            _ => return None,
        }
    }
    (escape(&bytes).0 == text).then_some(bytes)
}

/// Whether text holds a character that makes a reader see another order than the compiler does
/// (Unicode bidirectional controls; CVE-2021-42574).
#[must_use]
pub fn has_bidi_control(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(
            c,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_only_what_it_must() {
        for (bytes, text, escaped) in [
            (&b"src/lib.rs"[..], "src/lib.rs", false),
            ("src/\u{e9}.rs".as_bytes(), "src/\u{e9}.rs", false),
            (b"a\xffb", "a\\xffb", true),
            (b"a\\xff", "a\\\\xff", true),
        ] {
            assert_eq!(escape(bytes), (text.to_owned(), escaped));
        }
        assert_eq!(unescape("a\\x41"), None);
        assert_eq!(unescape("a\\q"), None);
    }

    #[test]
    fn bidi_controls_are_seen() {
        assert!(has_bidi_control("a\u{202e}b"));
        assert!(!has_bidi_control("a\u{e9}\u{5d0}b"));
    }

    proptest! {
        #[test]
        fn escaping_loses_nothing(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let (text, escaped) = escape(&bytes);
            prop_assert_eq!(escaped, text.as_bytes() != &bytes[..]);
            prop_assert_eq!(unescape(&text), Some(bytes));
        }
    }
}

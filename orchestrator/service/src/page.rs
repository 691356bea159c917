//! Cutting a log into pages that prove themselves, and showing one to eyes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most lines of a page.
const MAX_LINES: usize = 200;
/// Most bytes of a page that is not UTF-8.
const MAX_BINARY: usize = 1024;

/// Where a page ends and how it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Bytes of the page; 0 only for an empty window.
    pub(crate) len: usize,
    utf8: bool,
}

impl Cut {
    /// Name of the encoding and the page in it.
    pub(crate) fn encode(self, bytes: &[u8]) -> (&'static str, String) {
        match (self.utf8, std::str::from_utf8(bytes)) {
            (true, Ok(text)) => ("utf8", text.to_owned()),
            _ => ("base64", STANDARD.encode(bytes)),
        }
    }
}

/// Cuts a window at a newline, else at a character's boundary. Bytes that are not UTF-8 make a
/// small page of their own. `at_end`: the window ends with the log.
pub(crate) fn cut(window: &[u8], at_end: bool) -> Cut {
    let valid = match std::str::from_utf8(window) {
        Ok(_) => window.len(),
        Err(error) => error.valid_up_to(),
    };
    if valid == 0 && !window.is_empty() {
        return Cut {
            len: invalid_run(window),
            utf8: false,
        };
    }
    let text = &window[..valid];
    let whole = valid == window.len() && at_end;
    let lines = newlines(text).take(MAX_LINES + 1).collect::<Vec<_>>();
    let len = match lines.get(MAX_LINES - 1) {
        Some(after) => *after,
        None if whole => valid,
        None => lines.last().copied().unwrap_or(valid),
    };
    Cut { len, utf8: true }
}

/// Offsets one past each newline.
fn newlines(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(index, _)| index + 1)
}

/// Length of the bytes in front that are not UTF-8, at least 1.
fn invalid_run(window: &[u8]) -> usize {
    let mut len = 0;
    while len < window.len().min(MAX_BINARY) {
        match std::str::from_utf8(&window[len..]) {
            Ok(_) => break,
            Err(error) if error.valid_up_to() > 0 => break,
            Err(error) => len += error.error_len().unwrap_or(window.len() - len).max(1),
        }
    }
    len.clamp(1, window.len().max(1))
}

/// The page for eyes: no escape sequences, control, bidi or tag characters, between two lines with
/// a random nonce that no log can foresee.
pub(crate) fn fenced(bytes: &[u8], nonce: &str) -> String {
    let text = plain(&String::from_utf8_lossy(bytes));
    let newline = if text.ends_with('\n') || text.is_empty() {
        ""
    } else {
        "\n"
    };
    format!("<<<untrusted log {nonce}>>>\n{text}{newline}<<<end {nonce}>>>\n")
}

/// Text without what changes how other text looks.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            skip_escape(&mut chars);
        } else if c == '\n' || c == '\t' || !(c.is_control() || hides(c)) {
            out.push(c);
        }
    }
    out
}

/// ECMA-48 sequences: `ESC [ … final` and `ESC ] … BEL`; anything else is one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while chars.next_if(|c| ('\x20'..='\x3f').contains(c)).is_some() {}
            chars.next_if(|c| ('\x40'..='\x7e').contains(c));
        }
        Some(']') => {
            while chars.next_if(|c| *c != '\x07' && *c != '\n').is_some() {}
            chars.next_if(|c| *c == '\x07');
        }
        _ => {}
    }
}

/// Bidi controls, zero-width characters, tag characters, byte order marks.
fn hides(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pages(log: &[u8], max: usize) -> Vec<(usize, &'static str, String)> {
        let mut offset = 0;
        let mut found = Vec::new();
        while offset < log.len() {
            let window = &log[offset..log.len().min(offset + max)];
            let cut = cut(window, offset + window.len() == log.len());
            assert!(cut.len >= 1 && cut.len <= window.len());
            let (encoding, data) = cut.encode(&window[..cut.len]);
            found.push((cut.len, encoding, data));
            offset += cut.len;
        }
        found
    }

    fn joined(pages: &[(usize, &str, String)]) -> Vec<u8> {
        let bytes = pages.iter().map(|(_, encoding, data)| match *encoding {
            "utf8" => data.clone().into_bytes(),
            _ => STANDARD.decode(data).unwrap(),
        });
        bytes.collect::<Vec<_>>().concat()
    }

    #[test]
    fn pages_end_with_lines_where_there_are_any() {
        let cuts: Vec<usize> = pages(b"one\ntwo\nthree", 9)
            .iter()
            .map(|page| page.0)
            .collect();
        assert_eq!(cuts, [8, 5]);
        let many = "x\n".repeat(450);
        let cuts: Vec<usize> = pages(many.as_bytes(), 8192)
            .iter()
            .map(|page| page.0)
            .collect();
        assert_eq!(cuts, [400, 400, 100]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let log = "é".repeat(100);
        for (len, encoding, _) in pages(log.as_bytes(), 7) {
            assert_eq!((len % 2, encoding), (0, "utf8"));
        }
    }

    #[test]
    fn invalid_bytes_travel_alone() {
        let found = pages(b"ok\n\xff\xfe\x80ok\n", 8192);
        let kinds: Vec<&str> = found.iter().map(|page| page.1).collect();
        assert_eq!(kinds, ["utf8", "base64", "utf8"]);
        assert_eq!(found[1].0, 3);
    }

    proptest! {
        #[test]
        fn concatenated_pages_are_the_log(log in proptest::collection::vec(any::<u8>(), 0..3000), max in 1_usize..600) {
            prop_assert_eq!(joined(&pages(&log, max)), log);
        }

        #[test]
        fn text_for_eyes_has_no_controls(log in proptest::collection::vec(any::<u8>(), 0..500)) {
            let text = fenced(&log, "n0");
            prop_assert!(text.starts_with("<<<untrusted log n0>>>\n") && text.ends_with("<<<end n0>>>\n"));
            prop_assert!(!text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || hides(c)));
        }
    }

    #[test]
    fn colours_and_disguises_are_taken_out() {
        assert_eq!(
            plain("\x1b[31mred\x1b[0m \u{202e}x\x1b]0;title\x07y\r"),
            "red xy"
        );
    }
}

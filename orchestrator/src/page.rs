//! Text laid out for a terminal: no line is wider than the page, whatever stands in it.
//!
//! Every text that is put on a page may come from a log or an agent: it is made printable here, and
//! here alone. Widths are columns of the terminal, not characters or bytes.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{Output, Tone};

/// Narrowest and widest page.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=120;
/// Columns of a field's label, its gap included.
const LABEL: usize = 11;

/// Columns of the terminal that output goes to, within what pages are made for; 100 when piped.
pub(crate) fn terminal_width() -> usize {
    let size = terminal_size::terminal_size();
    let columns = size.map_or(100, |(width, _)| usize::from(width.0));
    columns.clamp(*WIDTHS.start(), *WIDTHS.end())
}

/// Lines of text, at most `width` columns each.
pub(crate) struct Page {
    width: usize,
    output: Output,
    text: String,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(width: usize, output: Output) -> Self {
        Self {
            width,
            output,
            text: String::new(),
        }
    }

    /// A heading in a rule across the page.
    pub(crate) fn rule(&mut self, title: &str) {
        let title = clip(&printable(title), self.width.saturating_sub(6));
        let used = title.width() + 4;
        let rest = "─".repeat(self.width.saturating_sub(used));
        match title.is_empty() {
            true => self.push(&"─".repeat(self.width)),
            false => self.push(&format!("── {title} {rest}")),
        }
    }

    /// A labelled text, wrapped at words under its label.
    pub(crate) fn field(&mut self, label: &str, value: &str) {
        self.labelled(label, value, None);
    }

    /// A labelled text in a tone.
    pub(crate) fn toned(&mut self, label: &str, value: &str, tone: Tone) {
        self.labelled(label, value, Some(tone));
    }

    /// A labelled command: one line that can be copied whole, however wide the page is; a command
    /// that was broken could not be pasted.
    pub(crate) fn command(&mut self, label: &str, command: &str) {
        let command = printable(command);
        let line = format!("{label:<LABEL$}{command}");
        match line.width() <= self.width {
            true => self.push(&line),
            false => {
                if !label.is_empty() {
                    self.push(label);
                }
                wrap(&command, self.width - 2)
                    .iter()
                    .for_each(|line| self.push(&format!("  {line}")));
            }
        }
    }

    /// Text that keeps its spaces, broken where the page ends; `indent` columns are left free, the
    /// first line's hold `mark`.
    pub(crate) fn verbatim(&mut self, mark: &str, indent: usize, value: &str, tone: Option<Tone>) {
        let value = printable(value).replace('\t', "    ");
        let room = self.width.saturating_sub(indent).max(1);
        for (index, piece) in pieces(&value, room).into_iter().enumerate() {
            let mark = if index == 0 { mark } else { "" };
            let line = format!("{}{piece}", pad(mark, indent));
            self.painted(line.trim_end(), tone);
        }
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.push("");
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn labelled(&mut self, label: &str, value: &str, tone: Option<Tone>) {
        let mut label = label;
        for line in wrap(&printable(value), self.width - LABEL) {
            let line = match tone {
                Some(tone) => self.output.paint(tone, &line),
                None => line,
            };
            self.push(format!("{}{line}", pad(label, LABEL)).trim_end());
            label = "";
        }
    }

    fn painted(&mut self, line: &str, tone: Option<Tone>) {
        match tone {
            Some(tone) => {
                let line = self.output.paint(tone, line);
                self.push(&line);
            }
            None => self.push(line),
        }
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The text with spaces behind it, up to that many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// At most that many columns; what is left out is marked.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Lines of at most that many columns, broken between words; a longer word is broken itself.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        for piece in pieces(word, columns) {
            let used = lines.last().map_or(0, |line| line.width());
            if used > 0 && used + 1 + piece.width() > columns {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(&piece);
            }
        }
    }
    lines
}

/// The text cut into pieces of at most that many columns; at least one.
fn pieces(text: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width > columns {
            pieces.push(String::new());
            used = 0;
        }
        used += width;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// Control, invisible and bidirectional characters as escapes, so that no text can drive the
/// terminal or paint over another.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}' => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// The first digits of a digest or object id.
pub(crate) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_wrap_at_words_and_long_words_break() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("longerthanfive x", 5), ["longe", "rthan", "five", "x"]);
        // Two columns each.
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(clip("漢字漢字", 5), "漢字…");
        assert_eq!(clip("abcde", 5), "abcde");
        assert_eq!(clip("abcdef", 5), "abcd…");
    }

    #[test]
    fn texts_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\n");
        assert_eq!(printable("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
    }

    #[test]
    fn no_line_is_wider_than_its_page() {
        let hostile = "漢".repeat(90) + &"\x1b[31m".repeat(9) + " " + &"w".repeat(300);
        for width in [60, 80, 120] {
            let mut page = Page::new(width, Output::plain());
            page.rule(&hostile);
            page.field("label", &hostile);
            page.command("do", &hostile);
            page.verbatim("12 +", 9, &hostile, None);
            let text = page.finish();
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
            assert!(!text.contains('\x1b'));
        }
    }
}

//! libtest's own lines, told apart from what a test prints.
//!
//! With `--nocapture` libtest prints `test NAME ... ` without a newline, then the test prints, then the outcome
//! follows on its own: so a marker can stand in the middle of a line and `ok` alone on one. Without it, captured
//! output stands under `---- NAME stdout ----`.

use super::clean::Piece;
use super::rows::{self, Row};
use crate::Catalogue;

const OPEN: &str = "test ";
const GLUE: &str = " ... ";
const SHOULD_PANIC: &str = " - should panic";
/// Longest test name and outcome that are believed.
const MAX_NAME: usize = 512;
const MAX_OUTCOME: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Libtest {
    /// The test whose outcome has not come yet.
    running: Option<String>,
    /// The test under whose `---- NAME stdout ----` the log stands.
    captured: Option<String>,
    harness: Harness,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Harness {
    /// The log began in the middle: test lines are believed.
    #[default]
    Unknown,
    /// Between `running N tests` and `test result:`.
    Inside,
    /// A line that looks like a test's is somebody's prose.
    Outside,
}

pub(super) enum Reading {
    /// Not libtest's, or complete in itself.
    Plain,
    /// Looks like a test's line, outside of any harness.
    Prose,
    /// The outcome of the running test.
    Outcome(Row),
    /// A test began; its output may follow on the same line at this byte.
    Opened {
        output_at: usize,
        unfinished: Option<String>,
    },
}

/// Stands for the test that was running when a window begins.
const BEFORE: &str = "(began before the window)";

impl Libtest {
    /// For a log that begins in the middle: what comes first belongs to a test whose name is lost.
    pub(super) fn window() -> Self {
        Self {
            running: Some(BEFORE.to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn current(&self) -> Option<&str> {
        self.running.as_deref().or(self.captured.as_deref())
    }

    /// Whether the outcome of a test is awaited.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn unfinished(&mut self) -> Option<String> {
        self.running.take().filter(|name| name != BEFORE)
    }

    pub(super) fn read(&mut self, catalogue: &Catalogue, piece: &Piece<'_>) -> Reading {
        let bytes = piece.bytes();
        if bytes.starts_with(OPEN.as_bytes()) {
            if self.harness != Harness::Outside {
                return self.test_line(catalogue, &piece.text());
            }
            if memchr::memmem::find(bytes, GLUE.as_bytes()).is_some() {
                return Reading::Prose;
            }
        }
        if self.running.is_some()
            && bytes.len() <= MAX_OUTCOME
            && catalogue.index.can_be_outcome(bytes)
        {
            return self.outcome_alone(catalogue, &piece.text());
        }
        self.structure(bytes);
        Reading::Plain
    }

    fn test_line(&mut self, catalogue: &Catalogue, text: &str) -> Reading {
        if text.starts_with("test result: ") {
            self.structure(text.as_bytes());
            return Reading::Plain;
        }
        let Some((head, output)) = text
            .split_once(GLUE)
            .or_else(|| Some((text.strip_suffix(" ...")?, "")))
        else {
            return Reading::Plain;
        };
        let name = head.get(OPEN.len()..).unwrap_or("").trim();
        let name = name.strip_suffix(SHOULD_PANIC).unwrap_or(name);
        if name.is_empty() || name.len() > MAX_NAME {
            return Reading::Plain;
        }
        let unfinished = self.unfinished();
        match rows::starts(catalogue, text).into_iter().next() {
            Some(mut row) => {
                row.test = Some(name.to_owned());
                Reading::Outcome(row)
            }
            None => {
                self.running = Some(name.to_owned());
                Reading::Opened {
                    output_at: text.len() - output.len(),
                    unfinished,
                }
            }
        }
    }

    /// `ok` or `FAILED` on a line of its own, once the test's output has ended.
    fn outcome_alone(&mut self, catalogue: &Catalogue, text: &str) -> Reading {
        let Some(name) = &self.running else {
            return Reading::Plain;
        };
        let joined = format!("{OPEN}{name}{GLUE}{text}");
        if let Some(mut row) = rows::starts(catalogue, &joined).into_iter().next() {
            row.test = self.running.take();
            return Reading::Outcome(row);
        }
        self.structure(text.as_bytes());
        Reading::Plain
    }

    fn structure(&mut self, bytes: &[u8]) {
        if !matches!(bytes.first(), Some(b'r' | b't' | b'f' | b'-')) {
            return;
        }
        if bytes.starts_with(b"running ")
            && (bytes.ends_with(b" tests") || bytes.ends_with(b" test"))
        {
            *self = Self {
                harness: Harness::Inside,
                ..Self::default()
            };
        } else if bytes.starts_with(b"test result: ") {
            *self = Self {
                harness: Harness::Outside,
                ..Self::default()
            };
        } else if bytes == b"failures:" {
            self.captured = None;
        } else if let Some(name) = bytes
            .strip_prefix(b"---- ")
            .and_then(|rest| rest.strip_suffix(b" stdout ----"))
            && name.len() <= MAX_NAME
        {
            self.captured = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
}

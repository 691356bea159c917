//! Markers to lines.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::marker::{Marker, Timing};
use super::{RunId, VERSION};

impl Marker {
    /// The whole line without its newline.
    #[must_use]
    pub fn line(&self, run: &RunId, seq: u64) -> String {
        let mut line = Line::start(self.tag(), run, seq);
        self.print(&mut line);
        line.0
    }
}

/// A line under construction.
pub(super) struct Line(pub(super) String);

impl Line {
    pub(super) fn start(tag: &str, run: &RunId, seq: u64) -> Self {
        Self(format!("{tag} v={VERSION} run={run} seq={seq}"))
    }

    pub(super) fn key(&mut self, key: &str, value: impl fmt::Display) {
        // Writing into a `String` cannot fail.
        let _ = write!(self.0, " {key}={value}");
    }

    fn quoted(&mut self, key: &str, value: &str) {
        let mut escaped = String::with_capacity(value.len() + 2);
        for c in value.chars() {
            match c {
                '"' | '\\' => escaped.extend(['\\', c]),
                c if c.is_control() => escaped.push(' '),
                c => escaped.push(c),
            }
        }
        self.key(key, format_args!("\"{escaped}\""));
    }

    fn list<T: fmt::Display>(&mut self, key: &str, values: &[T]) {
        let values: Vec<String> = values.iter().map(T::to_string).collect();
        self.key(key, format_args!("[{}]", values.join(",")));
    }
}

/// Text that is quoted even where a bare word would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quoted(pub String);

impl<T: Into<String>> From<T> for Quoted {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// A field's value as `key=value`.
pub(super) trait Print {
    fn print(&self, key: &str, line: &mut Line);
}

macro_rules! print_plainly {
    ($($type:ty),*) => {
        $(impl Print for $type {
            fn print(&self, key: &str, line: &mut Line) {
                line.key(key, self);
            }
        })*
    };
}

print_plainly!(u64, u32, bool);

impl Print for f32 {
    fn print(&self, key: &str, line: &mut Line) {
        if self.is_finite() {
            line.key(key, self);
        } else {
            line.key(key, "n/a");
        }
    }
}

impl Print for String {
    fn print(&self, key: &str, line: &mut Line) {
        let breaks = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\');
        // A value that looks like a list would be read as one, and what may stand between pairs would be taken from its end.
        let bare = !self.is_empty()
            && !self.contains(breaks)
            && !self.starts_with('[')
            && !self.ends_with([',', ';']);
        if bare {
            line.key(key, self);
        } else {
            line.quoted(key, self);
        }
    }
}

impl Print for Quoted {
    fn print(&self, key: &str, line: &mut Line) {
        line.quoted(key, &self.0);
    }
}

/// Text of which there is none.
impl Print for Option<Quoted> {
    fn print(&self, key: &str, line: &mut Line) {
        match self {
            Some(text) => text.print(key, line),
            None => line.key(key, "none"),
        }
    }
}

/// What the mode of measuring cannot know.
impl Print for Option<u64> {
    fn print(&self, key: &str, line: &mut Line) {
        match self {
            Some(value) => line.key(key, value),
            None => line.key(key, "n/a"),
        }
    }
}

/// What does not exist.
impl Print for Option<i32> {
    fn print(&self, key: &str, line: &mut Line) {
        match self {
            Some(value) => line.key(key, value),
            None => line.key(key, "none"),
        }
    }
}

impl Print for Vec<u32> {
    fn print(&self, key: &str, line: &mut Line) {
        line.list(key, self);
    }
}

/// Several keys: which of them hold something depends on the mode of measuring.
impl Print for Timing {
    fn print(&self, _key: &str, line: &mut Line) {
        match self {
            Self::Summary => {
                line.key("sum_us", "n/a");
                line.key("gap_us", "n/a");
                line.key("ts", "summary");
                line.key("shader_buckets", "disabled(mode=summary)");
            }
            Self::Full {
                sum_us,
                gap_us,
                buckets,
            } => {
                let bucket = |b: &super::Bucket| format!("{}:{}:{}", b.name, b.count, b.us);
                let list: Vec<_> = buckets.iter().map(bucket).collect();
                line.key("sum_us", sum_us);
                line.key("gap_us", gap_us);
                line.key("ts", "full");
                line.key("shader_buckets", format_args!("[{}]", list.join(",")));
            }
        }
    }
}

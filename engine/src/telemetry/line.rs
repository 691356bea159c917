//! Markers to lines.

use std::fmt::{self, Write as _};

use super::marker::{ArenaPlan, Backend, FirstDivergence, Marker, Perdispatch, Timing, WorkerExit};
use super::{RunId, VERSION};

impl Marker {
    /// The literal tag at the line's start.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Perdispatch(_) => "[GPU PERDISPATCH]",
            Self::FirstDivergence(_) => "FIRST_DIVERGENCE",
            Self::Backend(_) => "[BACKEND]",
            Self::WorkerExit(_) => "[WORKER EXIT]",
            Self::ArenaPlan(_) => "[ARENA PLAN]",
        }
    }

    /// The whole line without its newline.
    #[must_use]
    pub fn line(&self, run: &RunId, seq: u64) -> String {
        let mut line = Line::start(self.tag(), run, seq);
        match self {
            Self::Perdispatch(m) => perdispatch(&mut line, m),
            Self::FirstDivergence(m) => first_divergence(&mut line, m),
            Self::Backend(m) => backend(&mut line, m),
            Self::WorkerExit(m) => worker_exit(&mut line, m),
            Self::ArenaPlan(m) => arena_plan(&mut line, m),
        }
        line.0
    }
}

/// A line under construction.
pub(super) struct Line(pub(super) String);

impl Line {
    pub(super) fn start(tag: &str, run: &RunId, seq: u64) -> Self {
        Self(format!("{tag} v={VERSION} run={run} seq={seq}"))
    }

    pub(super) fn key(&mut self, key: &str, value: impl fmt::Display) -> &mut Self {
        // Writing into a `String` cannot fail.
        let _ = write!(self.0, " {key}={value}");
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        let breaks = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\');
        let bare = !value.is_empty() && !value.contains(breaks);
        if bare {
            self.key(key, value)
        } else {
            self.quoted(key, value)
        }
    }

    fn quoted(&mut self, key: &str, value: &str) -> &mut Self {
        let mut escaped = String::with_capacity(value.len() + 2);
        for c in value.chars() {
            match c {
                '"' | '\\' => escaped.extend(['\\', c]),
                c if c.is_control() => escaped.push(' '),
                c => escaped.push(c),
            }
        }
        self.key(key, format_args!("\"{escaped}\""))
    }

    fn known(&mut self, key: &str, value: Option<impl fmt::Display>) -> &mut Self {
        match value {
            Some(value) => self.key(key, value),
            None => self.key(key, "n/a"),
        }
    }

    fn decimal(&mut self, key: &str, value: f32) -> &mut Self {
        self.known(key, value.is_finite().then_some(value))
    }
}

fn perdispatch(line: &mut Line, m: &Perdispatch) {
    line.text("role", &m.role)
        .text("path", &m.path)
        .text("phase", &m.phase)
        .key("pass", m.pass)
        .key("submits", m.submits)
        .key("dispatches", m.dispatches)
        .key("barriers", m.barriers)
        .known("cb_us", m.cb_us);
    match &m.timing {
        Timing::Summary => {
            line.key("sum_us", "n/a")
                .key("gap_us", "n/a")
                .key("ts", "summary")
                .key("shader_buckets", "disabled(mode=summary)");
        }
        Timing::Full {
            sum_us,
            gap_us,
            buckets,
        } => {
            let list: Vec<_> = buckets
                .iter()
                .map(|b| format!("{}:{}:{}", b.name, b.count, b.us))
                .collect();
            line.key("sum_us", sum_us)
                .key("gap_us", gap_us)
                .key("ts", "full")
                .key("shader_buckets", format_args!("[{}]", list.join(",")));
        }
    }
}

fn first_divergence(line: &mut Line, m: &FirstDivergence) {
    line.text("path", &m.path)
        .text("phase", &m.phase)
        .key("pass", m.pass)
        .key("layer", m.layer)
        .text("tensor_stage", &m.tensor_stage)
        .text("kind", &m.kind)
        .decimal("cpu", m.cpu)
        .decimal("gpu", m.gpu)
        .text("op", &m.op)
        .key("dispatched", m.dispatched)
        .key("inputs_ok", m.inputs_ok)
        .text("last_writer", &m.last_writer)
        .text("region", &m.region);
}

fn backend(line: &mut Line, m: &Backend) {
    line.text("backend", &m.backend)
        .quoted("device", &m.device)
        .quoted("driver", &m.driver)
        .text("api", &m.api)
        .key("cpu_fallback", m.cpu_fallback)
        .text("mode", &m.mode);
}

fn worker_exit(line: &mut Line, m: &WorkerExit) {
    let or_none = |value: Option<i32>| value.map_or_else(|| "none".to_owned(), |v| v.to_string());
    line.key("pid", m.pid)
        .key("code", or_none(m.code))
        .key("signal", or_none(m.signal))
        .text("class", &m.class)
        .text("step", &m.step);
}

fn arena_plan(line: &mut Line, m: &ArenaPlan) {
    line.key("requests", m.requests)
        .key("peak", m.peak)
        .key("aliased", m.aliased)
        .key("pinned", m.pinned)
        .key("envelope", m.envelope);
}

//! The one typed printer of markers: the lines by which a log is read.
//!
//! A line is `TAG v=1 run=<8 hex> seq=<n> key=value …`. `seq` starts at 0 per run and has no gaps; `[TELEMETRY END]`
//! closes a run with the number of lines before it, so that a cut log is noticed. A value that a mode cannot know is
//! printed as `n/a`, never left out and never zero.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of the line format.
pub const VERSION: u32 = 1;

/// Identifies one emitter's run: 8 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunId(String);

impl RunId {
    /// A run id from the process, the moment and a counter; unique enough to tell the runs of one log apart.
    #[must_use]
    pub fn fresh(counter: u64) -> Self {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        let mut hasher = Sha256::new();
        hasher.update(std::process::id().to_le_bytes());
        hasher.update(nanos.to_le_bytes());
        hasher.update(counter.to_le_bytes());
        let digest = hasher.finalize();
        Self(hex::encode(digest.get(..4).unwrap_or(&[0; 4])))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One populated bucket: a kernel class, its dispatches and their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Bucket name, snake case.
    pub name: String,
    /// Dispatches in this pass.
    pub count: u64,
    /// Time in whole microseconds.
    pub us: u64,
}

/// How finely a pass was timed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ts", rename_all = "snake_case")]
pub enum Timing {
    /// One pair of timestamps per command buffer; buckets are off by design and evidence of nothing.
    Summary,
    /// One pair of timestamps per dispatch.
    Full {
        /// Sum over dispatches in microseconds.
        sum_us: u64,
        /// `cb_us − sum_us`, at least 0.
        gap_us: u64,
        /// Time and count per bucket; empty is a bug of the instrumentation.
        buckets: Vec<Bucket>,
    },
}

/// `[GPU PERDISPATCH]`: what one pass submitted and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perdispatch {
    /// Which model of the process: `target`, later `draft`.
    pub role: String,
    /// `single_graph` or `legacy_multi_submit`.
    pub path: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Number of the pass within its run, from 0.
    pub pass: u64,
    /// Queue submits of the pass.
    pub submits: u64,
    /// Dispatches of the pass.
    pub dispatches: u64,
    /// Barriers of the pass.
    pub barriers: u64,
    /// Device time of the command buffers in microseconds; `None` where the queue has no timestamps.
    pub cb_us: Option<u64>,
    /// How finely it was timed.
    pub timing: Timing,
}

/// `FIRST_DIVERGENCE`: the earliest stage where device and reference part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstDivergence {
    /// `single_graph` or `legacy_multi_submit`.
    pub path: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Number of the pass within its run.
    pub pass: u64,
    /// Layer index; 0 before the first, the number of layers after the last.
    pub layer: u64,
    /// Stage name, for example `attn_norm`.
    pub tensor_stage: String,
    /// `zeros`, `drift` or `nan`.
    pub kind: String,
    /// The reference's value at the worst element.
    pub cpu: f32,
    /// The device's value there.
    pub gpu: f32,
    /// Operation that produces the stage.
    pub op: String,
    /// Whether the stream dispatches that operation at all.
    pub dispatched: bool,
    /// Whether the stage's inputs agreed.
    pub inputs_ok: bool,
    /// The last command that wrote the wrong input, or else the stage; `none` when nothing did.
    pub last_writer: String,
    /// Memory region of the stage.
    pub region: String,
}

/// `[BACKEND]`: what answers, and that nothing fell back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// `vulkan` or `cpu`.
    pub backend: String,
    /// Device name.
    pub device: String,
    /// Driver name and version.
    pub driver: String,
    /// API version.
    pub api: String,
    /// Whether a CPU answers where a GPU was asked for; there is no code path that sets it (law §7).
    pub cpu_fallback: bool,
    /// Resolved mode, for example `GpuSingleGraph`.
    pub mode: String,
}

/// `[WORKER EXIT]`: how a worker process ended, told by its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerExit {
    /// Process id.
    pub pid: u32,
    /// Exit code, when it exited.
    pub code: Option<i32>,
    /// Signal, when one killed it.
    pub signal: Option<i32>,
    /// `clean`, `driver_crash`, `gpu_hang` or `protocol`.
    pub class: String,
    /// The request in progress, or `idle`.
    pub step: String,
}

/// `[ARENA PLAN]`: what the planner decided, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArenaPlan {
    /// Tensors that asked for arena bytes.
    pub requests: u64,
    /// Peak in bytes.
    pub peak: u64,
    /// Tensors that share bytes with another.
    pub aliased: u64,
    /// Tensors that may share with none.
    pub pinned: u64,
    /// Envelope in bytes that the peak must stay within.
    pub envelope: u64,
}

/// Every marker line that this crate prints with run and sequence number.
#[derive(Debug, Clone, PartialEq)]
pub enum Marker {
    /// `[GPU PERDISPATCH]`
    Perdispatch(Perdispatch),
    /// `FIRST_DIVERGENCE`
    FirstDivergence(FirstDivergence),
    /// `[BACKEND]`
    Backend(Backend),
    /// `[WORKER EXIT]`
    WorkerExit(WorkerExit),
    /// `[ARENA PLAN]`
    ArenaPlan(ArenaPlan),
}

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

struct Line(String);

impl Line {
    fn start(tag: &str, run: &RunId, seq: u64) -> Self {
        Self(format!("{tag} v={VERSION} run={run} seq={seq}"))
    }

    fn key(&mut self, key: &str, value: impl fmt::Display) -> &mut Self {
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

/// Prints the markers of one run, numbers them and closes the run with its trailer.
///
/// Lines are written whole, one call each, so that they stay whole when other processes write to the same log.
pub struct Telemetry<W: Write> {
    out: W,
    run: RunId,
    seq: u64,
    runs: u64,
}

impl<W: Write> fmt::Debug for Telemetry<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("run", &self.run)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Telemetry<W> {
    /// Starts a run on `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            run: RunId::fresh(0),
            seq: 0,
            runs: 1,
        }
    }

    /// Prints one marker.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn emit(&mut self, marker: &Marker) -> io::Result<()> {
        let mut line = marker.line(&self.run, self.seq);
        line.push('\n');
        self.seq += 1;
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }

    /// Prints a line that is no marker of its own: a free phrase without run and number.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn phrase(&mut self, phrase: &str) -> io::Result<()> {
        let line = format!("{}\n", phrase.replace(['\n', '\r'], " "));
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }

    /// Closes the run with `[TELEMETRY END]` and starts the next one. A run without lines leaves no trace.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn end_run(&mut self) -> io::Result<()> {
        if self.seq == 0 {
            return Ok(());
        }
        let mut line = Line::start("[TELEMETRY END]", &self.run, self.seq);
        line.key("lines", self.seq);
        line.0.push('\n');
        self.out.write_all(line.0.as_bytes())?;
        self.run = RunId::fresh(self.runs);
        self.runs += 1;
        self.seq = 0;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId("0a1b2c3d".into())
    }

    fn pass(timing: Timing) -> Marker {
        Marker::Perdispatch(Perdispatch {
            role: "target".into(),
            path: "single_graph".into(),
            phase: "decode".into(),
            pass: 3,
            submits: 1,
            dispatches: 30,
            barriers: 29,
            cb_us: Some(812),
            timing,
        })
    }

    #[test]
    fn a_summary_pass_says_that_its_buckets_are_off_by_design() {
        assert_eq!(
            pass(Timing::Summary).line(&run(), 7),
            "[GPU PERDISPATCH] v=1 run=0a1b2c3d seq=7 role=target path=single_graph phase=decode pass=3 submits=1 \
             dispatches=30 barriers=29 cb_us=812 sum_us=n/a gap_us=n/a ts=summary \
             shader_buckets=disabled(mode=summary)"
        );
    }

    #[test]
    fn a_full_pass_lists_its_buckets() {
        let bucket = |name: &str, count, us| Bucket {
            name: name.into(),
            count,
            us,
        };
        let timing = Timing::Full {
            sum_us: 800,
            gap_us: 12,
            buckets: vec![bucket("matmul_f32", 15, 700), bucket("rope", 4, 100)],
        };
        assert!(pass(timing).line(&run(), 0).ends_with(
            " cb_us=812 sum_us=800 gap_us=12 ts=full shader_buckets=[matmul_f32:15:700,rope:4:100]"
        ));
    }

    #[test]
    fn numbers_are_plain_decimals_and_unknown_ones_are_not_zero() {
        let marker = Marker::FirstDivergence(FirstDivergence {
            path: "single_graph".into(),
            phase: "prefill".into(),
            pass: 0,
            layer: 0,
            tensor_stage: "attn_norm".into(),
            kind: "nan".into(),
            cpu: 0.000_000_1,
            gpu: f32::NAN,
            op: "rms_norm".into(),
            dispatched: true,
            inputs_ok: true,
            last_writer: "none".into(),
            region: "arena".into(),
        });
        assert_eq!(
            marker.line(&run(), 1),
            "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=1 path=single_graph phase=prefill pass=0 layer=0 \
             tensor_stage=attn_norm kind=nan cpu=0.0000001 gpu=n/a op=rms_norm dispatched=true inputs_ok=true \
             last_writer=none region=arena"
        );
    }

    #[test]
    fn device_names_cannot_break_a_line() {
        let marker = Marker::Backend(Backend {
            backend: "vulkan".into(),
            device: "odd \"card\"\nv2\\".into(),
            driver: "llvmpipe".into(),
            api: "1.3.230".into(),
            cpu_fallback: false,
            mode: "GpuSingleGraph".into(),
        });
        assert_eq!(
            marker.line(&run(), 0),
            "[BACKEND] v=1 run=0a1b2c3d seq=0 backend=vulkan device=\"odd \\\"card\\\" v2\\\\\" \
             driver=\"llvmpipe\" api=1.3.230 cpu_fallback=false mode=GpuSingleGraph"
        );
    }

    #[test]
    fn a_run_is_numbered_without_gaps_and_closed_with_its_count() {
        let mut out = Vec::new();
        let mut telemetry = Telemetry::new(&mut out);
        let exit = Marker::WorkerExit(WorkerExit {
            pid: 7,
            code: None,
            signal: Some(6),
            class: "driver_crash".into(),
            step: "predict".into(),
        });
        telemetry.emit(&exit).unwrap();
        telemetry
            .phrase("canonical envelope needs 9 B but only 8 B remain")
            .unwrap();
        telemetry.emit(&exit).unwrap();
        telemetry.end_run().unwrap();
        telemetry.end_run().unwrap();
        telemetry.emit(&exit).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[0].contains(" seq=0 pid=7 code=none signal=6 class=driver_crash step=predict")
        );
        assert!(lines[2].contains(" seq=1 "));
        assert!(lines[3].starts_with("[TELEMETRY END] ") && lines[3].ends_with(" seq=2 lines=2"));
        assert!(lines[4].contains(" seq=0 "));
        let run_of = |line: &str| {
            line.split(' ')
                .find(|w| w.starts_with("run="))
                .map(str::to_owned)
        };
        assert_eq!(run_of(lines[0]), run_of(lines[3]));
        assert_ne!(run_of(lines[0]), run_of(lines[4]));
    }
}

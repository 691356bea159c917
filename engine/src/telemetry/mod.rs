//! The one typed printer of markers: the lines by which a log is read.
//!
//! A line is `TAG v=1 run=<8 hex> seq=<n> key=value …`. `seq` starts at 0 per run and has no gaps; `[TELEMETRY END]`
//! closes a run with the number of lines before it, so that a cut log is noticed. A value that a mode cannot know is
//! printed as `n/a`, never left out and never zero.

mod line;
mod marker;
mod phrase;

use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use line::Line;
pub use line::Quoted;
pub use marker::*;
pub use phrase::{ForwardProfile, PathDistance, SingleGraphBlock};

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
    pub fn phrase(&mut self, phrase: &impl fmt::Display) -> io::Result<()> {
        let line = format!("{}\n", phrase.to_string().replace(['\n', '\r'], " "));
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
            .phrase(&"canonical envelope needs 9 B but only 8 B remain")
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

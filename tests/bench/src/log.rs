//! A log from a seed, in the form that a forge stores, with its exact truth.

use std::fmt::Write as _;
use std::io;

use crate::noise;
use crate::random::Random;
use crate::truth::Truth;

/// How many of the lines are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nearly every line is one.
    Dense,
    /// One line of two hundred is one.
    Sparse,
}

/// A generator.
#[derive(Debug)]
pub struct Log {
    style: Style,
    random: Random,
    truth: Truth,
    /// The line, without its stamp.
    line: String,
    /// Stamped, with its newline.
    stamped: String,
    numbers: Vec<(i64, i32)>,
    seq: u64,
    run: u64,
    tick: u64,
}

impl Log {
    /// A generator of logs of this style.
    #[must_use]
    pub fn new(style: Style, seed: u64) -> Self {
        Self {
            style,
            random: Random::new(seed),
            truth: Truth::default(),
            line: String::new(),
            stamped: String::new(),
            numbers: Vec::new(),
            seq: 0,
            run: 0x0a1b_2c3d,
            tick: 0,
        }
    }

    /// Writes at least `bytes` bytes and says what they hold.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(mut self, bytes: u64, out: &mut dyn io::Write) -> io::Result<Truth> {
        while self.truth.bytes < bytes {
            match (self.style, self.random.below(1000)) {
                (Style::Dense, 0..5) | (Style::Sparse, 0..1) => self.echo(out)?,
                (Style::Dense, 5..40) | (Style::Sparse, 1..4) => {
                    noise::decoy(&mut self.random, &mut self.line);
                    self.end(None, out)?;
                }
                (Style::Dense, 40..960) | (Style::Sparse, 4..9) => self.row(out)?,
                _ => {
                    noise::chatter(&mut self.random, &mut self.line);
                    self.end(None, out)?;
                }
            }
        }
        if self.seq > 0 {
            self.trailer(out)?;
        }
        Ok(self.truth)
    }

    /// An echoed script, whose lines are no rows whatever they say.
    fn echo(&mut self, out: &mut dyn io::Write) -> io::Result<()> {
        for text in [
            "##[group]Run cargo test -p engine --release",
            "[ARENA PLAN] v=1 run=0a1b2c3d seq=0 requests=57 peak=1048576 aliased=40 pinned=3 envelope=3948937216",
            "using CPU backend for inference (Vulkan fallback)",
            "##[endgroup]",
        ] {
            self.line.push_str(text);
            self.end(None, out)?;
        }
        Ok(())
    }

    fn row(&mut self, out: &mut dyn io::Write) -> io::Result<()> {
        let kind = match self.random.below(16) {
            0..6 => self.perdispatch(),
            6..8 => self.divergence(),
            8 => self.timing(),
            9 => self.norm(),
            10 => self.layer(),
            11 => self.arena(),
            12 => self.validate(),
            13 => self.envelope(),
            14 => self.backend(),
            _ => return self.trailer(out),
        };
        self.end(Some(kind), out)
    }

    fn number(&mut self, key: &str, value: u64) {
        let _ = write!(self.line, " {key}={value}");
        self.numbers.push((value.cast_signed(), 0));
    }

    /// `value` thousandths.
    fn thousandths(&mut self, key: &str, value: u64) {
        let _ = write!(self.line, " {key}={}.{:03}", value / 1000, value % 1000);
        self.numbers.push((value.cast_signed(), -3));
    }

    fn text(&mut self, text: &str) {
        self.line.push_str(text);
    }

    fn tagged(&mut self, tag: &str) {
        self.text(tag);
        self.number("v", 1);
        let _ = write!(self.line, " run={:08x}", self.run);
        self.number("seq", self.seq);
        self.seq += 1;
    }

    fn perdispatch(&mut self) -> &'static str {
        self.tagged("[GPU PERDISPATCH]");
        let (pass, us) = (self.random.below(512), 500 + self.random.below(9000));
        self.text(" role=target path=single_graph phase=decode");
        self.number("pass", pass);
        self.number("submits", 1);
        self.number("dispatches", 31);
        self.number("barriers", 14);
        self.number("cb_us", us);
        self.number("sum_us", us - 33);
        self.number("gap_us", 33);
        self.text(" ts=full shader_buckets=[");
        let names = [
            "rms_norm",
            "matvec_f32",
            "rope",
            "attention",
            "silu_mul",
            "add",
        ];
        for (at, name) in names.into_iter().enumerate() {
            let (count, us) = (1 + self.random.below(40), self.random.below(5000));
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(self.line, "{comma}{name}:{count}:{us}");
            self.numbers.push((count.cast_signed(), 0));
            self.numbers.push((us.cast_signed(), 0));
        }
        self.text("]");
        "gpu_perdispatch"
    }

    fn divergence(&mut self) -> &'static str {
        self.tagged("FIRST_DIVERGENCE");
        let (layer, cpu, gpu) = (
            self.random.below(32),
            self.random.below(9000),
            self.random.below(9),
        );
        self.text(" path=single_graph phase=prefill");
        self.number("pass", 0);
        self.number("layer", layer);
        self.text(" tensor_stage=attn_norm kind=drift");
        self.thousandths("cpu", cpu);
        self.thousandths("gpu", gpu);
        self.text(" op=rms_norm dispatched=true inputs_ok=true last_writer=none region=arena");
        "first_divergence"
    }

    fn timing(&mut self) -> &'static str {
        self.tagged("[GPU TIMING BREAKDOWN]");
        self.text(" path=single_graph phase=decode");
        let noops = self.random.pick(&[0, 50, 100]);
        let wait = 100_000 + noops * 1500 + self.random.below(900);
        self.number("noops", noops);
        self.number("submit_us", 31);
        self.thousandths("wait_us", wait);
        "timing_breakdown"
    }

    fn norm(&mut self) -> &'static str {
        self.tagged("[GPU SMOKE OP NORM]");
        self.text(" op=matvec_f32");
        let norm = self.random.below(1_000_000);
        self.thousandths("norm", norm);
        "smoke_op_norm"
    }

    fn layer(&mut self) -> &'static str {
        self.tagged("[LAYER PROFILE]");
        let (layer, us) = (self.random.below(32), self.random.below(900));
        self.number("layer", layer);
        self.number("us", us);
        self.number("dispatches", 13);
        "layer_profile"
    }

    fn arena(&mut self) -> &'static str {
        self.tagged("[ARENA PLAN]");
        let peak = self.random.below(1 << 30);
        self.number("requests", 57);
        self.number("peak", peak);
        self.number("aliased", 40);
        self.number("pinned", 3);
        self.number("envelope", 3_948_937_216);
        "arena_plan"
    }

    fn validate(&mut self) -> &'static str {
        self.tagged("[VALIDATE L0]");
        self.text(" stage=attn_norm side=output status=ok");
        let off = self.random.below(50);
        self.thousandths("max_abs", off);
        "validate_l0"
    }

    fn envelope(&mut self) -> &'static str {
        let needed = self.random.below(1 << 33);
        let _ = write!(
            self.line,
            "ERROR engine::plan: canonical envelope needs {needed} B but only 2147483648 B remain (heap 0)"
        );
        self.numbers.push((needed.cast_signed(), 0));
        self.numbers.push((2_147_483_648, 0));
        "envelope"
    }

    fn backend(&mut self) -> &'static str {
        self.tagged("[BACKEND]");
        self.text(" backend=vulkan device=\"llvmpipe (LLVM 15.0.6, 256 bits)\" driver=\"llvmpipe Mesa 22.3.6\" api=1.3.230");
        self.text(" cpu_fallback=false mode=GpuSingleGraph");
        "backend"
    }

    fn trailer(&mut self, out: &mut dyn io::Write) -> io::Result<()> {
        let lines = self.seq;
        self.tagged("[TELEMETRY END]");
        self.number("lines", lines);
        self.seq = 0;
        self.run = self.run.wrapping_add(0x0001_1111) & 0xffff_ffff;
        self.end(Some("telemetry_end"), out)
    }

    fn end(&mut self, kind: Option<&str>, out: &mut dyn io::Write) -> io::Result<()> {
        if let Some(kind) = kind {
            self.truth.row(kind, &self.numbers);
        }
        self.tick += 137_731;
        let (seconds, fraction) = (self.tick / 10_000_000, self.tick % 10_000_000);
        self.stamped.clear();
        let _ = writeln!(
            self.stamped,
            "2025-11-{:02}T{:02}:{:02}:{:02}.{fraction:07}Z {}",
            1 + seconds / 86_400 % 28,
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            self.line,
        );
        out.write_all(self.stamped.as_bytes())?;
        self.truth.lines += 1;
        self.truth.bytes += self.stamped.len() as u64;
        self.line.clear();
        self.numbers.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use markers::{Catalogue, Scanner};

    use super::*;
    use crate::Seen;

    #[test]
    fn the_scanner_sees_exactly_what_the_generator_wrote() {
        let catalogue = Catalogue::builtin().expect("the catalogue loads");
        for (style, seed) in [(Style::Dense, 1), (Style::Dense, 2), (Style::Sparse, 3)] {
            let mut log = Vec::new();
            let truth = Log::new(style, seed)
                .write(2 << 20, &mut log)
                .expect("a log");
            let (mut scanner, mut seen) = (Scanner::new(&catalogue), Seen::default());
            for chunk in log.chunks(100_003) {
                scanner.push_each(chunk, |row| seen.row(row));
            }
            let scan = scanner.finish_each(|row| seen.row(row));
            assert_eq!(scan.counts, truth.rows, "{style:?} {seed}");
            assert_eq!((seen.digest, seen.rows), (truth.digest, truth.total()));
            assert_eq!((scan.lines, scan.bytes), (truth.lines, truth.bytes));
            assert!(scan.complete, "{:?}", scan.diagnostics.first());
            assert!(truth.total() > 50 && scan.diagnostics.len() > 5);
        }
    }

    #[test]
    fn a_seed_gives_the_same_log_and_another_another() {
        let log = |seed| {
            let mut log = Vec::new();
            let truth = Log::new(Style::Dense, seed).write(10_000, &mut log);
            (log, truth.expect("a log"))
        };
        assert_eq!(log(7), log(7));
        assert_ne!(log(7).1.digest, log(8).1.digest);
    }
}

//! Lines that are read by their wording, without run and number.

use std::fmt;

/// How far the logits of two paths are apart, with the limits and the row.
#[derive(Debug, Clone, PartialEq)]
pub struct PathDistance {
    /// Symmetric KL divergence over the five likeliest tokens.
    pub kl_sym_top5: f64,
    /// Its limit.
    pub kl_limit: f64,
    /// Difference of the largest logits.
    pub top1_gap: f64,
    /// Its limit.
    pub gap_limit: f64,
    /// Row with the largest divergence.
    pub row: u64,
    /// First side.
    pub a: String,
    /// Second side.
    pub b: String,
}

impl fmt::Display for PathDistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kl_sym_top5,
            kl_limit,
            top1_gap,
            gap_limit,
            row,
            a,
            b,
        } = self;
        write!(
            f,
            "kl_sym_top5={kl_sym_top5} kl_limit={kl_limit} top1_gap={top1_gap} gap_limit={gap_limit} row={row} a={a} b={b}"
        )
    }
}

/// Begin or end of a block of single-graph passes: `[GPU SMOKE SINGLE-GRAPH]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleGraphBlock {
    /// It begins.
    Begin,
    /// It ends.
    End,
}

impl fmt::Display for SingleGraphBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin => "[GPU SMOKE SINGLE-GRAPH] begin",
            Self::End => "[GPU SMOKE SINGLE-GRAPH] end",
        })
    }
}

/// Where the wall-clock time of a pass went: `[forward profile: …]`, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardProfile {
    /// `single_graph` or `legacy_multi_submit`.
    pub path: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Number of the pass within its run.
    pub pass: u64,
    /// The whole pass.
    pub total: u64,
    /// Building graph, plan and stream.
    pub record: u64,
    /// Host waiting for the device.
    pub wait: u64,
    /// Tokens of the pass.
    pub tokens: u64,
}

impl fmt::Display for ForwardProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            phase,
            pass,
            total,
            record,
            wait,
            tokens,
        } = self;
        write!(
            f,
            "[forward profile: path={path} phase={phase} pass={pass} total={total}us record={record}us wait={wait}us tokens={tokens}]"
        )
    }
}

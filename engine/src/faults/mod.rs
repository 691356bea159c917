//! Faults on purpose: each breaks one part of a pass, so that tests can show which judge sees it and where.
//!
//! Only builds with the feature `faults` have them. A worker takes one from `ENGINE_FAULT`, `engine sim` from `--fault`;
//! [`FAULTS`] says what each does and which detector names it. The bug bank holds a source patch for each.

mod inject;
mod table;

use std::fmt;
use std::str::FromStr;

use crate::graph::OpKind;

pub use table::{Cell, Detector, ExamplePass, FAULTS, FaultSpec, markdown};

/// Variable from which a worker takes its fault.
pub const VARIABLE: &str = "ENGINE_FAULT";

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Barrier `k` is not recorded.
    DropBarrier(usize),
    /// No barrier shows what these ops write without owning it.
    DropSideEffect(OpKind),
    /// Input leaves get bytes only from their first reader on.
    AliasLeaf,
    /// A decode pass runs the graph of the pass before it.
    StaleTopology,
    /// The rotary table is made for another base.
    WrongRopeBase,
    /// Dispatch `k` is not recorded.
    SkipDispatch(usize),
    /// The query, key and value weights keep 8 bits of mantissa.
    FusePrecision,
    /// An adapter's product stays after it was unloaded.
    LoraResidue,
    /// The reference answers in place of the device.
    CpuSubstitute,
    /// A tap is planned where no command reads the tensor.
    TapSerialises,
    /// Every leaf is pinned, weights and caches included.
    EnvelopeBlowup,
    /// The rotary kernel takes the strides of adjacent pairs for every model.
    SpecConstantDefault,
    /// The worker aborts in a prediction.
    WorkerAbort,
    /// The worker never answers a prediction.
    WorkerHang,
    /// The worker exits in a prediction.
    WorkerExit,
    /// The worker writes bytes that are no message.
    WorkerGarbage,
    /// The worker writes one endless line.
    WorkerFlood,
    /// The worker streams tokens without end.
    WorkerBabble,
    /// The worker hangs while it builds pipelines.
    WarmUpHang,
}

/// Text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no fault; known are {known}")]
pub struct UnknownFault {
    text: String,
    known: String,
}

/// Faults without an argument.
const PLAIN: &[(&str, Fault)] = &[
    ("alias_leaf", Fault::AliasLeaf),
    ("stale_topology", Fault::StaleTopology),
    ("wrong_rope_base", Fault::WrongRopeBase),
    ("fuse_precision", Fault::FusePrecision),
    ("lora_residue", Fault::LoraResidue),
    ("cpu_substitute", Fault::CpuSubstitute),
    ("tap_serialises", Fault::TapSerialises),
    ("envelope_blowup", Fault::EnvelopeBlowup),
    ("spec_constant_default", Fault::SpecConstantDefault),
    ("worker_abort", Fault::WorkerAbort),
    ("worker_hang", Fault::WorkerHang),
    ("worker_exit", Fault::WorkerExit),
    ("worker_garbage", Fault::WorkerGarbage),
    ("worker_flood", Fault::WorkerFlood),
    ("worker_babble", Fault::WorkerBabble),
    ("worker_warm_up_hang", Fault::WarmUpHang),
];

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let counted = |number: &str, make: fn(usize) -> Fault| number.parse().ok().map(make);
        let found = match text.split_once(':') {
            Some(("drop_barrier", number)) => counted(number, Fault::DropBarrier),
            Some(("skip_dispatch", number)) => counted(number, Fault::SkipDispatch),
            Some(("drop_side_effect", op)) => OpKind::ALL
                .iter()
                .find(|kind| kind.name() == op)
                .map(|kind| Fault::DropSideEffect(*kind)),
            Some(_) => None,
            None => PLAIN
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, fault)| *fault),
        };
        found.ok_or_else(|| UnknownFault {
            text: text.to_owned(),
            known: FAULTS
                .iter()
                .map(FaultSpec::usage)
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::DropBarrier(number) => write!(f, "drop_barrier:{number}"),
            Fault::SkipDispatch(number) => write!(f, "skip_dispatch:{number}"),
            Fault::DropSideEffect(op) => write!(f, "drop_side_effect:{}", op.name()),
            plain => {
                let name = PLAIN.iter().find(|(_, fault)| fault == plain);
                f.write_str(name.map_or("unnamed", |(name, _)| name))
            }
        }
    }
}

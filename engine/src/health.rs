//! Is the device still telling the truth? Allocate, run, copy, compare.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::graph::OpKind;
use crate::ir::{
    Barrier, Binding, ByteRange, Command, CommandIr, Copy, CopyPurpose, Dispatch, HostInput,
    HostOutput, Region, ScopeSet,
};
use crate::kernels::Kernel;
use crate::vk::device::Device;
use crate::vk::exec::{Executor, PlayOptions};
use crate::vk::regions::Regions;
use crate::vk::{SyncKind, VkError};

/// Outcome of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Health {
    /// Every byte came back as computed.
    Healthy,
    /// A step failed; the process must be replaced.
    Poisoned {
        /// Error code, or `wrong_result`.
        code: String,
        /// `allocate`, `run` or `compare`.
        step: String,
    },
    /// The device did not answer in time.
    Hung,
}

const ROWS: u32 = 4;
const COLS: u32 = 96;
const BYTES: u64 = (ROWS * COLS * 4) as u64;

/// Runs [`probe_stream`] on a fresh piece of memory and compares the result with the CPU's.
#[must_use]
pub fn check(device: &Arc<Device>, timeout: Duration) -> Health {
    let mut executor = match Executor::new(device) {
        Ok(executor) => executor,
        Err(error) => return poisoned(&error, "allocate"),
    };
    let mut regions = Regions::new(device, None);
    let options = PlayOptions {
        sync: SyncKind::Fence,
        stamp_dispatches: false,
        timeout,
    };
    let operands: Vec<u8> = operands().iter().flat_map(|v| v.to_le_bytes()).collect();
    let host = |_: HostInput, _: u64| Some(Cow::Owned(operands.clone()));
    let played = match executor.play(&probe_stream(), &mut regions, &host, &options) {
        Ok(played) => played,
        Err(VkError::Timeout { .. }) => return Health::Hung,
        Err(error) => return poisoned(&error, "run"),
    };
    if let Err(error) = regions.check_guards() {
        return poisoned(&error, "compare");
    }
    let got = played.reads.first().map(|(_, bytes)| bytes.as_slice());
    let want: Vec<u8> = sums().iter().flat_map(|v| v.to_le_bytes()).collect();
    if got == Some(&want) {
        Health::Healthy
    } else {
        Health::Poisoned {
            code: "wrong_result".into(),
            step: "compare".into(),
        }
    }
}

fn poisoned(error: &VkError, step: &str) -> Health {
    Health::Poisoned {
        code: error.code().into(),
        step: step.into(),
    }
}

/// Small whole numbers, whose sums every device computes exactly.
fn operands() -> Vec<f32> {
    (0..2 * ROWS * COLS)
        .map(|i| f32::from(u16::try_from(i % 1021).unwrap_or(0)))
        .collect()
}

fn sums() -> Vec<f32> {
    let both = operands();
    let (a, b) = both.split_at(both.len() / 2);
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The stream of the check: two operands in, one `add`, the sum out.
#[must_use]
pub fn probe_stream() -> CommandIr {
    let arena = |slot: u64| ByteRange::new(Region::Arena, slot * 2 * BYTES, BYTES);
    let staging = ByteRange::new(Region::Staging, 0, 2 * BYTES);
    let operands = ByteRange::new(Region::Arena, 0, 2 * BYTES);
    let readback = ByteRange::new(Region::Readback, 0, BYTES);
    let sum = arena(1);
    let halves = [
        ByteRange::new(Region::Arena, 0, BYTES),
        ByteRange::new(Region::Arena, BYTES, BYTES),
        sum,
    ];
    let bindings = Binding::untold(Kernel::Add, halves);
    let copy = |src, dst, purpose| {
        Command::Copy(Copy {
            src,
            dst,
            src_tensor: None,
            dst_tensor: None,
            purpose,
        })
    };
    let barrier = |src, dst, range| {
        Command::Barrier(Barrier {
            src,
            dst,
            ranges: vec![range],
            for_taps: false,
        })
    };
    CommandIr {
        commands: vec![
            Command::HostWrite {
                dst: staging,
                input: HostInput::Weights {
                    chunk: 0,
                    offset: 0,
                },
            },
            copy(staging, operands, CopyPurpose::Input),
            barrier(ScopeSet::TRANSFER_WRITE, ScopeSet::SHADER_READ, operands),
            Command::Dispatch(Dispatch {
                index: 0,
                node: None,
                op: OpKind::Add,
                kernel: Kernel::Add,
                bindings,
                immediates: vec![COLS],
                groups: [COLS.div_ceil(64), ROWS, 1],
            }),
            barrier(ScopeSet::SHADER_WRITE, ScopeSet::TRANSFER_READ, sum),
            copy(sum, readback, CopyPurpose::Output),
            barrier(ScopeSet::TRANSFER_WRITE, ScopeSet::HOST_READ, readback),
            Command::submit(),
            Command::FenceWait,
            Command::HostRead {
                src: readback,
                output: HostOutput::Logits,
            },
        ],
        region_sizes: Vec::new(),
    }
    .sized()
}

//! CommandIr: everything the engine asks of a device, as a value.
//!
//! A [`CommandIr`] is a list of commands in host order. `HostWrite`, `HostRead` and `FenceWait` happen on the host;
//! the others are recorded into the open command buffer, which `SubmitBoundary` ends and submits to its queue. The recorder
//! has one queue; a stream with several can be judged, not played.
//!
//! Meaning, which executor and judges share:
//! - commands of one command buffer may overlap unless a [`Barrier`] orders them, also across submits;
//! - a submit makes all earlier host writes visible to what it submits;
//! - commands on two queues are ordered by a submit that waits for the other's semaphore, or by a fence between them,
//!   and by nothing else;
//! - `FenceWait` waits for everything submitted so far and orders it before everything later;
//!   the host may read device writes only after a barrier to [`ScopeSet::HOST_READ`] *and* the fence;
//! - regions start zeroed (see [`crate::record::record_initialisation`]).

mod command;
mod range;
mod scope;

use serde::Serialize;
use sha2::{Digest, Sha256};

pub use crate::kernels::{Access, Kernel};
pub use command::{
    Barrier, Binding, Command, Copy, CopyPurpose, Dispatch, HostInput, HostOutput, Origin, QueueId,
    RangeAccess, Submit,
};
pub use range::{ALIGNMENT, ByteRange, Region, align_up};
pub use scope::ScopeSet;

/// Size that a region needs for an IR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct RegionSize {
    /// Region.
    pub region: Region,
    /// Bytes, a multiple of [`ALIGNMENT`].
    pub bytes: u64,
}

/// Submits, dispatches and barriers of an IR, without taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Counters {
    /// Submits to the queue.
    pub submits: u32,
    /// Compute dispatches, noops included.
    pub dispatches: u32,
    /// Barriers.
    pub barriers: u32,
    /// Copies, taps excluded.
    pub copies: u32,
}

/// A command stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct CommandIr {
    /// Commands in host order.
    pub commands: Vec<Command>,
    /// Least size of every region that the commands name.
    pub region_sizes: Vec<RegionSize>,
}

impl CommandIr {
    /// SHA-256 over the canonical JSON of the stream, as lower-case hex.
    pub fn digest(&self) -> String {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(bytes))
    }

    /// The stream as if no tap had been asked for. Tapping may only ever add commands, so this equals the untapped stream.
    pub fn without_taps(&self) -> CommandIr {
        CommandIr {
            commands: self
                .commands
                .iter()
                .filter(|c| !c.is_tap())
                .cloned()
                .collect(),
            region_sizes: region_sizes(self.commands.iter().filter(|c| !c.is_tap())),
        }
    }

    /// Fills `region_sizes` from the commands.
    pub fn sized(mut self) -> CommandIr {
        self.region_sizes = region_sizes(self.commands.iter());
        self
    }

    /// Least size of a region; 0 when the stream does not name it.
    pub fn region_size(&self, region: Region) -> u64 {
        self.region_sizes
            .iter()
            .find(|size| size.region == region)
            .map_or(0, |size| size.bytes)
    }

    /// By command: the number of the submit that it belongs to or, on the host, that comes next.
    pub fn submit_numbers(&self) -> Vec<u32> {
        let mut submits = 0;
        let number = |command: &Command| {
            let own = submits;
            submits += u32::from(command.is_submit());
            own
        };
        self.commands.iter().map(number).collect()
    }

    /// All submits in order; their places are the numbers that [`CommandIr::submit_numbers`] gives.
    pub fn submits(&self) -> impl Iterator<Item = &Submit> {
        self.commands.iter().filter_map(|command| match command {
            Command::SubmitBoundary(submit) => Some(submit),
            _ => None,
        })
    }

    /// By command: the queue that it comes from; `None` for the host's. What no submit follows counts as the main queue's.
    pub fn queues(&self) -> Vec<Option<QueueId>> {
        let submits: Vec<&Submit> = self.submits().collect();
        let queue = |(command, number): (&Command, u32)| {
            let submit = submits.get(number as usize);
            let queue = submit.map_or(QueueId::MAIN, |submit| submit.queue);
            (command.origin() == Origin::Queue).then_some(queue)
        };
        let numbered = self.commands.iter().zip(self.submit_numbers());
        numbered.map(queue).collect()
    }

    /// Whether everything goes to the main queue and waits for no semaphore, as the player and the simulated device need it.
    pub fn has_one_queue(&self) -> bool {
        self.submits().all(|submit| *submit == Submit::default())
    }

    /// All dispatches in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.commands.iter().filter_map(Command::as_dispatch)
    }

    /// What telemetry reports about the stream.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for command in &self.commands {
            match command {
                Command::SubmitBoundary(_) => counters.submits += 1,
                Command::Dispatch(_) => counters.dispatches += 1,
                Command::Barrier(barrier) if !barrier.for_taps => counters.barriers += 1,
                Command::Copy(_) if !command.is_tap() => counters.copies += 1,
                _ => {}
            }
        }
        counters
    }
}

fn region_sizes<'a>(commands: impl Iterator<Item = &'a Command>) -> Vec<RegionSize> {
    let mut sizes = std::collections::BTreeMap::<Region, u64>::new();
    let mut grow = |range: &ByteRange| {
        let bytes = align_up(range.end()).unwrap_or(u64::MAX);
        let size = sizes.entry(range.region).or_default();
        *size = bytes.max(*size);
    };
    for command in commands {
        if let Command::Dispatch(dispatch) = command {
            dispatch
                .bindings
                .iter()
                .for_each(|binding| grow(&binding.range));
        }
        command
            .accesses()
            .iter()
            .for_each(|access| grow(&access.range));
    }
    sizes
        .into_iter()
        .map(|(region, bytes)| RegionSize { region, bytes })
        .collect()
}

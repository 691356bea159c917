//! What the device's memory gives a kernel: a copy of a buffer larger than any cache.

use std::sync::Arc;

use super::median;
use crate::error::Result;
use crate::graph::OpKind;
use crate::ir::{
    Barrier, Binding, ByteRange, Command, CommandIr, Dispatch, HostInput, Region, ScopeSet,
};
use crate::kernels::{COPY_VECTORS, Kernel};
use crate::vk::device::Device;
use crate::vk::exec::{Executor, PlayOptions};
use crate::vk::regions::Regions;

/// Bytes copied at once.
const COPIED: u64 = 32 << 20;
/// Copies that are timed, after one that is not.
const ROUNDS: usize = 7;

/// Bytes per second, reads and writes counted, in the median of several copies.
pub(super) fn bandwidth(
    device: &Arc<Device>,
    executor: &mut Executor,
    options: &PlayOptions,
) -> Result<f64> {
    let mut regions = Regions::new(device, None);
    let options = PlayOptions {
        stamp_dispatches: true,
        ..*options
    };
    let mut samples = Vec::new();
    for round in 0..=ROUNDS {
        let start = std::time::Instant::now();
        let played = executor.play(
            &stream(),
            &mut regions,
            &|_: HostInput, _: u64| None,
            &options,
        )?;
        let wall = start.elapsed().as_secs_f64();
        let stamped = played
            .kernels
            .map(|kernels| kernels.iter().map(|k| k.ns).sum::<u64>());
        let seconds = stamped
            .filter(|ns| *ns > 0)
            .map_or(wall, |ns| ns as f64 / 1e9);
        if round > 0 {
            samples.push(2.0 * COPIED as f64 / seconds);
        }
    }
    Ok(median(samples))
}

/// One zeroing of the source, one copy.
fn stream() -> CommandIr {
    let source = ByteRange::new(Region::Dummy, 0, COPIED);
    let target = ByteRange::new(Region::Dummy, COPIED, COPIED);
    let bindings = Binding::untold(Kernel::Copy, [source, target]);
    let vectors = (COPIED / 16) as u32;
    CommandIr {
        commands: vec![
            Command::Zero {
                dst: source,
                for_taps: false,
            },
            Command::Barrier(Barrier {
                src: ScopeSet::TRANSFER_WRITE,
                dst: ScopeSet::SHADER_READ,
                ranges: vec![source],
                for_taps: false,
            }),
            Command::Dispatch(Dispatch {
                index: 0,
                node: None,
                op: OpKind::Noop,
                kernel: Kernel::Copy,
                bindings,
                immediates: vec![vectors],
                groups: [vectors.div_ceil(COPY_VECTORS), 1, 1],
            }),
            Command::submit(),
            Command::FenceWait,
        ],
        region_sizes: Vec::new(),
    }
    .sized()
}

#[cfg(test)]
mod tests {
    use super::stream;
    use crate::hazard;

    #[test]
    fn the_copy_has_no_hazard() {
        assert_eq!(hazard::check(&stream()), []);
    }
}

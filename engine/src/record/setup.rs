//! Streams that run before the first pass: zeroing of regions and upload of weights.

use crate::ir::{
    Barrier, ByteRange, Command, CommandIr, Copy, CopyPurpose, HostInput, Region, RegionSize,
    ScopeSet,
};
use crate::weights::WeightsPlan;

/// Staging bytes for the upload of weights.
pub const STAGING_BYTES: u64 = 16 << 20;

/// Zeroes regions that passes read before they have written all of them. Host-visible regions are not meant.
pub fn record_initialisation(sizes: &[RegionSize]) -> CommandIr {
    let mut ir = CommandIr::default();
    for size in sizes.iter().filter(|size| size.bytes > 0) {
        ir.commands.push(Command::Zero {
            dst: ByteRange::new(size.region, 0, size.bytes),
            for_taps: false,
        });
    }
    ir.commands.extend([Command::submit(), Command::FenceWait]);
    ir.sized()
}

/// Uploads all weights through at most `staging_bytes` (a multiple of 256, for example [`STAGING_BYTES`]) of staging, piece by piece.
pub fn record_upload(weights: &WeightsPlan, staging_bytes: u64) -> CommandIr {
    let mut ir = CommandIr::default();
    for (chunk, bytes) in (0u16..).zip(weights.chunks()) {
        let mut offset = 0;
        while offset < *bytes {
            let len = (bytes - offset).min(staging_bytes.max(crate::ir::ALIGNMENT));
            piece(&mut ir, chunk, offset, len);
            offset += len;
        }
    }
    ir.sized()
}

fn piece(ir: &mut CommandIr, chunk: u16, offset: u64, len: u64) {
    let src = ByteRange::new(Region::Staging, 0, len);
    let dst = ByteRange::new(Region::Weights(chunk), offset, len);
    let copy = Copy {
        src,
        dst,
        src_tensor: None,
        dst_tensor: None,
        purpose: CopyPurpose::WeightUpload,
    };
    let visible = Barrier {
        src: ScopeSet::TRANSFER_WRITE,
        dst: ScopeSet::SHADER_READ,
        ranges: vec![dst],
        for_taps: false,
    };
    ir.commands.extend([
        Command::HostWrite {
            dst: src,
            input: HostInput::Weights { chunk, offset },
        },
        Command::Copy(copy),
        Command::Barrier(visible),
        Command::submit(),
        Command::FenceWait,
    ]);
}

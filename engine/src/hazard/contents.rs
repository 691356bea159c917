//! Which tensor's data each byte holds.

use super::{HazardKind, Raw, shared, without};
use crate::ir::{ByteRange, Command, RangeAccess, Region};
use crate::tensor::TensorId;

#[derive(Debug, Clone, Copy)]
struct Owner {
    range: ByteRange,
    tensor: Option<TensorId>,
    writer: usize,
}

/// Owners of the bytes of arena and state; state keeps what earlier streams wrote.
#[derive(Debug, Default)]
pub(super) struct Contents {
    owners: Vec<Owner>,
}

impl Contents {
    pub(super) fn step(&mut self, index: usize, command: &Command) -> Vec<Raw> {
        let accesses = command.accesses();
        let followed =
            |access: &&RangeAccess| matches!(access.range.region, Region::Arena | Region::State);
        let reads = accesses
            .iter()
            .filter(followed)
            .filter(|access| access.access.reads());
        let found = reads.flat_map(|access| self.read(index, access)).collect();
        let cleared = matches!(command, Command::Zero { .. });
        for access in accesses
            .iter()
            .filter(followed)
            .filter(|access| access.access.writes())
        {
            self.forget(&access.range);
            if !cleared {
                self.owners.push(Owner {
                    range: access.range,
                    tensor: access.tensor,
                    writer: index,
                });
            }
        }
        found
    }

    fn read(&self, index: usize, access: &RangeAccess) -> Vec<Raw> {
        let mut unknown = vec![access.range];
        let mut found = Vec::new();
        for owner in self
            .owners
            .iter()
            .filter(|owner| owner.range.overlaps(&access.range))
        {
            unknown = unknown
                .iter()
                .flat_map(|part| without(part, &shared(part, &owner.range)))
                .collect();
            if owner.tensor != access.tensor {
                let range = shared(&owner.range, &access.range);
                found.push(Raw {
                    kind: HazardKind::Clobbered,
                    first: Some(owner.writer),
                    second: index,
                    range,
                });
            }
        }
        let unwritten = unknown
            .into_iter()
            .filter(|range| range.region == Region::Arena);
        found.extend(unwritten.map(|range| Raw {
            kind: HazardKind::Unwritten,
            first: None,
            second: index,
            range,
        }));
        found
    }

    fn forget(&mut self, range: &ByteRange) {
        let mut owners = Vec::with_capacity(self.owners.len() + 1);
        for owner in self.owners.drain(..) {
            if owner.range.overlaps(range) {
                let kept = without(&owner.range, range);
                owners.extend(kept.into_iter().map(|range| Owner { range, ..owner }));
            } else {
                owners.push(owner);
            }
        }
        self.owners = owners;
    }
}

//! Where a pass needs barriers.

use crate::ir::{ByteRange, RangeAccess, Region};

/// Accesses that no barrier has ordered yet.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    pending: Vec<(ByteRange, bool)>,
}

impl Tracker {
    /// Takes note of a command's accesses. When one of them conflicts with a pending access, returns the written
    /// ranges that a barrier in front of the command has to make visible; everything pending is ordered then.
    pub(super) fn order(&mut self, accesses: &[RangeAccess]) -> Option<Vec<ByteRange>> {
        // Weights never change, staging is written by the host, dummies are private to one dispatch: none can conflict in a pass.
        let tracked = |range: &ByteRange| {
            !matches!(
                range.region,
                Region::Weights(_) | Region::Staging | Region::Dummy
            )
        };
        let relevant: Vec<(ByteRange, bool)> = accesses
            .iter()
            .filter(|access| tracked(&access.range))
            .map(|access| (access.range, access.access.writes()))
            .collect();
        let conflicts = relevant.iter().any(|(range, writes)| {
            self.pending
                .iter()
                .any(|(other, wrote)| (*writes || *wrote) && range.overlaps(other))
        });
        let ordered = conflicts.then(|| written(std::mem::take(&mut self.pending)));
        self.pending.extend(relevant);
        ordered
    }
}

/// Written ranges, sorted and joined where they touch.
fn written(pending: Vec<(ByteRange, bool)>) -> Vec<ByteRange> {
    let mut ranges: Vec<ByteRange> = pending
        .into_iter()
        .filter(|(_, wrote)| *wrote)
        .map(|(range, _)| range)
        .collect();
    ranges.sort_unstable();
    let mut joined: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.region == range.region && range.offset <= last.end() => {
                last.len = last.len.max(range.end() - last.offset);
            }
            _ => joined.push(range),
        }
    }
    joined
}

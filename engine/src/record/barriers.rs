//! Where a pass needs barriers.

use crate::ir::{Access, ByteRange, Command, Region};

/// Accesses that no barrier has ordered yet.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    pending: Vec<Pending>,
}

/// One access of a command.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// Bytes that the command really touches; they decide whether a barrier is needed.
    touched: ByteRange,
    /// Bytes that a barrier names. Khronos validation counts a bound range as written from end to end, so a barrier
    /// over less would leave it a hazard.
    bound: ByteRange,
    access: Access,
}

impl Tracker {
    /// Takes note of a command's accesses. When one of them conflicts with a pending access, returns the written
    /// ranges that a barrier in front of the command has to make visible; everything pending is ordered then.
    pub(super) fn order(&mut self, command: &Command) -> Option<Vec<ByteRange>> {
        let relevant: Vec<Pending> = accesses(command)
            .into_iter()
            .filter(|access| is_tracked(access.touched.region))
            .collect();
        let conflicts = relevant.iter().any(|new| {
            self.pending.iter().any(|old| {
                (new.access.writes() || old.access.writes()) && new.touched.overlaps(&old.touched)
            })
        });
        let ordered = conflicts.then(|| written(&std::mem::take(&mut self.pending)));
        self.pending.extend(relevant);
        ordered
    }
}

/// Weights never change, staging is written by the host, dummies are private to one dispatch: none can conflict in a pass.
fn is_tracked(region: Region) -> bool {
    !matches!(region, Region::Weights(_) | Region::Staging | Region::Dummy)
}

fn accesses(command: &Command) -> Vec<Pending> {
    if let Some(dispatch) = command.as_dispatch() {
        let bindings = dispatch.bindings.iter();
        return bindings
            .map(|binding| Pending {
                touched: binding.touched,
                bound: binding.range,
                access: binding.access,
            })
            .collect();
    }
    let exact = command.accesses().into_iter();
    exact
        .map(|access| Pending {
            touched: access.range,
            bound: access.range,
            access: access.access,
        })
        .collect()
}

/// Written ranges, sorted and joined where they touch.
fn written(pending: &[Pending]) -> Vec<ByteRange> {
    let mut ranges: Vec<ByteRange> = pending
        .iter()
        .filter(|access| access.access.writes())
        .map(|access| access.bound)
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

//! Which writes every read of a stream sees on the least helpful device.

use crate::ir::{Barrier, ByteRange, Command, CommandIr, ScopeSet};

/// One write of a stream.
#[derive(Debug, Clone)]
pub(super) struct Write {
    command: usize,
    access: usize,
    /// Bytes written.
    pub(super) range: ByteRange,
    /// Parts of them that no earlier, unordered write overtakes.
    pub(super) kept: Vec<ByteRange>,
}

/// One read of a stream.
#[derive(Debug, Clone)]
pub(super) struct Read {
    access: usize,
    /// Bytes read.
    pub(super) range: ByteRange,
    /// Writes that it sees, by number and part, in the order in which they cover one another.
    pub(super) writes: Vec<(usize, ByteRange)>,
}

/// Reads and writes of a stream, and which sees which.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// All writes in stream order.
    pub(super) writes: Vec<Write>,
    /// By command: whether it happens at all.
    pub(super) executed: Vec<bool>,
    reads: Vec<Vec<Read>>,
    numbers: Vec<Vec<usize>>,
}

impl Seen {
    /// Follows a stream from its first command to its last.
    pub(super) fn of(ir: &CommandIr) -> Seen {
        let count = ir.commands.len();
        let mut sweep = Sweep {
            seen: Seen {
                executed: executed(ir),
                reads: vec![Vec::new(); count],
                numbers: vec![Vec::new(); count],
                ..Seen::default()
            },
            past_writes: Vec::new(),
            past_reads: Vec::new(),
        };
        for (index, command) in ir.commands.iter().enumerate() {
            sweep.step(index, command);
        }
        sweep.seen
    }

    /// The read of an access, counted as in [`Command::accesses`].
    pub(super) fn read(&self, command: usize, access: usize) -> Option<&Read> {
        self.reads[command]
            .iter()
            .find(|read| read.access == access)
    }

    /// Number of the write of an access.
    pub(super) fn write(&self, command: usize, access: usize) -> Option<usize> {
        let numbers = self.numbers[command].iter().copied();
        numbers
            .into_iter()
            .find(|number| self.writes[*number].access == access)
    }

    /// Commands whose writes a command sees.
    pub(super) fn sources(&self, command: usize) -> impl Iterator<Item = usize> {
        let writes = self.reads[command].iter().flat_map(|read| &read.writes);
        writes.map(|(number, _)| self.writes[*number].command)
    }
}

/// A command of the device happens when a submit follows it.
fn executed(ir: &CommandIr) -> Vec<bool> {
    let last_submit = ir.commands.iter().rposition(Command::is_submit);
    let host = |command: &Command| {
        matches!(
            command,
            Command::HostWrite { .. } | Command::HostRead { .. } | Command::FenceWait
        )
    };
    let commands = ir.commands.iter().enumerate();
    commands
        .map(|(index, command)| host(command) || last_submit.is_some_and(|last| index < last))
        .collect()
}

/// How far an earlier access is ordered before what comes.
#[derive(Debug, Clone, Copy)]
struct Reach {
    scope: ScopeSet,
    /// Members whose stage comes after the access.
    ordered: ScopeSet,
    available: bool,
    /// Members that see the write.
    visible: ScopeSet,
    submitted: bool,
    completed: bool,
}

impl Reach {
    fn new(scope: ScopeSet) -> Reach {
        Reach {
            scope,
            ordered: ScopeSet::default(),
            available: false,
            visible: ScopeSet::default(),
            submitted: false,
            completed: false,
        }
    }

    fn is_before(&self, scope: ScopeSet) -> bool {
        same_stage(self.ordered, scope)
    }

    fn is_seen_by(&self, scope: ScopeSet) -> bool {
        self.is_before(scope) && self.visible.contains(scope)
    }

    /// Takes note of a barrier's execution dependency; true when the access is in its first scope.
    fn order(&mut self, barrier: &Barrier) -> bool {
        let first = same_stage(barrier.src, self.scope) || same_stage(barrier.src, self.ordered);
        if first {
            self.ordered = self.ordered.union(barrier.dst);
        }
        first
    }

    fn show(&mut self, barrier: &Barrier) {
        self.available |= barrier.src.contains(self.scope);
        if self.available {
            self.visible = self.visible.union(barrier.dst);
        }
    }

    fn complete(&mut self) {
        self.completed = true;
        self.available = true;
        self.ordered = self.ordered.union(ScopeSet::DEVICE);
        self.visible = self.visible.union(ScopeSet::DEVICE);
    }

    fn is_settled(&self) -> bool {
        self.visible.contains(ScopeSet::DEVICE)
            && self.is_before(ScopeSet::SHADER_READ)
            && self.is_before(ScopeSet::TRANSFER_READ)
    }
}

#[derive(Debug, Clone, Copy)]
struct PastWrite {
    number: usize,
    range: ByteRange,
    reach: Reach,
}

#[derive(Debug, Clone, Copy)]
struct PastRead {
    command: usize,
    place: usize,
    range: ByteRange,
    reach: Reach,
}

struct Sweep {
    seen: Seen,
    /// Writes that later reads may still see, in stream order.
    past_writes: Vec<PastWrite>,
    /// Reads that a later write may still overtake.
    past_reads: Vec<PastRead>,
}

impl Sweep {
    fn step(&mut self, index: usize, command: &Command) {
        match command {
            Command::Barrier(barrier) => self.barrier(barrier),
            Command::SubmitBoundary(_) => {
                let writes = self.past_writes.iter_mut().map(|past| &mut past.reach);
                let reads = self.past_reads.iter_mut().map(|past| &mut past.reach);
                writes.chain(reads).for_each(|reach| reach.submitted = true);
            }
            Command::FenceWait => self.fence(),
            _ => self.access(index, command),
        }
    }

    fn access(&mut self, index: usize, command: &Command) {
        let by_host = matches!(
            command,
            Command::HostWrite { .. } | Command::HostRead { .. }
        );
        let accesses = command.accesses();
        for (access, found) in accesses.iter().enumerate() {
            if found.access.reads() {
                self.read(
                    index,
                    access,
                    found.range,
                    scope_of(command, false),
                    by_host,
                );
            }
        }
        for (access, found) in accesses.iter().enumerate() {
            if found.access.writes() {
                self.write(index, access, found.range, scope_of(command, true), by_host);
            }
        }
    }

    fn read(
        &mut self,
        command: usize,
        access: usize,
        range: ByteRange,
        scope: ScopeSet,
        by_host: bool,
    ) {
        let sees = |reach: &Reach| {
            if by_host {
                reach.completed && reach.visible.contains(scope)
            } else {
                reach.is_seen_by(scope)
            }
        };
        let writes = self
            .past_writes
            .iter()
            .filter(|past| past.range.overlaps(&range) && sees(&past.reach));
        let writes = writes.map(|past| (past.number, past.range)).collect();
        if !by_host {
            self.past_reads.push(PastRead {
                command,
                place: self.seen.reads[command].len(),
                range,
                reach: Reach::new(scope),
            });
        }
        self.seen.reads[command].push(Read {
            access,
            range,
            writes,
        });
    }

    fn write(
        &mut self,
        command: usize,
        access: usize,
        range: ByteRange,
        scope: ScopeSet,
        by_host: bool,
    ) {
        let number = self.seen.writes.len();
        let mut kept = vec![range];
        if !by_host {
            let unordered = self.past_writes.iter().filter(|past| {
                past.range.overlaps(&range)
                    && !past.reach.is_seen_by(scope)
                    && self.seen.writes[past.number].command != command
            });
            for past in unordered {
                kept = without(&kept, &past.range);
            }
        }
        for past in self.past_reads.iter().filter(|past| {
            let late = if by_host {
                !past.reach.completed
            } else {
                !past.reach.is_before(scope)
            };
            late && past.command != command && past.range.overlaps(&range)
        }) {
            self.seen.reads[past.command][past.place]
                .writes
                .push((number, range));
        }
        let mut reach = Reach::new(scope);
        if by_host {
            // The submit that follows makes it visible to everything that it submits.
            reach.complete();
            reach.visible = reach.visible.union(ScopeSet::HOST_READ);
        }
        self.seen.numbers[command].push(number);
        self.seen.writes.push(Write {
            command,
            access,
            range,
            kept,
        });
        self.past_writes.push(PastWrite {
            number,
            range,
            reach,
        });
        if by_host {
            self.forget_covered();
        }
    }

    fn barrier(&mut self, barrier: &Barrier) {
        let mut split = Vec::with_capacity(self.past_writes.len());
        let mut settled = false;
        for mut past in self.past_writes.drain(..) {
            if past.reach.is_settled() && !barrier.dst.has_host() || !past.reach.order(barrier) {
                split.push(past);
                continue;
            }
            let mut hidden = vec![past.range];
            for shown in &barrier.ranges {
                if let Some(range) = common(&past.range, shown) {
                    let mut part = PastWrite { range, ..past };
                    part.reach.show(barrier);
                    settled |= part.reach.is_settled();
                    split.push(part);
                    hidden = without(&hidden, &range);
                }
            }
            split.extend(hidden.into_iter().map(|range| PastWrite { range, ..past }));
        }
        self.past_writes = split;
        for past in &mut self.past_reads {
            past.reach.order(barrier);
        }
        if settled {
            self.forget_covered();
        }
    }

    fn fence(&mut self) {
        let writes = self.past_writes.iter_mut().map(|past| &mut past.reach);
        let reads = self.past_reads.iter_mut().map(|past| &mut past.reach);
        for reach in writes.chain(reads).filter(|reach| reach.submitted) {
            reach.complete();
        }
        self.forget_covered();
    }

    /// Drops what nothing later can see or overtake: bytes under a settled write, and reads that are over.
    fn forget_covered(&mut self) {
        let over = |reach: &Reach| {
            reach.is_before(ScopeSet::SHADER_WRITE)
                && reach.is_before(ScopeSet::TRANSFER_WRITE)
                && reach.completed
        };
        let device_only = |range: &ByteRange| {
            !matches!(
                range.region,
                crate::ir::Region::Staging | crate::ir::Region::Readback
            )
        };
        self.past_reads.retain(|past| {
            let ordered = past.reach.is_before(ScopeSet::SHADER_WRITE)
                && past.reach.is_before(ScopeSet::TRANSFER_WRITE);
            !(over(&past.reach) || ordered && device_only(&past.range))
        });
        let mut covers: Vec<ByteRange> = Vec::new();
        let mut kept = Vec::with_capacity(self.past_writes.len());
        for past in self.past_writes.iter().rev() {
            let mut parts = vec![past.range];
            for cover in covers.iter().filter(|cover| cover.overlaps(&past.range)) {
                parts = without(&parts, cover);
            }
            kept.extend(parts.into_iter().map(|range| PastWrite { range, ..*past }));
            if past.reach.is_settled() {
                let whole = &self.seen.writes[past.number].kept;
                covers.extend(whole.iter().filter_map(|part| common(part, &past.range)));
            }
        }
        kept.reverse();
        self.past_writes = kept;
    }
}

fn same_stage(a: ScopeSet, b: ScopeSet) -> bool {
    a.has_compute() && b.has_compute()
        || a.has_transfer() && b.has_transfer()
        || a.has_host() && b.has_host()
}

fn scope_of(command: &Command, writes: bool) -> ScopeSet {
    match (command, writes) {
        (Command::HostRead { .. }, _) => ScopeSet::HOST_READ,
        (Command::Dispatch(_), true) => ScopeSet::SHADER_WRITE,
        (Command::Dispatch(_), false) => ScopeSet::SHADER_READ,
        (_, true) => ScopeSet::TRANSFER_WRITE,
        (_, false) => ScopeSet::TRANSFER_READ,
    }
}

fn common(a: &ByteRange, b: &ByteRange) -> Option<ByteRange> {
    let start = a.offset.max(b.offset);
    let end = a.end().min(b.end());
    (a.region == b.region && start < end).then(|| ByteRange::new(a.region, start, end - start))
}

/// The parts of ranges outside a hole.
fn without(ranges: &[ByteRange], hole: &ByteRange) -> Vec<ByteRange> {
    let mut left = Vec::with_capacity(ranges.len() + 1);
    for range in ranges {
        let Some(cut) = common(range, hole) else {
            left.push(*range);
            continue;
        };
        let before = ByteRange::new(range.region, range.offset, cut.offset - range.offset);
        let after = ByteRange::new(range.region, cut.end(), range.end() - cut.end());
        left.extend([before, after].into_iter().filter(|part| part.len > 0));
    }
    left
}

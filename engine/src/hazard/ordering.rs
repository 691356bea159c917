//! Which earlier accesses are ordered before which later ones.

use super::queues::{Place, Queues};
use super::{HazardKind, Raw, shared, without};
use crate::ir::{Barrier, ByteRange, Command, CommandIr, RangeAccess, Region, ScopeSet};

/// Pipeline stages as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stages(u8);

impl Stages {
    const DEVICE: Stages = Stages(3);

    fn of(scopes: ScopeSet) -> Stages {
        Stages(
            u8::from(scopes.has_compute())
                | u8::from(scopes.has_transfer()) << 1
                | u8::from(scopes.has_host()) << 2,
        )
    }

    fn meets(self, other: Stages) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Stages) -> Stages {
        Stages(self.0 | other.0)
    }
}

/// A past access and what has been ordered after it since.
#[derive(Debug, Clone, Copy)]
struct Past {
    command: usize,
    place: Place,
    range: ByteRange,
    writes: bool,
    by_host: bool,
    scope: ScopeSet,
    ordered: Stages,
    visible: ScopeSet,
    available: bool,
    submitted: bool,
    completed: bool,
}

impl Past {
    /// Whether no later access can conflict: everything of the device comes after it and sees it, and the host never touches it.
    fn is_settled(&self) -> bool {
        let hidden_from_host = !matches!(self.range.region, Region::Staging | Region::Readback);
        let seen = !self.writes || self.visible.contains(ScopeSet::DEVICE);
        hidden_from_host && seen && self.ordered.0 & Stages::DEVICE.0 == Stages::DEVICE.0
    }
}

/// Accesses of the stream so far that can still matter.
#[derive(Debug)]
pub(super) struct Ordering {
    queues: Queues,
    past: Vec<Past>,
    open: Option<usize>,
}

impl Ordering {
    pub(super) fn new(ir: &CommandIr) -> Self {
        Self {
            queues: Queues::of(ir),
            past: Vec::new(),
            open: None,
        }
    }

    pub(super) fn step(&mut self, index: usize, command: &Command) -> Vec<Raw> {
        match command {
            Command::Barrier(barrier) => {
                self.barrier(index, barrier);
                Vec::new()
            }
            Command::SubmitBoundary(_) => {
                self.past.iter_mut().for_each(|past| past.submitted = true);
                self.open = None;
                Vec::new()
            }
            Command::FenceWait => {
                self.fence();
                Vec::new()
            }
            Command::HostWrite { .. } | Command::HostRead { .. } => self.host(index, command),
            Command::Zero { .. } | Command::Copy(_) | Command::Dispatch(_) => {
                self.device(index, command)
            }
        }
    }

    /// Commands that nothing submits.
    pub(super) fn finish(&self) -> Option<Raw> {
        let second = self.open?;
        let range = self.past.iter().find(|past| past.command == second)?.range;
        Some(Raw {
            kind: HazardKind::NeverSubmitted,
            first: None,
            second,
            range,
        })
    }

    fn device(&mut self, index: usize, command: &Command) -> Vec<Raw> {
        self.open = Some(index);
        let accesses = command.accesses();
        let found = accesses
            .iter()
            .flat_map(|access| self.conflicts(index, command, access))
            .collect();
        for access in &accesses {
            let scope = scope_of(command, access.access.writes());
            self.remember(
                access,
                Past {
                    command: index,
                    place: self.queues.place(index),
                    range: access.range,
                    writes: access.access.writes(),
                    by_host: false,
                    scope,
                    ordered: Stages::default(),
                    visible: ScopeSet::default(),
                    available: false,
                    submitted: false,
                    completed: false,
                },
            );
        }
        found
    }

    fn conflicts(&self, index: usize, command: &Command, access: &RangeAccess) -> Vec<Raw> {
        let rivals = self
            .past
            .iter()
            .filter(|past| past.command != index && past.range.overlaps(&access.range));
        rivals
            .filter_map(|past| {
                let kind = self.conflict(past, index, command, access)?;
                Some(Raw {
                    kind,
                    first: Some(past.command),
                    second: index,
                    range: shared(&past.range, &access.range),
                })
            })
            .collect()
    }

    fn conflict(
        &self,
        past: &Past,
        index: usize,
        command: &Command,
        access: &RangeAccess,
    ) -> Option<HazardKind> {
        let here = self.queues.place(index);
        if self.queues.orders(past.place, here) {
            return None;
        }
        let reached = past.place.queue == here.queue || past.completed;
        conflict(past, reached, command, access)
    }

    /// Forgets what a write that covers it replaces, then adds the access.
    fn remember(&mut self, access: &RangeAccess, new: Past) {
        if new.writes {
            self.past
                .retain(|past| past.command == new.command || !access.range.contains(&past.range));
        }
        self.past.push(new);
    }

    /// What a barrier orders lies on its own queue, or has been waited for by the host.
    fn barrier(&mut self, index: usize, barrier: &Barrier) {
        let queue = self.queues.place(index).queue;
        let src = Stages::of(barrier.src);
        let mut split = Vec::with_capacity(self.past.len());
        for mut past in self.past.drain(..) {
            let first_scope = src.meets(Stages::of(past.scope)) || src.meets(past.ordered);
            let reached = past.place.queue == queue || past.completed;
            if past.by_host || !reached || !first_scope {
                split.push(past);
                continue;
            }
            past.ordered = past.ordered.with(Stages::of(barrier.dst));
            if past.writes {
                split.extend(shown(past, barrier));
            } else {
                split.push(past);
            }
        }
        self.past = split;
        self.forget_settled();
    }

    fn fence(&mut self) {
        for past in self
            .past
            .iter_mut()
            .filter(|past| past.submitted && !past.by_host)
        {
            past.completed = true;
            past.available = true;
            past.ordered = past.ordered.with(Stages::DEVICE);
            past.visible = past.visible.union(ScopeSet::DEVICE);
        }
        self.forget_settled();
    }

    /// Where there are several queues, a barrier settles things for its own only.
    fn forget_settled(&mut self) {
        let one_queue = !self.queues.are_several();
        self.past
            .retain(|past| !(past.is_settled() && (one_queue || past.completed)));
    }

    fn host(&mut self, index: usize, command: &Command) -> Vec<Raw> {
        let accesses = command.accesses();
        let mut found = Vec::new();
        for access in &accesses {
            for past in self
                .past
                .iter()
                .filter(|past| !past.by_host && past.range.overlaps(&access.range))
            {
                let range = shared(&past.range, &access.range);
                let raw = |kind| Raw {
                    kind,
                    first: Some(past.command),
                    second: index,
                    range,
                };
                let matters = past.writes || access.access.writes();
                if matters && !past.completed {
                    found.push(raw(HazardKind::HostAccessInFlight));
                } else if access.access.reads()
                    && past.writes
                    && !past.visible.contains(ScopeSet::HOST_READ)
                {
                    found.push(raw(HazardKind::NotVisibleToHost));
                }
            }
            if access.access.writes() {
                // The submit that follows makes host writes visible, so they order themselves.
                self.past.retain(|past| !access.range.contains(&past.range));
            }
        }
        found
    }
}

/// The parts of a write that a barrier shows and does not show to its second scope.
fn shown(past: Past, barrier: &Barrier) -> Vec<Past> {
    let mut hidden = vec![past.range];
    let mut parts = Vec::new();
    for range in barrier
        .ranges
        .iter()
        .filter(|range| range.overlaps(&past.range))
    {
        let common = shared(range, &past.range);
        hidden = hidden
            .iter()
            .flat_map(|part| without(part, &common))
            .collect();
        let available = past.available || barrier.src.contains(past.scope);
        let visible = if available {
            past.visible.union(barrier.dst)
        } else {
            past.visible
        };
        parts.push(Past {
            range: common,
            available,
            visible,
            ..past
        });
    }
    parts.extend(hidden.into_iter().map(|range| Past { range, ..past }));
    parts
}

fn scope_of(command: &Command, writes: bool) -> ScopeSet {
    match (command, writes) {
        (Command::Dispatch(_), true) => ScopeSet::SHADER_WRITE,
        (Command::Dispatch(_), false) => ScopeSet::SHADER_READ,
        (_, true) => ScopeSet::TRANSFER_WRITE,
        (_, false) => ScopeSet::TRANSFER_READ,
    }
}

fn conflict(
    past: &Past,
    reached: bool,
    command: &Command,
    access: &RangeAccess,
) -> Option<HazardKind> {
    let ordered = |scope: ScopeSet| reached && past.ordered.meets(Stages::of(scope));
    let shown = |scope: ScopeSet| ordered(scope) && past.visible.contains(scope);
    let (read, write) = (scope_of(command, false), scope_of(command, true));
    if past.writes && access.access.reads() && !shown(read) {
        return Some(HazardKind::ReadAfterWrite);
    }
    if past.writes && access.access.writes() && !shown(write) {
        return Some(HazardKind::WriteAfterWrite);
    }
    (!past.writes && access.access.writes() && !ordered(write))
        .then_some(HazardKind::WriteAfterRead)
}

//! Streams over several queues: what a semaphore or a fence does not order, `hazard` calls unordered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;

use engine::delta::{Aspect, path_delta};
use engine::hazard::{self, HazardKind};
use engine::ir::{
    Barrier, ByteRange, Command, CommandIr, Copy, CopyPurpose, QueueId, Region, ScopeSet, Submit,
};
use engine::model::{Model, PassRequest};
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::Recording;
use engine::sim::Sim;
use proptest::prelude::*;
use support::{bytes, data};

/// A pass of the legacy path, which has one submit per segment.
struct Lab {
    file: Vec<u8>,
    model: Model,
    recording: Recording,
}

impl Lab {
    fn open() -> Lab {
        let file = bytes(&data().join("models/llama-a.f32.gguf"));
        let model = Model::load(&file, Some(64)).unwrap();
        let environment = EnvSnapshot::from_vars([("ENGINE_FORCE_MULTI_SUBMIT", "1")]);
        let profile = ExecutionProfile::resolve(&environment, RequestKind::Smoke).unwrap();
        let recording = Recording::new(&model, &prompt(), &profile, u64::MAX).unwrap();
        Lab {
            file,
            model,
            recording,
        }
    }

    /// The stream with its second submit on another queue, which waits for `after`; the third waits for it where `back`.
    /// Only the last fence stays.
    fn split(&self, after: &[u32], back: bool) -> CommandIr {
        let mut ir = self.recording.ir.clone();
        let last_fence = ir.commands.iter().rposition(|c| *c == Command::FenceWait);
        let mut index = 0;
        ir.commands.retain(|command| {
            index += 1;
            *command != Command::FenceWait || Some(index - 1) == last_fence
        });
        let submits = ir.commands.iter_mut().filter(|c| c.is_submit());
        for (number, command) in submits.enumerate() {
            *command = Command::SubmitBoundary(match number {
                1 => Submit {
                    queue: QueueId(1),
                    after: after.to_vec(),
                },
                2 if back => Submit {
                    after: vec![1],
                    ..Submit::default()
                },
                _ => Submit::default(),
            });
        }
        // Segments of one queue rely on the fences that are gone.
        with_full_barriers(&ir)
    }
}

fn prompt() -> PassRequest {
    PassRequest::prefill(&(0..12).collect::<Vec<u32>>())
}

fn full_barrier(ir: &CommandIr) -> Command {
    let regions = ir.region_sizes.iter();
    Command::Barrier(Barrier {
        src: ScopeSet::DEVICE,
        dst: ScopeSet::DEVICE,
        ranges: regions
            .map(|size| ByteRange::new(size.region, 0, size.bytes))
            .collect(),
        for_taps: false,
    })
}

/// A barrier over everything at the beginning of every command buffer.
fn with_full_barriers(ir: &CommandIr) -> CommandIr {
    let mut commands = Vec::new();
    for command in &ir.commands {
        commands.push(command.clone());
        if command.is_submit() {
            commands.push(full_barrier(ir));
        }
    }
    // The one behind the last submit belongs to no command buffer.
    let last = commands.iter().rposition(Command::is_submit).unwrap();
    commands.remove(last + 1);
    CommandIr {
        commands,
        ..ir.clone()
    }
}

#[test]
fn another_queue_needs_semaphores_both_ways() {
    let lab = Lab::open();
    assert_eq!(hazard::check(&lab.split(&[0], true)), []);
    for (after, back, what) in [
        (vec![], false, "no semaphore at all"),
        (vec![], true, "the other queue waits for nothing"),
        (vec![0], false, "nothing waits for the other queue"),
        (vec![7], true, "a wait for what comes later"),
    ] {
        let ir = lab.split(&after, back);
        let findings = hazard::check(&ir);
        assert!(!findings.is_empty(), "{what}");
        let queues = ir.queues();
        for finding in &findings {
            let first = finding.first.as_ref().unwrap();
            assert_ne!(
                queues[first.index], queues[finding.second.index],
                "{what}: {finding}"
            );
        }
    }
}

#[test]
fn a_missing_semaphore_is_named_like_this() {
    let lab = Lab::open();
    let findings = hazard::check(&lab.split(&[], true));
    let first = findings.first().unwrap();
    assert_eq!(first.kind, HazardKind::ReadAfterWrite);
    let text = first.to_string();
    assert!(
        text.starts_with("read_after_write: embed_f32#0 and rms_norm#1 on arena["),
        "{text}"
    );
}

#[test]
fn a_fence_orders_queues_as_well() {
    let lab = Lab::open();
    let mut ir = lab.split(&[], false);
    for number in [1, 0] {
        let mut submits = (0..ir.commands.len()).filter(|at| ir.commands[*at].is_submit());
        let at = submits.nth(number).unwrap();
        ir.commands.insert(at + 1, Command::FenceWait);
    }
    assert_eq!(hazard::check(&ir), []);
}

#[test]
fn queues_are_data_of_the_stream_and_part_of_its_comparison() {
    let lab = Lab::open();
    let (one, two) = (lab.recording.ir.clone(), lab.split(&[0], true));
    assert!(one.has_one_queue() && !two.has_one_queue());
    assert_ne!(one.digest(), two.digest());
    let found: BTreeSet<_> = two.queues().into_iter().flatten().collect();
    assert_eq!(found, BTreeSet::from([QueueId::MAIN, QueueId(1)]));
    let delta = path_delta(&one, &two);
    let row = delta.row(Aspect::CommandBufferBoundaries).unwrap();
    assert_eq!(row.only_b.len(), 2, "{delta}");
    assert!(row.only_b[0].starts_with("submit 1 on queue 1 after 0: "));
    assert!(row.only_b[1].starts_with("submit 2 on queue 0 after 1: "));
}

#[test]
fn the_simulated_device_refuses_what_it_does_not_have() {
    let lab = Lab::open();
    let mut sim = Sim::load(&lab.model, &lab.file).unwrap();
    let data = lab.model.host_data(&prompt()).unwrap();
    let refused = sim.play(&lab.split(&[0], true), lab.recording.pass(&data));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("one queue"), "{message}");
}

/// Places of the small streams below.
const SLOTS: u64 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A copy from one slot to another.
    Copy(u64, u64),
    Barrier,
    Submit(u8, Vec<u32>),
    Fence,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SLOTS, 0..SLOTS).prop_map(|(from, to)| Step::Copy(from, to)),
        2 => Just(Step::Barrier),
        3 => (0u8..3, prop::collection::vec(0u32..6, 0..3)).prop_map(|(queue, after)| Step::Submit(queue, after)),
        1 => Just(Step::Fence),
    ]
}

fn slot(number: u64) -> ByteRange {
    ByteRange::new(Region::State, number * 256, 256)
}

fn stream(steps: &[Step]) -> CommandIr {
    let command = |step: &Step| match step {
        Step::Copy(from, to) => Command::Copy(Copy {
            src: slot(*from),
            dst: slot(*to),
            src_tensor: None,
            dst_tensor: None,
            purpose: CopyPurpose::Output,
        }),
        Step::Barrier => Command::Barrier(Barrier {
            src: ScopeSet::DEVICE,
            dst: ScopeSet::DEVICE,
            ranges: vec![ByteRange::new(Region::State, 0, SLOTS * 256)],
            for_taps: false,
        }),
        Step::Submit(queue, after) => Command::SubmitBoundary(Submit {
            queue: QueueId(*queue),
            after: after.clone(),
        }),
        Step::Fence => Command::FenceWait,
    };
    let mut commands: Vec<Command> = steps.iter().map(command).collect();
    commands.push(Command::submit());
    CommandIr {
        commands,
        region_sizes: Vec::new(),
    }
    .sized()
}

/// Which commands come before which, by following every single dependency.
struct HappensBefore<'i> {
    ir: &'i CommandIr,
    numbers: Vec<u32>,
    queues: Vec<Option<QueueId>>,
    submits: Vec<&'i Submit>,
}

impl<'i> HappensBefore<'i> {
    fn of(ir: &'i CommandIr) -> Self {
        Self {
            ir,
            numbers: ir.submit_numbers(),
            queues: ir.queues(),
            submits: ir.submits().collect(),
        }
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        let fenced = (a + 1..b).any(|at| {
            let submitted = (a + 1..at).any(|at| self.ir.commands[at].is_submit());
            self.ir.commands[at] == Command::FenceWait && submitted
        });
        let barrier = (a + 1..b).any(|at| {
            matches!(self.ir.commands[at], Command::Barrier(_))
                && self.queues[at] == self.queues[a]
                && self.queues[at] == self.queues[b]
        });
        fenced || barrier || self.is_signalled(self.numbers[a], self.numbers[b])
    }

    /// Whether a chain of semaphores leads from one submit to another.
    fn is_signalled(&self, from: u32, to: u32) -> bool {
        let queue = |number: u32| self.submits[number as usize].queue;
        (0..=to).any(|waiting| {
            let awaited = self.submits[waiting as usize].after.iter();
            queue(waiting) == queue(to)
                && awaited.filter(|after| **after < waiting).any(|after| {
                    let direct = queue(*after) == queue(from) && *after >= from;
                    direct || self.is_signalled(from, *after)
                })
        })
    }

    /// Pairs that touch the same slot, one of them writing, which nothing orders; behind a write, earlier accesses are that
    /// write's business.
    fn unordered(&self) -> BTreeSet<(usize, usize)> {
        let copies: Vec<(usize, &Copy)> = self
            .ir
            .commands
            .iter()
            .enumerate()
            .filter_map(|(at, command)| match command {
                Command::Copy(copy) => Some((at, copy)),
                _ => None,
            })
            .collect();
        let mut pairs = BTreeSet::new();
        for number in 0..SLOTS {
            let place = slot(number);
            let touching: Vec<(usize, bool)> = copies
                .iter()
                .filter(|(_, copy)| copy.src == place || copy.dst == place)
                .map(|(at, copy)| (*at, copy.dst == place))
                .collect();
            for (index, (later, later_writes)) in touching.iter().enumerate() {
                for (earlier, earlier_writes) in touching[..index].iter().rev() {
                    let matters = *later_writes || *earlier_writes;
                    if matters && !self.is_before(*earlier, *later) {
                        pairs.insert((*earlier, *later));
                    }
                    if *earlier_writes {
                        break;
                    }
                }
            }
        }
        pairs
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn hazard_finds_exactly_what_no_dependency_orders(steps in prop::collection::vec(step(), 1..24)) {
        let ir = stream(&steps);
        let found: BTreeSet<(usize, usize)> = hazard::check(&ir)
            .iter()
            .filter_map(|finding| Some((finding.first.as_ref()?.index, finding.second.index)))
            .collect();
        prop_assert_eq!(found, HappensBefore::of(&ir).unordered());
    }
}

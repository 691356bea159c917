//! Which submits a semaphore orders before which others.

use std::collections::BTreeMap;

use crate::ir::{CommandIr, QueueId, Submit};

/// Where a command executes: submit and its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) submit: u32,
    pub(super) queue: QueueId,
}

/// The submits of a stream and what their semaphores order.
#[derive(Debug)]
pub(super) struct Queues {
    /// By command.
    places: Vec<Place>,
    /// By submit: for each queue the last submit that is complete, and whose writes are seen, before this one begins.
    before: Vec<BTreeMap<QueueId, u32>>,
    several: bool,
}

impl Queues {
    pub(super) fn of(ir: &CommandIr) -> Queues {
        let submits: Vec<&Submit> = ir.submits().collect();
        let queue = |submit: u32| {
            let submit = submits.get(submit as usize);
            submit.map_or(QueueId::MAIN, |submit| submit.queue)
        };
        let numbers = ir.submit_numbers().into_iter();
        let places = numbers.map(|submit| Place {
            submit,
            queue: queue(submit),
        });
        Queues {
            places: places.collect(),
            before: before(&submits),
            several: !ir.has_one_queue(),
        }
    }

    pub(super) fn place(&self, command: usize) -> Place {
        self.places[command]
    }

    /// Whether any submit leaves the main queue or waits for a semaphore.
    pub(super) fn are_several(&self) -> bool {
        self.several
    }

    /// Whether semaphores alone put everything at one place before everything at another.
    pub(super) fn orders(&self, earlier: Place, later: Place) -> bool {
        let before = self.before.get(later.submit as usize);
        let last = before.and_then(|before| before.get(&earlier.queue));
        last.is_some_and(|last| *last >= earlier.submit)
    }
}

/// A wait holds for all that follows on its queue, and brings along what the submit it waits for has waited for itself
/// (Vulkan 1.2, 7.4.2: a signal's first scope and a wait's second scope reach over all of submission order).
fn before(submits: &[&Submit]) -> Vec<BTreeMap<QueueId, u32>> {
    let mut all: Vec<BTreeMap<QueueId, u32>> = Vec::with_capacity(submits.len());
    let mut last: BTreeMap<QueueId, usize> = BTreeMap::new();
    for (number, submit) in submits.iter().enumerate() {
        let mut mine = match last.get(&submit.queue) {
            Some(previous) => all[*previous].clone(),
            None => BTreeMap::new(),
        };
        // A wait for what comes later would never end; it orders nothing.
        let awaited = submit
            .after
            .iter()
            .filter(|after| (**after as usize) < number);
        for after in awaited {
            for (queue, submit) in &all[*after as usize] {
                raise(&mut mine, *queue, *submit);
            }
            raise(&mut mine, submits[*after as usize].queue, *after);
        }
        last.insert(submit.queue, number);
        all.push(mine);
    }
    all
}

fn raise(before: &mut BTreeMap<QueueId, u32>, queue: QueueId, submit: u32) {
    let last = before.entry(queue).or_insert(submit);
    *last = submit.max(*last);
}

//! PathDelta: what differs between two command streams of the same graph, in six aspects.
//!
//! The founding question was why one path gives zeros and the other does not; the aspects are the places
//! where two recordings of one graph can differ at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::graph::NodeId;
use crate::ir::{ByteRange, Command, CommandIr, Submit};
use crate::telemetry;
use crate::tensor::TensorId;

/// Characters of a fact that a marker line carries.
const SHOWN_CHARS: usize = 200;

/// A place where recordings can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Which nodes run, with which kernels.
    GraphConstruction,
    /// Which tensors are bound, to which bytes.
    TensorIds,
    /// How nodes fall into submits.
    CommandBufferBoundaries,
    /// Writes that no barrier has ordered when a submit ends.
    PendingWrites,
    /// From which command to which a tensor is used.
    Lifetimes,
    /// Which nodes read a tensor, in which order.
    ConsumerOrder,
}

impl Aspect {
    /// All aspects, in the order of the table.
    pub const ALL: [Aspect; 6] = [
        Aspect::GraphConstruction,
        Aspect::TensorIds,
        Aspect::CommandBufferBoundaries,
        Aspect::PendingWrites,
        Aspect::Lifetimes,
        Aspect::ConsumerOrder,
    ];

    /// Name in markers and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Aspect::GraphConstruction => "graph_construction",
            Aspect::TensorIds => "tensor_ids",
            Aspect::CommandBufferBoundaries => "command_buffer_boundaries",
            Aspect::PendingWrites => "pending_writes",
            Aspect::Lifetimes => "lifetimes",
            Aspect::ConsumerOrder => "consumer_order",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Aspect.
    pub aspect: Aspect,
    /// Whether both streams agree.
    pub same: bool,
    /// Lines that only the first stream has.
    pub only_a: Vec<String>,
    /// Lines that only the second stream has.
    pub only_b: Vec<String>,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathDelta {
    /// One row per aspect, in the order of [`Aspect::ALL`].
    pub rows: Vec<Row>,
}

impl PathDelta {
    /// The row of an aspect.
    pub fn row(&self, aspect: Aspect) -> Option<&Row> {
        self.rows.iter().find(|row| row.aspect == aspect)
    }

    /// Aspects in which the streams differ.
    pub fn differing(&self) -> Vec<Aspect> {
        self.rows
            .iter()
            .filter(|row| !row.same)
            .map(|row| row.aspect)
            .collect()
    }

    /// One marker per row, in the order of [`Aspect::ALL`], with the names of both paths.
    pub fn markers(&self, path_a: &str, path_b: &str) -> Vec<telemetry::PathDelta> {
        let first = |facts: &[String]| {
            let fact = facts.first()?;
            let shown: String = fact.chars().take(SHOWN_CHARS).collect();
            Some(telemetry::Quoted(shown))
        };
        let marker = |row: &Row| telemetry::PathDelta {
            row: row.aspect.name().to_owned(),
            path_a: path_a.to_owned(),
            path_b: path_b.to_owned(),
            equal: row.same,
            count: (row.only_a.len() + row.only_b.len()) as u64,
            left: first(&row.only_a),
            right: first(&row.only_b),
        };
        self.rows.iter().map(marker).collect()
    }
}

impl std::fmt::Display for PathDelta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for row in &self.rows {
            let verdict = if row.same { "same" } else { "differs" };
            writeln!(f, "{:<26} {verdict}", row.aspect.name())?;
            row.only_a
                .iter()
                .try_for_each(|line| writeln!(f, "  a: {line}"))?;
            row.only_b
                .iter()
                .try_for_each(|line| writeln!(f, "  b: {line}"))?;
        }
        Ok(())
    }
}

/// Compares two streams. Taps are left out.
pub fn path_delta(a: &CommandIr, b: &CommandIr) -> PathDelta {
    let (a, b) = (Facts::new(a), Facts::new(b));
    PathDelta {
        rows: Aspect::ALL
            .iter()
            .map(|aspect| row(*aspect, a.lines(*aspect), b.lines(*aspect)))
            .collect(),
    }
}

fn row(aspect: Aspect, a: Vec<String>, b: Vec<String>) -> Row {
    if a == b {
        return Row {
            aspect,
            same: true,
            only_a: Vec::new(),
            only_b: Vec::new(),
        };
    }
    let (in_a, in_b): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
    let missing = |from: &[String], other: &BTreeSet<&String>| {
        from.iter()
            .filter(|line| !other.contains(line))
            .cloned()
            .collect::<Vec<_>>()
    };
    Row {
        aspect,
        same: false,
        only_a: missing(&a, &in_b),
        only_b: missing(&b, &in_a),
    }
}

/// Number of a device command in its stream, and of its label.
type LabelId = usize;

/// Facts of one stream, in stream order.
#[derive(Debug, Default)]
struct Facts {
    labels: Vec<String>,
    tensors: BTreeMap<TensorId, BTreeSet<ByteRange>>,
    submits: Vec<Vec<LabelId>>,
    /// Queue and waits of every submit, where they are not the usual ones.
    queues: Vec<String>,
    pending: Vec<Vec<LabelId>>,
    lifetimes: BTreeMap<TensorId, (LabelId, LabelId)>,
    consumers: BTreeMap<TensorId, Vec<LabelId>>,
}

impl Facts {
    fn new(ir: &CommandIr) -> Facts {
        let mut facts = Facts::default();
        let mut open = Vec::new();
        let mut pending: Vec<(ByteRange, LabelId)> = Vec::new();
        for command in ir.commands.iter().filter(|command| !command.is_tap()) {
            match command {
                Command::SubmitBoundary(submit) => {
                    facts.submits.push(std::mem::take(&mut open));
                    facts.queues.push(queue(submit));
                    let left = pending.drain(..).map(|(_, label)| label);
                    facts.pending.push(left.collect());
                }
                Command::Barrier(barrier) => {
                    pending.retain(|(range, _)| {
                        !barrier.ranges.iter().any(|shown| shown.contains(range))
                    });
                }
                Command::Dispatch(_) | Command::Copy(_) | Command::Zero { .. } => {
                    let label = facts.device(command);
                    let writes = command
                        .accesses()
                        .into_iter()
                        .filter(|access| access.access.writes());
                    pending.extend(writes.map(|access| (access.range, label)));
                    open.push(label);
                }
                Command::HostWrite { .. } | Command::HostRead { .. } | Command::FenceWait => {}
            }
        }
        facts
    }

    fn device(&mut self, command: &Command) -> LabelId {
        let id = self.labels.len();
        self.labels.push(label(command));
        for access in command.accesses() {
            let Some(tensor) = access.tensor else {
                continue;
            };
            self.tensors.entry(tensor).or_default().insert(access.range);
            self.lifetimes.entry(tensor).or_insert((id, id)).1 = id;
            if access.access.reads() {
                self.consumers.entry(tensor).or_default().push(id);
            }
        }
        id
    }

    fn named(&self, ids: &[LabelId]) -> Vec<&str> {
        ids.iter().map(|id| self.labels[*id].as_str()).collect()
    }

    fn lines(&self, aspect: Aspect) -> Vec<String> {
        let numbered = |lists: &[Vec<LabelId>]| {
            let lists = lists.iter().zip(&self.queues).enumerate();
            lists
                .map(|(i, (ids, queue))| {
                    format!("submit {i}{queue}: {}", summary(&self.named(ids)))
                })
                .collect()
        };
        match aspect {
            Aspect::GraphConstruction => self.labels.clone(),
            Aspect::TensorIds => {
                let ranges = |set: &BTreeSet<ByteRange>| {
                    set.iter().map(ByteRange::to_string).collect::<Vec<_>>()
                };
                self.tensors
                    .iter()
                    .map(|(id, set)| format!("tensor {}: {}", id.0, ranges(set).join(" ")))
                    .collect()
            }
            Aspect::CommandBufferBoundaries => numbered(&self.submits),
            Aspect::PendingWrites => numbered(&self.pending),
            Aspect::Lifetimes => {
                let line = |(id, (from, to)): (&TensorId, &(LabelId, LabelId))| {
                    let (from, to) = (&self.labels[*from], &self.labels[*to]);
                    format!("tensor {}: {from} to {to}", id.0)
                };
                self.lifetimes.iter().map(line).collect()
            }
            Aspect::ConsumerOrder => {
                let line = |(id, ids): (&TensorId, &Vec<LabelId>)| {
                    format!("tensor {}: {}", id.0, self.named(ids).join(" "))
                };
                self.consumers.iter().map(line).collect()
            }
        }
    }
}

/// A command by graph node, so that numbering within a stream does not count as a difference.
fn label(command: &Command) -> String {
    match command.as_dispatch() {
        Some(dispatch) => match dispatch.node {
            Some(NodeId(node)) => format!("{}@{node}", dispatch.kernel.name()),
            None => dispatch.kernel.name().to_owned(),
        },
        None => command.name(),
    }
}

/// What sets a submit apart from the usual one.
fn queue(submit: &Submit) -> String {
    if *submit == Submit::default() {
        return String::new();
    }
    let behind: Vec<String> = submit.after.iter().map(u32::to_string).collect();
    match behind.as_slice() {
        [] => format!(" on queue {}", submit.queue.0),
        numbers => format!(" on queue {} after {}", submit.queue.0, numbers.join(", ")),
    }
}

fn summary(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first, .., last] => format!("{} commands, {first} to {last}", names.len()),
    }
}

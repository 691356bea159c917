//! The arena planner: lifetimes to offsets. Pure.
//!
//! Steps of a pass: the host writes at step 0, node *n* runs at step *n* + 1, the host reads after the last.
//! Tensors whose lifetimes overlap never share bytes (§4). A leaf with the `Input` flag lives from step 0,
//! because the host has written it before the first node runs, so no earlier occupant can exist (§5);
//! the flag decides, not where or how the tensor is stored.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{EngineError, Result};
use crate::graph::Graph;
use crate::ir::{ByteRange, Region, align_up};
use crate::tensor::{Tensor, TensorId};

/// Step at which the host writes input leaves.
pub const HOST_WRITES: u32 = 0;

/// A tensor that wants arena bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Tensor.
    pub tensor: TensorId,
    /// Bytes wanted.
    pub bytes: u64,
    /// First step at which the bytes hold the tensor.
    pub first: u32,
    /// Last step at which the bytes hold the tensor.
    pub last: u32,
    /// Whether the host writes it.
    pub pinned: bool,
}

impl Request {
    /// Whether both tensors exist at some step.
    pub fn overlaps(&self, other: &Request) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets for requests, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Offset of each request.
    pub offsets: Vec<u64>,
    /// Bytes of the arena.
    pub peak: u64,
}

/// What `[ARENA PLAN]` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ArenaReport {
    /// Tensors in the arena.
    pub requests: u32,
    /// Bytes of the arena.
    pub peak: u64,
    /// Tensors that share bytes with another.
    pub aliased: u32,
    /// Host-written leaves among the tensors.
    pub pinned: u32,
    /// Bytes that the pass may use.
    pub envelope: u64,
}

/// Places of all tensors of a graph that are not weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    places: BTreeMap<TensorId, ByteRange>,
    /// Bytes of the state region.
    pub state_bytes: u64,
    /// The arena's figures.
    pub report: ArenaReport,
}

impl Plan {
    /// Plans a graph within an envelope of `envelope` bytes for arena and state together.
    ///
    /// # Errors
    /// `Envelope` with both numbers when it is too small; nothing has been allocated then.
    pub fn new(graph: &Graph, envelope: u64) -> Result<Plan> {
        let mut places = BTreeMap::new();
        let state_bytes = place_states(graph, &mut places);
        let requests = requests(graph);
        let placement = place(&requests);
        let needed = placement.peak.saturating_add(state_bytes);
        if needed > envelope {
            return Err(EngineError::Envelope {
                needed,
                remaining: envelope,
            });
        }
        for (request, offset) in requests.iter().zip(&placement.offsets) {
            places.insert(
                request.tensor,
                ByteRange::new(Region::Arena, *offset, request.bytes),
            );
        }
        let report = ArenaReport {
            requests: requests.len() as u32,
            peak: placement.peak,
            aliased: aliased(&requests, &placement),
            pinned: requests.iter().filter(|request| request.pinned).count() as u32,
            envelope,
        };
        Ok(Plan {
            places,
            state_bytes,
            report,
        })
    }

    /// Bytes of a tensor; `None` for weights.
    pub fn range(&self, tensor: TensorId) -> Option<ByteRange> {
        self.places.get(&tensor).copied()
    }

    /// Tensors and their bytes.
    pub fn places(&self) -> impl Iterator<Item = (TensorId, ByteRange)> {
        self.places.iter().map(|(tensor, range)| (*tensor, *range))
    }
}

/// State tensors lie one behind the other in the order of the graph, which is the same in every pass.
fn place_states(graph: &Graph, places: &mut BTreeMap<TensorId, ByteRange>) -> u64 {
    let mut used = 0u64;
    for tensor in graph.tensors().iter().filter(|tensor| tensor.flags.state) {
        places.insert(
            tensor.id,
            ByteRange::new(Region::State, used, tensor.bytes()),
        );
        used = align_up(used.saturating_add(tensor.bytes())).unwrap_or(u64::MAX);
    }
    used
}

/// Arena requests of a graph, with lifetimes.
pub fn requests(graph: &Graph) -> Vec<Request> {
    let in_arena = graph
        .tensors()
        .iter()
        .filter(|tensor| !tensor.flags.weight && !tensor.flags.state);
    in_arena.map(|tensor| request(graph, tensor)).collect()
}

fn request(graph: &Graph, tensor: &Tensor) -> Request {
    let end = graph.nodes().len() as u32 + 1;
    let written = graph
        .producer(tensor.id)
        .map_or(HOST_WRITES, |node| node.id.0 + 1);
    let uses = graph
        .nodes()
        .iter()
        .filter(|node| node.inputs.contains(&tensor.id));
    let last_use = uses.map(|node| node.id.0 + 1).max().unwrap_or(written);
    Request {
        tensor: tensor.id,
        bytes: tensor.bytes(),
        first: if tensor.flags.input {
            HOST_WRITES
        } else {
            written
        },
        last: if tensor.flags.output { end } else { last_use },
        pinned: tensor.flags.input,
    }
}

/// Places requests first-fit, in the order in which they begin to live, leaves before others and larger before smaller.
pub fn place(requests: &[Request]) -> Placement {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| {
        let request = &requests[*i];
        (request.first, !request.pinned, Reverse(request.bytes), *i)
    });
    place_in_order(requests, &order)
}

/// Places requests first-fit in the given order.
pub fn place_in_order(requests: &[Request], order: &[usize]) -> Placement {
    let mut offsets = vec![0; requests.len()];
    let mut peak = 0;
    let mut placed: Vec<usize> = Vec::new();
    for &i in order {
        let mut rivals: Vec<(u64, u64)> = placed
            .iter()
            .filter(|j| requests[**j].overlaps(&requests[i]))
            .map(|j| (offsets[*j], end(offsets[*j], requests[*j].bytes)))
            .collect();
        rivals.sort_unstable();
        offsets[i] = lowest_gap(&rivals, requests[i].bytes);
        peak = peak.max(end(offsets[i], requests[i].bytes));
        placed.push(i);
    }
    Placement { offsets, peak }
}

fn end(offset: u64, bytes: u64) -> u64 {
    align_up(offset.saturating_add(bytes)).unwrap_or(u64::MAX)
}

/// Lowest offset at which `bytes` fit between the sorted `(start, end)` ranges.
fn lowest_gap(taken: &[(u64, u64)], bytes: u64) -> u64 {
    let mut offset = 0;
    for (start, stop) in taken {
        if end(offset, bytes) <= *start {
            break;
        }
        offset = offset.max(*stop);
    }
    offset
}

fn aliased(requests: &[Request], placement: &Placement) -> u32 {
    let ranges: Vec<ByteRange> = requests
        .iter()
        .zip(&placement.offsets)
        .map(|(request, offset)| ByteRange::new(Region::Arena, *offset, request.bytes))
        .collect();
    let shares = |i: usize| {
        ranges
            .iter()
            .enumerate()
            .any(|(j, other)| i != j && ranges[i].overlaps(other))
    };
    (0..ranges.len()).filter(|i| shares(*i)).count() as u32
}

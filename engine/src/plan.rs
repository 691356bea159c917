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
    /// First step that needs the tensor; later than `first` only where it is pinned.
    pub needed: u32,
    /// Whether the host writes it.
    pub pinned: bool,
}

impl Request {
    /// Whether both tensors exist at some step.
    pub fn overlaps(&self, other: &Request) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The request as if nobody wrote it before it is needed.
    pub fn released(&self) -> Request {
        Request {
            first: self.needed,
            pinned: false,
            ..*self
        }
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
    /// Bytes that sharing saves: those of all tensors less the arena's.
    pub saved: u64,
    /// Tensors that take over bytes of an earlier one.
    pub aliased: u32,
    /// Host-written leaves among the tensors.
    pub pinned: u32,
    /// Host-written leaves whose bytes a later tensor takes over: while a pass is in flight, the host must not write
    /// the next one's leaves there directly, as it could through a resizable BAR.
    pub rebar_unsafe: u32,
    /// Bytes that the pass may use.
    pub envelope: u64,
}

/// Places of all tensors of a graph that are not weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    places: BTreeMap<TensorId, ByteRange>,
    requests: Vec<Request>,
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
        Plan::of_requests(graph, envelope, requests(graph))
    }

    /// As [`Plan::new`], for requests that have been made already.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn of_requests(graph: &Graph, envelope: u64, requests: Vec<Request>) -> Result<Plan> {
        let mut places = BTreeMap::new();
        let state_bytes = place_states(graph, &mut places);
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
        let mut plan = Plan {
            places,
            requests,
            state_bytes,
            report: ArenaReport {
                requests: 0,
                peak: placement.peak,
                saved: 0,
                aliased: 0,
                pinned: 0,
                rebar_unsafe: 0,
                envelope,
            },
        };
        plan.fill_report();
        Ok(plan)
    }

    fn fill_report(&mut self) {
        let count = |holds: &dyn Fn(&Request) -> bool| {
            self.requests
                .iter()
                .filter(|request| holds(request))
                .count() as u32
        };
        let wanted: u64 = self.requests.iter().map(|r| end(0, r.bytes)).sum();
        let report = ArenaReport {
            requests: self.requests.len() as u32,
            saved: wanted.saturating_sub(self.report.peak),
            aliased: count(&|request| self.earlier_occupants(request).next().is_some()),
            pinned: count(&|request| request.pinned),
            rebar_unsafe: count(&|request| request.pinned && self.is_taken_over(request)),
            ..self.report
        };
        self.report = report;
    }

    /// Arena requests with their lifetimes, in the order of the graph's tensors.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Requests that have had some of a request's bytes before it.
    pub fn earlier_occupants(&self, request: &Request) -> impl Iterator<Item = &Request> {
        let (range, first) = (self.range(request.tensor), request.first);
        let earlier = self.requests.iter().filter(move |other| other.last < first);
        earlier.filter(move |other| {
            let theirs = self.range(other.tensor);
            range.zip(theirs).is_some_and(|(a, b)| a.overlaps(&b))
        })
    }

    fn is_taken_over(&self, request: &Request) -> bool {
        let range = self.range(request.tensor);
        let mut later = self.requests.iter().filter(|r| r.first > request.last);
        later.any(|other| {
            let theirs = self.range(other.tensor);
            range.zip(theirs).is_some_and(|(a, b)| a.overlaps(&b))
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

/// Arena requests of a graph, with lifetimes. The `Input` flag decides which of them are pinned.
pub fn requests(graph: &Graph) -> Vec<Request> {
    requests_where(graph, |tensor| tensor.flags.input)
}

/// As [`requests`], with another rule for what is pinned; what the rule names gets arena bytes in any case.
/// For showing what other rules cost: the engine itself has one.
pub fn requests_where(graph: &Graph, pins: impl Fn(&Tensor) -> bool) -> Vec<Request> {
    let lives = lives(graph);
    let in_arena = graph
        .tensors()
        .iter()
        .zip(lives)
        .filter(|(tensor, _)| pins(tensor) || !tensor.flags.weight && !tensor.flags.state);
    in_arena
        .map(|(tensor, life)| request(tensor, life, pins(tensor)))
        .collect()
}

/// First and last steps at which nodes touch a tensor.
#[derive(Debug, Clone, Copy)]
struct Life {
    needed: u32,
    last: u32,
}

/// Lives by tensor id; what no node touches has only the step of the host's writes.
fn lives(graph: &Graph) -> Vec<Life> {
    let mut lives: Vec<Option<Life>> = vec![None; graph.tensors().len()];
    for node in graph.nodes() {
        let step = node.id.0 + 1;
        let effects = node.side_effects.iter().map(|effect| effect.tensor);
        for tensor in node
            .inputs
            .iter()
            .copied()
            .chain(node.output)
            .chain(effects)
        {
            if let Some(life) = lives.get_mut(tensor.0 as usize) {
                life.get_or_insert(Life {
                    needed: step,
                    last: step,
                })
                .last = step;
            }
        }
    }
    let end = graph.nodes().len() as u32 + 1;
    let tensors = graph.tensors().iter().zip(lives);
    tensors
        .map(|(tensor, life)| {
            let life = life.unwrap_or(Life {
                needed: HOST_WRITES,
                last: HOST_WRITES,
            });
            Life {
                last: if tensor.flags.output { end } else { life.last },
                ..life
            }
        })
        .collect()
}

fn request(tensor: &Tensor, life: Life, pinned: bool) -> Request {
    Request {
        tensor: tensor.id,
        bytes: tensor.bytes(),
        first: if pinned { HOST_WRITES } else { life.needed },
        last: life.last,
        needed: life.needed,
        pinned,
    }
}

/// Places requests, the better of two ways: first-fit in the order in which they begin to live, leaves before others and
/// larger before smaller; or pinned requests by themselves and the others where first-fit would put them if nothing
/// were pinned. Pinning therefore never costs more than the bytes that are pinned.
pub fn place(requests: &[Request]) -> Placement {
    let together = first_fit(requests);
    if !requests.iter().any(|request| request.pinned) {
        return together;
    }
    let apart = pinned_apart(requests);
    if apart.peak < together.peak {
        apart
    } else {
        together
    }
}

fn first_fit(requests: &[Request]) -> Placement {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| {
        let request = &requests[*i];
        (request.first, !request.pinned, Reverse(request.bytes), *i)
    });
    place_in_order(requests, &order)
}

fn pinned_apart(requests: &[Request]) -> Placement {
    let released: Vec<Request> = requests.iter().map(Request::released).collect();
    let mut placement = first_fit(&released);
    let mut used = 0;
    for (request, offset) in requests.iter().zip(&mut placement.offsets) {
        if request.pinned {
            *offset = used;
            used = end(used, request.bytes);
        }
    }
    let others = requests.iter().zip(&mut placement.offsets);
    for (_, offset) in others.filter(|(request, _)| !request.pinned) {
        *offset = offset.saturating_add(used);
    }
    placement.peak = placement.peak.saturating_add(used);
    placement
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

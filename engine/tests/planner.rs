//! The arena planner: properties, an exhaustive oracle for small cases, and the law about input leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::EngineError;
use engine::ir::ALIGNMENT;
use engine::model::{Model, PassRequest};
use engine::plan::{HOST_WRITES, Placement, Plan, Request, place, place_in_order, requests};
use engine::tensor::TensorId;
use proptest::prelude::*;
use support::{bytes, data};

fn request(number: usize, (first, len, units, pinned): (u32, u32, u64, bool)) -> Request {
    let first = if pinned { HOST_WRITES } else { first };
    Request {
        tensor: TensorId(number as u32),
        bytes: units * ALIGNMENT - 3,
        first,
        last: first + len,
        pinned,
    }
}

fn any_requests(most: usize) -> impl Strategy<Value = Vec<Request>> {
    prop::collection::vec(
        (0..12u32, 0..6u32, 1..9u64, prop::bool::weighted(0.2)),
        1..most,
    )
    .prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(i, row)| request(i, row))
            .collect()
    })
}

fn pairs<'a>(
    requests: &'a [Request],
    placement: &'a Placement,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    (0..requests.len())
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .filter(|(i, j)| {
            let end = |k: usize| placement.offsets[k] + requests[k].bytes;
            placement.offsets[*i] < end(*j) && placement.offsets[*j] < end(*i)
        })
}

/// Most bytes alive at one step: no placement can be smaller.
fn lower_bound(requests: &[Request]) -> u64 {
    let alive = |step: u32| {
        let here = requests
            .iter()
            .filter(|r| r.first <= step && step <= r.last);
        here.map(|r| r.bytes.next_multiple_of(ALIGNMENT))
            .sum::<u64>()
    };
    requests.iter().map(|r| alive(r.first)).max().unwrap_or(0)
}

/// Some first-fit order reaches the optimum, so trying all orders finds it.
fn optimum(requests: &[Request]) -> u64 {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    let mut best = u64::MAX;
    permute(&mut order, 0, &mut |order| {
        best = best.min(place_in_order(requests, order).peak)
    });
    best
}

fn permute(order: &mut Vec<usize>, from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return visit(order);
    }
    for i in from..order.len() {
        order.swap(from, i);
        permute(order, from + 1, visit);
        order.swap(from, i);
    }
}

proptest! {
    #[test]
    fn tensors_alive_together_never_share_bytes(requests in any_requests(40)) {
        let placement = place(&requests);
        for (i, j) in pairs(&requests, &placement) {
            prop_assert!(!requests[i].overlaps(&requests[j]), "{:?} and {:?}", requests[i], requests[j]);
        }
        prop_assert!(placement.offsets.iter().all(|offset| offset.is_multiple_of(ALIGNMENT)));
        prop_assert!(placement.peak >= lower_bound(&requests));
    }

    #[test]
    fn pinned_leaves_have_no_earlier_occupant(requests in any_requests(40)) {
        let placement = place(&requests);
        for (i, j) in pairs(&requests, &placement) {
            for (leaf, other) in [(i, j), (j, i)] {
                prop_assert!(!requests[leaf].pinned || requests[other].first > requests[leaf].last);
            }
        }
    }

    #[test]
    fn first_fit_stays_near_the_optimum(requests in any_requests(7)) {
        let (peak, best) = (place(&requests).peak, optimum(&requests));
        prop_assert!(peak >= best && peak <= 2 * best, "{peak} against {best}");
    }

    #[test]
    fn pinning_costs_at_most_the_pinned_bytes_of_the_lower_bound(requests in any_requests(30)) {
        let pinned: u64 = requests.iter().filter(|r| r.pinned).map(|r| r.bytes.next_multiple_of(ALIGNMENT)).sum();
        let free: Vec<Request> = requests.iter().filter(|r| !r.pinned).copied().collect();
        prop_assert!(lower_bound(&requests) <= lower_bound(&free) + pinned);
    }
}

#[test]
fn input_leaves_live_from_the_host_write_on() {
    let file = bytes(&data().join("models/llama-a.f32.gguf"));
    let model = Model::load(&file, Some(64)).unwrap();
    for pass in [PassRequest::prefill(&[1; 24]), PassRequest::decode(1, 24)] {
        let graph = model.graph(&pass).unwrap();
        let inputs: Vec<Request> = requests(&graph).into_iter().filter(|r| r.pinned).collect();
        assert_eq!(inputs.len(), 2);
        assert!(
            inputs.iter().all(|request| request.first == HOST_WRITES),
            "{inputs:?}"
        );
        let plan = Plan::new(&graph, u64::MAX).unwrap();
        for leaf in graph.tensors().iter().filter(|tensor| tensor.flags.input) {
            let range = plan.range(leaf.id).unwrap();
            let before = requests(&graph)
                .into_iter()
                .filter(|other| other.tensor != leaf.id);
            let last_use = inputs
                .iter()
                .find(|request| request.tensor == leaf.id)
                .unwrap()
                .last;
            for other in before.filter(|other| other.first <= last_use) {
                assert!(
                    !plan.range(other.tensor).unwrap().overlaps(&range),
                    "{} is aliased",
                    leaf.name
                );
            }
        }
    }
}

#[test]
fn the_envelope_is_refused_with_both_numbers() {
    let file = bytes(&data().join("models/llama-a.f32.gguf"));
    let graph = Model::load(&file, Some(64))
        .unwrap()
        .graph(&PassRequest::prefill(&[1; 24]))
        .unwrap();
    let plan = Plan::new(&graph, 1 << 30).unwrap();
    let needed = plan.report.peak + plan.state_bytes;
    assert!(Plan::new(&graph, needed).is_ok());
    let error = Plan::new(&graph, needed - 1).unwrap_err();
    assert_eq!(
        error,
        EngineError::Envelope {
            needed,
            remaining: needed - 1
        }
    );
    assert_eq!(
        error.to_string(),
        format!(
            "canonical envelope needs {needed} B but only {} B remain",
            needed - 1
        )
    );
    let total: u64 = requests(&graph)
        .iter()
        .map(|r| r.bytes.next_multiple_of(ALIGNMENT))
        .sum();
    assert!(
        plan.report.peak < total / 2,
        "the plan reuses bytes: {} of {total}",
        plan.report.peak
    );
    assert!(plan.report.aliased > 0);
}

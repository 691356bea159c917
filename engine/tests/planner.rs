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
use engine::plan::{
    HOST_WRITES, Placement, Plan, Request, place, place_in_order, requests, requests_where,
};
use engine::tensor::TensorId;
use proptest::prelude::*;
use support::{bytes, data};

fn request(number: usize, (first, len, units, pinned): (u32, u32, u64, bool)) -> Request {
    Request {
        tensor: TensorId(number as u32),
        bytes: units * ALIGNMENT - 3,
        first: if pinned { HOST_WRITES } else { first },
        last: first + len,
        needed: first,
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
    fn pinning_costs_at_most_the_pinned_bytes(requests in any_requests(40)) {
        let pinned: u64 = requests.iter().filter(|r| r.pinned).map(aligned).sum();
        let released: Vec<Request> = requests.iter().map(Request::released).collect();
        let (with, without) = (place(&requests).peak, place(&released).peak);
        prop_assert!(with <= without + pinned, "{with} against {without} and {pinned} pinned");
    }
}

proptest! {
    // Every case tries all orders, up to 40320.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn first_fit_stays_near_the_optimum(requests in any_requests(9)) {
        let (peak, best) = (place(&requests).peak, optimum(&requests));
        prop_assert!(peak >= best && peak <= 2 * best, "{peak} against {best}");
    }
}

fn aligned(request: &Request) -> u64 {
    request.bytes.next_multiple_of(ALIGNMENT)
}

/// How far first-fit is from the optimum over a fixed set of random plans of eight requests; stated, and bounded.
#[test]
fn the_peak_against_the_optimum_is_stated() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut worst, mut sum, mut exact) = (1.0_f64, 0.0, 0);
    const PLANS: u32 = 60;
    for _ in 0..PLANS {
        let requests: Vec<Request> = (0..8)
            .map(|i| {
                let row = (next(12) as u32, next(6) as u32, 1 + next(8), next(5) == 0);
                request(i, row)
            })
            .collect();
        let (peak, best) = (place(&requests).peak, optimum(&requests));
        let ratio = peak as f64 / best as f64;
        worst = worst.max(ratio);
        sum += ratio;
        exact += u32::from(peak == best);
    }
    println!(
        "peak over optimum: {exact} of {PLANS} exact, mean {:.3}, worst {worst:.3}",
        sum / f64::from(PLANS)
    );
    assert!(
        worst <= 1.5 && exact * 2 > PLANS,
        "worst {worst}, exact {exact}"
    );
}

fn llama_graph(pass: &PassRequest) -> engine::graph::Graph {
    let file = bytes(&data().join("models/llama-a.f32.gguf"));
    Model::load(&file, Some(64)).unwrap().graph(pass).unwrap()
}

/// The envelope that the right rule needs, and the refusal under another rule for what is pinned.
fn blown(pass: &PassRequest, pins: impl Fn(&engine::tensor::Tensor) -> bool) -> (u64, EngineError) {
    let graph = llama_graph(pass);
    let right = Plan::new(&graph, u64::MAX).unwrap();
    let envelope = right.report.peak + right.state_bytes;
    let requests = requests_where(&graph, pins);
    let refused = Plan::of_requests(&graph, envelope, requests).unwrap_err();
    (envelope, refused)
}

/// Two rules that look right and are not: both pin what the host does not write, and the envelope shows it.
#[test]
fn pinning_every_leaf_or_every_leaf_without_identity_blows_the_envelope() {
    for pass in [PassRequest::prefill(&[1; 24]), PassRequest::decode(1, 24)] {
        let graph = llama_graph(&pass);
        let every_leaf = |tensor: &engine::tensor::Tensor| graph.producer(tensor.id).is_none();
        // Caches have storage of their own before a pass is planned. Weights get theirs later, so at planning time
        // they look like anything else that nothing has stored yet.
        let without_identity =
            |tensor: &engine::tensor::Tensor| every_leaf(tensor) && !tensor.flags.state;
        let rules: [&dyn Fn(&engine::tensor::Tensor) -> bool; 2] = [&every_leaf, &without_identity];
        for pins in rules {
            let (envelope, refused) = blown(&pass, pins);
            let EngineError::Envelope { needed, remaining } = refused else {
                panic!("{refused}")
            };
            assert_eq!(remaining, envelope);
            let weights: u64 = graph
                .tensors()
                .iter()
                .filter(|tensor| tensor.flags.weight)
                .map(|tensor| tensor.bytes())
                .sum();
            assert!(
                needed > weights,
                "{needed} B hold the weights of {weights} B"
            );
        }
        let by_flag = requests_where(&graph, |tensor| tensor.flags.input);
        assert_eq!(by_flag, requests(&graph), "the engine's rule is the flag");
    }
}

#[test]
fn the_report_counts_what_sharing_saves_and_which_leaves_it_makes_unsafe() {
    let graph = llama_graph(&PassRequest::prefill(&[1; 24]));
    let plan = Plan::new(&graph, u64::MAX).unwrap();
    let wanted: u64 = plan.requests().iter().map(aligned).sum();
    assert_eq!(plan.report.saved, wanted - plan.report.peak);
    let range = |r: &Request| plan.range(r.tensor).unwrap();
    let shares = |a: &Request, b: &Request| a.tensor != b.tensor && range(a).overlaps(&range(b));
    let all = plan.requests();
    let takes_over = |r: &&Request| all.iter().any(|o| shares(r, o) && o.last < r.first);
    assert_eq!(
        plan.report.aliased as usize,
        all.iter().filter(takes_over).count()
    );
    assert!(plan.report.aliased < plan.report.requests);
    let unsafe_leaf = |r: &&Request| r.pinned && all.iter().any(|o| shares(r, o));
    assert_eq!(
        plan.report.rebar_unsafe as usize,
        all.iter().filter(unsafe_leaf).count()
    );
    assert!(plan.report.rebar_unsafe <= plan.report.pinned);
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

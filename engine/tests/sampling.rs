//! Properties of sampling, over random logits and parameters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;

use engine::EngineError;
use engine::sample::{Sampler, Sampling, greedy};
use proptest::prelude::*;

const DRAWN: Sampling = Sampling {
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    repetition_window: 64,
    seed: 0,
};

fn draws(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling).unwrap();
    (0..count)
        .map(|_| sampler.choose(logits, &[]).unwrap())
        .collect()
}

/// Ranks of tokens by logit, equals by number.
fn rank(logits: &[f32], token: u32) -> usize {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    order.iter().position(|i| *i == token as usize).unwrap()
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits
        .iter()
        .map(|logit| ((f64::from(*logit) - f64::from(largest)) / temperature).exp())
        .collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

fn some_logits() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-8.0f32..8.0, 1..60)
}

proptest! {
    #[test]
    fn a_seed_gives_one_sequence(logits in some_logits(), seed in any::<u64>(), temperature in 0.1f32..3.0) {
        let sampling = Sampling { temperature, seed, ..DRAWN };
        prop_assert_eq!(draws(sampling, &logits, 20), draws(sampling, &logits, 20));
    }

    #[test]
    fn temperature_zero_and_top_k_one_are_greedy(logits in some_logits(), seed in any::<u64>()) {
        let best = greedy(&logits).unwrap();
        for sampling in [
            Sampling { temperature: 0.0, seed, ..DRAWN },
            Sampling { top_k: 1, seed, ..DRAWN },
            Sampling { top_p: 0.0, seed, ..DRAWN },
            Sampling { min_p: 1.0, seed, top_k: 1, ..DRAWN },
        ] {
            prop_assert!(draws(sampling, &logits, 5).iter().all(|token| *token == best));
        }
    }

    #[test]
    fn top_k_draws_among_the_k_likeliest(logits in some_logits(), seed in any::<u64>(), top_k in 1u32..20) {
        for token in draws(Sampling { top_k, seed, ..DRAWN }, &logits, 30) {
            prop_assert!(rank(&logits, token) < top_k as usize);
        }
    }

    #[test]
    fn top_p_draws_from_the_smallest_set_that_reaches_p(
        logits in some_logits(), seed in any::<u64>(), top_p in 0.05f32..0.99, temperature in 0.2f32..3.0,
    ) {
        let probabilities = softmax(&logits, f64::from(temperature));
        for token in draws(Sampling { top_p, temperature, seed, ..DRAWN }, &logits, 30) {
            let mine = rank(&logits, token);
            let before: f64 = (0..logits.len() as u32)
                .filter(|other| rank(&logits, *other) < mine)
                .map(|other| probabilities[other as usize])
                .sum();
            prop_assert!(before < f64::from(top_p) + 1e-9);
        }
    }

    #[test]
    fn min_p_draws_nothing_much_less_likely_than_the_best(
        logits in some_logits(), seed in any::<u64>(), min_p in 0.01f32..1.0,
    ) {
        let probabilities = softmax(&logits, 1.0);
        let best = probabilities.iter().copied().fold(0.0, f64::max);
        for token in draws(Sampling { min_p, seed, ..DRAWN }, &logits, 30) {
            prop_assert!(probabilities[token as usize] >= best * f64::from(min_p) * (1.0 - 1e-9));
        }
    }

    #[test]
    fn a_penalty_only_lowers_what_was_there(
        logits in some_logits(), penalty in 1.0f32..4.0, history in prop::collection::vec(0u32..60, 0..80),
    ) {
        let sampling = Sampling { temperature: 0.0, repetition_penalty: penalty, ..DRAWN };
        let chosen = Sampler::new(sampling).unwrap().choose(&logits, &history).unwrap();
        let recent = &history[history.len().saturating_sub(64)..];
        let best = greedy(&logits).unwrap();
        if !recent.contains(&best) {
            prop_assert_eq!(chosen, best);
        } else if recent.contains(&chosen) {
            prop_assert!(logits[chosen as usize] <= logits[best as usize]);
        }
    }
}

#[test]
fn draws_follow_the_distribution() {
    let logits = [0.0, 1.0, 2.0, -1.0];
    for temperature in [0.5, 1.0, 2.0] {
        let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
        let sampling = Sampling {
            temperature,
            seed: 42,
            ..DRAWN
        };
        let count = 40_000;
        for token in draws(sampling, &logits, count) {
            *counts.entry(token).or_default() += 1.0 / count as f64;
        }
        for (token, probability) in (0u32..).zip(softmax(&logits, f64::from(temperature))) {
            let found = counts.get(&token).copied().unwrap_or(0.0);
            // Four standard deviations of a binomial count.
            let limit = 4.0 * (probability * (1.0 - probability) / count as f64).sqrt();
            assert!(
                (found - probability).abs() <= limit,
                "{temperature} {token}: {found}"
            );
        }
    }
}

#[test]
fn a_repeated_token_gives_way() {
    let sampling = Sampling {
        temperature: 0.0,
        repetition_penalty: 2.0,
        repetition_window: 2,
        ..DRAWN
    };
    let mut sampler = Sampler::new(sampling).unwrap();
    assert_eq!(sampler.choose(&[3.0, 2.0, -1.0], &[0]), Some(1));
    assert_eq!(
        sampler.choose(&[3.0, 2.0, -1.0], &[0, 2, 2]),
        Some(0),
        "out of the window"
    );
    assert_eq!(
        sampler.choose(&[-3.0, -2.0, -2.5], &[1]),
        Some(2),
        "negative logits fall"
    );
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    for (sampling, name) in [
        (
            Sampling {
                temperature: -1.0,
                ..DRAWN
            },
            "temperature",
        ),
        (
            Sampling {
                temperature: f32::NAN,
                ..DRAWN
            },
            "temperature",
        ),
        (
            Sampling {
                top_p: 1.5,
                ..DRAWN
            },
            "top_p",
        ),
        (
            Sampling {
                min_p: -0.1,
                ..DRAWN
            },
            "min_p",
        ),
        (
            Sampling {
                repetition_penalty: 0.0,
                ..DRAWN
            },
            "repetition_penalty",
        ),
    ] {
        let refused = Sampler::new(sampling).unwrap_err();
        assert!(
            matches!(&refused, EngineError::Request(text) if text.starts_with(name)),
            "{refused}"
        );
    }
}

#[test]
fn what_is_no_distribution_gives_nothing() {
    let mut sampler = Sampler::new(DRAWN).unwrap();
    assert_eq!(sampler.choose(&[], &[]), None);
    assert_eq!(sampler.choose(&[1.0, f32::NAN], &[]), None);
    assert_eq!(sampler.choose(&[f32::NEG_INFINITY, 0.5], &[]), Some(1));
    assert_eq!(sampler.choose(&[f32::INFINITY, 0.5], &[]), Some(0));
}

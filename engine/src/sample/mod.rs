//! Choosing the next token.
//!
//! A choice is a pure function of logits, history, parameters and the state of a seeded generator, so the same seed gives the
//! same text. Repetitions are penalised first; then temperature, top-k, top-p and min-p narrow the distribution in this
//! order, and a token is drawn from what is left.

mod greedy;
mod random;

use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

pub use greedy::{greedy, top};
pub use random::Random;

/// How to choose. The default takes the largest logit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the largest.
    pub temperature: f32,
    /// Keep so many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens until their probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this many times as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits of tokens that were there already and multiplies negative ones
    /// (Keskar et al., arXiv 1909.05858); 1 changes nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens count as there already.
    pub repetition_window: u32,
    /// Seed of the generator.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// `Request` names the parameter and the range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repetition_penalty", self.repetition_penalty, 0.01, 100.0),
        ];
        for (name, value, least, most) in ranges {
            // Not a number is in no range.
            if !(least..=most).contains(&value) {
                return Err(EngineError::Request(format!(
                    "{name} is {value}; give {least} to {most}"
                )));
            }
        }
        Ok(())
    }
}

/// Chooses tokens one after the other.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    random: Random,
}

/// A token that may be chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f32,
    probability: f64,
}

impl Sampler {
    /// A sampler at the beginning of its generator.
    ///
    /// # Errors
    /// As [`Sampling::check`].
    pub fn new(sampling: Sampling) -> Result<Sampler> {
        sampling.check()?;
        Ok(Sampler {
            sampling,
            random: Random::new(sampling.seed),
        })
    }

    /// The next token after `history`; `None` when there are no logits, any is not a number, or none is above minus infinity.
    pub fn choose(&mut self, logits: &[f32], history: &[u32]) -> Option<u32> {
        let logits = self.penalised(logits, history);
        let best = greedy(&logits)?;
        if self.sampling.temperature == 0.0 {
            return Some(best);
        }
        let candidates = self.candidates(&logits);
        let total: f64 = candidates.iter().map(|c| c.probability).sum();
        let mut left = self.random.unit() * total;
        let drawn = candidates.iter().find(|candidate| {
            left -= candidate.probability;
            left < 0.0
        });
        // Rounding may leave a remainder behind the last candidate.
        drawn.or(candidates.last()).map(|candidate| candidate.token)
    }

    fn penalised(&self, logits: &[f32], history: &[u32]) -> Vec<f32> {
        let mut logits = logits.to_vec();
        let penalty = self.sampling.repetition_penalty;
        let window = self.sampling.repetition_window as usize;
        let recent = &history[history.len().saturating_sub(window)..];
        let mut seen = std::collections::BTreeSet::new();
        for token in recent.iter().filter(|token| seen.insert(**token)) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
        logits
    }

    /// What may be drawn, likeliest first, equals by token number.
    fn candidates(&self, logits: &[f32]) -> Vec<Candidate> {
        let all = (0u32..).zip(logits).map(|(token, logit)| Candidate {
            token,
            logit: *logit,
            probability: 0.0,
        });
        let mut candidates: Vec<Candidate> = all.filter(|c| c.logit > f32::NEG_INFINITY).collect();
        candidates.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
        if self.sampling.top_k > 0 {
            candidates.truncate(self.sampling.top_k as usize);
        }
        self.weigh(&mut candidates);
        self.keep_likeliest(&mut candidates);
        candidates
    }

    /// Softmax at the temperature.
    fn weigh(&self, candidates: &mut [Candidate]) {
        let temperature = f64::from(self.sampling.temperature);
        let largest = candidates.first().map_or(0.0, |best| f64::from(best.logit));
        let mut total = 0.0;
        for candidate in candidates.iter_mut() {
            let difference = f64::from(candidate.logit) - largest;
            // Infinite logits are all alike.
            let difference = if difference.is_nan() { 0.0 } else { difference };
            candidate.probability = (difference / temperature).exp();
            total += candidate.probability;
        }
        candidates.iter_mut().for_each(|c| c.probability /= total);
    }

    /// Top-p and min-p; the likeliest token always stays.
    fn keep_likeliest(&self, candidates: &mut Vec<Candidate>) {
        let mut sum = 0.0;
        let reached = candidates.iter().position(|candidate| {
            sum += candidate.probability;
            sum >= f64::from(self.sampling.top_p)
        });
        if self.sampling.top_p < 1.0 {
            candidates.truncate(reached.map_or(candidates.len(), |last| last + 1));
        }
        let least = candidates.first().map_or(0.0, |best| best.probability)
            * f64::from(self.sampling.min_p);
        candidates.retain(|candidate| candidate.probability >= least);
    }
}

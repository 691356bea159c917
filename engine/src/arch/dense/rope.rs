//! The rotary table: cos and sin as data, so that no scaling rule reaches a kernel.
//! Frequencies: Su et al. 2021, <https://arxiv.org/abs/2104.09864>, base^(-2i/n_rot).

use std::f64::consts::TAU;

use super::{DenseParams, RopeScaling};

/// Frequency of each pair in radians per position, rounded to `f32` as the models were trained.
pub fn inverse_frequencies(params: &DenseParams) -> Vec<f32> {
    let n_rot = f64::from(params.n_rot);
    (0..params.n_rot / 2)
        .map(|pair| {
            let plain = f64::from(params.rope_base).powf(-2.0 * f64::from(pair) / n_rot) as f32;
            let divisor = params
                .rope_factors
                .as_ref()
                .map_or(1.0, |factors| factors[pair as usize]);
            scaled(params, pair, plain / divisor)
        })
        .collect()
}

fn scaled(params: &DenseParams, pair: u32, plain: f32) -> f32 {
    match params.rope_scaling {
        RopeScaling::None => plain,
        RopeScaling::Linear { factor } => plain / factor,
        RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
        } => {
            let last = f64::from(params.n_rot) - 1.0;
            let low = pair_that_turns(params, original_context, beta_fast).floor();
            let high = pair_that_turns(params, original_context, beta_slow).ceil();
            let slow = ramp(low.max(0.0), high.min(last), f64::from(pair));
            let plain = f64::from(plain);
            (plain / f64::from(factor) * slow + plain * (1.0 - slow)) as f32
        }
    }
}

/// The pair, as a real number, that turns `turns` times within `context` positions.
fn pair_that_turns(params: &DenseParams, context: u32, turns: f32) -> f64 {
    let positions_per_radian = f64::from(context) / (f64::from(turns) * TAU);
    f64::from(params.n_rot) * positions_per_radian.ln() / (2.0 * f64::from(params.rope_base).ln())
}

/// 0 up to `low`, 1 from `high` on, linear between.
fn ramp(low: f64, high: f64, pair: f64) -> f64 {
    // Equal ends would divide by zero; the paper's program widens them by this.
    let width = if high == low { 0.001 } else { high - low };
    ((pair - low) / width).clamp(0.0, 1.0)
}

/// `[n_tokens, n_rot]` values: cos and sin of every pair for the positions from `pos` on.
pub fn table(params: &DenseParams, pos: u32, n_tokens: u32) -> Vec<f32> {
    let frequencies = inverse_frequencies(params);
    let factor = params.rope_scaling.attention_factor();
    (pos..pos + n_tokens)
        .flat_map(|position| {
            frequencies.iter().flat_map(move |frequency| {
                let (sin, cos) = (f64::from(position) * f64::from(*frequency)).sin_cos();
                [(cos * factor) as f32, (sin * factor) as f32]
            })
        })
        .collect()
}

//! The rotary table: cos and sin as data, so that no scaling rule reaches a kernel.
//! Frequencies: Su et al. 2021, <https://arxiv.org/abs/2104.09864>, base^(-2i/n_rot).

use super::LlamaParams;

/// Frequency of each pair in radians per position, rounded to `f32` as the models were trained.
pub fn inverse_frequencies(params: &LlamaParams) -> Vec<f32> {
    let n_rot = f64::from(params.n_rot);
    (0..params.n_rot / 2)
        .map(|pair| {
            let plain = f64::from(params.rope_base).powf(-2.0 * f64::from(pair) / n_rot) as f32;
            let factor = params
                .rope_factors
                .as_ref()
                .map_or(1.0, |factors| factors[pair as usize]);
            plain / factor / params.rope_divisor
        })
        .collect()
}

/// `[n_tokens, n_rot]` values: cos and sin of every pair for the positions from `pos` on.
pub fn table(params: &LlamaParams, pos: u32, n_tokens: u32) -> Vec<f32> {
    let frequencies = inverse_frequencies(params);
    (pos..pos + n_tokens)
        .flat_map(|position| {
            frequencies.iter().flat_map(move |frequency| {
                let (sin, cos) = (f64::from(position) * f64::from(*frequency)).sin_cos();
                [cos as f32, sin as f32]
            })
        })
        .collect()
}

//! Reference ops on row-major slices. Every sum runs in `f64`; results are rounded to `f32` once.

/// Rows of a table by token id; zeros for an id that the table does not have, as on the device.
pub(super) fn embed(tokens: &[f32], table: &[f32], cols: usize) -> Vec<f32> {
    let row = |token: &f32| {
        let row = table.chunks_exact(cols).nth(*token as usize);
        row.map_or_else(|| vec![0.0; cols], <[f32]>::to_vec)
    };
    tokens.iter().flat_map(row).collect()
}

/// `x / sqrt(mean(x^2) + eps) * weight` per run of the weight's length.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let cols = weight.len();
    let row = |row: &[f32]| {
        let squares: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        let inverse = 1.0 / (squares / cols as f64 + f64::from(eps)).sqrt();
        row.iter()
            .zip(weight)
            .map(move |(v, w)| (f64::from(*v) * inverse * f64::from(*w)) as f32)
            .collect::<Vec<_>>()
    };
    x.chunks_exact(cols).flat_map(row).collect()
}

/// `y[t, o] = sum_i w[o, i] x[t, i]`, `n_in` inputs.
pub(super) fn matmul(weights: &[f32], x: &[f32], n_in: usize) -> Vec<f32> {
    x.chunks_exact(n_in)
        .flat_map(|row| weights.chunks_exact(n_in).map(|w| dot(w, row) as f32))
        .collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// Shape of a rotation: pair `i` of a head is `(i * step, i * step + distance)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation {
    pub(super) head_dim: usize,
    pub(super) n_rot: usize,
    pub(super) n_heads: usize,
    pub(super) step: usize,
    pub(super) distance: usize,
}

/// Rotates the pairs of every head by the table's cos and sin.
pub(super) fn rope(x: &[f32], table: &[f32], rotation: Rotation) -> Vec<f32> {
    let Rotation {
        head_dim,
        n_rot,
        n_heads,
        step,
        distance,
    } = rotation;
    let mut out = x.to_vec();
    for (row, angles) in out
        .chunks_exact_mut(head_dim * n_heads)
        .zip(table.chunks_exact(n_rot))
    {
        for head in row.chunks_exact_mut(head_dim) {
            for (pair, angle) in angles.chunks_exact(2).enumerate() {
                let (first, second) = (pair * step, pair * step + distance);
                let [a, b, cos, sin] =
                    [head[first], head[second], angle[0], angle[1]].map(f64::from);
                head[first] = (a * cos - b * sin) as f32;
                head[second] = (a * sin + b * cos) as f32;
            }
        }
    }
    out
}

/// Shape of an attention call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) n_heads: usize,
    pub(super) n_kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) pos: usize,
    pub(super) scale: f32,
}

/// Causal attention of query rows over the caches; token `t` sees rows `0 ..= pos + t`.
pub(super) fn attention(q: &[f32], k: &[f32], v: &[f32], heads: Heads) -> Vec<f32> {
    let Heads {
        n_heads,
        n_kv_heads,
        head_dim,
        pos,
        scale,
    } = heads;
    let mut out = Vec::with_capacity(q.len());
    for (token, row) in q.chunks_exact(n_heads * head_dim).enumerate() {
        for (head, query) in row.chunks_exact(head_dim).enumerate() {
            let kv_head = head / (n_heads / n_kv_heads);
            let cached = |cache: &'_ [f32], position: usize| {
                let start = (position * n_kv_heads + kv_head) * head_dim;
                start..(start + head_dim).min(cache.len())
            };
            let scores: Vec<f64> = (0..=pos + token)
                .map(|p| dot(query, &k[cached(k, p)]) * f64::from(scale))
                .collect();
            out.extend(weighted_sum(&softmax(&scores), head_dim, |p| {
                &v[cached(v, p)]
            }));
        }
    }
    out
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn weighted_sum<'v>(weights: &[f64], len: usize, row: impl Fn(usize) -> &'v [f32]) -> Vec<f32> {
    let mut sums = vec![0.0; len];
    for (position, weight) in weights.iter().enumerate() {
        sums.iter_mut()
            .zip(row(position))
            .for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// `gate / (1 + exp(-gate)) * up`.
pub(super) fn silu_mul(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let silu = |gate: f64| gate / (1.0 + (-gate).exp());
    gate.iter()
        .zip(up)
        .map(|(gate, up)| (silu(f64::from(*gate)) * f64::from(*up)) as f32)
        .collect()
}

/// Sum.
pub(super) fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

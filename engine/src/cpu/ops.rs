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
    let Heads { head_dim, pos, .. } = heads;
    let mut out = Vec::with_capacity(q.len());
    for (token, head, query) in heads.queries(q) {
        let scores = heads.scores(query, k, head, 0..pos + token + 1);
        out.extend(weighted_sum(&softmax(&scores), head_dim, |p| {
            heads.row(v, head, p)
        }));
    }
    out
}

/// Attention of one query row, by parts of `part_rows` cache rows: per head and part the values weighted by
/// `exp(score - maximum)`, that maximum, and the sum of the weights.
pub(super) fn attention_split(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    heads: Heads,
    part_rows: usize,
) -> Vec<f32> {
    let seen = heads.pos + 1;
    let mut out = Vec::new();
    for (_, head, query) in heads.queries(q) {
        for first in (0..seen).step_by(part_rows) {
            let scores = heads.scores(query, k, head, first..seen.min(first + part_rows));
            let (powers, largest, sum) = powers(&scores);
            out.extend(weighted_sum(&powers, heads.head_dim, |p| {
                heads.row(v, head, first + p)
            }));
            out.extend([largest as f32, sum as f32]);
        }
    }
    out
}

/// The parts of [`attention_split`], joined.
pub(super) fn attention_merge(parts: &[f32], head_dim: usize, n_parts: usize) -> Vec<f32> {
    let head = |parts: &[f32]| {
        let parts: Vec<&[f32]> = parts.chunks_exact(head_dim + 2).collect();
        let maxima = parts.iter().map(|part| f64::from(part[head_dim]));
        let largest = maxima.fold(f64::NEG_INFINITY, f64::max);
        let weight = |part: &[f32]| (f64::from(part[head_dim]) - largest).exp();
        let sum: f64 = parts
            .iter()
            .map(|part| weight(part) * f64::from(part[head_dim + 1]))
            .sum();
        let value = move |d: usize| {
            let weighted = parts.iter().map(|part| weight(part) * f64::from(part[d]));
            (weighted.sum::<f64>() / sum) as f32
        };
        (0..head_dim).map(value).collect::<Vec<_>>()
    };
    parts
        .chunks_exact(n_parts * (head_dim + 2))
        .flat_map(head)
        .collect()
}

/// Rows of a tile of the attention kernel.
const TILE: usize = 64;

/// What the attention kernel knows after each tile: the largest score so far, and the sum of `exp(score - largest)`; per
/// query row and head, zeros for tiles behind the last that a row sees.
pub(super) fn attention_ring(q: &[f32], k: &[f32], heads: Heads, tiles: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for (token, head, query) in heads.queries(q) {
        let scores = heads.scores(query, k, head, 0..heads.pos + token + 1);
        for tile in 0..tiles {
            let seen = scores.len().min((tile + 1) * TILE);
            if tile * TILE < scores.len() {
                let (_, largest, sum) = powers(&scores[..seen]);
                out.extend([largest as f32, sum as f32]);
            } else {
                out.extend([0.0, 0.0]);
            }
        }
    }
    out
}

impl Heads {
    /// Query heads with token and head number.
    fn queries(self, q: &[f32]) -> impl Iterator<Item = (usize, usize, &[f32])> {
        let heads = q.chunks_exact(self.head_dim).enumerate();
        heads.map(move |(i, query)| (i / self.n_heads, i % self.n_heads, query))
    }

    /// The cached row that a query head sees at a position.
    fn row(self, cache: &[f32], head: usize, position: usize) -> &[f32] {
        let kv_head = head / (self.n_heads / self.n_kv_heads);
        let start = (position * self.n_kv_heads + kv_head) * self.head_dim;
        &cache[start..(start + self.head_dim).min(cache.len())]
    }

    fn scores(
        self,
        query: &[f32],
        k: &[f32],
        head: usize,
        positions: std::ops::Range<usize>,
    ) -> Vec<f64> {
        positions
            .map(|p| dot(query, self.row(k, head, p)) * f64::from(self.scale))
            .collect()
    }
}

/// `exp(score - largest)`, the largest score, and the sum of the powers.
fn powers(scores: &[f64]) -> (Vec<f64>, f64, f64) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum = powers.iter().sum();
    (powers, largest, sum)
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let (powers, _, sum) = powers(scores);
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

//! Distances between the logits of two paths.

/// Worst row of two sets of logits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Distance {
    /// KL(p‖q) + KL(q‖p) over the five likeliest tokens of the first side, renormalised.
    pub(crate) kl_sym_top5: f64,
    /// Difference of the largest logits.
    pub(crate) top1_gap: f64,
    /// Row of the larger KL.
    pub(crate) row: usize,
}

pub(crate) fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> Distance {
    assert_eq!(a.len(), b.len(), "both paths compute the same rows");
    let mut worst = Distance {
        kl_sym_top5: 0.0,
        top1_gap: 0.0,
        row: 0,
    };
    for (row, (a, b)) in a.iter().zip(b).enumerate() {
        let kl = kl_sym_top5(a, b);
        if kl.is_nan() || kl > worst.kl_sym_top5 {
            (worst.kl_sym_top5, worst.row) = (if kl.is_nan() { f64::INFINITY } else { kl }, row);
        }
        let gap = f64::from((largest(a) - largest(b)).abs());
        worst.top1_gap = if gap.is_nan() {
            f64::INFINITY
        } else {
            worst.top1_gap.max(gap)
        };
    }
    worst
}

fn largest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

fn kl_sym_top5(a: &[f32], b: &[f32]) -> f64 {
    let order: Vec<usize> = engine::sample::top(a, 5)
        .into_iter()
        .map(|token| token as usize)
        .collect();
    let (p, q) = (softmax(a, &order), softmax(b, &order));
    p.iter().zip(&q).map(|(p, q)| (p - q) * (p / q).ln()).sum()
}

fn softmax(row: &[f32], tokens: &[usize]) -> Vec<f64> {
    let top = tokens
        .iter()
        .map(|i| f64::from(row[*i]))
        .fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = tokens
        .iter()
        .map(|i| (f64::from(row[*i]) - top).exp())
        .collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

//! The largest logits.

/// Index of the largest value; the first of equals. `None` when there are no values or any is not a number.
pub fn greedy(logits: &[f32]) -> Option<u32> {
    if logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let best = logits
        .iter()
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(index, _)| index as u32)
}

/// The `count` largest values' indices, best first; of equals the first.
pub fn top(logits: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.truncate(count);
    order.into_iter().map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::{greedy, top};

    #[test]
    fn top_is_in_falling_order() {
        assert_eq!(top(&[0.5, 2.0, -1.0, 2.0, 3.0], 3), [4, 1, 3]);
        assert_eq!(top(&[1.0], 5), [0]);
    }

    #[test]
    fn greedy_takes_the_first_largest_and_refuses_nan() {
        assert_eq!(greedy(&[0.5, 2.0, 2.0, -1.0]), Some(1));
        assert_eq!(greedy(&[f32::NEG_INFINITY]), Some(0));
        assert_eq!(greedy(&[1.0, f32::NAN]), None);
        assert_eq!(greedy(&[]), None);
    }
}

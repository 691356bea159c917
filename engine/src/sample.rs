//! Choosing the next token.

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

#[cfg(test)]
mod tests {
    use super::greedy;

    #[test]
    fn greedy_takes_the_first_largest_and_refuses_nan() {
        assert_eq!(greedy(&[0.5, 2.0, 2.0, -1.0]), Some(1));
        assert_eq!(greedy(&[f32::NEG_INFINITY]), Some(0));
        assert_eq!(greedy(&[1.0, f32::NAN]), None);
        assert_eq!(greedy(&[]), None);
    }
}

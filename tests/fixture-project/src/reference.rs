//! One value after the other.

/// The running total after each value.
pub fn totals(values: &[i64]) -> Vec<i64> {
    let mut sum = 0;
    values
        .iter()
        .map(|value| {
            sum += value;
            sum
        })
        .collect()
}

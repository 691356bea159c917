//! Predicates whose truth no run can change.

use markers::{Op, Predicate};

/// What the predicate says of every run; `None` when it depends on the run.
pub(super) fn certain(predicate: &Predicate) -> Option<bool> {
    let Predicate::Count { op, count, .. } = predicate else {
        return None;
    };
    match (op, *count) {
        (Op::Ge, 0) | (Op::Le, u64::MAX) => Some(true),
        (Op::Lt, 0) | (Op::Gt, u64::MAX) => Some(false),
        _ => None,
    }
}

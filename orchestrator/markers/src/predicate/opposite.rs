//! The statement that a predicate excludes.

use super::{Op, Predicate, Quantifier};

impl Predicate {
    /// What holds in a cell where this fails, as far as rows are there: `absent` for `present`,
    /// `any … != v` for `all … == v`, `count … > n` for `count … <= n`. Twice gives the same meaning.
    ///
    /// Over several cells it is not the exact complement: both speak about every cell.
    #[must_use]
    pub fn opposite(&self) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Compare { quantifier, op, .. } => {
                *quantifier = Some(match quantifier {
                    Some(Quantifier::Any) => Quantifier::All,
                    Some(Quantifier::All) | None => Quantifier::Any,
                });
                *op = op.opposite();
            }
            Self::Presence { present, .. } => *present = !*present,
            Self::Count { op, .. } => *op = op.opposite(),
        }
        other
    }
}

impl Op {
    fn opposite(self) -> Self {
        match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Lt => Self::Ge,
            Self::Ge => Self::Lt,
            Self::Le => Self::Gt,
            Self::Gt => Self::Le,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposites_come_in_pairs() {
        for (text, other) in [
            ("all a.b == 1", "any a.b != 1"),
            ("any a{k=v}.b < 1us @c", "all a{k=v}.b >= 1us @c"),
            ("present a", "absent a"),
            ("count a <= 2", "count a > 2"),
        ] {
            let predicate: Predicate = text.parse().unwrap();
            assert_eq!(predicate.opposite().to_string(), other);
            assert_eq!(predicate.opposite().opposite(), predicate);
        }
        let unwritten: Predicate = "a.b == 1".parse().unwrap();
        assert_eq!(unwritten.opposite().to_string(), "any a.b != 1");
    }
}

//! Predicates as text; [`super::parse`] reads it back.

use std::fmt;

use super::{Cells, FieldPath, Literal, Op, Predicate, Quantifier, Selector, Tolerance};

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = match self {
            Self::Compare {
                quantifier,
                selector,
                field,
                op,
                value,
                tolerance,
                cells,
            } => {
                match quantifier {
                    Some(Quantifier::All) => f.write_str("all ")?,
                    Some(Quantifier::Any) => f.write_str("any ")?,
                    None => {}
                }
                write!(f, "{selector}.{field} {op} {value}")?;
                if let Some(tolerance) = tolerance {
                    write!(f, " {tolerance}")?;
                }
                cells
            }
            Self::Presence {
                present,
                selector,
                cells,
            } => {
                write!(
                    f,
                    "{} {selector}",
                    if *present { "present" } else { "absent" }
                )?;
                cells
            }
            Self::Count {
                selector,
                op,
                count,
                cells,
            } => {
                write!(f, "count {selector} {op} {count}")?;
                cells
            }
        };
        cells.as_ref().map_or(Ok(()), |cells| write!(f, " {cells}"))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.marker)?;
        let Some(filters) = &self.filters else {
            return Ok(());
        };
        f.write_str("{")?;
        for (index, filter) in filters.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}={}", filter.field, filter.value)?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        self.path.iter().try_for_each(|step| write!(f, ".{step}"))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { value, unit } => {
                write!(f, "{value}")?;
                unit.map_or(Ok(()), |unit| write!(f, "{unit}"))
            }
            Self::Word(word) => f.write_str(word),
            Self::Quoted(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute { value, unit } => {
                write!(f, "±{value}")?;
                unit.map_or(Ok(()), |unit| write!(f, "{unit}"))
            }
            Self::Percent(value) => write!(f, "±{value}%"),
        }
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("@*"),
            Self::One(cell) => write!(f, "@{cell}"),
        }
    }
}

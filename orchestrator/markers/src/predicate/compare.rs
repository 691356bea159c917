//! One value against one target, three-valued and exact.

use std::cmp::Ordering;

use super::check::check_unit;
use super::shape::Shape;
use super::{Literal, Op, Tolerance};
use crate::catalogue::non_finite;
use crate::error::nearest;
use crate::{Decimal, NonFinite, Unit, Value};

/// What a value is compared with.
#[derive(Debug, Clone)]
pub(super) struct Target {
    value: Value,
    /// Unit in which the comparison is made; observed numbers come in `field_unit`.
    unit: Option<Unit>,
    field_unit: Option<Unit>,
    slack: Option<Decimal>,
}

/// How far a number is from the one it is compared with.
pub(super) struct Distance {
    pub(super) difference: Decimal,
    pub(super) percent: Option<String>,
    pub(super) unit: Option<Unit>,
}

impl Target {
    pub(super) fn read(
        shape: Shape,
        field_unit: Option<Unit>,
        values: &[String],
        literal: &Literal,
    ) -> Result<Self, String> {
        let mut unit = field_unit;
        let value = match &shape {
            shape if shape.is_number() => {
                let given = match literal {
                    Literal::Number { unit, .. } => *unit,
                    _ => None,
                };
                if let Some(given) = given {
                    check_unit(given, field_unit)?;
                }
                let other = given.filter(|given| Some(*given) != field_unit);
                unit = other.map(Unit::base).or(field_unit);
                read_number(literal, other)?
            }
            Shape::Bool => read_bool(literal)?,
            Shape::List(numeric) => read_list(literal, *numeric)?,
            Shape::BucketState => read_text(literal, &["populated", "empty", "disabled"])?,
            _ => read_text(
                literal,
                &values.iter().map(String::as_str).collect::<Vec<_>>(),
            )?,
        };
        Ok(Self {
            value,
            unit,
            field_unit,
            slack: None,
        })
    }

    pub(super) fn is_finite(&self) -> bool {
        matches!(self.value, Value::Number(_))
    }

    /// Adds slack; its unit has been checked against the field's.
    pub(super) fn with_tolerance(
        mut self,
        tolerance: Option<&Tolerance>,
        field_unit: Option<Unit>,
    ) -> Self {
        let Value::Number(target) = &self.value else {
            return self;
        };
        self.slack = match tolerance {
            None => None,
            Some(Tolerance::Percent(percent)) => Some(percent.percent_of(target).abs()),
            // A slack in another unit than the comparison's moves everything to the base unit.
            Some(Tolerance::Absolute { value, unit }) => {
                let given = unit.or(field_unit);
                if given == self.unit {
                    Some(value.clone())
                } else {
                    let slack = given.map_or_else(|| value.clone(), |unit| unit.to_base(value));
                    let target = self
                        .unit
                        .map_or_else(|| target.clone(), |unit| unit.to_base(target));
                    self.unit = self.unit.map(Unit::base);
                    self.value = Value::Number(target);
                    Some(slack)
                }
            }
        };
        self
    }

    /// Whether `observed op target` holds, slack included.
    pub(super) fn holds(&self, op: Op, observed: &Value) -> bool {
        match (observed, &self.value) {
            (Value::Number(observed), Value::Number(target)) => {
                self.number_holds(op, &self.in_unit(observed), target)
            }
            (Value::NonFinite(NonFinite::Nan), other)
            | (other, Value::NonFinite(NonFinite::Nan)) => {
                let both = *observed == self.value && *other == Value::NonFinite(NonFinite::Nan);
                if both { op == Op::Eq } else { op == Op::Ne }
            }
            (Value::NonFinite(_) | Value::Number(_), Value::NonFinite(_) | Value::Number(_)) => {
                ordered(op, rank(observed).cmp(&rank(&self.value)))
            }
            (observed, target) => match op {
                Op::Eq => observed == target,
                Op::Ne => observed != target,
                Op::Lt | Op::Le | Op::Gt | Op::Ge => false,
            },
        }
    }

    /// How far `observed` is from the target, for numbers.
    pub(super) fn distance(&self, observed: &Value) -> Option<Distance> {
        match (observed, &self.value) {
            (Value::Number(observed), Value::Number(target)) => {
                let difference = self.in_unit(observed).minus(target);
                Some(Distance {
                    percent: difference.share_of(target),
                    difference,
                    unit: self.unit,
                })
            }
            _ => None,
        }
    }

    fn in_unit(&self, observed: &Decimal) -> Decimal {
        match self.field_unit {
            Some(unit) if self.unit != self.field_unit => unit.to_base(observed),
            _ => observed.clone(),
        }
    }

    fn number_holds(&self, op: Op, observed: &Decimal, target: &Decimal) -> bool {
        let zero = Decimal::from(0_u64);
        let slack = self.slack.as_ref().unwrap_or(&zero);
        let near = observed.minus(target).abs() <= *slack;
        match op {
            Op::Eq => near,
            Op::Ne => !near,
            Op::Lt => *observed < target.plus(slack),
            Op::Le => *observed <= target.plus(slack),
            Op::Gt => *observed > target.minus(slack),
            Op::Ge => *observed >= target.minus(slack),
        }
    }
}

fn rank(value: &Value) -> i8 {
    match value {
        Value::NonFinite(NonFinite::Infinity) => 1,
        Value::NonFinite(NonFinite::NegativeInfinity) => -1,
        _ => 0,
    }
}

/// Whether `op` holds for this order; also used for counts of rows.
pub(super) fn ordered(op: Op, order: Ordering) -> bool {
    match op {
        Op::Eq => order == Ordering::Equal,
        Op::Ne => order != Ordering::Equal,
        Op::Lt => order == Ordering::Less,
        Op::Le => order != Ordering::Greater,
        Op::Gt => order == Ordering::Greater,
        Op::Ge => order != Ordering::Less,
    }
}

/// The number of a literal, converted to the base unit where it is given in unit `from`.
fn read_number(literal: &Literal, from: Option<Unit>) -> Result<Value, String> {
    match literal {
        Literal::Number { value, .. } => {
            let value = from.map_or_else(|| value.clone(), |unit| unit.to_base(value));
            Ok(Value::Number(value))
        }
        Literal::Word(word) if word == "none" => Ok(Value::Nothing),
        Literal::Word(word) => match non_finite(word) {
            Some(value) => Ok(Value::NonFinite(value)),
            None => Err(format!(
                "holds a number; `{word}` is none (units: ns us ms s B kB MB GB KiB MiB GiB)"
            )),
        },
        other => Err(format!("holds a number; `{other}` is none")),
    }
}

fn read_bool(literal: &Literal) -> Result<Value, String> {
    match literal {
        Literal::Word(word) if word == "true" => Ok(Value::Bool(true)),
        Literal::Word(word) if word == "false" => Ok(Value::Bool(false)),
        other => Err(format!("holds true or false, not `{other}`")),
    }
}

fn read_text(literal: &Literal, allowed: &[&str]) -> Result<Value, String> {
    let text = match literal {
        Literal::Word(text) | Literal::Quoted(text) => text.clone(),
        // A text that looks like a number, such as a run id.
        number @ Literal::Number { .. } => number.to_string(),
        list @ Literal::List(_) => return Err(format!("holds text, not the list `{list}`")),
    };
    if allowed.is_empty() || allowed.contains(&text.as_str()) {
        return Ok(Value::Text(text));
    }
    let hint = nearest(&text, allowed.iter().copied())
        .map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
    Err(format!(
        "is never `{text}`, only {}{hint}",
        allowed.join(", ")
    ))
}

fn read_list(literal: &Literal, numeric: bool) -> Result<Value, String> {
    let Literal::List(items) = literal else {
        return Err(format!(
            "holds a list; write [a,b], or an index such as .0, instead of `{literal}`"
        ));
    };
    let read = |item: &Literal| match item {
        Literal::Number {
            unit: Some(unit), ..
        } if numeric => Err(format!("is a list; write its numbers without `{unit}`")),
        item if numeric => read_number(item, None),
        item => read_text(item, &[]),
    };
    Ok(Value::List(
        items.iter().map(read).collect::<Result<_, _>>()?,
    ))
}

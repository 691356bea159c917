//! Decimal numbers as text: exact comparison and arithmetic, no binary floats.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// Most digits a number may have; longer ones are refused, never rounded.
const MAX_DIGITS: usize = 400;
/// Largest power of ten, either way. Double precision needs 324.
const MAX_EXPONENT: i32 = 1_000;

/// An exact decimal number that remembers how it was written.
///
/// Equality, order and hash go by value (`1.50 == 1.5`); [`fmt::Display`] prints the text as written.
#[derive(Debug, Clone)]
pub struct Decimal {
    text: String,
    negative: bool,
    /// Significant digits, most significant first, no zeros at either end. Empty means zero.
    digits: Vec<u8>,
    /// Power of ten of the last digit.
    exponent: i32,
}

impl Decimal {
    /// The number as it was written, or its canonical text if it was computed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the value is zero, whatever its text.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether the value is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether the value is a whole number.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// The value as `u64`, when it is a whole number that fits.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        if self.negative || self.exponent < 0 || self.exponent > 20 {
            return None;
        }
        let mut value: u64 = 0;
        for digit in self.padded(0) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
        Some(value)
    }

    /// The value as `i64`, when it is a whole number that fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        let magnitude = i128::from(self.abs().to_u64()?);
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// The magnitude.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self::computed(false, self.digits.clone(), self.exponent)
    }

    /// The exact sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (a, b) = (self.padded(exponent), other.padded(exponent));
        if self.negative == other.negative {
            return Self::computed(self.negative, add_digits(&a, &b), exponent);
        }
        match cmp_digits(&a, &b) {
            Ordering::Less => Self::computed(other.negative, sub_digits(&b, &a), exponent),
            _ => Self::computed(self.negative, sub_digits(&a, &b), exponent),
        }
    }

    /// The exact difference `self - other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&Self::computed(
            !other.negative,
            other.digits.clone(),
            other.exponent,
        ))
    }

    /// The exact product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self::computed(
            self.negative != other.negative,
            mul_digits(&self.digits, &other.digits),
            self.exponent + other.exponent,
        )
    }

    /// This many hundredths of `whole`, exactly: `p.percent_of(v) = v · p / 100`.
    #[must_use]
    pub fn percent_of(&self, whole: &Self) -> Self {
        let product = self.times(whole);
        Self::computed(product.negative, product.digits, product.exponent - 2)
    }

    /// `|self| / |whole|` in percent, rounded half up to one decimal: `3.7`. `None` for a zero whole.
    #[must_use]
    pub fn share_of(&self, whole: &Self) -> Option<String> {
        if whole.is_zero() {
            return None;
        }
        let exponent = self.exponent.min(whole.exponent);
        let denominator = whole.padded(exponent);
        let mut numerator = self.padded(exponent);
        numerator.extend([0, 0, 0]);
        let (mut quotient, remainder) = div_digits(&numerator, &denominator);
        if cmp_digits(&add_digits(&remainder, &remainder), &denominator) != Ordering::Less {
            quotient = add_digits(&quotient, &[1]);
        }
        while quotient.len() < 2 {
            quotient.insert(0, 0);
        }
        let text: String = quotient.iter().map(|d| char::from(b'0' + d)).collect();
        let (whole_part, tenth) = text.split_at(text.len() - 1);
        Some(format!("{whole_part}.{tenth}"))
    }

    /// `self · 10^power`.
    pub(crate) fn shifted(&self, power: i32) -> Self {
        Self::computed(self.negative, self.digits.clone(), self.exponent + power)
    }

    /// Mantissa and power of ten, where the mantissa has at most 18 digits.
    pub(crate) fn small(&self) -> Option<(i64, i32)> {
        if self.digits.len() > 18 {
            return None;
        }
        let magnitude = self
            .digits
            .iter()
            .fold(0_i64, |sum, digit| sum * 10 + i64::from(*digit));
        let mantissa = if self.negative { -magnitude } else { magnitude };
        Some((mantissa, self.exponent))
    }

    fn computed(negative: bool, digits: Vec<u8>, exponent: i32) -> Self {
        let mut value = Self {
            text: String::new(),
            negative,
            digits,
            exponent,
        };
        value.normalise();
        value.text = value.canonical_text();
        value
    }

    fn normalise(&mut self) {
        let leading = self.digits.iter().take_while(|d| **d == 0).count();
        self.digits.drain(..leading);
        while self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        if self.digits.is_empty() {
            self.negative = false;
            self.exponent = 0;
        }
    }

    /// The digits with zeros appended so that the last one counts `10^exponent`.
    fn padded(&self, exponent: i32) -> Vec<u8> {
        let mut digits = self.digits.clone();
        if !digits.is_empty() {
            let zeros = usize::try_from(self.exponent - exponent).unwrap_or(0);
            digits.extend(std::iter::repeat_n(0, zeros));
        }
        digits
    }

    fn canonical_text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        if digits.is_empty() {
            return "0".to_owned();
        }
        let point = i32::try_from(digits.len()).unwrap_or(i32::MAX) + self.exponent;
        if !(-20..=40).contains(&point) {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            return format!("{sign}{first}{dot}{rest}e{}", point - 1);
        }
        if self.exponent >= 0 {
            let zeros = "0".repeat(usize::try_from(self.exponent).unwrap_or(0));
            return format!("{sign}{digits}{zeros}");
        }
        if point <= 0 {
            let zeros = "0".repeat(usize::try_from(-point).unwrap_or(0));
            return format!("{sign}0.{zeros}{digits}");
        }
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{sign}{whole}.{fraction}")
    }

    fn magnitude_cmp(&self, other: &Self) -> Ordering {
        let top =
            |d: &Self| i64::from(d.exponent) + i64::try_from(d.digits.len()).unwrap_or(i64::MAX);
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => top(self)
                .cmp(&top(other))
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

fn add_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len().max(b.len()) + 1);
    let (mut a, mut b, mut carry) = (a.iter().rev(), b.iter().rev(), 0);
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            break;
        }
        let sum = x.copied().unwrap_or(0) + y.copied().unwrap_or(0) + carry;
        out.push(sum % 10);
        carry = sum / 10;
    }
    out.push(carry);
    out.reverse();
    out
}

/// `a - b` for `a >= b`.
fn sub_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len());
    let (mut b, mut borrow) = (b.iter().rev(), 0);
    for x in a.iter().rev() {
        let take = b.next().copied().unwrap_or(0) + borrow;
        borrow = u8::from(*x < take);
        out.push(x + 10 * borrow - take);
    }
    out.reverse();
    out
}

fn mul_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut cells = vec![0_u32; a.len() + b.len()];
    for (i, x) in a.iter().rev().enumerate() {
        for (j, y) in b.iter().rev().enumerate() {
            if let Some(cell) = cells.get_mut(i + j) {
                *cell += u32::from(*x) * u32::from(*y);
            }
        }
    }
    let mut carry = 0;
    let mut out: Vec<u8> = cells
        .into_iter()
        .map(|cell| {
            let sum = cell + carry;
            carry = sum / 10;
            u8::try_from(sum % 10).unwrap_or(0)
        })
        .collect();
    out.reverse();
    out
}

fn div_digits(numerator: &[u8], denominator: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut quotient, mut remainder) = (Vec::new(), Vec::new());
    for digit in numerator {
        remainder.push(*digit);
        let mut times = 0;
        while cmp_digits(&remainder, denominator) != Ordering::Less {
            remainder = strip(&sub_digits(&remainder, denominator)).to_vec();
            times += 1;
        }
        if times > 0 || !quotient.is_empty() {
            quotient.push(times);
        }
    }
    (quotient, remainder)
}

fn strip(digits: &[u8]) -> &[u8] {
    let leading = digits.iter().take_while(|d| **d == 0).count();
    digits.get(leading..).unwrap_or(&[])
}

fn cmp_digits(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (strip(a), strip(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl FromStr for Decimal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > 2 * MAX_DIGITS {
            return Err(Error::NumberRange(text.len()));
        }
        let malformed = || Error::Number(text.to_owned());
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or("")),
            Some(b'+') => (false, text.get(1..).unwrap_or("")),
            _ => (false, text),
        };
        let (mantissa, power) = match body.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, parse_exponent(power).ok_or_else(malformed)?),
            None => (body, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !numeric(whole) || !numeric(fraction) {
            return Err(malformed());
        }
        let scale = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        let mut value = Self {
            text: text.to_owned(),
            negative,
            digits: whole
                .bytes()
                .chain(fraction.bytes())
                .map(|b| b - b'0')
                .collect(),
            exponent: power - scale,
        };
        value.normalise();
        if value.digits.len() > MAX_DIGITS || value.exponent.abs() > MAX_EXPONENT {
            return Err(Error::NumberRange(text.len()));
        }
        Ok(value)
    }
}

fn parse_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if well_formed { text.parse().ok() } else { None }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        let digits = value.to_string().bytes().map(|b| b - b'0').collect();
        Self::computed(false, digits, 0)
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        let magnitude = Self::from(value.unsigned_abs());
        Self::computed(value < 0, magnitude.digits, magnitude.exponent)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl std::hash::Hash for Decimal {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.negative, &self.digits, self.exponent).hash(state);
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude_cmp(other),
            (true, true) => other.magnitude_cmp(self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_compare_by_value_and_print_as_written() {
        assert_eq!(d("1.50"), d("15e-1"));
        assert_eq!(d("1.50").to_string(), "1.50");
        assert_eq!(d("-0"), d("0.000"));
        assert!(d("1e-45") > d("0") && d("-2") < d("-1") && d("1e38") > d("9.9e37"));
        assert!(d("0.1").plus(&d("0.2")) == d("0.3"));
    }

    #[test]
    fn the_founding_margin_is_said_in_percent() {
        let over = d("1.037e-4").minus(&d("1e-4"));
        assert_eq!(over.share_of(&d("1e-4")).unwrap(), "3.7");
        assert_eq!(d("0.0004").share_of(&d("1")).unwrap(), "0.0");
        assert_eq!(d("3").share_of(&d("0")), None);
        assert_eq!(d("5").percent_of(&d("340")), d("17"));
    }

    #[test]
    fn texts_that_are_no_numbers_are_refused() {
        for text in [
            "", "-", ".", "1.", ".5", "1e", "1e+", "1_000", "0x10", "nan", "--1", "1e999999",
            "1.2.3", "١",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_integers(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
            let (x, y) = (Decimal::from(a), Decimal::from(b));
            prop_assert_eq!(x.plus(&y), Decimal::from(a + b));
            prop_assert_eq!(x.minus(&y).to_i64(), Some(a - b));
            prop_assert_eq!(x.times(&y), Decimal::from(a * b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }

        #[test]
        fn computed_text_reads_back(a in "-?[0-9]{1,30}(\\.[0-9]{1,30})?(e-?[0-9]{1,2})?") {
            let value = d(&a);
            let canonical = value.plus(&Decimal::from(0_u64));
            prop_assert_eq!(&d(canonical.text()), &value);
        }

        #[test]
        fn foreign_text_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Decimal>();
        }
    }
}

//! Text to [`Predicate`], by recursive descent over characters.

use super::{Cells, FieldPath, Filter, Literal, Op, Predicate, Quantifier, Selector, Tolerance};
use crate::{Decimal, Error, Unit};

/// Longest predicate; foreign text is capped before it is read.
const MAX_BYTES: usize = 4_096;
/// Deepest nesting of list values.
const MAX_DEPTH: usize = 4;
/// Words that open a predicate and so cannot name a marker.
pub(crate) const KEYWORDS: [&str; 5] = ["all", "any", "present", "absent", "count"];

pub(super) fn predicate(text: &str) -> Result<Predicate, Error> {
    let mut cursor = Cursor { text, at: 0 };
    if text.len() > MAX_BYTES {
        return Err(cursor.fail(&format!("at most {MAX_BYTES} bytes")));
    }
    cursor.spaces();
    let start = cursor.at;
    let word = cursor.name("all, any, present, absent, count or a marker")?;
    let parsed = match word {
        "present" | "absent" => presence(&mut cursor, word == "present")?,
        "count" => count(&mut cursor)?,
        "all" => compare(&mut cursor, Some(Quantifier::All))?,
        "any" => compare(&mut cursor, Some(Quantifier::Any))?,
        _ => {
            cursor.at = start;
            compare(&mut cursor, None)?
        }
    };
    cursor.spaces();
    if cursor.rest().is_empty() {
        Ok(parsed)
    } else {
        Err(cursor.fail(rest_expected(&parsed)))
    }
}

fn rest_expected(parsed: &Predicate) -> &'static str {
    match parsed {
        _ if !matches!(parsed.cells(), Cells::Every) => "the end",
        Predicate::Compare {
            tolerance: None, ..
        } => "±tolerance, @cell or the end",
        _ => "@cell or the end",
    }
}

fn compare(cursor: &mut Cursor<'_>, quantifier: Option<Quantifier>) -> Result<Predicate, Error> {
    let selector = selector(cursor)?;
    let field = field_path(cursor)?;
    let op = op(cursor)?;
    cursor.spaces();
    let value = literal(cursor, 0)?;
    let tolerance = tolerance(cursor)?;
    let cells = cells(cursor)?;
    Ok(Predicate::Compare {
        quantifier,
        selector,
        field,
        op,
        value,
        tolerance,
        cells,
    })
}

fn presence(cursor: &mut Cursor<'_>, present: bool) -> Result<Predicate, Error> {
    let selector = selector(cursor)?;
    Ok(Predicate::Presence {
        present,
        selector,
        cells: cells(cursor)?,
    })
}

fn count(cursor: &mut Cursor<'_>) -> Result<Predicate, Error> {
    let selector = selector(cursor)?;
    let op = op(cursor)?;
    cursor.spaces();
    let start = cursor.at;
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    let Some(count) = digits.parse().ok().filter(|_| canonical) else {
        cursor.at = start;
        return Err(cursor.fail("a whole number of rows"));
    };
    Ok(Predicate::Count {
        selector,
        op,
        count,
        cells: cells(cursor)?,
    })
}

fn selector(cursor: &mut Cursor<'_>) -> Result<Selector, Error> {
    cursor.spaces();
    let start = cursor.at;
    let marker = cursor.name("a marker name such as gpu_perdispatch")?;
    if KEYWORDS.contains(&marker) {
        cursor.at = start;
        return Err(cursor.fail("a marker name such as gpu_perdispatch"));
    }
    let marker = marker.to_owned();
    cursor.spaces();
    if !cursor.eat("{") {
        return Ok(Selector {
            marker,
            filters: None,
        });
    }
    let mut filters = Vec::new();
    cursor.spaces();
    if cursor.eat("}") {
        return Ok(Selector {
            marker,
            filters: Some(filters),
        });
    }
    loop {
        cursor.spaces();
        let field = cursor.name("a field name")?.to_owned();
        cursor.spaces();
        if cursor.rest().starts_with("==") || !cursor.eat("=") {
            return Err(cursor.fail("`=` (filters compare for equality)"));
        }
        cursor.spaces();
        filters.push(Filter {
            field,
            value: literal(cursor, 0)?,
        });
        cursor.spaces();
        if cursor.eat("}") {
            return Ok(Selector {
                marker,
                filters: Some(filters),
            });
        }
        if !cursor.eat(",") {
            return Err(cursor.fail("`,` or `}`"));
        }
    }
}

fn field_path(cursor: &mut Cursor<'_>) -> Result<FieldPath, Error> {
    if !cursor.eat(".") {
        return Err(cursor.fail("`.field` (or write `present MARKER` to ask whether it is there)"));
    }
    let field = cursor.name("a field name")?.to_owned();
    let mut path = Vec::new();
    while cursor.eat(".") {
        let step = cursor
            .take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            .to_owned();
        if step.is_empty() {
            return Err(cursor.fail("a bucket name, an index, count, us or len"));
        }
        path.push(step);
    }
    Ok(FieldPath { field, path })
}

fn op(cursor: &mut Cursor<'_>) -> Result<Op, Error> {
    cursor.spaces();
    let ops = [
        ("==", Op::Eq),
        ("!=", Op::Ne),
        ("<=", Op::Le),
        (">=", Op::Ge),
        ("<", Op::Lt),
        (">", Op::Gt),
    ];
    match ops.into_iter().find(|(symbol, _)| cursor.eat(symbol)) {
        Some((_, op)) => Ok(op),
        None => Err(cursor.fail("==, !=, <, <=, > or >=")),
    }
}

fn literal(cursor: &mut Cursor<'_>, depth: usize) -> Result<Literal, Error> {
    if cursor.eat("\"") {
        return quoted(cursor);
    }
    if cursor.rest().starts_with('[') {
        return list(cursor, depth);
    }
    let word = cursor.take_while(is_word_char);
    if word.is_empty() {
        return Err(cursor.fail("a value: a number, a word, \"text\" or [a,b]"));
    }
    Ok(number(word).unwrap_or_else(|| Literal::Word(word.to_owned())))
}

/// Characters of bare words; everything else is quoted.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | '/' | ':')
}

pub(super) fn number(word: &str) -> Option<Literal> {
    if let Ok(value) = word.parse::<Decimal>() {
        return Some(Literal::Number { value, unit: None });
    }
    Unit::ALL.into_iter().find_map(|unit| {
        let value = word.strip_suffix(unit.symbol())?.parse().ok()?;
        Some(Literal::Number {
            value,
            unit: Some(unit),
        })
    })
}

fn quoted(cursor: &mut Cursor<'_>) -> Result<Literal, Error> {
    let mut text = String::new();
    loop {
        let Some(c) = cursor.rest().chars().next() else {
            return Err(cursor.fail("a closing `\"`"));
        };
        cursor.at += c.len_utf8();
        match c {
            '"' => return Ok(Literal::Quoted(text)),
            '\\' => match cursor.rest().chars().next() {
                Some(escaped @ ('"' | '\\')) => {
                    cursor.at += 1;
                    text.push(escaped);
                }
                _ => return Err(cursor.fail("`\\\"` or `\\\\` after a backslash")),
            },
            c => text.push(c),
        }
    }
}

fn list(cursor: &mut Cursor<'_>, depth: usize) -> Result<Literal, Error> {
    if depth >= MAX_DEPTH {
        return Err(cursor.fail("a flatter list"));
    }
    cursor.eat("[");
    let mut items = Vec::new();
    cursor.spaces();
    if cursor.eat("]") {
        return Ok(Literal::List(items));
    }
    loop {
        cursor.spaces();
        items.push(literal(cursor, depth + 1)?);
        cursor.spaces();
        if cursor.eat("]") {
            return Ok(Literal::List(items));
        }
        if !cursor.eat(",") {
            return Err(cursor.fail("`,` or `]`"));
        }
    }
}

fn tolerance(cursor: &mut Cursor<'_>) -> Result<Option<Tolerance>, Error> {
    cursor.spaces();
    if !cursor.eat("±") {
        return Ok(None);
    }
    cursor.spaces();
    let start = cursor.at;
    let word = cursor.take_while(is_word_char);
    let Some(Literal::Number { value, unit }) = number(word).filter(|_| !word.starts_with('-'))
    else {
        cursor.at = start;
        return Err(cursor.fail("a tolerance such as ±5, ±5us or ±3%"));
    };
    if unit.is_none() && cursor.eat("%") {
        return Ok(Some(Tolerance::Percent(value)));
    }
    Ok(Some(Tolerance::Absolute { value, unit }))
}

fn cells(cursor: &mut Cursor<'_>) -> Result<Option<Cells>, Error> {
    cursor.spaces();
    if !cursor.eat("@") {
        return Ok(None);
    }
    if cursor.eat("*") {
        return Ok(Some(Cells::Every));
    }
    let cell = cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if cell.is_empty() {
        return Err(cursor.fail("a cell name or `*`"));
    }
    Ok(Some(Cells::One(cell.to_owned())))
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn spaces(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t' || c == '\n' || c == '\r');
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn name(&mut self, expected: &str) -> Result<&'t str, Error> {
        if !self
            .rest()
            .starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        {
            return Err(self.fail(expected));
        }
        Ok(self.take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
    }

    fn fail(&self, expected: &str) -> Error {
        let found = match self.rest().split_whitespace().next() {
            None => "the end".to_owned(),
            Some(word) => format!("`{}`", word.chars().take(40).collect::<String>()),
        };
        let column = self.text.get(..self.at).unwrap_or("").chars().count() + 1;
        Error::Syntax {
            column,
            expected: expected.to_owned(),
            found,
        }
    }
}

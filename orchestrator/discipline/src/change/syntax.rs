//! One Rust source as facts: its functions, tests, imports, and where test code stands.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;

use proc_macro2::TokenStream;

use super::lexical::{Lexed, Token, clean, flatten};
use super::nesting::too_deep;
use super::walk;

/// Largest source that is parsed, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Result of reading a Rust source.
#[derive(Debug)]
pub(super) enum Parsed {
    /// It parses.
    File(Box<RustFile>),
    /// It does not; why, with its line.
    Broken(String),
}

/// What findings read of a Rust source.
#[derive(Debug, Default)]
pub(super) struct RustFile {
    pub(super) lexed: Lexed,
    pub(super) functions: Vec<Function>,
    /// Lines of `use` and `extern crate` items.
    pub(super) imports: Vec<(u32, u32)>,
    /// Items and members under conditions other than `test`.
    pub(super) conditional: Vec<Conditional>,
    /// Lines of items that exist for tests only.
    pub(super) test_ranges: Vec<(u32, u32)>,
    /// Lines of items other than test code and imports, outermost first.
    pub(super) product_items: Vec<(u32, u32)>,
    /// Lines of statements that only print or report.
    pub(super) instrumentation: Vec<(u32, u32)>,
    /// Lines of struct literals of an execution profile.
    pub(super) profiles: Vec<u32>,
    /// Named things of product code that only their own crate can use.
    pub(super) inner: Vec<Symbol>,
}

/// Something with a name that no other crate sees.
#[derive(Debug)]
pub(super) struct Symbol {
    pub(super) name: String,
    /// First line, attributes included.
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Lines that are compiled only under conditions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conditional {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Conditions on it and around it, `test` itself left out.
    pub(super) cfgs: BTreeSet<String>,
}

/// A function with a body.
#[derive(Debug)]
pub(super) struct Function {
    /// Modules, type and name, joined by `::`.
    pub(super) path: String,
    pub(super) name: String,
    /// First line, attributes included.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Its body's tokens, braces included, as indexes into the file's tokens.
    pub(super) body: Range<usize>,
    /// Runs as a test.
    pub(super) test: bool,
    /// Stands in test code.
    pub(super) in_test: bool,
    pub(super) ignored: bool,
    pub(super) should_panic: bool,
    /// Conditions on it and around it, `test` itself left out.
    pub(super) cfgs: BTreeSet<String>,
    pub(super) params: usize,
    /// Implements a trait's signature.
    pub(super) of_trait: bool,
}

impl RustFile {
    pub(super) fn body(&self, function: &Function) -> &[Token] {
        self.lexed
            .tokens
            .get(function.body.clone())
            .unwrap_or_default()
    }

    /// True when the line stands in an item that exists for tests only.
    pub(super) fn is_test_line(&self, line: u32) -> bool {
        within(&self.test_ranges, line)
    }

    /// Index of the first token at or after a byte offset.
    pub(super) fn token_at(&self, offset: usize) -> usize {
        self.lexed.tokens.partition_point(|token| token.at < offset)
    }
}

/// True when one of the ranges holds the line.
pub(super) fn within(ranges: &[(u32, u32)], line: u32) -> bool {
    ranges
        .iter()
        .any(|(start, end)| (*start..=*end).contains(&line))
}

/// Parses a Rust source; never panics and never exhausts the stack.
pub(super) fn parse(text: &str) -> Parsed {
    if text.len() > MAX_BYTES {
        return Parsed::Broken(format!(
            "it has {} bytes; at most {MAX_BYTES} are parsed",
            text.len()
        ));
    }
    let source = clean(text);
    let stream = match TokenStream::from_str(&source) {
        Ok(stream) => stream,
        Err(error) => {
            return Parsed::Broken(format!("line {}: {error}", error.span().start().line));
        }
    };
    if too_deep(&stream) {
        return Parsed::Broken("it is nested too deeply to be parsed".into());
    }
    let lexed = flatten(&source, stream.clone());
    match syn::parse2::<syn::File>(stream) {
        Err(error) => Parsed::Broken(format!("line {}: {error}", error.span().start().line)),
        Ok(file) => {
            let mut facts = RustFile {
                lexed,
                ..RustFile::default()
            };
            walk::file(&file, &mut facts);
            Parsed::File(Box::new(facts))
        }
    }
}

/// Index of the bracket that closes the one at `open`.
pub(super) fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// Tokens as one text, for keys that do not depend on layout.
pub(super) fn joined(tokens: &[Token]) -> String {
    tokens
        .iter()
        .map(|token| token.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

//! A bound on how deep a source nests, measured before anything recursive reads it.
//!
//! `syn` recurses with the nesting of what it parses, and a stack overflow cannot be caught. Nesting
//! is more than brackets: prefixes, closures, generics and chains nest without any. So every token
//! adds a weight to its statement, in proportion to the stack that the parser may spend on it, and
//! the weights of all enclosing statements add up. The walk itself is iterative.
//!
//! Weights were measured with unoptimised code on a stack of 2 MiB: there a level of types or of
//! brackets takes up to 50 KiB, a prefix 4 KiB.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Weight beyond which a source is not parsed; nearly all published code stays below 500.
const MAX_WEIGHT: usize = 1_000;
/// A bracket, a reference, a pointer, a closure, a return type.
const LEVEL: usize = 25;
/// An opening angle bracket, which the parser may read as an operator first.
const ANGLE: usize = 40;
/// The second bar of `||`, which may also stand between the parameters of two closures.
const OR: usize = 10;
/// A keyword that something follows, an assignment, an open range.
const KEYWORD: usize = 8;
/// An operator before its operand.
const PREFIX: usize = 4;

const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "dyn", "else", "fn", "for", "if", "impl",
    "in", "let", "loop", "match", "move", "mut", "raw", "ref", "return", "static", "unsafe",
    "where", "while", "yield",
];

/// True when parsing these tokens could exhaust the stack.
pub(super) fn too_deep(stream: &TokenStream) -> bool {
    let mut levels = vec![Level::new(stream.clone(), 0)];
    while let Some(level) = levels.last_mut() {
        let Some(tree) = level.trees.get(level.next).cloned() else {
            levels.pop();
            continue;
        };
        level.next += 1;
        let weight = level.take(&tree);
        if weight > MAX_WEIGHT {
            return true;
        }
        let opaque = std::mem::take(&mut level.macro_input);
        if let TokenTree::Group(group) = tree
            && !opaque
        {
            levels.push(Level::new(group.stream(), weight + LEVEL));
        }
    }
    false
}

/// What the last token was, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Something that an operator can follow.
    Operand,
    /// A keyword or a lifetime.
    Keyword,
    /// A `|` or `!` directly after an operand.
    Operator(char),
    Punct(char),
}

/// One group of tokens on the way down.
struct Level {
    trees: Vec<TokenTree>,
    /// Index of the token after the one that is being taken.
    next: usize,
    /// Weight of everything around it.
    base: usize,
    /// Weight of the current part of a statement, between commas.
    part: usize,
    /// Open angle brackets and closures of the current statement; commas do not end them.
    open: usize,
    /// `part` before the attribute that is being read.
    attribute: Option<usize>,
    last: Last,
    /// The group that was just taken is the input of a macro, which the parser does not read.
    macro_input: bool,
}

impl Level {
    fn new(stream: TokenStream, base: usize) -> Self {
        Self {
            trees: stream.into_iter().collect(),
            next: 0,
            base,
            part: 0,
            open: 0,
            attribute: None,
            last: Last::Punct(';'),
            macro_input: false,
        }
    }

    /// Adds a token; returns the weight at it.
    fn take(&mut self, tree: &TokenTree) -> usize {
        match tree {
            TokenTree::Punct(punct) => self.punct(punct.as_char()),
            TokenTree::Ident(ident) => {
                let lifetime = self.last == Last::Punct('\'');
                let keyword = lifetime || KEYWORDS.contains(&ident.to_string().as_str());
                self.part += if keyword { KEYWORD } else { 1 };
                self.last = if keyword {
                    Last::Keyword
                } else {
                    Last::Operand
                };
            }
            TokenTree::Literal(_) => {
                self.part += 1;
                self.last = Last::Operand;
            }
            TokenTree::Group(group) => {
                let weight = self.weight() + 1;
                self.group(group.delimiter());
                return weight;
            }
        }
        self.weight()
    }

    fn punct_at(&self, ahead: usize) -> Option<char> {
        match self.trees.get(self.next + ahead) {
            Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
            _ => None,
        }
    }

    /// `< 1` and `<< 1` compare and shift; a number ends any nesting.
    fn is_before_number(&self) -> bool {
        let ahead = usize::from(self.punct_at(0) == Some('<'));
        matches!(
            self.trees.get(self.next + ahead),
            Some(TokenTree::Literal(_))
        )
    }

    fn weight(&self) -> usize {
        self.base + self.part + self.open
    }

    fn punct(&mut self, c: char) {
        let prefix = self.last != Last::Operand;
        let next = self.punct_at(0).unwrap_or(' ');
        match c {
            ';' => self.end_statement(),
            ',' => self.part = 0,
            '=' if next == '>' => self.end_statement(),
            '#' => self.attribute = self.attribute.or(Some(self.part)),
            '!' if self.last == Last::Punct('#') => return,
            '<' if self.is_before_number() => self.part += 1,
            '<' => self.open += ANGLE,
            '>' if !matches!(self.last, Last::Punct('-' | '=')) => {
                self.open = self.open.saturating_sub(ANGLE)
            }
            '|' if self.last == Last::Operator('|') => self.open += OR,
            '|' if prefix => self.open += LEVEL,
            '-' if next == '>' => self.part += LEVEL,
            '&' | '*' if prefix => self.part += LEVEL,
            '=' | '.' if prefix || c == '=' => self.part += KEYWORD,
            _ => self.part += if prefix { PREFIX } else { 1 },
        }
        self.last = match (c, prefix) {
            ('?', _) => Last::Operand,
            ('|' | '!', false) => Last::Operator(c),
            _ => Last::Punct(c),
        };
    }

    fn group(&mut self, delimiter: Delimiter) {
        match self.attribute.take() {
            Some(before) if delimiter == Delimiter::Bracket => {
                self.part = before;
                self.last = Last::Punct(';');
                return;
            }
            _ => self.part += 1,
        }
        self.macro_input = self.last == Last::Operator('!');
        self.last = Last::Operand;
        if delimiter == Delimiter::Brace && self.ends_statement() {
            self.end_statement();
            self.last = Last::Punct(';');
        }
    }

    /// After a block a statement or an item begins, unless an operator or `else` continues it.
    fn ends_statement(&self) -> bool {
        match self.trees.get(self.next) {
            Some(TokenTree::Punct(punct)) => punct.as_char() == '#',
            Some(TokenTree::Ident(ident)) => *ident != "else" && *ident != "as",
            _ => true,
        }
    }

    fn end_statement(&mut self) {
        (self.part, self.open) = (0, 0);
    }
}

//! Rust source as a flat list of tokens with places, and its comments.

use proc_macro2::{Span, TokenStream, TokenTree};

/// A token; brackets are tokens of their own. Doc comments are comments, not tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Line, 1-based.
    pub(super) line: u32,
    /// Byte offset in the source.
    pub(super) at: usize,
}

/// Text of a comment on one line, with its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) text: String,
    pub(super) line: u32,
}

/// A source's tokens, comments and the lines that hold code.
#[derive(Debug, Clone, Default)]
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    /// `code[n]` is true when line `n` holds a token.
    pub(super) code: Vec<bool>,
}

/// Source that both lexer and parser accept at the same offsets: no mark, no `#!` line.
pub(super) fn clean(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.starts_with("#!") && !text[2..].trim_start().starts_with('[') {
        let end = text.find('\n').unwrap_or(text.len());
        return " ".repeat(end) + &text[end..];
    }
    text.to_owned()
}

/// Flattens the token trees of `source`.
pub(super) fn flatten(source: &str, stream: TokenStream) -> Lexed {
    let mut reader = Reader::new(source);
    let mut stack = vec![(Vec::from_iter(stream), 0, None::<Span>)];
    while let Some((trees, next, close)) = stack.last_mut() {
        let Some(tree) = trees.get(*next) else {
            if let Some(span) = *close {
                reader.token(span, None);
            }
            stack.pop();
            continue;
        };
        *next += 1;
        match tree {
            TokenTree::Group(group) => {
                reader.token(group.span_open(), None);
                let inner = (Vec::from_iter(group.stream()), 0, Some(group.span_close()));
                stack.push(inner);
            }
            TokenTree::Ident(ident) => reader.token(ident.span(), Some(ident.to_string())),
            TokenTree::Literal(literal) => reader.token(literal.span(), Some(literal.to_string())),
            TokenTree::Punct(punct) => match doc_comment(punct.as_char(), &trees[*next..]) {
                Some((span, used)) => {
                    *next += used;
                    reader.comment(span);
                }
                None => reader.token(punct.span(), None),
            },
        }
    }
    reader.gap(source.len());
    reader.lexed
}

/// Span of the doc comment whose attribute begins with `first`, and how many more trees it has.
fn doc_comment(first: char, rest: &[TokenTree]) -> Option<(Span, usize)> {
    let inner = matches!(rest.first(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
    let Some(TokenTree::Group(group)) = rest.get(usize::from(inner)) else {
        return None;
    };
    let mut tokens = group.stream().into_iter();
    let is_doc = first == '#'
        && matches!(tokens.next(), Some(TokenTree::Ident(ident)) if ident == "doc")
        && matches!(tokens.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '=');
    is_doc.then(|| (group.span(), usize::from(inner) + 1))
}

struct Reader<'a> {
    source: &'a str,
    line_starts: Vec<usize>,
    end: usize,
    lexed: Lexed,
}

impl<'a> Reader<'a> {
    fn new(source: &'a str) -> Self {
        let line_starts: Vec<usize> = std::iter::once(0)
            .chain(source.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let lexed = Lexed {
            code: vec![false; line_starts.len() + 1],
            ..Lexed::default()
        };
        Self {
            source,
            line_starts,
            end: 0,
            lexed,
        }
    }

    fn token(&mut self, span: Span, text: Option<String>) {
        let range = span.byte_range();
        self.gap(range.start);
        let (first, last) = (
            self.line(range.start),
            self.line(range.end.saturating_sub(1)),
        );
        self.lexed.code[first..=last.max(first)].fill(true);
        let text = text.unwrap_or_else(|| {
            self.source
                .get(range.clone())
                .unwrap_or_default()
                .to_owned()
        });
        self.lexed.tokens.push(Token {
            text,
            line: number(first),
            at: range.start,
        });
        self.end = self.end.max(range.end);
    }

    fn comment(&mut self, span: Span) {
        let end = span.byte_range().end;
        self.gap(end);
        self.end = self.end.max(end);
    }

    /// Between tokens stand white space and comments only.
    fn gap(&mut self, to: usize) {
        let Some(text) = self.source.get(self.end..to) else {
            return;
        };
        if text.trim().is_empty() {
            return;
        }
        let first = self.line(self.end);
        for (index, line) in text
            .split('\n')
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            self.lexed.comments.push(Comment {
                text: line.trim().to_owned(),
                line: number(first + index),
            });
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

//! Cutting text into pieces, over whose borders no merge goes.
//! The patterns are those of the models' own tokenizers, without their lookahead: see [`Splitter::pieces`].

use regex::Regex;

use crate::error::{EngineError, Result};

/// Cuts text by the rules of `tokenizer.ggml.pre`.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    pattern: Regex,
}

impl Splitter {
    /// The splitter of that name.
    ///
    /// # Errors
    /// `Unsupported` for other names.
    pub(super) fn named(pre: &str) -> Result<Splitter> {
        let (letter, digits) = match pre {
            "llama-bpe" => (r"\p{L}", r"\p{N}{1,3}"),
            "qwen2" => (r"\p{L}", r"\p{N}"),
            "qwen35" => (r"\p{L}\p{M}", r"\p{N}"),
            other => return Err(unsupported(other)),
        };
        let pattern = format!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?[{letter}]+|{digits}| ?[^\s{letter}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+"
        );
        let pattern = Regex::new(&pattern).map_err(|_| unsupported(pre))?;
        Ok(Splitter { pattern })
    }

    /// The pieces of a text, which together are the text.
    ///
    /// Spaces in front of a word give up their last one, which belongs to the word: `\s+(?!\S)|\s+` in the models' patterns.
    pub(super) fn pieces<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= text.len() {
                return None;
            }
            let start = at;
            let found = self.pattern.find_at(text, start)?;
            at = found.end();
            let last = found.as_str().chars().next_back()?;
            let spaces = found.as_str().chars().all(char::is_whitespace);
            let shorter = at - last.len_utf8();
            if spaces && !matches!(last, '\r' | '\n') && at < text.len() && shorter > start {
                at = shorter;
            }
            text.get(start..at)
        })
    }
}

fn unsupported(pre: &str) -> EngineError {
    EngineError::Unsupported {
        what: format!("pre-tokenizer {pre}"),
        remedy: "supported are llama-bpe, qwen2 and qwen35; give token ids instead of text"
            .to_owned(),
    }
}

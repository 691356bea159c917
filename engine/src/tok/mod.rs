//! The byte-level BPE tokenizer of a GGUF file (`tokenizer.ggml.model = gpt2`).
//!
//! Flow: special tokens are cut out → `split` cuts the rest into pieces → `merge` joins the bytes of a piece.
//! Nothing is normalised, and nothing is added: the caller puts [`Tokenizer::bos`] in front where the model wants it.

mod alphabet;
mod merge;
mod read;
mod split;

use aho_corasick::AhoCorasick;

use crate::error::{EngineError, Result};
use merge::Merges;
use split::Splitter;

/// What becomes of the text of control tokens in a prompt. User-defined tokens are always recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlText {
    /// It is the token.
    Recognised,
    /// It is text like any other, as befits words that a user typed.
    Plain,
}

/// What becomes of control tokens when token ids are turned into bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlTokens {
    /// Their text is written.
    Written,
    /// They leave no bytes.
    Dropped,
}

/// Tokens that are found in text before it is split, with their ids.
#[derive(Debug, Clone)]
struct Specials {
    texts: AhoCorasick,
    ids: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Token {
    bytes: Vec<u8>,
    control: bool,
}

/// A tokenizer, read with [`Tokenizer::read`].
#[derive(Debug, Clone)]
pub struct Tokenizer {
    tokens: Vec<Token>,
    /// Token of every single byte.
    byte_ids: Vec<u32>,
    merges: Merges,
    splitter: Splitter,
    user_defined: Specials,
    all_specials: Specials,
    bos: Option<u32>,
}

impl Tokenizer {
    /// The token that belongs in front of a text, where the file asks for one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Bytes of a token.
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens
            .get(id as usize)
            .map(|token| token.bytes.as_slice())
    }

    /// Token ids of a text, without [`Self::bos`].
    pub fn encode(&self, text: &str, control: ControlText) -> Vec<u32> {
        let specials = match control {
            ControlText::Recognised => &self.all_specials,
            ControlText::Plain => &self.user_defined,
        };
        let mut ids = Vec::new();
        let mut plain_from = 0;
        for found in specials.texts.find_iter(text) {
            self.encode_plain(&text[plain_from..found.start()], &mut ids);
            ids.push(specials.ids[found.pattern().as_usize()]);
            plain_from = found.end();
        }
        self.encode_plain(&text[plain_from..], &mut ids);
        ids
    }

    /// Bytes of a list of tokens. They need not be UTF-8: a character may be cut between two lists.
    ///
    /// # Errors
    /// `Request` for an id that is no token.
    pub fn decode(&self, ids: &[u32], control: ControlTokens) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for id in ids {
            let token = self.tokens.get(*id as usize).ok_or_else(|| {
                EngineError::Request(format!("token {id} of a vocabulary of {}", self.n_tokens()))
            })?;
            if control == ControlTokens::Written || !token.control {
                bytes.extend_from_slice(&token.bytes);
            }
        }
        Ok(bytes)
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) {
        for piece in self.splitter.pieces(text) {
            match self.merges.whole(piece.as_bytes()) {
                Some(id) => ids.push(id),
                None => {
                    let bytes = piece.bytes().map(|byte| self.byte_ids[usize::from(byte)]);
                    self.merges.join(bytes.collect(), ids);
                }
            }
        }
    }
}

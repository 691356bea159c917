//! Reading a tokenizer from metadata.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::merge::Merges;
use super::split::Splitter;
use super::{Specials, Token, Tokenizer, alphabet};
use crate::error::{EngineError, Result};
use crate::gguf::{Array, Gguf, GgufFault, Value, fault};

/// Types of tokens by their number in `tokenizer.ggml.token_type`.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

impl Tokenizer {
    /// Reads and checks the tokenizer of a file.
    ///
    /// # Errors
    /// `MissingKey`, `KeyType`; `BadTokenizer` when vocabulary and merges contradict each other;
    /// `Unsupported` for other kinds of tokenizers.
    pub fn read(gguf: &Gguf<'_>) -> Result<Tokenizer> {
        let needed = |key: &str| gguf.string(key)?.ok_or_else(|| missing(key));
        let model = needed("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(EngineError::Unsupported {
                what: format!("tokenizer {model}"),
                remedy: "supported is gpt2 (byte-level BPE); give token ids instead of text"
                    .to_owned(),
            });
        }
        let pre = needed("tokenizer.ggml.pre")?;
        let splitter = Splitter::named(pre)?;
        let texts = texts(gguf, "tokenizer.ggml.tokens")?;
        let types = types(gguf, texts.len())?;
        let tokens = tokens(&texts, &types);
        // The first of equal entries has the text, as in the programs that wrote the files.
        let mut ids = HashMap::new();
        for (id, text) in (0u32..).zip(&texts) {
            ids.entry(*text).or_insert(id);
        }
        let mut merges = Merges {
            pairs: pairs(&super::read::texts(gguf, "tokenizer.ggml.merges")?, &ids)?,
            ..Merges::default()
        };
        if pre == "llama-bpe" {
            let plain = (0u32..)
                .zip(&tokens)
                .zip(&types)
                .filter(|(_, ty)| !is_special(**ty));
            merges.whole = plain
                .map(|((id, token), _)| (token.bytes.clone(), id))
                .collect();
        }
        Ok(Tokenizer {
            byte_ids: byte_ids(&ids)?,
            merges,
            splitter,
            user_defined: specials(&texts, &types, &[USER_DEFINED])?,
            all_specials: specials(&texts, &types, &[USER_DEFINED, CONTROL])?,
            bos: bos(gguf, tokens.len())?,
            tokens,
        })
    }
}

fn missing(key: &str) -> EngineError {
    fault(GgufFault::MissingKey, format!("{key} is needed"))
}

fn bad(detail: String) -> EngineError {
    fault(GgufFault::BadTokenizer, detail)
}

fn array<'a>(gguf: &Gguf<'a>, key: &str) -> Result<Array<'a>> {
    gguf.array(key)?.ok_or_else(|| missing(key))
}

fn texts<'a>(gguf: &Gguf<'a>, key: &str) -> Result<Vec<&'a str>> {
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(fault(
            GgufFault::KeyType,
            format!("{key} must hold strings"),
        )),
    };
    array(gguf, key)?.iter().map(text).collect()
}

/// Types of all tokens; files without types have normal tokens only.
fn types(gguf: &Gguf<'_>, count: usize) -> Result<Vec<u64>> {
    let key = "tokenizer.ggml.token_type";
    if gguf.value(key).is_none() {
        return Ok(vec![1; count]);
    }
    let number = |value| match value {
        Value::I32(ty) => Ok(u64::try_from(ty).unwrap_or(0)),
        Value::U32(ty) => Ok(u64::from(ty)),
        _ => Err(fault(
            GgufFault::KeyType,
            format!("{key} must hold integers"),
        )),
    };
    let types: Vec<u64> = array(gguf, key)?
        .iter()
        .map(number)
        .collect::<Result<_>>()?;
    if types.len() == count {
        Ok(types)
    } else {
        Err(bad(format!("{} types of {count} tokens", types.len())))
    }
}

fn is_special(ty: u64) -> bool {
    ty == CONTROL || ty == USER_DEFINED
}

fn tokens(texts: &[&str], types: &[u64]) -> Vec<Token> {
    let token = |(text, ty): (&&str, &u64)| Token {
        // Special tokens are written as they are read, not in the alphabet.
        bytes: if is_special(*ty) {
            text.as_bytes().to_vec()
        } else {
            alphabet::bytes(text)
        },
        control: *ty == CONTROL,
    };
    texts.iter().zip(types).map(token).collect()
}

fn byte_ids(ids: &HashMap<&str, u32>) -> Result<Vec<u32>> {
    let id = |byte: u8| {
        let entry = alphabet::character(byte).to_string();
        ids.get(entry.as_str())
            .copied()
            .ok_or_else(|| bad(format!("no token for byte {byte:#04x}")))
    };
    (0..=255).map(id).collect()
}

/// Rank and result of every pair in the merge list.
fn pairs(merges: &[&str], ids: &HashMap<&str, u32>) -> Result<HashMap<(u32, u32), (u32, u32)>> {
    let mut pairs = HashMap::with_capacity(merges.len());
    for (rank, merge) in (0u32..).zip(merges) {
        let (left, right) = merge
            .split_once(' ')
            .ok_or_else(|| bad(format!("merge {rank} is {merge:?}, not two parts")))?;
        let id = |text: &str| {
            ids.get(text)
                .copied()
                .ok_or_else(|| bad(format!("merge {rank} needs {text:?}, which is no token")))
        };
        let result = (rank, id(&format!("{left}{right}"))?);
        pairs.entry((id(left)?, id(right)?)).or_insert(result);
    }
    Ok(pairs)
}

fn specials(texts: &[&str], types: &[u64], kinds: &[u64]) -> Result<Specials> {
    let (ids, found): (Vec<u32>, Vec<&str>) = (0u32..)
        .zip(texts)
        .zip(types)
        .filter(|((_, text), ty)| kinds.contains(ty) && !text.is_empty())
        .map(|((id, text), _)| (id, *text))
        .unzip();
    let texts = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(&found)
        .map_err(|error| bad(format!("special tokens: {error}")))?;
    Ok(Specials { texts, ids })
}

fn bos(gguf: &Gguf<'_>, count: usize) -> Result<Option<u32>> {
    let wanted = match gguf.value("tokenizer.ggml.add_bos_token") {
        None => return Ok(None),
        Some(Value::Bool(wanted)) => wanted,
        Some(_) => {
            let detail = "tokenizer.ggml.add_bos_token must be a bool";
            return Err(fault(GgufFault::KeyType, detail));
        }
    };
    let key = "tokenizer.ggml.bos_token_id";
    if !wanted {
        return Ok(None);
    }
    let id = gguf.unsigned(key)?.ok_or_else(|| missing(key))?;
    match u32::try_from(id) {
        Ok(id) if (id as usize) < count => Ok(Some(id)),
        _ => Err(bad(format!("{key} is {id} of {count} tokens"))),
    }
}

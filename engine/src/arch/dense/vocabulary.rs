//! The vocabulary's size, and what the file says about its tokens.

use super::metadata::{MAX_DIMENSION, bad};
use super::tensors::{check_shape, tensor};
use crate::error::Result;
use crate::gguf::{Gguf, GgufFault, Value, fault};

/// Rows of the embedding table, which the token list and its special ids must agree with.
pub(super) fn vocabulary(gguf: &Gguf<'_>, n_embd: u32) -> Result<u32> {
    let table = tensor(gguf, "token_embd.weight")?;
    check_shape(table, &[u64::from(n_embd), table.rows()])?;
    let n_vocab = table.rows();
    if n_vocab > MAX_DIMENSION {
        return Err(bad(format!(
            "{n_vocab} embedding rows, at most {MAX_DIMENSION}"
        )));
    }
    if let Some(tokens) = gguf.array("tokenizer.ggml.tokens")?
        && tokens.len != n_vocab
    {
        let detail = format!("{} tokens, {n_vocab} embedding rows", tokens.len);
        return Err(fault(GgufFault::VocabMismatch, detail));
    }
    check_tokenizer(gguf, n_vocab)?;
    Ok(n_vocab as u32)
}

fn check_tokenizer(gguf: &Gguf<'_>, n_vocab: u64) -> Result<()> {
    for key in ["bos", "eos", "padding", "unknown"] {
        let key = format!("tokenizer.ggml.{key}_token_id");
        if let Some(id) = gguf
            .unsigned(&key)?
            .filter(|id| *id >= n_vocab && *id != u64::from(u32::MAX))
        {
            return Err(fault(
                GgufFault::BadTokenizer,
                format!("{key} is {id} of {n_vocab} tokens"),
            ));
        }
    }
    let Some(merges) = gguf.array("tokenizer.ggml.merges")? else {
        return Ok(());
    };
    for (number, merge) in merges.iter().enumerate() {
        match merge {
            Value::String(text) if text.contains(' ') => {}
            other => {
                return Err(fault(
                    GgufFault::BadTokenizer,
                    format!("merge {number} is {other:?}, not two parts"),
                ));
            }
        }
    }
    Ok(())
}

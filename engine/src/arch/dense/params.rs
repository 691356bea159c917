//! Hyperparameters of a dense decoder.

use serde::Serialize;

use super::metadata::{bad, dimension, missing, positive, unsupported};
use super::scaling::{self, RopeScaling};
use super::vocabulary::vocabulary;
use crate::arch::Architecture;
use crate::error::Result;
use crate::gguf::Gguf;
use crate::kernels::MAX_HEAD_DIM;

/// Hyperparameters of a dense decoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DenseParams {
    /// Which decoder.
    pub arch: Architecture,
    /// Blocks.
    pub n_layers: u32,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// Width of the feed-forward part.
    pub n_ff: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: u32,
    /// Elements per head; may differ from `n_embd / n_heads`.
    pub head_dim: u32,
    /// Rotated elements per head.
    pub n_rot: u32,
    /// Rows of the embedding table.
    pub n_vocab: u32,
    /// Context length that the model was trained for.
    pub n_ctx_train: u32,
    /// Added to the mean square by the norms.
    pub rms_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// How the rotary frequencies are stretched to longer contexts.
    pub rope_scaling: RopeScaling,
    /// Divisors of the rotary frequencies (`rope_freqs.weight`), one per pair.
    pub rope_factors: Option<Vec<f32>>,
    /// Whether the output projection is the embedding table.
    pub tied: bool,
}

impl DenseParams {
    /// Elements of a query row.
    pub fn q_cols(&self) -> u32 {
        self.n_heads * self.head_dim
    }

    /// Elements of a key or value row.
    pub fn kv_cols(&self) -> u32 {
        self.n_kv_heads * self.head_dim
    }

    /// Reads and checks the metadata of a file of that architecture.
    ///
    /// # Errors
    /// `MissingKey`, `KeyType`, `BadHyperparameter`, `VocabMismatch`, `BadTokenizer`; `Unsupported` for scalings and head shapes that the kernels do not have.
    pub fn read(gguf: &Gguf<'_>, arch: Architecture) -> Result<DenseParams> {
        let keys = Keys { gguf, arch };
        let n_layers = keys.needed("block_count")?;
        let n_embd = keys.needed("embedding_length")?;
        let n_ff = keys.needed("feed_forward_length")?;
        let n_heads = keys.needed("attention.head_count")?;
        let n_kv_heads = keys.number("attention.head_count_kv")?.unwrap_or(n_heads);
        if !n_heads.is_multiple_of(n_kv_heads) {
            return Err(bad(format!(
                "{n_heads} query heads are not a multiple of {n_kv_heads} key heads"
            )));
        }
        let head_dim = head_dim(&keys, n_embd, n_heads)?;
        let n_rot = keys.number("rope.dimension_count")?.unwrap_or(head_dim);
        if n_rot > head_dim || !n_rot.is_multiple_of(2) || !head_dim.is_multiple_of(2) {
            return Err(bad(format!(
                "{n_rot} rotated of {head_dim} elements per head"
            )));
        }
        let rope_base = positive(gguf, &keys.key("rope.freq_base"), 10000.0)?;
        let n_vocab = vocabulary(gguf, n_embd)?;
        Ok(DenseParams {
            arch,
            n_layers,
            n_embd,
            n_ff,
            n_heads,
            n_kv_heads,
            head_dim,
            n_rot,
            n_vocab,
            n_ctx_train: keys.needed("context_length")?,
            rms_eps: epsilon(&keys)?,
            rope_base,
            rope_scaling: scaling::read(gguf, arch, rope_base)?,
            rope_factors: scaling::factors(gguf, n_rot)?,
            tied: gguf.tensor("output.weight").is_none(),
        })
    }
}

/// Metadata under the architecture's name.
struct Keys<'k> {
    gguf: &'k Gguf<'k>,
    arch: Architecture,
}

impl Keys<'_> {
    fn key(&self, part: &str) -> String {
        format!("{}.{part}", self.arch.name())
    }

    fn number(&self, part: &str) -> Result<Option<u32>> {
        dimension(self.gguf, &self.key(part))
    }

    fn needed(&self, part: &str) -> Result<u32> {
        self.number(part)?.ok_or_else(|| missing(&self.key(part)))
    }
}

fn epsilon(keys: &Keys<'_>) -> Result<f32> {
    let key = keys.key("attention.layer_norm_rms_epsilon");
    let eps = keys.gguf.float(&key)?.ok_or_else(|| missing(&key))?;
    if eps.is_finite() && eps >= 0.0 {
        Ok(eps)
    } else {
        Err(bad(format!("{key} is {eps}")))
    }
}

fn head_dim(keys: &Keys<'_>, n_embd: u32, n_heads: u32) -> Result<u32> {
    let key_length = keys.number("attention.key_length")?;
    let value_length = keys.number("attention.value_length")?;
    let head_dim = match key_length {
        Some(length) => length,
        None if n_embd.is_multiple_of(n_heads) => n_embd / n_heads,
        None => {
            return Err(bad(format!(
                "width {n_embd} is not a multiple of {n_heads} heads"
            )));
        }
    };
    if value_length.is_some_and(|length| length != head_dim) {
        return Err(unsupported(
            format!("value heads unlike key heads ({value_length:?})"),
            "use equal lengths",
        ));
    }
    if head_dim > MAX_HEAD_DIM {
        return Err(unsupported(
            format!("heads of {head_dim}"),
            "the attention kernel holds at most 256 elements",
        ));
    }
    Ok(head_dim)
}

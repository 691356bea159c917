//! Hyperparameters of a llama model and the tensors that they imply.

use serde::Serialize;

use crate::error::{EngineError, Result};
use crate::gguf::{Gguf, GgufFault, TensorInfo, TensorType, fault};
use crate::kernels::MAX_HEAD_DIM;
use crate::quant;

/// Largest width, row count or vocabulary that the 32-bit indices of the kernels are used with.
const MAX_DIMENSION: u64 = 1 << 24;

/// Hyperparameters of a dense llama model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LlamaParams {
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
    /// Divisor of all rotary positions (`rope.scaling.type = linear`), 1 when not scaled.
    pub rope_divisor: f32,
    /// Divisors of the rotary frequencies (`rope_freqs.weight`), one per pair.
    pub rope_factors: Option<Vec<f32>>,
    /// Whether the output projection is the embedding table.
    pub tied: bool,
}

impl LlamaParams {
    /// Elements of a query row.
    pub fn q_cols(&self) -> u32 {
        self.n_heads * self.head_dim
    }

    /// Elements of a key or value row.
    pub fn kv_cols(&self) -> u32 {
        self.n_kv_heads * self.head_dim
    }

    /// Reads and checks the metadata of a llama file.
    ///
    /// # Errors
    /// `MissingKey`, `KeyType`, `BadHyperparameter`, `VocabMismatch`, `BadTokenizer`; `Unsupported` for scalings and head shapes that the kernels do not have.
    pub fn read(gguf: &Gguf<'_>) -> Result<LlamaParams> {
        let number = |key: &str| dimension(gguf, key)?.ok_or_else(|| missing(key));
        let n_layers = number("llama.block_count")?;
        let n_embd = number("llama.embedding_length")?;
        let n_ff = number("llama.feed_forward_length")?;
        let n_heads = number("llama.attention.head_count")?;
        let n_kv_heads = dimension(gguf, "llama.attention.head_count_kv")?.unwrap_or(n_heads);
        if !n_heads.is_multiple_of(n_kv_heads) {
            return Err(bad(format!(
                "{n_heads} query heads are not a multiple of {n_kv_heads} key heads"
            )));
        }
        let head_dim = head_dim(gguf, n_embd, n_heads)?;
        let n_rot = dimension(gguf, "llama.rope.dimension_count")?.unwrap_or(head_dim);
        if n_rot > head_dim || !n_rot.is_multiple_of(2) || !head_dim.is_multiple_of(2) {
            return Err(bad(format!(
                "{n_rot} rotated of {head_dim} elements per head"
            )));
        }
        let n_vocab = vocabulary(gguf, n_embd)?;
        Ok(LlamaParams {
            n_layers,
            n_embd,
            n_ff,
            n_heads,
            n_kv_heads,
            head_dim,
            n_rot,
            n_vocab,
            n_ctx_train: number("llama.context_length")?,
            rms_eps: epsilon(gguf)?,
            rope_base: positive(gguf, "llama.rope.freq_base", 10000.0)?,
            rope_divisor: rope_divisor(gguf)?,
            rope_factors: rope_factors(gguf, n_rot)?,
            tied: gguf.tensor("output.weight").is_none(),
        })
    }
}

fn missing(key: &str) -> EngineError {
    fault(GgufFault::MissingKey, format!("{key} is needed"))
}

fn bad(detail: String) -> EngineError {
    fault(GgufFault::BadHyperparameter, detail)
}

fn unsupported(what: String, remedy: &str) -> EngineError {
    EngineError::Unsupported {
        what,
        remedy: remedy.to_owned(),
    }
}

fn dimension(gguf: &Gguf<'_>, key: &str) -> Result<Option<u32>> {
    match gguf.unsigned(key)? {
        None => Ok(None),
        Some(number) if number > 0 && (number <= MAX_DIMENSION || key.ends_with("block_count")) => {
            u32::try_from(number)
                .map(Some)
                .map_err(|_| bad(format!("{key} is {number}")))
        }
        Some(number) => Err(bad(format!(
            "{key} is {number}, 1 to {MAX_DIMENSION} are possible"
        ))),
    }
}

fn positive(gguf: &Gguf<'_>, key: &str, default: f32) -> Result<f32> {
    let value = gguf.float(key)?.unwrap_or(default);
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(bad(format!("{key} is {value}")))
    }
}

fn epsilon(gguf: &Gguf<'_>) -> Result<f32> {
    let key = "llama.attention.layer_norm_rms_epsilon";
    let eps = gguf.float(key)?.ok_or_else(|| missing(key))?;
    if eps.is_finite() && eps >= 0.0 {
        Ok(eps)
    } else {
        Err(bad(format!("{key} is {eps}")))
    }
}

fn head_dim(gguf: &Gguf<'_>, n_embd: u32, n_heads: u32) -> Result<u32> {
    let key_length = dimension(gguf, "llama.attention.key_length")?;
    let value_length = dimension(gguf, "llama.attention.value_length")?;
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

fn vocabulary(gguf: &Gguf<'_>, n_embd: u32) -> Result<u32> {
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
            crate::gguf::Value::String(text) if text.contains(' ') => {}
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

fn rope_divisor(gguf: &Gguf<'_>) -> Result<f32> {
    match gguf.string("llama.rope.scaling.type")? {
        None | Some("none") => Ok(1.0),
        Some("linear") => positive(gguf, "llama.rope.scaling.factor", 1.0),
        Some(other) => Err(unsupported(
            format!("rope scaling {other}"),
            "supported are none, linear and rope_freqs.weight",
        )),
    }
}

fn rope_factors(gguf: &Gguf<'_>, n_rot: u32) -> Result<Option<Vec<f32>>> {
    let Some(factors) = gguf.tensor("rope_freqs.weight") else {
        return Ok(None);
    };
    check_shape(factors, &[u64::from(n_rot / 2)])?;
    if factors.ty != TensorType::F32 {
        return Err(unsupported(
            format!("rope_freqs.weight of type {}", factors.ty.name),
            "store it as F32",
        ));
    }
    let values = quant::dequantise(factors.ty, gguf.data(factors))?;
    if values
        .iter()
        .any(|factor| !factor.is_finite() || *factor <= 0.0)
    {
        return Err(bad(
            "rope_freqs.weight has factors that are not positive".to_owned()
        ));
    }
    Ok(Some(values))
}

/// The tensor of that name.
fn tensor<'g, 'a>(gguf: &'g Gguf<'a>, name: &str) -> Result<&'g TensorInfo<'a>> {
    gguf.tensor(name)
        .ok_or_else(|| fault(GgufFault::MissingTensor, format!("{name} is needed")))
}

fn check_shape(tensor: &TensorInfo<'_>, dims: &[u64]) -> Result<()> {
    if tensor.dims == dims {
        return Ok(());
    }
    let detail = format!(
        "{} has dimensions {:?}, expected {dims:?}",
        tensor.name, tensor.dims
    );
    Err(fault(GgufFault::ShapeMismatch, detail))
}

/// Checks that the file has every tensor of the model in its shape, in a type the engine computes with, and no block tensor
/// that the graph would leave out.
///
/// # Errors
/// `MissingTensor`, `ShapeMismatch`; `Unsupported` for types and tensors that the engine does not have.
pub fn check_tensors(gguf: &Gguf<'_>, params: &LlamaParams) -> Result<()> {
    if u64::from(params.n_layers) > gguf.tensors().len() as u64 {
        let detail = format!(
            "{} blocks in a file of {} tensors",
            params.n_layers,
            gguf.tensors().len()
        );
        return Err(fault(GgufFault::MissingTensor, detail));
    }
    let width = u64::from(params.n_embd);
    check_tensor(gguf, "output_norm.weight", &[width])?;
    if !params.tied {
        check_tensor(gguf, "output.weight", &[width, u64::from(params.n_vocab)])?;
    }
    check_type(tensor(gguf, "token_embd.weight")?)?;
    for layer in 0..params.n_layers {
        for (part, dims) in block_tensors(params) {
            check_tensor(gguf, &format!("blk.{layer}.{part}.weight"), &dims)?;
        }
    }
    refuse_unused(gguf, params)
}

fn block_tensors(params: &LlamaParams) -> [(&'static str, Vec<u64>); 9] {
    let [width, ff, q, kv] = [
        params.n_embd,
        params.n_ff,
        params.q_cols(),
        params.kv_cols(),
    ]
    .map(u64::from);
    [
        ("attn_norm", vec![width]),
        ("attn_q", vec![width, q]),
        ("attn_k", vec![width, kv]),
        ("attn_v", vec![width, kv]),
        ("attn_output", vec![q, width]),
        ("ffn_norm", vec![width]),
        ("ffn_gate", vec![width, ff]),
        ("ffn_up", vec![width, ff]),
        ("ffn_down", vec![ff, width]),
    ]
}

fn check_tensor(gguf: &Gguf<'_>, name: &str, dims: &[u64]) -> Result<()> {
    let tensor = tensor(gguf, name)?;
    check_shape(tensor, dims)?;
    check_type(tensor)
}

fn check_type(tensor: &TensorInfo<'_>) -> Result<()> {
    if quant::is_supported(tensor.ty) {
        return Ok(());
    }
    Err(unsupported(
        format!("tensor type {} of {}", tensor.ty.name, tensor.name),
        "convert the model to F32, F16, Q8_0 or Q4_0",
    ))
}

/// A block tensor that the graph does not read would silently change the model.
fn refuse_unused(gguf: &Gguf<'_>, params: &LlamaParams) -> Result<()> {
    let parts = block_tensors(params).map(|(part, _)| format!("{part}.weight"));
    for tensor in gguf.tensors() {
        let Some((_, part)) = tensor
            .name
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        if !parts.iter().any(|known| known == part) {
            return Err(unsupported(
                format!("tensor {}", tensor.name),
                "only dense llama blocks without biases run",
            ));
        }
    }
    Ok(())
}

//! The tensors that the hyperparameters imply.

use super::DenseParams;
use super::metadata::unsupported;
use crate::error::Result;
use crate::gguf::{Gguf, GgufFault, TensorInfo, fault};
use crate::quant;

/// The tensor of that name.
pub(super) fn tensor<'g, 'a>(gguf: &'g Gguf<'a>, name: &str) -> Result<&'g TensorInfo<'a>> {
    gguf.tensor(name)
        .ok_or_else(|| fault(GgufFault::MissingTensor, format!("{name} is needed")))
}

pub(super) fn check_shape(tensor: &TensorInfo<'_>, dims: &[u64]) -> Result<()> {
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
pub fn check_tensors(gguf: &Gguf<'_>, params: &DenseParams) -> Result<()> {
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

fn block_tensors(params: &DenseParams) -> Vec<(&'static str, Vec<u64>)> {
    let [width, ff, q, kv] = [
        params.n_embd,
        params.n_ff,
        params.q_cols(),
        params.kv_cols(),
    ]
    .map(u64::from);
    let mut parts = vec![
        ("attn_norm", vec![width]),
        ("attn_q", vec![width, q]),
        ("attn_k", vec![width, kv]),
        ("attn_v", vec![width, kv]),
        ("attn_output", vec![q, width]),
        ("ffn_norm", vec![width]),
        ("ffn_gate", vec![width, ff]),
        ("ffn_up", vec![width, ff]),
        ("ffn_down", vec![ff, width]),
    ];
    if params.arch.has_head_norms() {
        let head = vec![u64::from(params.head_dim)];
        parts.extend([("attn_q_norm", head.clone()), ("attn_k_norm", head)]);
    }
    parts
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
        quant::TYPE_REMEDY,
    ))
}

/// A block tensor that the graph does not read would silently change the model.
fn refuse_unused(gguf: &Gguf<'_>, params: &DenseParams) -> Result<()> {
    let known = block_tensors(params);
    for tensor in gguf.tensors() {
        let Some((_, part)) = tensor
            .name
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        let part = part.strip_suffix(".weight");
        if !known.iter().any(|(name, _)| Some(*name) == part) {
            return Err(unsupported(
                format!("tensor {}", tensor.name),
                "only dense blocks without biases run",
            ));
        }
    }
    Ok(())
}

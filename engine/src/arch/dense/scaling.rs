//! Scaling of the rotary frequencies, from `ARCH.rope.scaling.*` and `rope_freqs.weight`.

use serde::Serialize;

use super::metadata::{bad, dimension, missing, positive, unsupported};
use super::tensors::check_shape;
use crate::arch::Architecture;
use crate::error::Result;
use crate::gguf::{Gguf, TensorType};
use crate::quant;

/// How rotary frequencies are stretched to contexts longer than those of the training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All positions divided by a factor.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// YaRN: fast pairs stay, slow pairs are divided, a ramp between; cos and sin grow a little.
    /// Peng et al. 2023, <https://arxiv.org/abs/2309.00071>.
    Yarn {
        /// Divisor of the slow pairs.
        factor: f32,
        /// Context length before stretching, in tokens.
        original_context: u32,
        /// Pairs that turn more often than this in the original context stay.
        beta_fast: f32,
        /// Pairs that turn less often than this are divided.
        beta_slow: f32,
    },
}

impl RopeScaling {
    /// How far positions are stretched; 1 without scaling.
    pub fn factor(&self) -> f32 {
        match self {
            RopeScaling::None => 1.0,
            RopeScaling::Linear { factor } | RopeScaling::Yarn { factor, .. } => *factor,
        }
    }

    /// Factor on cos and sin, which sharpens attention over longer contexts (section 3.4 of the paper).
    pub fn attention_factor(&self) -> f64 {
        match self {
            RopeScaling::Yarn { factor, .. } if *factor > 1.0 => {
                0.1 * f64::from(*factor).ln() + 1.0
            }
            _ => 1.0,
        }
    }
}

/// The scaling that the file asks for. Every key that would change it is understood or refused.
pub(super) fn read(gguf: &Gguf<'_>, arch: Architecture, base: f32) -> Result<RopeScaling> {
    let key = |part: &str| format!("{}.rope.scaling.{part}", arch.name());
    match gguf.string(&key("type"))? {
        None | Some("none") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: positive(gguf, &key("factor"), 1.0)?,
        }),
        Some("yarn") if base <= 1.0 => Err(bad(format!("yarn on a rotary base of {base}"))),
        Some("yarn") => {
            for part in [
                "attn_factor",
                "yarn_attn_factor",
                "yarn_ext_factor",
                "yarn_log_multiplier",
            ] {
                if gguf.value(&key(part)).is_some() {
                    return Err(unsupported(
                        key(part),
                        "yarn takes factor, original_context_length, yarn_beta_fast and yarn_beta_slow",
                    ));
                }
            }
            let original = key("original_context_length");
            Ok(RopeScaling::Yarn {
                factor: positive(gguf, &key("factor"), 1.0)?,
                original_context: dimension(gguf, &original)?.ok_or_else(|| missing(&original))?,
                beta_fast: positive(gguf, &key("yarn_beta_fast"), 32.0)?,
                beta_slow: positive(gguf, &key("yarn_beta_slow"), 1.0)?,
            })
        }
        Some(other) => Err(unsupported(
            format!("rope scaling {other}"),
            "supported are none, linear, yarn and rope_freqs.weight",
        )),
    }
}

/// Divisors of the frequencies, one per pair (`rope_freqs.weight`).
pub(super) fn factors(gguf: &Gguf<'_>, n_rot: u32) -> Result<Option<Vec<f32>>> {
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

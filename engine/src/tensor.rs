//! Tensors of a graph: ids, shapes, flags.

use serde::Serialize;

/// Number of a tensor in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TensorId(pub u32);

/// Element type of a tensor as the device sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ElementType {
    /// 32-bit float.
    F32,
    /// 32-bit unsigned integer.
    U32,
}

/// Properties that decide where a tensor may live. Storage never does: two tensors with the same bytes may differ here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct TensorFlags {
    /// Written by the host before the pass; never shares bytes with an earlier occupant.
    pub input: bool,
    /// Part of the model; never written by a pass.
    pub weight: bool,
    /// Lives from pass to pass.
    pub state: bool,
    /// Written by a node that does not own it.
    pub side_effect: bool,
    /// Read by the host after the pass; lives to its end.
    pub output: bool,
}

/// Stages of a transformer block, and of the ends of the model, in execution order.
/// The names are those of the golden traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Embedding rows.
    Embd,
    /// Norm before attention.
    AttnNorm,
    /// Query projection.
    QProj,
    /// Key projection.
    KProj,
    /// Value projection.
    VProj,
    /// Queries, each head normed.
    QNorm,
    /// Keys, each head normed.
    KNorm,
    /// Rotated queries.
    QRope,
    /// Rotated keys.
    KRope,
    /// Joined heads.
    AttnOut,
    /// Output projection.
    AttnProj,
    /// Residual after attention.
    AttnResid,
    /// Norm before the feed-forward part.
    FfnNorm,
    /// Gate projection.
    FfnGate,
    /// Up projection.
    FfnUp,
    /// `silu(gate) * up`.
    FfnAct,
    /// Down projection.
    FfnOut,
    /// Block output.
    LOut,
    /// Norm after the last block.
    FinalNorm,
    /// Logits.
    Logits,
}

impl Stage {
    /// Name in markers and golden traces.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Embd => "embd",
            Stage::AttnNorm => "attn_norm",
            Stage::QProj => "q_proj",
            Stage::KProj => "k_proj",
            Stage::VProj => "v_proj",
            Stage::QNorm => "q_norm",
            Stage::KNorm => "k_norm",
            Stage::QRope => "q_rope",
            Stage::KRope => "k_rope",
            Stage::AttnOut => "attn_out",
            Stage::AttnProj => "attn_proj",
            Stage::AttnResid => "attn_resid",
            Stage::FfnNorm => "ffn_norm",
            Stage::FfnGate => "ffn_gate",
            Stage::FfnUp => "ffn_up",
            Stage::FfnAct => "ffn_act",
            Stage::FfnOut => "ffn_out",
            Stage::LOut => "l_out",
            Stage::FinalNorm => "final_norm",
            Stage::Logits => "logits",
        }
    }
}

/// A tensor of a graph: `rows` rows of `cols` elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Tensor {
    /// Number in the graph.
    pub id: TensorId,
    /// Name: a GGUF tensor name for weights, `blk.N.stage` for stages.
    pub name: String,
    /// Number of rows: tokens for activations, outputs for weights, positions for caches.
    pub rows: u32,
    /// Elements per row.
    pub cols: u32,
    /// Element type; weights count as `F32` whatever their storage.
    pub element: ElementType,
    /// Where it may live.
    pub flags: TensorFlags,
}

impl Tensor {
    /// Bytes of an activation, input or state tensor (4 per element).
    pub fn bytes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols) * 4
    }
}

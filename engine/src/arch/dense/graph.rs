//! The graph of one pass through a dense decoder.

use super::DenseParams;
use crate::graph::{Graph, GraphBuilder, Op, SideEffectKind};
use crate::model::LogitsRows;
use crate::tensor::{ElementType, Stage, TensorId};

/// Positions from which one token's attention is split: below, heads alone keep a device busy.
const SPLIT_FROM: u32 = 1024;
/// Cache rows of a part.
const PART_ROWS: u32 = 256;

/// Shape of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassShape {
    /// Tokens of the pass.
    pub(crate) n_tokens: u32,
    /// Position of the first.
    pub(crate) pos: u32,
    /// Rows of the caches.
    pub(crate) n_ctx: u32,
    /// Rows of logits wanted.
    pub(crate) logits: LogitsRows,
}

struct Pass<'p> {
    builder: GraphBuilder,
    params: &'p DenseParams,
    shape: PassShape,
    rope_table: TensorId,
}

/// The graph of a pass over `n_tokens` tokens from position `pos`, with caches of `n_ctx` rows.
/// The caller has checked that the pass fits into the caches.
pub fn build(
    params: &DenseParams,
    n_tokens: u32,
    pos: u32,
    n_ctx: u32,
    logits: LogitsRows,
) -> Graph {
    let mut builder = GraphBuilder::new();
    let tokens = builder.input("tokens", 1, n_tokens, ElementType::U32);
    let rope_table = builder.input("rope_table", n_tokens, params.n_rot, ElementType::F32);
    let shape = PassShape {
        n_tokens,
        pos,
        n_ctx,
        logits,
    };
    let mut pass = Pass {
        builder,
        params,
        shape,
        rope_table,
    };
    let table = pass
        .builder
        .weight("token_embd.weight", params.n_vocab, params.n_embd);
    let mut x = pass.rows(Op::Embed, &[tokens, table], Stage::Embd, params.n_embd);
    for layer in 0..params.n_layers {
        pass.builder.set_layer(Some(layer));
        x = pass.block(layer, x);
    }
    pass.builder.set_layer(None);
    pass.head(x);
    pass.builder.finish()
}

impl Pass<'_> {
    fn rows(&mut self, op: Op, inputs: &[TensorId], stage: Stage, cols: u32) -> TensorId {
        self.builder
            .node(op, inputs, Some(stage), self.shape.n_tokens, cols)
    }

    fn norm(&mut self, name: &str, x: TensorId, stage: Stage) -> TensorId {
        let weight = self.builder.weight(name, 1, self.params.n_embd);
        self.rows(
            Op::RmsNorm {
                eps: self.params.rms_eps,
            },
            &[x, weight],
            stage,
            self.params.n_embd,
        )
    }

    /// Norms every head of a row by itself, where the architecture does.
    fn head_norm(&mut self, name: &str, x: TensorId, n_heads: u32, stage: Stage) -> TensorId {
        let (head_dim, eps) = (self.params.head_dim, self.params.rms_eps);
        if !self.params.arch.has_head_norms() {
            return x;
        }
        let weight = self.builder.weight(name, 1, head_dim);
        self.rows(Op::RmsNorm { eps }, &[x, weight], stage, n_heads * head_dim)
    }

    fn linear(&mut self, name: &str, x: TensorId, stage: Stage, cols: (u32, u32)) -> TensorId {
        let (n_in, n_out) = cols;
        let weight = self.builder.weight(name, n_out, n_in);
        self.rows(Op::Matmul, &[weight, x], stage, n_out)
    }

    fn rope(&mut self, x: TensorId, n_heads: u32, stage: Stage) -> TensorId {
        let (head_dim, n_rot) = (self.params.head_dim, self.params.n_rot);
        self.rows(
            Op::Rope {
                head_dim,
                n_rot,
                n_heads,
                pairs: self.params.arch.rope_pairs(),
            },
            &[x, self.rope_table],
            stage,
            n_heads * head_dim,
        )
    }

    fn store(&mut self, name: &str, rows: TensorId) -> TensorId {
        let cache = self
            .builder
            .state(name, self.shape.n_ctx, self.params.kv_cols());
        let (pos, n_tokens) = (self.shape.pos, self.shape.n_tokens);
        let node = self.builder.effect_node(Op::KvStore { pos }, &[rows]);
        self.builder.register_side_effect(
            node,
            cache,
            SideEffectKind::CacheAppend {
                pos,
                rows: n_tokens,
            },
        );
        cache
    }

    fn block(&mut self, layer: u32, x: TensorId) -> TensorId {
        let residual = self.attention(layer, x);
        self.feed_forward(layer, residual)
    }

    fn attention(&mut self, layer: u32, x: TensorId) -> TensorId {
        let params = self.params;
        let (width, q_cols, kv_cols) = (params.n_embd, params.q_cols(), params.kv_cols());
        let weight = |part: &str| format!("blk.{layer}.{part}.weight");
        let normed = self.norm(&weight("attn_norm"), x, Stage::AttnNorm);
        let q = self.linear(&weight("attn_q"), normed, Stage::QProj, (width, q_cols));
        let k = self.linear(&weight("attn_k"), normed, Stage::KProj, (width, kv_cols));
        let v = self.linear(&weight("attn_v"), normed, Stage::VProj, (width, kv_cols));
        let q = self.head_norm(&weight("attn_q_norm"), q, params.n_heads, Stage::QNorm);
        let k = self.head_norm(&weight("attn_k_norm"), k, params.n_kv_heads, Stage::KNorm);
        let q = self.rope(q, params.n_heads, Stage::QRope);
        let k = self.rope(k, params.n_kv_heads, Stage::KRope);
        let k_cache = self.store(&format!("blk.{layer}.k_cache"), k);
        let v_cache = self.store(&format!("blk.{layer}.v_cache"), v);
        let heads = self.heads([q, k_cache, v_cache]);
        let projected = self.linear(
            &weight("attn_output"),
            heads,
            Stage::AttnProj,
            (q_cols, width),
        );
        self.rows(Op::Add, &[x, projected], Stage::AttnResid, width)
    }

    /// The attention node; for one token far into a long context, parts of the cache side by side and their join.
    fn heads(&mut self, inputs: [TensorId; 3]) -> TensorId {
        let DenseParams {
            n_heads,
            n_kv_heads,
            head_dim,
            ..
        } = *self.params;
        let (pos, seen) = (self.shape.pos, self.shape.pos + self.shape.n_tokens);
        let scale = (1.0 / f64::from(head_dim).sqrt()) as f32;
        let cols = self.params.q_cols();
        if self.shape.n_tokens > 1 || seen < SPLIT_FROM {
            let op = Op::Attention {
                n_heads,
                n_kv_heads,
                head_dim,
                pos,
                scale,
            };
            return self.rows(op, &inputs, Stage::AttnOut, cols);
        }
        let n_parts = seen.div_ceil(PART_ROWS);
        let op = Op::AttentionSplit {
            n_heads,
            n_kv_heads,
            head_dim,
            pos,
            scale,
            part_rows: PART_ROWS,
        };
        let parts = self
            .builder
            .node(op, &inputs, None, n_heads * n_parts, head_dim + 2);
        let merge = Op::AttentionMerge { head_dim, n_parts };
        self.rows(merge, &[parts], Stage::AttnOut, cols)
    }

    fn feed_forward(&mut self, layer: u32, x: TensorId) -> TensorId {
        let (width, ff) = (self.params.n_embd, self.params.n_ff);
        let weight = |part: &str| format!("blk.{layer}.{part}.weight");
        let normed = self.norm(&weight("ffn_norm"), x, Stage::FfnNorm);
        let gate = self.linear(&weight("ffn_gate"), normed, Stage::FfnGate, (width, ff));
        let up = self.linear(&weight("ffn_up"), normed, Stage::FfnUp, (width, ff));
        let act = self.rows(Op::SiluMul, &[gate, up], Stage::FfnAct, ff);
        let down = self.linear(&weight("ffn_down"), act, Stage::FfnOut, (ff, width));
        self.rows(Op::Add, &[x, down], Stage::LOut, width)
    }

    fn head(&mut self, x: TensorId) {
        let params = self.params;
        let name = if params.tied {
            "token_embd.weight"
        } else {
            "output.weight"
        };
        let normed = self.norm("output_norm.weight", x, Stage::FinalNorm);
        let weight = self.builder.weight(name, params.n_vocab, params.n_embd);
        let (rows, x) = match self.shape.logits {
            LogitsRows::All => (self.shape.n_tokens, normed),
            LogitsRows::Last => (
                1,
                self.builder
                    .node(Op::LastRow, &[normed], None, 1, params.n_embd),
            ),
        };
        let logits = self.builder.node(
            Op::Matmul,
            &[weight, x],
            Some(Stage::Logits),
            rows,
            params.n_vocab,
        );
        self.builder.mark_output(logits);
    }
}

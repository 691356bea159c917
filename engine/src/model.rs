//! A loaded model: hyperparameters, where its weights lie, graphs and host data of passes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::arch::Architecture;
use crate::arch::dense::{self, DenseParams};
use crate::error::{EngineError, Result};
use crate::gguf::{Gguf, GgufFault, TensorType, fault};
use crate::graph::Graph;
use crate::ir::HostInput;
use crate::quant;
use crate::weights::WeightsPlan;

/// Cache rows when the caller names none and the model was trained for more.
const DEFAULT_CONTEXT: u32 = 4096;
/// Workgroup counts per axis are at least this many on every Vulkan device.
const MAX_PASS_TOKENS: u32 = 65535;

/// What a pass is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Several prompt tokens at once.
    Prefill,
    /// One token.
    Decode,
}

impl Phase {
    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Prefill => "prefill",
            Phase::Decode => "decode",
        }
    }
}

/// Which rows of logits a pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogitsRows {
    /// One row per token.
    All,
    /// Only the last token's.
    Last,
}

/// One pass through the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassRequest {
    /// Prefill or decode.
    pub phase: Phase,
    /// Token ids, at least one.
    pub tokens: Vec<u32>,
    /// Position of the first token; the caches hold everything before.
    pub pos: u32,
    /// Logits wanted.
    pub logits: LogitsRows,
}

impl PassRequest {
    /// A prompt from position 0, with logits of every token.
    pub fn prefill(tokens: &[u32]) -> PassRequest {
        PassRequest {
            phase: Phase::Prefill,
            tokens: tokens.to_vec(),
            pos: 0,
            logits: LogitsRows::All,
        }
    }

    /// The next token at position `pos`.
    pub fn decode(token: u32, pos: u32) -> PassRequest {
        PassRequest {
            phase: Phase::Decode,
            tokens: vec![token],
            pos,
            logits: LogitsRows::All,
        }
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> u32 {
        self.tokens.len() as u32
    }
}

/// A weight in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSource {
    /// GGUF name.
    pub name: String,
    /// Outputs.
    pub rows: u32,
    /// Inputs.
    pub cols: u32,
    /// Storage in the file.
    pub ty: TensorType,
    /// Byte range in the file.
    pub file: std::ops::Range<usize>,
}

/// Bytes that the host writes for one pass, little endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostData {
    tokens: Vec<u8>,
    rope_table: Vec<u8>,
}

impl HostData {
    /// Bytes of an input; `None` for weights, which come from [`WeightsPlan::fill`].
    pub fn bytes(&self, input: HostInput) -> Option<&[u8]> {
        match input {
            HostInput::Tokens => Some(&self.tokens),
            HostInput::RopeTable => Some(&self.rope_table),
            HostInput::Weights { .. } => None,
        }
    }
}

/// A model that has been read from a GGUF file. It keeps no bytes: callers pass the file again where bytes are needed.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Hyperparameters.
    pub params: DenseParams,
    /// Rows of the caches.
    pub n_ctx: u32,
    sources: BTreeMap<String, WeightSource>,
}

impl Model {
    /// Reads and checks a model. `n_ctx` is the number of cache rows; by default the trained context, at most 4096.
    ///
    /// # Errors
    /// The categories of [`GgufFault`]; `Unsupported` for architectures, tensor types and shapes the engine does not have.
    pub fn load(file: &[u8], n_ctx: Option<u32>) -> Result<Model> {
        let gguf = Gguf::parse(file)?;
        let arch = gguf
            .string("general.architecture")?
            .ok_or_else(|| fault(GgufFault::MissingKey, "general.architecture is needed"))?;
        let arch = Architecture::named(arch).ok_or_else(|| {
            let known = Architecture::ALL.map(Architecture::name).join(", ");
            let detail = format!("architecture {arch:?}, supported are {known}");
            fault(GgufFault::UnsupportedArch, detail)
        })?;
        let params = DenseParams::read(&gguf, arch)?;
        dense::check_tensors(&gguf, &params)?;
        let n_ctx = n_ctx.unwrap_or(params.n_ctx_train.min(DEFAULT_CONTEXT));
        if n_ctx == 0 {
            return Err(EngineError::Request(
                "a context of 0 rows; ask for at least 1".to_owned(),
            ));
        }
        Ok(Model {
            params,
            n_ctx,
            sources: sources(&gguf),
        })
    }

    /// Weights by GGUF name.
    pub fn sources(&self) -> impl Iterator<Item = &WeightSource> {
        self.sources.values()
    }

    /// The graph of a pass.
    ///
    /// # Errors
    /// `Request` when the tokens are none, unknown, or do not fit behind `pos` into the context.
    pub fn graph(&self, pass: &PassRequest) -> Result<Graph> {
        self.check(pass)?;
        Ok(dense::build(
            &self.params,
            pass.n_tokens(),
            pass.pos,
            self.n_ctx,
            pass.logits,
        ))
    }

    /// What the host writes for a pass.
    ///
    /// # Errors
    /// As [`Model::graph`].
    pub fn host_data(&self, pass: &PassRequest) -> Result<HostData> {
        self.check(pass)?;
        let table = dense::table(&self.params, pass.pos, pass.n_tokens());
        Ok(HostData {
            tokens: pass
                .tokens
                .iter()
                .flat_map(|token| token.to_le_bytes())
                .collect(),
            rope_table: table.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
    }

    /// Where the weights go on the device.
    ///
    /// # Errors
    /// `Unsupported` when one tensor is larger than a chunk.
    pub fn weights_plan(&self) -> Result<WeightsPlan> {
        WeightsPlan::new(self.sources())
    }

    /// Values of a weight as `f32`, row-major.
    ///
    /// # Errors
    /// `Unplaced` for an unknown name or another file than the one loaded.
    pub fn weight_values(&self, file: &[u8], name: &str) -> Result<Vec<f32>> {
        let unplaced = || EngineError::Unplaced {
            tensor: name.to_owned(),
            part: "the model file",
        };
        let source = self.sources.get(name).ok_or_else(unplaced)?;
        let bytes = file.get(source.file.clone()).ok_or_else(unplaced)?;
        quant::dequantise(source.ty, bytes)
    }

    fn check(&self, pass: &PassRequest) -> Result<()> {
        let refuse = |message: String| Err(EngineError::Request(message));
        let count = pass.tokens.len();
        if count == 0 || count > MAX_PASS_TOKENS as usize {
            return refuse(format!(
                "{count} tokens in a pass; give 1 to {MAX_PASS_TOKENS}"
            ));
        }
        if let Some(token) = pass
            .tokens
            .iter()
            .find(|token| **token >= self.params.n_vocab)
        {
            return refuse(format!(
                "token {token} of a vocabulary of {}",
                self.params.n_vocab
            ));
        }
        if u64::from(pass.pos) + count as u64 > u64::from(self.n_ctx) {
            return refuse(format!(
                "{count} tokens from position {} in a context of {}; load with more",
                pass.pos, self.n_ctx
            ));
        }
        Ok(())
    }
}

fn sources(gguf: &Gguf<'_>) -> BTreeMap<String, WeightSource> {
    // The rotary factors reach the device inside the rotary table.
    let on_device = gguf
        .tensors()
        .iter()
        .filter(|tensor| tensor.name != "rope_freqs.weight");
    on_device
        .map(|tensor| {
            let source = WeightSource {
                name: tensor.name.to_owned(),
                rows: tensor.rows() as u32,
                cols: tensor.cols() as u32,
                ty: tensor.ty,
                file: tensor.offset..tensor.offset + tensor.len,
            };
            (source.name.clone(), source)
        })
        .collect()
}

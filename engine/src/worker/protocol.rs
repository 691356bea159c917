//! Messages between parent and worker: JSON lines, requests down, answers up. Unknown fields are errors on both sides.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::sample::Sampling;
use crate::telemetry::{FirstDivergence, Perdispatch};
use crate::vk::SyncKind;
use crate::vk::device::Caps;

/// Version of the protocol, in [`Answer::Ready`].
pub const PROTOCOL: u32 = 1;
/// Longest line in bytes, newline excluded, in either direction.
pub const MAX_LINE: usize = 8 << 20;

/// Number that a parent gives a request; its answers carry it.
pub type RequestId = u64;

/// Where the arithmetic happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A Vulkan device; an error when there is none.
    #[default]
    Vulkan,
    /// The CPU reference.
    Cpu,
}

/// What a prediction is for; decides the mode together with the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Serving: single graph or nothing.
    #[default]
    Production,
    /// The smoke suite and measurements.
    Smoke,
    /// Layer taps against the reference.
    Validation,
}

/// Which of the resident models.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model that answers.
    #[default]
    Target,
    /// A second model beside it.
    Draft,
}

impl Role {
    /// Name in markers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Draft => "draft",
        }
    }
}

/// What to predict.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Token ids, at positions 0 and up.
    pub tokens: Vec<u32>,
    /// How many of them the first pass takes; the rest follow one by one. `None`: all.
    #[serde(default)]
    pub prefill: Option<usize>,
    /// Tokens to choose after the prompt, by argmax unless `sampling` says otherwise.
    #[serde(default)]
    pub greedy: u32,
    /// How to choose them.
    #[serde(default)]
    pub sampling: Sampling,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// Take the legacy path, as `ENGINE_FORCE_MULTI_SUBMIT` does.
    #[serde(default)]
    pub legacy: bool,
    /// Where to write every logits row of the prompt and of the choices, raw little-endian `f32 [rows, n_vocab]`.
    #[serde(default)]
    pub logits_file: Option<PathBuf>,
    /// How the host waits for the device.
    #[serde(default)]
    pub sync: SyncKind,
    /// Variables of the engine for this prediction, by either name; they stand above the worker's environment.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Which model.
    #[serde(default)]
    pub role: Role,
}

/// Parent to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Load a model in place of the one that has its role.
    Load {
        /// Request number.
        id: RequestId,
        /// GGUF file.
        model: PathBuf,
        /// Where to compute.
        #[serde(default)]
        device: DeviceKind,
        /// Longest context; the smaller of this and the model's. `None`: the engine's default.
        #[serde(default)]
        n_ctx: Option<u32>,
        /// Device bytes that the model may use; `None`: the heap. Two models at once need one each.
        #[serde(default)]
        budget: Option<u64>,
        /// Which of the resident models it becomes.
        #[serde(default)]
        role: Role,
    },
    /// Apply a LoRA adapter; answered with `unsupported`, as this build has none.
    LoraApply {
        /// Request number.
        id: RequestId,
        /// GGUF file of the adapter.
        adapter: PathBuf,
        /// Factor on its effect.
        #[serde(default = "whole")]
        scale: f32,
    },
    /// Take a LoRA adapter away again; answered with `unsupported`, as this build has none.
    LoraUnload {
        /// Request number.
        id: RequestId,
        /// GGUF file of the adapter.
        adapter: PathBuf,
    },
    /// Run the loaded model.
    Predict {
        /// Request number.
        id: RequestId,
        /// What to predict.
        prompt: Prompt,
    },
    /// Free all models and close the telemetry run.
    Unload {
        /// Request number.
        id: RequestId,
    },
    /// Describe the device.
    Caps {
        /// Request number.
        id: RequestId,
    },
    /// The command stream of one pass over the loaded model.
    DumpIr {
        /// Request number.
        id: RequestId,
        /// Tokens of the pass.
        n_tokens: u32,
        /// Position of the first one.
        pos: u32,
        /// Take the legacy path.
        #[serde(default)]
        legacy: bool,
    },
    /// Allocate, run, copy, compare.
    Health {
        /// Request number.
        id: RequestId,
    },
    /// Close the telemetry run and exit.
    Shutdown {
        /// Request number.
        id: RequestId,
    },
}

fn whole() -> f32 {
    1.0
}

impl Request {
    /// The request's number.
    #[must_use]
    pub fn id(&self) -> RequestId {
        match self {
            Self::Load { id, .. }
            | Self::Predict { id, .. }
            | Self::LoraApply { id, .. }
            | Self::LoraUnload { id, .. }
            | Self::Unload { id }
            | Self::Caps { id }
            | Self::DumpIr { id, .. }
            | Self::Health { id }
            | Self::Shutdown { id } => *id,
        }
    }

    /// Name of the step, as `[WORKER EXIT]` tells it.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::Load { .. } => "load",
            Self::Predict { .. } => "predict",
            Self::LoraApply { .. } => "lora_apply",
            Self::LoraUnload { .. } => "lora_unload",
            Self::Unload { .. } => "unload",
            Self::Caps { .. } => "caps",
            Self::DumpIr { .. } => "dump_ir",
            Self::Health { .. } => "health",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}

/// What a prediction counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Resolved mode, for example `GpuSingleGraph`.
    pub mode: String,
    /// One row per pass, exactly as printed; empty on the CPU.
    pub passes: Vec<Perdispatch>,
    /// Wall-clock microseconds of the prefill pass.
    pub prefill_us: u64,
    /// Wall-clock microseconds of all later passes.
    pub decode_us: u64,
}

/// The loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    /// `vulkan` or `cpu`.
    pub backend: String,
    /// Device name.
    pub device: String,
    /// Driver name and version.
    pub driver: String,
    /// SHA-256 of the GGUF file.
    pub weights_sha: String,
    /// Architecture name.
    pub arch: String,
    /// Rows of the vocabulary.
    pub n_vocab: u32,
    /// Longest context of this load.
    pub n_ctx: u32,
}

/// Worker to parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The worker listens. Sent once, unasked.
    Ready {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Process id.
        pid: u32,
        /// Crate version.
        version: String,
    },
    /// The device.
    Caps {
        /// Request number.
        id: RequestId,
        /// What it is and allows.
        caps: Caps,
    },
    /// A model is loaded.
    Loaded {
        /// Request number.
        id: RequestId,
        /// Facts about it.
        loaded: Loaded,
    },
    /// A sign of life during a long step.
    Progress {
        /// Request number.
        id: RequestId,
        /// `pipelines` or `weights`.
        step: String,
        /// Pipelines built, or bytes uploaded.
        done: u64,
        /// All of them.
        total: u64,
    },
    /// One chosen token, as soon as it is known.
    StreamToken {
        /// Request number.
        id: RequestId,
        /// Number of the choice, from 0.
        index: u32,
        /// Token id.
        token: u32,
    },
    /// A prediction is complete.
    Result {
        /// Request number.
        id: RequestId,
        /// Chosen tokens.
        tokens: Vec<u32>,
        /// Logits rows computed: prompt rows, then one per choice after the first.
        rows: u64,
        /// SHA-256 over all rows, raw little-endian.
        logits_sha: String,
        /// What was counted.
        counters: Counters,
        /// First divergence from the reference; only of a validation run.
        divergence: Option<FirstDivergence>,
    },
    /// A command stream as JSON.
    Ir {
        /// Request number.
        id: RequestId,
        /// Digest of the stream.
        digest: String,
        /// The stream.
        ir: serde_json::Value,
    },
    /// Outcome of the health check.
    Health {
        /// Request number.
        id: RequestId,
        /// Outcome.
        health: Health,
    },
    /// The request failed; the worker lives unless the code says otherwise.
    Error {
        /// Request number; absent when the request could not be read.
        id: Option<RequestId>,
        /// Stable code.
        code: String,
        /// What happened and what to do.
        message: String,
    },
    /// The request's setup makes its result meaningless; no statement about the engine.
    Invalidated {
        /// Request number.
        id: RequestId,
        /// Stable code.
        reason_code: String,
        /// What to change.
        message: String,
    },
    /// The model is gone.
    Unloaded {
        /// Request number.
        id: RequestId,
    },
    /// The worker exits after this line.
    Bye {
        /// Request number.
        id: RequestId,
    },
}

impl Answer {
    /// The request it belongs to.
    #[must_use]
    pub fn id(&self) -> Option<RequestId> {
        match self {
            Self::Ready { .. } => None,
            Self::Error { id, .. } => *id,
            Self::Caps { id, .. }
            | Self::Loaded { id, .. }
            | Self::Progress { id, .. }
            | Self::StreamToken { id, .. }
            | Self::Result { id, .. }
            | Self::Ir { id, .. }
            | Self::Health { id, .. }
            | Self::Invalidated { id, .. }
            | Self::Unloaded { id }
            | Self::Bye { id } => Some(*id),
        }
    }
}

/// Error codes after which the worker's context is beyond use and a new process is needed.
pub const POISONED_CODES: &[&str] = &[
    "device_lost",
    "device_timeout",
    "guard_broken",
    "context_poisoned",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_fields_and_operations_are_refused() {
        for line in [
            r#"{"op":"unload","id":1,"extra":true}"#,
            r#"{"op":"explode","id":1}"#,
            r#"{"op":"predict","id":1,"prompt":{"tokens":[1],"temperature":0.7}}"#,
            r#"{"op":"unload"}"#,
            r#"{"op":"unload","id":-1}"#,
            r#"[]"#,
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn defaults_of_a_prompt_are_production_and_everything_in_one_prefill() {
        let request: Request =
            serde_json::from_str(r#"{"op":"predict","id":3,"prompt":{"tokens":[1,2]}}"#).unwrap();
        let Request::Predict { id, prompt } = request else {
            panic!("{request:?}");
        };
        assert_eq!((id, prompt.tokens), (3, vec![1, 2]));
        assert_eq!(prompt.purpose, Purpose::Production);
        assert_eq!(
            (prompt.prefill, prompt.greedy, prompt.legacy),
            (None, 0, false)
        );
    }

    proptest! {
        #[test]
        fn requests_survive_their_line(
            id in any::<u64>(),
            tokens in prop::collection::vec(any::<u32>(), 0..20),
            prefill in prop::option::of(0_usize..100),
            greedy in any::<u32>(),
            temperature in 0.0f32..9.0,
            legacy in any::<bool>(),
            file in prop::option::of("[a-z/ \"]{1,20}"),
        ) {
            let request = Request::Predict { id, prompt: Prompt {
                tokens, prefill, sampling: Sampling { temperature, seed: id, ..Sampling::default() }, greedy, legacy,
                purpose: Purpose::Smoke,
                logits_file: file.map(Into::into),
                sync: SyncKind::Timeline,
                settings: [("ENGINE_VALIDATE".to_owned(), "1".to_owned())].into(),
                role: Role::Draft,
            }};
            let line = serde_json::to_string(&request).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }

        #[test]
        fn any_line_is_an_answer_or_an_error(line in ".{0,200}") {
            let _ = serde_json::from_str::<Answer>(&line);
            let _ = serde_json::from_str::<Request>(&line);
        }
    }
}

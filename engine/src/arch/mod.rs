//! Model architectures: hyperparameters and graphs.
//!
//! llama and qwen3 are one family, [`dense`], and differ in what [`Architecture`] answers.

pub mod dense;

use serde::Serialize;

use crate::graph::RopePairs;

/// Architectures by `general.architecture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Llama: query and key rows permuted for interleaved rotation.
    Llama,
    /// Qwen3: every query and key head normed before its halves are rotated.
    Qwen3,
}

impl Architecture {
    /// All architectures.
    pub const ALL: [Architecture; 2] = [Architecture::Llama, Architecture::Qwen3];

    /// Name in files, and prefix of the metadata keys.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen3 => "qwen3",
        }
    }

    /// The architecture of that name.
    pub fn named(name: &str) -> Option<Architecture> {
        Architecture::ALL
            .into_iter()
            .find(|arch| arch.name() == name)
    }

    /// Which elements of a head rotate together.
    pub const fn rope_pairs(self) -> RopePairs {
        match self {
            Architecture::Llama => RopePairs::Adjacent,
            Architecture::Qwen3 => RopePairs::Halves,
        }
    }

    /// Whether query and key heads are normed before rotation.
    pub const fn has_head_norms(self) -> bool {
        matches!(self, Architecture::Qwen3)
    }
}

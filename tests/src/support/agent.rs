//! What a scripted agent is told: the knowledge a working session would have won by reading.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The brief of one story, as TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brief {
    /// What the loop is for.
    pub goal: String,
    /// Proof scope.
    pub scope: String,
    /// The seeded bug; its reverse is the fix.
    pub bug_patch: PathBuf,
    /// Law that fails.
    pub failing_invariant: String,
    /// Ties bug to fix.
    pub reasoning: String,
    /// Commit message.
    pub message: String,
    /// Path that fails, for the contrast.
    pub failing_path: String,
    /// Path that works.
    pub passing_path: String,
    /// The cause that survives.
    pub cause: Theory,
    /// The cause that the evidence kills.
    pub dead: Theory,
    /// Why it is dead.
    pub killed_because: String,
    /// Marker kind whose first observation kills it.
    pub killer_kind: String,
    /// Where the fix goes.
    pub sites: Vec<SiteBrief>,
    /// Marker kind and number of lines that are cited besides the failure.
    #[serde(default)]
    pub exhibit: Option<(String, usize)>,
    /// Predictions; at least one is false today.
    pub predictions: Vec<String>,
    /// Guards, in the scope.
    pub guards: Vec<String>,
    /// Rollback conditions.
    pub rollback_if: Vec<String>,
    /// Gates by name.
    pub gates: Vec<String>,
    /// The pinned test.
    pub pinned_test: PinBrief,
    /// Minutes of the runner.
    pub runner_minutes: u32,
}

/// A hypothesis to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theory {
    /// From the closed list.
    pub mechanism: String,
    /// One sentence.
    pub statement: String,
    /// File of the quoted line.
    pub file: String,
    /// Text that the quoted line contains.
    pub find: String,
    /// Predicates that hold if it is true.
    #[serde(default)]
    pub predicts: Vec<String>,
    /// Predicates that cannot hold if it is true.
    #[serde(default)]
    pub forbids: Vec<String>,
}

/// Where a hunk lies, found by text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteBrief {
    /// File.
    pub file: String,
    /// Function.
    pub function: Option<String>,
    /// Text that the first line contains.
    pub find: String,
    /// Lines that belong to the site, from that one on.
    #[serde(default = "one")]
    pub lines: u32,
}

fn one() -> u32 {
    1
}

/// The pinned test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinBrief {
    /// Cargo package.
    pub package: String,
    /// Integration-test target.
    pub target: String,
    /// Test name.
    pub name: String,
}

/// One line of what the agent prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Which step.
    pub step: String,
    /// What it proved, for people.
    pub text: String,
    /// What later steps or a test need.
    #[serde(default)]
    pub data: serde_json::Value,
}

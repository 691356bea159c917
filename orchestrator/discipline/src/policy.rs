//! `greenloop.toml`, as read from the base commit's tree.
//!
//! Format types are the runtime types: each table is one struct, unknown keys are errors, every key
//! but `schema` and a scope's `argv` has a default. Paths and globs are relative to the root.

mod check;
mod claim_rule;
#[cfg(test)]
mod claim_rule_tests;
mod keys;
mod parse;
mod query;
mod reference;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use attest::claim::ClaimKind;
use serde::{Deserialize, Serialize};

use crate::model::Environment;

pub use claim_rule::ClaimRuleError;
pub use parse::{PolicyError, PolicyProblem};
pub(crate) use query::PathSet;
pub use rule::{EffectiveRule, RELAXABLE, RuleDecision, Ruling};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always 1.
    pub schema: u32,
    /// `[repo]`
    #[serde(default)]
    pub repo: RepoPolicy,
    /// `[source]`
    #[serde(default)]
    pub source: SourcePolicy,
    /// `[scope.NAME]`
    #[serde(default)]
    pub scope: BTreeMap<String, ScopePolicy>,
    /// `[gate.NAME]`
    #[serde(default)]
    pub gate: BTreeMap<String, GatePolicy>,
    /// `[rule.NAME]`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rule: BTreeMap<String, RulePolicy>,
    /// `[claim_rule.NAME]` of class files, by file and name; never written in `greenloop.toml`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claim_rules: BTreeMap<String, BTreeMap<String, RulePolicy>>,
    /// `[budget]`
    #[serde(default)]
    pub budget: BudgetPolicy,
    /// `[markers]`
    #[serde(default)]
    pub markers: DirsPolicy,
    /// `[playbooks]`
    #[serde(default)]
    pub playbooks: DirsPolicy,
    /// `[approval]`
    #[serde(default)]
    pub approval: ApprovalPolicy,
    /// `[attest]`
    #[serde(default)]
    pub attest: AttestPolicy,
}

/// `[repo]`: what is under care and what never rides with code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RepoPolicy {
    /// Name or URL of the remote that a permit pushes to.
    pub remote: String,
    /// Branch under care.
    pub branch: String,
    /// Refs that only an approved claim may move.
    pub guarded_refs: Vec<String>,
    /// Globs of files that never ride with code.
    pub protected: Vec<String>,
    /// Path of the invariants file.
    pub law: String,
    /// Path of the allowed-signers file.
    pub signers: String,
    /// Commit that every guarded ref descends from.
    pub trusted_root: Option<String>,
    /// Keys of cargo configuration that the tree may set, such as `env.RUST_MIN_STACK`.
    pub allow_cargo_config: Vec<String>,
}

impl Default for RepoPolicy {
    fn default() -> Self {
        Self {
            remote: "origin".into(),
            branch: "main".into(),
            guarded_refs: vec!["refs/heads/main".into()],
            protected: [
                "**/INVARIANTS.md",
                "playbooks/**/*.toml",
                "**/catalog/**",
                ".github/workflows/**",
                ".github/actions/**",
                "**/.gitattributes",
                "greenloop.toml",
                "rust-toolchain*",
                ".cargo/**",
                "**/allowed_signers",
            ]
            .map(String::from)
            .to_vec(),
            law: "invariants/INVARIANTS.md".into(),
            signers: "allowed_signers".into(),
            trusted_root: None,
            allow_cargo_config: Vec::new(),
        }
    }
}

/// Where runs come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// This machine is the runner.
    #[default]
    Local,
    /// A folder of runs that were executed before; it starts none.
    Recorded,
    /// GitHub Actions, or a forge that speaks its API.
    Github,
}

/// `[source]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcePolicy {
    /// Which run source.
    pub kind: SourceKind,
    /// Folder of recorded runs, below the root; machine settings may name another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `owner/name` at the forge; taken from the remote's URL when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Address of the forge's API; must be the one that machine settings give the token to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// Seconds between two looks at a run that is followed; [`SourcePolicy::poll_s`] knows the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_s: Option<u64>,
    /// Artifacts that carry the harness's own output, as `ARTIFACT/FILE`; they outrank job logs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub harness: Vec<String>,
}

impl SourcePolicy {
    /// Seconds between two looks at a run that is followed.
    #[must_use]
    pub fn poll_s(&self) -> u64 {
        self.poll_s.unwrap_or(15)
    }
}

/// One row of a scope's matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellPolicy {
    /// Cell id, such as `noop-0-full`.
    pub name: String,
    /// Variables that this cell sets.
    #[serde(default)]
    pub env: Environment,
    /// Name of the forge's job that executes it; the cell's own name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// `[scope.NAME]`: what one workflow may prove, and how the local source executes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopePolicy {
    /// Workflow file that owns the scope.
    #[serde(default)]
    pub workflow: Option<String>,
    /// Cargo package under test.
    pub package: String,
    /// Features that the run builds with.
    #[serde(default)]
    pub features: Vec<String>,
    /// Argument vector; `cargo` as the first word is the pinned toolchain's.
    pub argv: Vec<String>,
    /// Matrix; one cell named `default` when empty.
    #[serde(default)]
    pub cells: Vec<CellPolicy>,
    /// Engagement proof: predicates that must hold for a success to be green.
    #[serde(default)]
    pub engage: Vec<String>,
    /// Predicates that no claim may break.
    #[serde(default)]
    pub guards: Vec<String>,
    /// Globs of changed files that can reach the scope; empty means every file.
    #[serde(default)]
    pub when: Vec<String>,
    /// Variables of the daemon's environment that are passed through, such as a driver's path.
    #[serde(default)]
    pub pass_env: Vec<String>,
    /// Limit per cell, seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// True when the run needs the machine-wide GPU lease.
    #[serde(default)]
    pub gpu: bool,
    /// Minutes of the runner that a day of this scope may cost; the day's own limit holds besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_minutes_per_day: Option<u32>,
}

/// `[gate.NAME]`: a local question about a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePolicy {
    /// Argument vector; `cargo` as the first word is the pinned toolchain's.
    pub argv: Vec<String>,
    /// Cargo package that it builds.
    pub package: String,
    /// Features that it builds with.
    #[serde(default)]
    pub features: Vec<String>,
    /// Globs of changed files that make it required; empty means always.
    #[serde(default)]
    pub when: Vec<String>,
    /// Variables it sets.
    #[serde(default)]
    pub env: Environment,
    /// Variables passed through from the daemon.
    #[serde(default)]
    pub pass_env: Vec<String>,
    /// Limit, seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// Argument vector that must be seen failing on the canary room; the gate's own when absent.
    #[serde(default)]
    pub canary: Option<Vec<String>>,
    /// True when it needs the machine-wide GPU lease.
    #[serde(default)]
    pub gpu: bool,
}

/// `[rule.NAME]`: a rule of the project's own about changed paths, or about findings in them. Class files
/// carry the same table as `[claim_rule.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulePolicy {
    /// Globs of the changed files that it is about.
    pub paths: Vec<String>,
    /// Kinds of claims that it is about; empty means all but rollbacks.
    #[serde(default)]
    pub kinds: Vec<ClaimKind>,
    /// Codes of findings that it is about, of [`RELAXABLE`]; empty means the change itself.
    #[serde(default)]
    pub codes: Vec<String>,
    /// What it says; of several rules the strictest wins.
    pub decision: RuleDecision,
    /// Why.
    pub because: String,
    /// Paths that the whole policy lets pass in this respect, as examples.
    pub allow: Vec<String>,
    /// Paths that it does not, as examples.
    pub refuse: Vec<String>,
}

fn default_timeout_s() -> u64 {
    1800
}

/// `[budget]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetPolicy {
    /// Minutes of the runner that a day may cost.
    pub runner_minutes_per_day: u32,
    /// Diagnostic runs that a day may cost.
    pub diagnostic_runs: u32,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self {
            runner_minutes_per_day: 240,
            diagnostic_runs: 4,
        }
    }
}

/// `[markers]` and `[playbooks]`: folders of the project's own data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirsPolicy {
    /// Folders below the root.
    pub dirs: Vec<String>,
}

/// `[approval]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalPolicy {
    /// Hours after which a signature no longer permits a push.
    pub expires_h: u32,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self { expires_h: 24 }
    }
}

/// `[attest]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttestPolicy {
    /// True to put cited log excerpts into the attestation.
    pub excerpts: bool,
}

//! What only a person does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClaimSummary, HitRateView, OverrideView, RefusalView, RunView};

/// Run a scope now, at the tip of the branch or at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRunRequest {
    /// The scope.
    pub scope: String,
    /// Only this cell.
    #[serde(default)]
    pub cell: Option<String>,
    /// Commit; the remote branch's tip when absent.
    #[serde(default)]
    pub commit: Option<String>,
    /// True to answer when the run has ended; false to answer when it is queued.
    #[serde(default)]
    pub wait: bool,
}

/// The run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartRunAnswer {
    /// The run, when it was started.
    pub run: Option<RunView>,
    /// Why it was not.
    pub refused: Vec<RefusalView>,
}

/// What would an approval of this claim sign?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareApprovalRequest {
    /// The claim.
    pub claim_id: String,
}

/// What is shown, and the bytes to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PrepareApprovalAnswer {
    /// The claim in one line.
    pub summary: ClaimSummary,
    /// The card, as JSON.
    pub card: Option<serde_json::Map<String, serde_json::Value>>,
    /// Canonical bytes to sign, as text.
    pub payload: Option<String>,
    /// SSH signature namespace to sign in.
    pub namespace: String,
    /// Why it cannot be approved now.
    pub refused: Vec<RefusalView>,
}

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveClaimRequest {
    /// The claim.
    pub claim_id: String,
    /// The payload that was signed, byte for byte.
    pub payload: String,
    /// Armored SSH signature over it.
    pub signature: String,
}

/// The recorded approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApproveClaimAnswer {
    /// State of the claim after it.
    pub state: String,
    /// Principal of the key that signed.
    pub signer: Option<String>,
    /// Why it was not recorded.
    pub refused: Vec<RefusalView>,
}

/// A person's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectClaimRequest {
    /// The claim.
    pub claim_id: String,
    /// Why.
    pub reason: String,
}

/// The recorded rejection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectClaimAnswer {
    /// State of the claim after it.
    pub state: String,
    /// Why it was not recorded.
    pub refused: Vec<RefusalView>,
}

/// Which claims are there?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListClaimsRequest {
    /// Those of this loop; those of the newest open one when absent.
    #[serde(default)]
    pub loop_id: Option<String>,
    /// True for those of every loop, closed ones included.
    #[serde(default)]
    pub all: bool,
}

/// Claims, and how often predictions came true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListClaimsAnswer {
    /// Newest first.
    pub claims: Vec<ClaimSummary>,
    /// By author, over all loops.
    pub hit_rates: Vec<HitRateView>,
}

/// Pass over a rule of cost, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideRuleRequest {
    /// Code of the refusal to pass over.
    pub code: String,
    /// Scope whose claims it is for.
    pub scope: String,
    /// Why; who audits a push reads it.
    pub reason: String,
    /// How long it counts.
    pub hours: u32,
}

/// The override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OverrideRuleAnswer {
    /// As recorded; null when it was not granted.
    pub granted: Option<OverrideView>,
    /// Why it was not.
    pub refused: Vec<RefusalView>,
}

/// Which rules were passed over?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListOverridesRequest {}

/// Every override that was ever granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListOverridesAnswer {
    /// Newest first.
    pub overrides: Vec<OverrideView>,
    /// Codes of refusals that can be passed over.
    pub overridable: Vec<String>,
}

/// Who are you?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DaemonInfoRequest {}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonInfoAnswer {
    /// Version of the binary.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// State folder.
    pub state_dir: String,
    /// Repository under care.
    pub repo_path: String,
    /// What it executes now.
    pub busy: Vec<String>,
    /// Pinned toolchain: cargo and rustc with their digests.
    pub toolchain: Vec<String>,
}

/// Stop after what cannot be interrupted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {}

/// It stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShutdownAnswer {
    /// What was stopped and will be resumed.
    pub interrupted: Vec<String>,
}

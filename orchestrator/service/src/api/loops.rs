//! Loops: where one stands, and how a turn may end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ActionView, ClaimSummary, CountersView, HitRateView, HypothesisView, OverrideView, RefusalView,
    ScopeView, SpendView,
};

/// Where do we stand?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoopStatusRequest {
    /// The loop; the newest open one when absent.
    #[serde(default)]
    pub loop_id: Option<String>,
}

/// One loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoopView {
    /// Id, such as `L1`.
    pub loop_id: String,
    /// What it is for.
    pub goal: String,
    /// Scopes it works on.
    pub scopes: Vec<String>,
    /// Counters of both ways to fail.
    pub counters: CountersView,
}

/// One screen of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoopStatusAnswer {
    /// The loop asked for, if there is one.
    pub r#loop: Option<LoopView>,
    /// Ids of all open loops.
    pub open_loops: Vec<String>,
    /// What the loop is doing: `idle`, `running`, `gating`, `awaiting_approval`, `pushing`, `verifying`.
    pub phase: String,
    /// Signal of each scope.
    pub scopes: Vec<ScopeView>,
    /// Claims, newest first.
    pub claims: Vec<ClaimSummary>,
    /// The ledger.
    pub hypotheses: Vec<HypothesisView>,
    /// Legal next steps, most useful first.
    pub next_actions: Vec<ActionView>,
    /// What moved since the state was written: head, configuration, toolchain, law.
    pub drift: Vec<String>,
    /// Set when nothing changed since the last call: the state below is the one already given.
    pub unchanged_since_last_call: bool,
    /// What to say then.
    #[serde(default)]
    pub note: Option<String>,
    /// The next step that writes something, when nothing changed since the last call.
    #[serde(default)]
    pub next_write: Option<ActionView>,
    /// What runs cost and what each bought, newest first.
    #[serde(default)]
    pub spending: Vec<SpendView>,
    /// How often predictions came true, by author.
    #[serde(default)]
    pub hit_rates: Vec<HitRateView>,
    /// Rules of cost that a person passes over now.
    #[serde(default)]
    pub overrides: Vec<OverrideView>,
    /// Commit at the tip of the branch under care, as last seen.
    pub branch_tip: Option<String>,
    /// Sequence number of the newest journal record.
    pub journal_seq: u64,
    /// Hash of the newest journal record.
    pub journal_head: String,
    /// State folder.
    pub state_dir: String,
}

/// Open an investigation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenLoopRequest {
    /// What it is for, in one sentence.
    pub goal: String,
    /// Proof scopes it works on.
    pub scopes: Vec<String>,
    /// Repeating the call with the same key answers with the same loop.
    pub idempotency_key: String,
}

/// The opened loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenLoopAnswer {
    /// Id to give with every call that changes something.
    pub loop_id: Option<String>,
    /// Why it was not opened.
    pub refused: Vec<RefusalView>,
}

/// How the turn ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum EndHow {
    /// A claim is staged and waits for a person.
    Staged,
    /// A named blocker outside the agent's reach.
    Blocked {
        /// What blocks.
        what: String,
        /// What would unblock it.
        unblocked_by: String,
    },
    /// The loop's scopes are green, with proof.
    Green,
}

/// May I stop here?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndTurnRequest {
    /// The loop.
    pub loop_id: String,
    /// `staged`, `blocked` or `green`.
    pub end: EndHow,
}

/// Whether the turn may end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndTurnAnswer {
    /// True when it may.
    pub accepted: bool,
    /// Why it may not.
    pub refused: Vec<RefusalView>,
    /// What can be done meanwhile.
    pub work: Vec<ActionView>,
}

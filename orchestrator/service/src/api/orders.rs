//! What a person tells the forge to do with a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RefusalView, RunView};

/// Cancel a run, here or at the forge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRunRequest {
    /// The run: its id here or at the forge.
    pub run_id: String,
    /// Why.
    pub reason: String,
    /// The claim that it grades, whose verdict is given up.
    #[serde(default)]
    pub claim_id: Option<String>,
}

/// Run a run's jobs again at the forge, as its next attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunRequest {
    /// The run: its id here or at the forge.
    pub run_id: String,
    /// Why.
    pub reason: String,
    /// True for the failed jobs only, and what depends on them.
    #[serde(default)]
    pub failed_only: bool,
}

/// The run after an order, or why none was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderAnswer {
    /// The recorded order; absent when none was needed or allowed.
    pub order_id: Option<String>,
    /// True when a run that was to be cancelled had ended before anything was sent.
    pub had_ended: bool,
    /// The run as it is afterwards: of a new attempt, once the forge shows it.
    pub run: Option<RunView>,
    /// Why nothing was sent.
    pub refused: Vec<RefusalView>,
}

//! What a decision reads and what it says. `decide` is pure, so that an auditor replays it.

use std::collections::BTreeSet;

use attest::approval::ApprovalSubject;
use attest::claim::{Citation, ClaimBody, Guard};
use attest::digest::Digest;
use markers::CellObservations;
use serde::{Deserialize, Serialize};

use crate::diff::ChangedPath;
use crate::event::Mechanism;
use crate::forecast::ForecastFacts;
use crate::model::{GateResult, OverrideId, Refusal, RunId};
use crate::observation::Grade;
use crate::overrides::Override;
use crate::policy::Policy;

/// Version of the rule set. A stored decision is replayed only under the version that made it.
pub const RULES_VERSION: u32 = 4;

/// The one argument of `decide`. Parts that a clone can recompute (policy, law, diff, ids) are
/// recomputed by the verifier and compared; the rest is what the clone cannot know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionInput {
    /// Rule set that judged.
    pub rules_version: u32,
    /// When, unix milliseconds.
    pub now_ms: i64,
    /// The claim.
    pub body: ClaimBody,
    /// Digest of its canonical body.
    pub claim_digest: Digest,
    /// Policy and law at the claim's parent.
    pub policy: PolicyFacts,
    /// The change, judged on its syntax tree.
    pub diff: DiffFacts,
    /// One per citation, in claim order.
    pub evidence: Vec<EvidenceFact>,
    /// What the playbooks want cited of the tests that the claim is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exhibits: Vec<ExhibitFact>,
    /// What the baseline run showed.
    pub baseline: Option<BaselineFacts>,
    /// The hypothesis the claim acts on.
    pub hypothesis: Option<HypothesisFacts>,
    /// The hypotheses that a diagnostic's outcomes would kill, as far as the ledger has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<HypothesisFacts>,
    /// A person's words against rules of cost that count in the proof scope now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Earlier attempts at the same invariant that failed, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptFact>,
    /// What a rollback takes back; only looked up for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted: Option<RevertedFacts>,
    /// Results of the gates, once they ran.
    pub gates: Option<GateFacts>,
    /// The signature, once there is one.
    pub approval: Option<ApprovalFacts>,
    /// State of remote, scope and budget.
    pub target: TargetFacts,
}

/// Policy and law as they stand in the tree of the claim's parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFacts {
    /// `greenloop.toml`, parsed.
    pub policy: Policy,
    /// Digest of its bytes.
    pub policy_digest: Digest,
    /// The law's ids, titles and pins.
    pub law: Vec<LawFact>,
    /// Digest of the law file's bytes.
    pub law_digest: Digest,
    /// Digest of the marker catalogue in force.
    pub catalogue_digest: Digest,
    /// Digest of the playbooks in force.
    pub playbooks_digest: Digest,
}

/// One law of the base commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LawFact {
    /// Such as `§4`.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Types and tests that pin it, as text.
    pub pins: Vec<String>,
    /// Pins that do not exist in the base tree.
    pub missing_pins: Vec<String>,
}

/// Hunk of a changed file, in base and head lines (1-based, length may be 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hunk {
    /// Path.
    pub file: String,
    /// First base line.
    pub old_start: u32,
    /// Base lines.
    pub old_len: u32,
    /// First head line.
    pub new_start: u32,
    /// Head lines.
    pub new_len: u32,
}

/// Changed lines of a file that `cfg` attributes on them or around them keep or leave out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalCode {
    /// Path.
    pub file: String,
    /// Conditions that must all hold, without white space, sorted; `test` itself left out.
    pub cfgs: Vec<String>,
}

impl ConditionalCode {
    /// As coverage lists it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} [{}]", self.file, self.cfgs.join(", "))
    }
}

/// The change as facts; recomputed by the verifier from the two trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffFacts {
    /// Tree of the claim's parent.
    pub base_tree: String,
    /// Digest over `changed`.
    pub diff_digest: Digest,
    /// Changed paths with modes and object ids.
    pub changed: Vec<ChangedPath>,
    /// Hunks of text files, sorted.
    pub hunks: Vec<Hunk>,
    /// Changed code that is compiled only under conditions, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditional: Vec<ConditionalCode>,
    /// Findings of the syntax tree and of paths, as refusals.
    pub findings: Vec<Refusal>,
    /// Sites that do not exist at base or do not overlap the diff.
    pub site_findings: Vec<Refusal>,
    /// Changed lines that can change behaviour.
    pub behavioural_lines: u32,
    /// Changed lines that cannot: comments, blank lines, imports, moved text.
    pub mechanical_lines: u32,
    /// Test functions that no file of the base has.
    #[serde(default)]
    pub tests_added: u32,
    /// Files of `pinned_test.files` that hold anything but test code.
    pub impure_test_files: Vec<String>,
    /// True when the pinned test's function exists in the head tree as an integration test.
    pub pinned_test_exists: bool,
}

/// A citation and what is true of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFact {
    /// The citation.
    pub citation: Citation,
    /// Run and cell whose log it is, where the store knows it.
    pub run_id: Option<RunId>,
    /// Scope of that run.
    pub scope: Option<String>,
    /// Commit of that run.
    pub commit: Option<String>,
    /// The bytes and lines exist and match each other.
    pub exists: bool,
    /// The log is complete.
    pub complete: bool,
    /// The commit is the claim's parent, or an ancestor since which no site file changed.
    pub current: bool,
    /// The cited lines show a failure: a failed test, a panic, a divergence, an error marker.
    pub shows_failure: bool,
    /// What the playbooks say of a comparison on those lines whose reference is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blames_reference: Option<String>,
}

/// Lines that a fix must cite besides the failure, because of what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExhibitFact {
    /// Marker of the lines.
    pub marker: String,
    /// Field that tells them apart.
    pub field: String,
    /// Family of tests that asks for them.
    pub family: String,
    /// A test of that family which the claim pins or whose failure it cites.
    pub test: String,
    /// Values of the field that no cited line shows.
    pub missing: Vec<String>,
    /// Command that prints the lines without a run.
    pub show: String,
}

/// The run on which predictions must be false today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineFacts {
    /// The run.
    pub run_id: RunId,
    /// Its scope.
    pub scope: String,
    /// Its commit.
    pub head_sha: String,
    /// It executed steps.
    pub executed: bool,
    /// The commit is the claim's parent, or an ancestor since which no site file changed.
    pub current: bool,
    /// Observations of the kinds that the claim's predicates name, per cell.
    pub cells: Vec<CellObservations>,
}

/// The hypothesis a claim acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HypothesisFacts {
    /// Its id.
    pub id: String,
    /// Its scope.
    pub scope: String,
    /// Kind of cause.
    pub mechanism: Mechanism,
    /// False once it is falsified.
    pub alive: bool,
    /// Where it stands, for the audit: `open`, `surviving` or `falsified`.
    pub status: String,
    /// What its evidence is worth on the ledger.
    pub grade: Grade,
    /// Predicates that hold if it is true.
    pub predicts: Vec<String>,
    /// Predicates that cannot hold if it is true.
    pub forbids: Vec<String>,
}

/// The pushed commit that a rollback takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevertedFacts {
    /// The claim that closed the scope.
    pub claim_id: String,
    /// The commit that was pushed for it.
    pub commit: String,
    /// Tree of that commit's parent: what stood before the regression.
    pub parent_tree: String,
    /// What that commit changed; `None` in decisions that were made before this was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<ChangedPath>>,
}

/// Texts of every predicate that rules evaluate on the baseline run: the claim's own and those of its
/// hypothesis. The baseline's cells hold the rows that these read, and no others.
#[must_use]
pub fn predicates_read<'a>(
    body: &'a ClaimBody,
    hypothesis: Option<&'a HypothesisFacts>,
) -> Vec<&'a str> {
    let own = body.predictions.iter().chain(&body.rollback_if);
    let outcomes = body.outcomes.iter().map(|row| &row.predicate);
    let guards = body.guards.iter().map(|guard| &guard.predicate);
    let of_cause = hypothesis
        .into_iter()
        .flat_map(|facts| facts.predicts.iter().chain(&facts.forbids));
    own.chain(outcomes)
        .chain(guards)
        .chain(of_cause)
        .map(String::as_str)
        .collect()
}

/// A pushed claim at the same invariant that its run refuted or that had to be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptFact {
    /// The claim.
    pub claim_id: String,
    /// The tree it pushed.
    pub tree: String,
    /// True when this claim changes a file that the attempt changed.
    pub overlaps: bool,
    /// True when every prediction of it held: it failed by what it broke besides, so that a test of the
    /// invariant passes on it as it should.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub predictions_held: bool,
    /// Guards of its proof scope that broke: half of the failure's fingerprint.
    pub broken_guards: Vec<String>,
    /// Rollback conditions that held: the other half.
    pub held_rollbacks: Vec<String>,
    /// Guards of other scopes that broke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_elsewhere: Vec<Guard>,
}

/// Gate results and what they bind to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFacts {
    /// Every process of the gate run.
    pub results: Vec<GateResult>,
    /// Digest over the canonical results.
    pub gates_digest: Digest,
}

/// The digest that binds a claim to its gate results, in the order they were recorded.
///
/// # Errors
/// When a result has no canonical form.
pub fn gates_digest(results: &[GateResult]) -> Result<Digest, attest::AttestError> {
    Ok(Digest::of(&attest::json::canonical(results)?))
}

/// A verified signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalFacts {
    /// What was signed.
    pub subject: ApprovalSubject,
    /// Principal whose key signed, after verification.
    pub signer: String,
    /// Key type, such as `ssh-ed25519`.
    pub key_type: String,
}

/// Remote, scope and budget at the moment of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFacts {
    /// Commit that would be pushed, once staged.
    pub commit: Option<String>,
    /// Tip of the ref at the remote; `None` when the ref does not exist.
    pub remote_tip: Option<String>,
    /// Why the scope is closed, if it is.
    pub scope_closed: Option<String>,
    /// Ids of live runs of the scope's concurrency group.
    pub live_runs: Vec<RunId>,
    /// Minutes of the runner that the day and the scope have left, without what other claims keep.
    pub minutes_left: u32,
    /// Diagnostic runs left today; only looked up for a diagnostic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics_left: Option<u32>,
    /// What the push would do to live runs, and who would run it.
    #[serde(default)]
    pub forecast: ForecastFacts,
    /// The scope's last pushes, as far as they told nothing one after the other, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_results: Vec<String>,
    /// True when this claim was pushed before.
    pub already_pushed: bool,
    /// True when an executed signal exists for the parent commit in this scope.
    pub signal_exists: bool,
}

/// When a rule has enough to say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// At `propose_claim`.
    Propose,
    /// When gates ended.
    Gates,
    /// When a push is asked for.
    Push,
}

/// What one rule said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleResult {
    /// Name in the list of rules.
    pub rule: String,
    /// Stage it belongs to.
    pub stage: Stage,
    /// Everything it refuses; empty when it passes.
    pub refused: Vec<Refusal>,
    /// What it refused and a person passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Overridden>,
}

/// A refusal that a person's override passes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overridden {
    /// The override.
    pub by: OverrideId,
    /// What was refused.
    pub refusal: Refusal,
}

/// The answer of `decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Rule set that judged.
    pub rules_version: u32,
    /// Stage up to which it judged.
    pub stage: Stage,
    /// Every rule of the list, in order.
    pub rules: Vec<RuleResult>,
    /// True when nothing refused.
    pub allowed: bool,
}

impl Decision {
    /// Every refusal of every rule, in order.
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.rules.iter().flat_map(|rule| &rule.refused)
    }

    /// Overrides that refusals were passed over by, each once.
    #[must_use]
    pub fn overrides(&self) -> Vec<OverrideId> {
        let passed = self.rules.iter().flat_map(|rule| &rule.overridden);
        let by: BTreeSet<&OverrideId> = passed.map(|passed| &passed.by).collect();
        by.into_iter().cloned().collect()
    }

    /// Digest of the canonical decision, as recorded with the push.
    ///
    /// # Errors
    /// When a refusal has no canonical form.
    pub fn digest(&self) -> Result<Digest, attest::AttestError> {
        Ok(Digest::of(&attest::json::canonical(self)?))
    }
}

//! A claim: where it stands and everything that happened to it.

use std::collections::{BTreeMap, BTreeSet};

use attest::approval::ApprovalSubject;
use attest::claim::ClaimBody;
use attest::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::event::Author;
use crate::model::{
    ClaimId, GateResult, GateRunId, GuardOutcome, LoopId, OverrideId, Refusal, RunId, ScopeGuards,
    Verdict,
};

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPhase {
    /// Proposed with refusals.
    Drafted,
    /// Every rule of the propose stage passes.
    Checked,
    /// Gates run.
    Gating,
    /// Gates passed.
    Gated,
    /// The daemon made the commit; a person is asked.
    Staged,
    /// A person signed.
    Approved,
    /// A person said no.
    Rejected,
    /// Intent is recorded; the push may be on its way.
    PushIntent,
    /// The push's outcome is not known; only the remote knows.
    PushUnknown,
    /// Branch and attestation are at the remote.
    Pushed,
    /// The run of the pushed commit is graded.
    Verifying,
    /// Predictions and guards hold.
    Confirmed,
    /// A prediction failed.
    Refuted,
    /// No signal.
    Inconclusive,
    /// The approval grew too old.
    Expired,
    /// What it was checked against moved.
    Invalidated,
    /// Taken back by its author.
    Withdrawn,
}

impl ClaimPhase {
    /// Every phase.
    pub const ALL: [Self; 17] = [
        Self::Drafted,
        Self::Checked,
        Self::Gating,
        Self::Gated,
        Self::Staged,
        Self::Approved,
        Self::Rejected,
        Self::PushIntent,
        Self::PushUnknown,
        Self::Pushed,
        Self::Verifying,
        Self::Confirmed,
        Self::Refuted,
        Self::Inconclusive,
        Self::Expired,
        Self::Invalidated,
        Self::Withdrawn,
    ];

    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Checked => "checked",
            Self::Gating => "gating",
            Self::Gated => "gated",
            Self::Staged => "staged",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::PushIntent => "push_intent",
            Self::PushUnknown => "push_unknown",
            Self::Pushed => "pushed",
            Self::Verifying => "verifying",
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// True when no event can change it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Rejected
                | Self::Confirmed
                | Self::Refuted
                | Self::Inconclusive
                | Self::Expired
                | Self::Invalidated
                | Self::Withdrawn
        )
    }

    /// True from the first gate to the verdict: the claim holds its (ref, scope).
    #[must_use]
    pub fn holds_scope(self) -> bool {
        matches!(
            self,
            Self::Gating
                | Self::Gated
                | Self::Staged
                | Self::Approved
                | Self::PushIntent
                | Self::PushUnknown
                | Self::Pushed
                | Self::Verifying
        )
    }

    /// True when its commit is at the remote.
    #[must_use]
    pub fn is_pushed(self) -> bool {
        matches!(
            self,
            Self::Pushed | Self::Verifying | Self::Confirmed | Self::Refuted | Self::Inconclusive
        )
    }

    /// True while it may still be withdrawn or invalidated.
    #[must_use]
    pub fn before_push(self) -> bool {
        matches!(
            self,
            Self::Drafted
                | Self::Checked
                | Self::Gating
                | Self::Gated
                | Self::Staged
                | Self::Approved
        )
    }
}

impl std::fmt::Display for ClaimPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verified signature, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// What was signed.
    pub subject: ApprovalSubject,
    /// Armored SSHSIG.
    pub signature: String,
    /// Principal of the signer.
    pub signer: String,
}

/// The intent to push, recorded before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// Commit that is sent.
    pub commit: String,
    /// What the remote ref must be.
    pub old_tip: String,
    /// Attestation that goes with it.
    pub attestation: String,
    /// Digest of the decision that allowed it.
    pub decision: Digest,
    /// Overrides that the decision passed over refusals by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideId>,
    /// What the remote or the transport said last; `None` until settled.
    pub message: Option<String>,
}

/// A claim and everything that happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// Loop it belongs to.
    pub loop_id: LoopId,
    /// `head_seq` when it was proposed; orders claims by age.
    pub proposed_seq: u64,
    /// What it asserts.
    pub body: ClaimBody,
    /// Digest of the canonical body.
    pub digest: Digest,
    /// Where it stands.
    pub phase: ClaimPhase,
    /// Every unmet rule of the last judgement; empty when nothing stands in the way.
    pub refused: Vec<Refusal>,
    /// Its last gate run.
    pub gate_run_id: Option<GateRunId>,
    /// Results of the gate run that gated it.
    pub results: Vec<GateResult>,
    /// Digest over those results.
    pub gates_digest: Option<Digest>,
    /// The daemon's commit.
    pub commit: Option<String>,
    /// What the person is shown.
    pub shown_digest: Option<Digest>,
    /// The signature.
    pub approval: Option<ApprovalRecord>,
    /// The push.
    pub push: Option<PushRecord>,
    /// The run that grades it.
    pub verifying_run: Option<RunId>,
    /// How it was graded.
    pub verdict: Option<Verdict>,
    /// What other scopes showed of the guards that it states for them, by scope.
    #[serde(default)]
    pub other_scopes: BTreeMap<String, ScopeGuards>,
    /// Object that the verdict ref names, once published.
    pub verdict_object: Option<String>,
    /// Why it was rejected, withdrawn or invalidated.
    pub closed_because: Option<String>,
    /// Who proposed it.
    pub author: Author,
}

impl Claim {
    /// Scopes besides the proof scope for which the claim states guards, sorted.
    #[must_use]
    pub fn guarded_scopes(&self) -> BTreeSet<&str> {
        guarded_scopes(&self.body)
    }

    /// Guarded scopes of a pushed claim that no run was graded for, sorted.
    #[must_use]
    pub fn ungraded_scopes(&self) -> Vec<&str> {
        let graded = |scope: &&str| self.other_scopes.contains_key(*scope);
        let mut open = self.guarded_scopes();
        open.retain(|scope| !graded(scope) && self.phase.is_pushed());
        open.into_iter().collect()
    }

    /// The first other scope in which the claim broke a guard.
    #[must_use]
    pub fn broke_elsewhere(&self) -> Option<&ScopeGuards> {
        let mut scopes = self.other_scopes.values();
        scopes.find(|scope| scope.outcome == GuardOutcome::Broke)
    }

    /// True when a run of the pushed commit says that it has to be taken back.
    #[must_use]
    pub fn rollback_due(&self) -> bool {
        let due = self
            .verdict
            .as_ref()
            .is_some_and(|verdict| verdict.rollback_due);
        due || self.broke_elsewhere().is_some()
    }

    /// The verdict with what the other scopes showed, once all of them are graded.
    #[must_use]
    pub fn whole_verdict(&self) -> Option<Verdict> {
        let mut verdict = self.verdict.clone()?;
        if !self.ungraded_scopes().is_empty() {
            return None;
        }
        verdict.rollback_due = self.rollback_due();
        verdict.other_scopes = self.other_scopes.values().cloned().collect();
        Some(verdict)
    }
}

/// Scopes besides the proof scope for which a body states guards, sorted.
#[must_use]
pub fn guarded_scopes(body: &ClaimBody) -> BTreeSet<&str> {
    let scopes = body.guards.iter().map(|guard| guard.scope.as_str());
    scopes.filter(|scope| *scope != body.proof_scope).collect()
}

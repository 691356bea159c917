//! What a verification says, as plain data: the JSON form is this type.

use attest::claim::ClaimBody;
use attest::digest::Digest;
use attest::statement::JournalHead;
use discipline::decision::{Decision, HypothesisFacts};
use discipline::model::{GateResult, GateRole, GateVerdict, Refusal, Verdict};
use discipline::overrides::Override;
use serde::{Deserialize, Serialize};

/// Something true that weakens the answer without refusing it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Warning {
    /// Stable snake_case code.
    pub code: String,
    /// One sentence.
    pub text: String,
}

/// Who approved, after the signature was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproverView {
    /// Principal of the allowed-signers line.
    pub principal: String,
    /// SHA-256 fingerprint of the key.
    pub fingerprint: String,
    /// Key type, such as `ssh-ed25519`.
    pub key_type: String,
    /// True when the key is a security key that was touched.
    pub touched: bool,
    /// Digest of what the person was shown.
    pub shown: Digest,
    /// Unix milliseconds until which the approval was good.
    pub expires_ms: i64,
}

/// One gate process, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateView {
    /// Gate and role, such as `unit/canary`.
    pub name: String,
    /// Its verdict.
    pub verdict: GateVerdict,
    /// What ran.
    pub argv: Vec<String>,
    /// Passed and failed tests.
    pub tests: (u64, u64),
    /// Wall time.
    pub duration_ms: u64,
}

impl From<&GateResult> for GateView {
    fn from(result: &GateResult) -> Self {
        Self {
            name: gate_name(result),
            verdict: result.verdict,
            argv: result.argv.clone(),
            tests: (result.tests.passed, result.tests.failed),
            duration_ms: result.duration_ms,
        }
    }
}

/// Gate and role as one name.
pub(crate) fn gate_name(result: &GateResult) -> String {
    match result.role {
        GateRole::Gate => result.gate.clone(),
        GateRole::PinOnAttempt => {
            format!("{}/{}/{}", result.gate, result.role.as_str(), result.tree)
        }
        role => format!("{}/{}", result.gate, role.as_str()),
    }
}

/// The verdict over the pushed commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictView {
    /// What the run said.
    pub verdict: Verdict,
    /// When it was signed, unix milliseconds.
    pub at_ms: i64,
    /// Fingerprint of the signing key.
    pub signed_by: String,
    /// True when the signers file names that key for verdicts.
    pub pinned: bool,
    /// The journal's head when it was signed.
    pub journal: JournalHead,
}

/// Everything said about one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReport {
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// Ref it was attested for.
    pub ref_name: Option<String>,
    /// `Claim-Id` trailer.
    pub claim_id: Option<String>,
    /// Digest of the claim, recomputed.
    pub claim_digest: Option<Digest>,
    /// The claim.
    pub claim: Option<ClaimBody>,
    /// The hypothesis it acts on.
    pub hypothesis: Option<HypothesisFacts>,
    /// Rule set that decided.
    pub rules_version: Option<u64>,
    /// The decision, as replayed here; absent when it could not be replayed.
    pub decision: Option<Decision>,
    /// Every gate process.
    pub gates: Vec<GateView>,
    /// Rules of cost that a person passed over when the push was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Who approved.
    pub approver: Option<ApproverView>,
    /// What the run then said; absent while there is none.
    pub verdict: Option<VerdictView>,
    /// `by_digest_only`, or what was re-derived.
    pub evidence: String,
    /// True when nothing refuses.
    pub accepted: bool,
    /// What weakens the answer.
    pub warnings: Vec<Warning>,
    /// Every reason why not.
    pub refused: Vec<Refusal>,
}

impl CommitReport {
    pub(crate) fn new(commit: &str) -> Self {
        Self {
            commit: commit.to_owned(),
            evidence: "by_digest_only".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn refuse(
        &mut self,
        code: &str,
        field: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refused.push(Refusal::new(code, field, reason, remedy));
    }

    pub(crate) fn warn(&mut self, code: &str, text: impl Into<String>) {
        self.warnings.push(Warning {
            code: code.to_owned(),
            text: text.into(),
        });
    }

    /// Demands that two values of one thing are equal.
    pub(crate) fn same<T: PartialEq + std::fmt::Display>(
        &mut self,
        field: &str,
        stated: &T,
        recomputed: &T,
    ) {
        if stated != recomputed {
            self.refuse(
                "attestation_mismatch",
                field,
                format!("the attestation says {stated}, the repository says {recomputed}"),
                "push the commit and attestation that the daemon made, unchanged",
            );
        }
    }

    pub(crate) fn finish(mut self) -> Self {
        self.refused.sort();
        self.refused.dedup();
        self.accepted = self.refused.is_empty();
        self
    }
}

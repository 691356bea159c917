//! The right to push, made here and nowhere else, spent once.

use attest::digest::Digest;

use crate::decision::{Decision, DecisionInput, Stage};
use crate::model::{ClaimId, Refusal};
use crate::rulebook::Rulebook;
use crate::rules::decide;
use crate::state::{Claim, ClaimPhase};

/// The right to move one ref from one commit to another, once. The door takes it by value.
///
/// Nothing outside this module can make one,
/// ```compile_fail
/// let permit = discipline::permit::PushPermit {
///     claim_id: "C1".into(),
///     commit: String::new(),
///     ref_name: String::new(),
///     old_tip: String::new(),
///     remote: String::new(),
///     attestation: String::new(),
///     decision: attest::digest::Digest::of(b""),
/// };
/// ```
/// nobody can copy one to push twice,
/// ```compile_fail
/// fn twice(permit: discipline::permit::PushPermit) -> [discipline::permit::PushPermit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
/// and none comes out of stored or foreign bytes.
/// ```compile_fail
/// let permit: discipline::permit::PushPermit = serde_json::from_str("{}").unwrap();
/// ```
/// What is left is to read it:
/// ```
/// fn refspec(permit: &discipline::permit::PushPermit) -> String {
///     format!("{}:{}", permit.commit(), permit.ref_name())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is dropped is spent without a push"]
pub struct PushPermit {
    claim_id: ClaimId,
    commit: String,
    ref_name: String,
    old_tip: String,
    remote: String,
    attestation: String,
    decision: Digest,
}

impl PushPermit {
    /// The claim.
    #[must_use]
    pub fn claim_id(&self) -> &ClaimId {
        &self.claim_id
    }

    /// Commit to push.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Full name of the ref to move.
    #[must_use]
    pub fn ref_name(&self) -> &str {
        &self.ref_name
    }

    /// Commit that the ref must be at when the push arrives.
    #[must_use]
    pub fn old_tip(&self) -> &str {
        &self.old_tip
    }

    /// URL of the remote.
    #[must_use]
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Object id of the attestation that goes with the branch.
    #[must_use]
    pub fn attestation(&self) -> &str {
        &self.attestation
    }

    /// Write-once ref that the attestation is pushed to.
    #[must_use]
    pub fn attestation_ref(&self) -> String {
        format!("refs/greenloop/attest/{}", self.commit)
    }

    /// Digest of the decision that allowed it.
    #[must_use]
    pub fn decision_digest(&self) -> &Digest {
        &self.decision
    }
}

/// Makes the permit of an approved claim that every rule up to the push allows.
///
/// `decision` is what was written into the attestation; it must be what the rules say of `input` now.
///
/// # Errors
/// Every refusal that stands between the claim and the remote.
pub fn grant(
    decision: &Decision,
    input: &DecisionInput,
    rulebook: &Rulebook,
    claim: &Claim,
    attestation: String,
    remote: String,
) -> Result<PushPermit, Vec<Refusal>> {
    let mut refused = of_decision(decision, input, rulebook);
    refused.extend(of_claim(input, claim));
    for (field, text) in [("attestation", &attestation), ("remote", &remote)] {
        if text.is_empty() {
            refused.push(again(
                "permit_incomplete",
                field,
                format!("the push names no {field}"),
            ));
        }
    }
    let (Ok(digest), Some(commit), true) = (decision.digest(), &claim.commit, refused.is_empty())
    else {
        refused.extend(claim.commit.is_none().then(|| {
            again(
                "not_staged",
                "commit",
                "the daemon has made no commit of this claim".to_owned(),
            )
        }));
        return Err(refused);
    };
    Ok(PushPermit {
        claim_id: claim.id.clone(),
        commit: commit.clone(),
        ref_name: claim.body.ref_name.clone(),
        old_tip: claim.body.parent.clone(),
        remote,
        attestation,
        decision: digest,
    })
}

fn of_decision(decision: &Decision, input: &DecisionInput, rulebook: &Rulebook) -> Vec<Refusal> {
    let now = decide(input, rulebook, Stage::Push);
    let mut refused: Vec<_> = now.refused().cloned().collect();
    if &now != decision {
        refused.push(again(
            "decision_not_reproduced",
            "decision",
            "the decision at hand is not what the rules say of its input".to_owned(),
        ));
    }
    refused
}

fn of_claim(input: &DecisionInput, claim: &Claim) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if claim.phase != ClaimPhase::Approved {
        refused.push(Refusal::new(
            "claim_not_approved",
            "claim",
            format!(
                "{} is {}, a permit takes an approved claim",
                claim.id, claim.phase
            ),
            format!(
                "see what {} needs next with `greenloop claim {}`",
                claim.id, claim.id
            ),
        ));
    }
    let subject = claim.approval.as_ref().map(|approval| &approval.subject);
    let same = claim.digest == input.claim_digest
        && claim.body == input.body
        && claim.commit == input.target.commit
        && subject == input.approval.as_ref().map(|approval| &approval.subject)
        && claim.gates_digest.as_ref() == input.gates.as_ref().map(|gates| &gates.gates_digest);
    if !same {
        refused.push(again(
            "decision_of_other_claim",
            "decision",
            format!(
                "what was judged is not what the journal says of {}",
                claim.id
            ),
        ));
    }
    refused
}

fn again(code: &str, field: &str, reason: String) -> Refusal {
    Refusal::new(
        code,
        field,
        reason,
        "ask for the push again with `request_push`, so that it is judged anew",
    )
}

//! A person's approval: one signature over everything one push consists of.

use serde::{Deserialize, Serialize};

use crate::AttestError;
use crate::digest::Digest;
use crate::json;
use crate::namespace::Namespace;
use crate::signers::Signers;
use crate::sshsig::{self, SecurityKeyUse};

/// Clock difference between signer, daemon and hook that expiry checks tolerate.
pub const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// What a person signs. Object ids are 40 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSubject {
    /// Digest of the claim's canonical body.
    pub claim_digest: Digest,
    /// Identity of the repository: its root commit id.
    pub repo: String,
    /// Full name of the ref that moves.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// Commit the ref must point to when the push arrives.
    pub old_tip: String,
    /// Commit that is pushed.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// Digest of the diff between both trees.
    pub diff_digest: Digest,
    /// Digest of the gate results.
    pub gates_digest: Digest,
    /// Digest of the text or page that the person was shown.
    pub shown_digest: Digest,
    /// Unix milliseconds after which the approval is void.
    pub expires_ms: i64,
    /// Fresh random text that makes each approval unlike every other.
    pub nonce: String,
}

impl ApprovalSubject {
    /// The canonical bytes, which are what is signed and stored as `approval.json`.
    ///
    /// # Errors
    /// When the subject cannot be encoded.
    pub fn signed_bytes(&self) -> Result<Vec<u8>, AttestError> {
        json::canonical(self)
    }

    /// Whether the approval is void at `now_ms` (unix milliseconds), with the tolerated skew.
    #[must_use]
    pub const fn expired_at(&self, now_ms: i64) -> bool {
        now_ms > self.expires_ms.saturating_add(CLOCK_SKEW_MS)
    }
}

/// Digest of a claim's canonical body: sha256 over `greenloop-claim/v1\n` and the bytes.
#[must_use]
pub fn claim_digest(canonical_body: &[u8]) -> Digest {
    Digest::of_parts(&[b"greenloop-claim/v1\n", canonical_body])
}

/// A subject with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What was signed.
    pub subject: ApprovalSubject,
    /// Armored SSH signature in namespace `greenloop-approval`.
    pub signature: String,
}

/// Who approved, after the signature and the signer were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// Principals of the matching allowed-signers line.
    pub principal: String,
    /// SHA-256 fingerprint of the key.
    pub fingerprint: String,
    /// Key type, such as `ssh-ed25519`.
    pub key_type: String,
    /// Present for security keys: the touch, and whether the user was verified.
    pub security_key: Option<SecurityKeyUse>,
}

impl Approval {
    /// Checks signature and signer; `at_ms` is the time the signer's validity is judged at
    /// (`None`: not judged). Expiry is a separate question: [`ApprovalSubject::expired_at`].
    ///
    /// # Errors
    /// What [`sshsig::verify`] and [`Signers::allow`] refuse.
    pub fn verify(&self, signers: &Signers, at_ms: Option<i64>) -> Result<Approver, AttestError> {
        approver(
            &self.signature,
            &self.subject.signed_bytes()?,
            signers,
            at_ms,
        )
    }
}

/// What a person signs to let a dead hypothesis live again. Its fields are not those of an
/// [`ApprovalSubject`], so that neither signature can stand for the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevivalSubject {
    /// The hypothesis.
    pub revives: String,
    /// Identity of the repository: its root commit id.
    pub repo: String,
    /// Digest of what killed it, in canonical form.
    pub killer_digest: Digest,
    /// Ids of the observations that contradict the killer.
    pub observations: Vec<String>,
    /// Why it lives, in one sentence.
    pub reason: String,
    /// Unix milliseconds after which the signature is void.
    pub expires_ms: i64,
    /// Fresh random text that makes each signature unlike every other.
    pub nonce: String,
}

impl RevivalSubject {
    /// The canonical bytes, which are what is signed.
    ///
    /// # Errors
    /// When the subject cannot be encoded.
    pub fn signed_bytes(&self) -> Result<Vec<u8>, AttestError> {
        json::canonical(self)
    }

    /// Whether the signature is void at `now_ms` (unix milliseconds), with the tolerated skew.
    #[must_use]
    pub const fn expired_at(&self, now_ms: i64) -> bool {
        now_ms > self.expires_ms.saturating_add(CLOCK_SKEW_MS)
    }

    /// Checks a signature over it and the signer, as [`Approval::verify`] does.
    ///
    /// # Errors
    /// What [`sshsig::verify`] and [`Signers::allow`] refuse.
    pub fn verify(
        &self,
        signature: &str,
        signers: &Signers,
        at_ms: Option<i64>,
    ) -> Result<Approver, AttestError> {
        approver(signature, &self.signed_bytes()?, signers, at_ms)
    }
}

fn approver(
    signature: &str,
    bytes: &[u8],
    signers: &Signers,
    at_ms: Option<i64>,
) -> Result<Approver, AttestError> {
    let signature = sshsig::verify(signature, Namespace::Approval, bytes)?;
    let signer = signers.allow(&signature, at_ms)?;
    Ok(Approver {
        principal: signer.principal(),
        fingerprint: signature.fingerprint.clone(),
        key_type: signature.key.algorithm().to_string(),
        security_key: signature.security_key,
    })
}

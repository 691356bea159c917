//! The files of one attestation: what stands in the tree of `refs/greenloop/attest/<commit>`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::AttestError;
use crate::approval::{Approval, ApprovalSubject, claim_digest};
use crate::claim::ClaimBody;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::json::{self, Value};

/// Prefix of the write-once refs that hold attestations, by commit id.
pub const ATTEST_REF_PREFIX: &str = "refs/greenloop/attest/";
/// Prefix of the write-once refs that hold verdicts, by commit id.
pub const VERDICT_REF_PREFIX: &str = "refs/greenloop/verdict/";
/// The ref that holds checkpoints of the journal's head.
pub const LOG_REF: &str = "refs/greenloop/log";

/// The claim's canonical body.
pub const CLAIM: &str = "claim.json";
/// The one argument of the decision.
pub const DECISION_INPUT: &str = "decision-input.json";
/// What was decided.
pub const DECISION: &str = "decision.json";
/// Law, catalogue, playbooks and configuration at base.
pub const POLICY: &str = "policy.json";
/// What the person signed.
pub const APPROVAL: &str = "approval.json";
/// The person's armored signature.
pub const APPROVAL_SIGNATURE: &str = "approval.sig";
/// Gate results as a signed in-toto statement.
pub const STATEMENT: &str = "statement.dsse";
/// Cited log lines; present only when the policy asks for them.
pub const EXCERPTS: &str = "excerpts.json";
/// The verdict as a signed in-toto statement, in the tree of a verdict ref.
pub const VERDICT: &str = "verdict.dsse";
/// A checkpoint of the journal as a signed in-toto statement, in the trees of [`LOG_REF`].
pub const CHECKPOINT: &str = "checkpoint.dsse";

/// Files that every attestation holds.
pub const REQUIRED_FILES: [&str; 7] = [
    APPROVAL,
    APPROVAL_SIGNATURE,
    CLAIM,
    DECISION_INPUT,
    DECISION,
    POLICY,
    STATEMENT,
];
/// Largest excerpts file, in bytes.
pub const MAX_EXCERPT_BYTES: usize = 1 << 20;

/// Everything an attestation is made of. `I`, `D` and `P` are `discipline`'s decision input,
/// decision and policy facts, which this crate does not know.
#[derive(Clone, Copy, Debug)]
pub struct AttestationParts<'a, I, D, P> {
    /// The claim.
    pub claim: &'a ClaimBody,
    /// The one argument of the decision.
    pub decision_input: &'a I,
    /// What was decided.
    pub decision: &'a D,
    /// Policy and law in force.
    pub policy: &'a P,
    /// The person's approval.
    pub approval: &'a Approval,
    /// The sealed gate statement.
    pub statement: &'a Envelope,
    /// Cited log lines, if the policy asks for them.
    pub excerpts: Option<&'a Value>,
}

/// Names and bytes of an attestation's files, sorted by name.
///
/// # Errors
/// When a part has no canonical form or the excerpts are too large.
pub fn attestation_files<I: Serialize, D: Serialize, P: Serialize>(
    parts: &AttestationParts<'_, I, D, P>,
) -> Result<Vec<(&'static str, Vec<u8>)>, AttestError> {
    let mut files = vec![
        (APPROVAL, parts.approval.subject.signed_bytes()?),
        (
            APPROVAL_SIGNATURE,
            parts.approval.signature.clone().into_bytes(),
        ),
        (CLAIM, json::canonical(parts.claim)?),
        (DECISION_INPUT, json::canonical(parts.decision_input)?),
        (DECISION, json::canonical(parts.decision)?),
    ];
    if let Some(excerpts) = parts.excerpts {
        let bytes = json::canonical(excerpts)?;
        check_excerpts(bytes.len())?;
        files.push((EXCERPTS, bytes));
    }
    files.push((POLICY, json::canonical(parts.policy)?));
    files.push((STATEMENT, parts.statement.to_bytes()?));
    files.sort_by_key(|(name, _)| *name);
    Ok(files)
}

/// A parsed attestation. The files that `discipline` knows stay bytes until
/// [`Attestation::decision_input`] and its siblings are asked for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The claim.
    pub claim: ClaimBody,
    /// Digest of its canonical body.
    pub claim_digest: Digest,
    /// The approval; its signature is not yet checked.
    pub approval: Approval,
    /// The gate statement; its signatures are not yet checked.
    pub statement: Envelope,
    /// Cited log lines.
    pub excerpts: Option<Value>,
    decision_input: Vec<u8>,
    decision: Vec<u8>,
    policy: Vec<u8>,
}

impl Attestation {
    /// Reads the files of an attestation's tree.
    ///
    /// # Errors
    /// Missing or unexpected files, and any file that is not the canonical form of its type.
    pub fn from_files(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, AttestError> {
        let known = |name: &str| REQUIRED_FILES.contains(&name) || name == EXCERPTS;
        if let Some(file) = files.keys().find(|name| !known(name)) {
            return Err(AttestError::UnexpectedFile {
                file: file.chars().take(80).collect(),
            });
        }
        let claim = required(files, CLAIM)?;
        let subject: ApprovalSubject = typed(APPROVAL, required(files, APPROVAL)?)?;
        let signature =
            std::str::from_utf8(required(files, APPROVAL_SIGNATURE)?).map_err(|_| {
                in_file(APPROVAL_SIGNATURE)(AttestError::SignatureFormat {
                    detail: "bytes are not utf-8".to_owned(),
                })
            })?;
        Ok(Self {
            claim: typed(CLAIM, claim)?,
            claim_digest: claim_digest(claim),
            approval: Approval {
                subject,
                signature: signature.to_owned(),
            },
            statement: Envelope::from_bytes(required(files, STATEMENT)?)
                .map_err(in_file(STATEMENT))?,
            excerpts: files
                .get(EXCERPTS)
                .map(|bytes| read_excerpts(bytes))
                .transpose()?,
            decision_input: canonical_bytes(files, DECISION_INPUT)?,
            decision: canonical_bytes(files, DECISION)?,
            policy: canonical_bytes(files, POLICY)?,
        })
    }

    /// The decision's argument as `T`.
    ///
    /// # Errors
    /// When `T` written again would give other bytes.
    pub fn decision_input<T: DeserializeOwned + Serialize>(&self) -> Result<T, AttestError> {
        typed(DECISION_INPUT, &self.decision_input)
    }

    /// The stored decision as `T`.
    ///
    /// # Errors
    /// When `T` written again would give other bytes.
    pub fn decision<T: DeserializeOwned + Serialize>(&self) -> Result<T, AttestError> {
        typed(DECISION, &self.decision)
    }

    /// The stored policy facts as `T`.
    ///
    /// # Errors
    /// When `T` written again would give other bytes.
    pub fn policy<T: DeserializeOwned + Serialize>(&self) -> Result<T, AttestError> {
        typed(POLICY, &self.policy)
    }

    /// `rules_version` of the stored decision input, readable whatever else it holds.
    #[must_use]
    pub fn rules_version(&self) -> Option<u64> {
        let value = json::parse_strict(&self.decision_input).ok()?;
        value.get("rules_version")?.as_u64()
    }

    /// Digests of decision input, decision and policy, as the statement binds them.
    #[must_use]
    pub fn bound_digests(&self) -> BoundDigests {
        BoundDigests {
            decision_input: Digest::of(&self.decision_input),
            decision: Digest::of(&self.decision),
            policy: Digest::of(&self.policy),
        }
    }
}

/// Digests of the files that a statement's binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundDigests {
    /// Digest of `decision-input.json`.
    pub decision_input: Digest,
    /// Digest of `decision.json`.
    pub decision: Digest,
    /// Digest of `policy.json`.
    pub policy: Digest,
}

fn in_file(file: &'static str) -> impl Fn(AttestError) -> AttestError {
    move |source| AttestError::File {
        file,
        source: Box::new(source),
    }
}

fn required<'a>(
    files: &'a BTreeMap<String, Vec<u8>>,
    file: &'static str,
) -> Result<&'a [u8], AttestError> {
    let bytes = files.get(file).ok_or(AttestError::MissingFile { file })?;
    Ok(bytes)
}

fn typed<T: DeserializeOwned + Serialize>(
    file: &'static str,
    bytes: &[u8],
) -> Result<T, AttestError> {
    json::from_canonical(bytes).map_err(in_file(file))
}

fn canonical_bytes(
    files: &BTreeMap<String, Vec<u8>>,
    file: &'static str,
) -> Result<Vec<u8>, AttestError> {
    let bytes = required(files, file)?;
    typed::<Value>(file, bytes)?;
    Ok(bytes.to_vec())
}

fn check_excerpts(bytes: usize) -> Result<(), AttestError> {
    if bytes > MAX_EXCERPT_BYTES {
        return Err(AttestError::TooLarge {
            what: "cited excerpts",
            bytes,
            cap: MAX_EXCERPT_BYTES,
        });
    }
    Ok(())
}

fn read_excerpts(bytes: &[u8]) -> Result<Value, AttestError> {
    check_excerpts(bytes.len()).map_err(in_file(EXCERPTS))?;
    typed(EXCERPTS, bytes)
}

//! In-toto statements: gate results before a push, the verdict after its run.
//!
//! Format: in-toto attestation framework, `spec/v1/statement.md` and
//! `spec/predicates/test-result.md` (v0.1). Fields of ours stand under `greenloop`, which the
//! framework lets consumers skip.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::AttestError;
use crate::digest::Digest;
use crate::dsse::{Envelope, IN_TOTO};
use crate::json;
use crate::namespace::Namespace;
use crate::sshsig::{SigningKey, VerifiedSignature};

/// `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Predicate type of gate results.
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// Predicate type of the verdict over a pushed commit.
pub const VERDICT: &str = "urn:greenloop:verdict:v1";
/// Predicate type of a checkpoint of the journal.
pub const CHECKPOINT: &str = "urn:greenloop:checkpoint:v1";

/// A statement about one git commit, with predicate `P`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    /// Always [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// One subject: the commit.
    pub subject: Vec<Subject>,
    /// What `predicate` means.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said about the subject.
    pub predicate: P,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The ref that moves.
    pub name: String,
    /// `gitCommit` and `gitTree` with their object ids.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// The subject of a push: `ref_name` becomes `commit` with `tree`.
    #[must_use]
    pub fn commit(ref_name: &str, commit: &str, tree: &str) -> Self {
        let digest = [("gitCommit", commit), ("gitTree", tree)];
        Self {
            name: ref_name.to_owned(),
            digest: digest
                .map(|(name, id)| (name.to_owned(), id.to_owned()))
                .into(),
        }
    }
}

/// Outcome of a test result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestOutcome {
    /// Every gate passed.
    Passed,
    /// Some gate was vacuous, none failed.
    Warned,
    /// Some gate failed.
    Failed,
}

/// Predicate `test-result/v0.1` over the gates of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestResult {
    /// The overall outcome.
    pub result: TestOutcome,
    /// What configured the gates: policy and environment, as resource descriptors.
    pub configuration: Vec<Resource>,
    /// Names of gates that passed.
    #[serde(rename = "passedTests")]
    pub passed_tests: Vec<String>,
    /// Names of vacuous gates.
    #[serde(rename = "warnedTests")]
    pub warned_tests: Vec<String>,
    /// Names of gates that failed.
    #[serde(rename = "failedTests")]
    pub failed_tests: Vec<String>,
    /// What binds this statement to the rest of the attestation.
    pub greenloop: Binding,
}

/// An in-toto resource descriptor, as far as it is used here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// What it is.
    pub name: String,
    /// `sha256` with 64 hex digits.
    pub digest: BTreeMap<String, String>,
}

impl Resource {
    /// A named resource with its digest.
    #[must_use]
    pub fn new(name: &str, digest: &Digest) -> Self {
        Self {
            name: name.to_owned(),
            digest: [("sha256".to_owned(), digest.to_hex())].into(),
        }
    }
}

/// The journal's head when something was signed, so that a cut or rewritten journal shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalHead {
    /// Sequence number of the last record.
    pub seq: u64,
    /// Its chained digest.
    pub head: Digest,
}

/// Digests that tie a statement to the other files of its attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Digest of the claim's canonical body.
    pub claim_digest: Digest,
    /// Digest of the gate results.
    pub gates_digest: Digest,
    /// Digest of `decision-input.json`.
    pub decision_input: Digest,
    /// Digest of `decision.json`.
    pub decision: Digest,
    /// Digest of `policy.json`.
    pub policy: Digest,
    /// The journal's head.
    pub journal: JournalHead,
}

/// Predicate of the verdict over a pushed commit; `V` is the verdict of `discipline`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictPredicate<V> {
    /// Digest of the claim's canonical body.
    pub claim_digest: Digest,
    /// When the verdict was reached, unix milliseconds.
    pub at_ms: i64,
    /// The verdict.
    pub verdict: V,
    /// The journal's head.
    pub journal: JournalHead,
}

/// Predicate of a checkpoint: how far the journal went when the subject had been graded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointPredicate {
    /// When it was made, unix milliseconds.
    pub at_ms: i64,
    /// The journal's head.
    pub journal: JournalHead,
}

impl<P: Serialize + DeserializeOwned> Statement<P> {
    /// A statement of type `predicate_type` about `subject`.
    #[must_use]
    pub fn new(subject: Subject, predicate_type: &str, predicate: P) -> Self {
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: vec![subject],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Wraps the canonical statement in a signed envelope.
    ///
    /// # Errors
    /// When it cannot be encoded or signed.
    pub fn seal(&self, key: &SigningKey, namespace: Namespace) -> Result<Envelope, AttestError> {
        Envelope::sign(IN_TOTO, &json::canonical(self)?, key, namespace)
    }

    /// Checks the envelope's signatures and reads a statement of type `predicate_type`.
    ///
    /// # Errors
    /// What [`Envelope::verify`] refuses, and statements of another type or shape.
    pub fn open(
        envelope: &Envelope,
        predicate_type: &str,
    ) -> Result<(Self, Vec<VerifiedSignature>), AttestError> {
        let (payload, signatures) = envelope.verify(IN_TOTO)?;
        let statement: Self = json::from_canonical(&payload)?;
        let refuse = |detail: String| Err(AttestError::Envelope { detail });
        if statement.statement_type != STATEMENT_TYPE {
            return refuse(format!("statement is not of type {STATEMENT_TYPE}"));
        }
        if statement.predicate_type != predicate_type {
            return refuse(format!("predicate is not of type {predicate_type}"));
        }
        if statement.subject.len() != 1 {
            return refuse("a statement is about exactly one commit".to_owned());
        }
        Ok((statement, signatures))
    }

    /// Whether the statement is about this commit and tree.
    #[must_use]
    pub fn is_about(&self, commit: &str, tree: &str) -> bool {
        self.subject.iter().any(|subject| {
            let id = |name| subject.digest.get(name).map(String::as_str);
            id("gitCommit") == Some(commit) && id("gitTree") == Some(tree)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Statement<VerdictPredicate<String>> {
        let predicate = VerdictPredicate {
            claim_digest: Digest::of(b"claim"),
            at_ms: 1_700_000_000_000,
            verdict: "confirmed".to_owned(),
            journal: JournalHead {
                seq: 7,
                head: Digest::of(b"head"),
            },
        };
        Statement::new(
            Subject::commit("refs/heads/main", "c0", "7e"),
            VERDICT,
            predicate,
        )
    }

    #[test]
    fn a_sealed_statement_opens_as_what_it_was() {
        let key = SigningKey::from_seed(&[3; 32], "");
        let envelope = verdict().seal(&key, Namespace::Verdict).unwrap();
        let (statement, signatures) = Statement::open(&envelope, VERDICT).unwrap();
        assert_eq!(statement, verdict());
        assert!(statement.is_about("c0", "7e"));
        assert!(!statement.is_about("c1", "7e"));
        assert!(!statement.is_about("c0", "7f"));
        assert_eq!(signatures[0].fingerprint, key.fingerprint());
        let as_gate = Statement::<VerdictPredicate<String>>::open(&envelope, TEST_RESULT);
        assert!(as_gate.is_err());
    }

    #[test]
    fn statements_of_another_shape_are_refused() {
        let key = SigningKey::from_seed(&[3; 32], "");
        let mut two = verdict();
        two.subject.push(two.subject[0].clone());
        let mut other = verdict();
        other.statement_type = "https://in-toto.io/Statement/v0.1".to_owned();
        for bad in [two, other] {
            let envelope = bad.seal(&key, Namespace::Verdict).unwrap();
            let opened = Statement::<VerdictPredicate<String>>::open(&envelope, VERDICT);
            assert!(matches!(opened, Err(AttestError::Envelope { .. })));
        }
    }
}

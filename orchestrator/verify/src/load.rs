//! Attestations and verdicts, from refs to values.

use std::collections::BTreeMap;

use attest::AttestError;
use attest::attestation::{self, Attestation};
use attest::dsse::Envelope;
use attest::namespace::Namespace;
use attest::sshsig::VerifiedSignature;
use attest::statement::{Statement, VERDICT, VerdictPredicate};
use discipline::diff::FileMode;
use discipline::model::Verdict;
use gitread::GitReader;

use crate::VerifyError;

/// Largest file of an attestation, in bytes.
const MAX_FILE_BYTES: u64 = attest::json::MAX_BYTES as u64;

/// The verdict statement as the daemon signs it.
pub type AttestedVerdict = Statement<VerdictPredicate<Verdict>>;

/// A verdict whose signatures match; whether the keys are pinned is not yet asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedVerdict {
    /// What was signed.
    pub statement: AttestedVerdict,
    /// The signature in namespace `greenloop-verdict`.
    pub signature: VerifiedSignature,
}

/// Reads the attestation in the tree (or the commit with that tree) `object`.
///
/// # Errors
/// `Err` when the repository cannot be read; the inner error when the files are not an attestation.
pub fn load_attestation(
    reader: &GitReader,
    object: &str,
) -> Result<Result<Attestation, AttestError>, VerifyError> {
    let files = flat_files(reader, object)?;
    Ok(files.and_then(|files| Attestation::from_files(&files)))
}

/// Reads the verdict over `commit` from `object`, checking signatures, kind and subject.
///
/// # Errors
/// `Err` when the repository cannot be read; the inner error when it is not such a verdict.
pub fn load_verdict(
    reader: &GitReader,
    object: &str,
    commit: &str,
    tree: &str,
) -> Result<Result<LoadedVerdict, AttestError>, VerifyError> {
    let files = flat_files(reader, object)?;
    Ok(files.and_then(|files| {
        let bytes = files
            .get(attestation::VERDICT)
            .ok_or(AttestError::MissingFile {
                file: attestation::VERDICT,
            })?;
        read_verdict(bytes, commit, tree)
    }))
}

fn read_verdict(bytes: &[u8], commit: &str, tree: &str) -> Result<LoadedVerdict, AttestError> {
    let refuse = |detail: &str| AttestError::Envelope {
        detail: detail.to_owned(),
    };
    let envelope = Envelope::from_bytes(bytes)?;
    let (statement, signatures) = AttestedVerdict::open(&envelope, VERDICT)?;
    if !statement.is_about(commit, tree) || statement.predicate.verdict.commit != commit {
        return Err(refuse("the verdict is about another commit"));
    }
    let signature = signatures
        .into_iter()
        .find(|signature| signature.namespace == Namespace::Verdict)
        .ok_or_else(|| refuse("no signature is in namespace greenloop-verdict"))?;
    Ok(LoadedVerdict {
        statement,
        signature,
    })
}

/// Names and bytes of a flat tree; folders, links and odd names are refused.
fn flat_files(
    reader: &GitReader,
    object: &str,
) -> Result<Result<BTreeMap<String, Vec<u8>>, AttestError>, VerifyError> {
    let tree = reader.tree_of(object)?;
    let mut files = BTreeMap::new();
    for entry in reader.tree_entries(&tree)? {
        let (name, escaped) = gitread::path::escape(&entry.path);
        // The attestation's parser refuses unknown names too; here nothing big is read for them.
        let known = attestation::REQUIRED_FILES.contains(&name.as_str())
            || [attestation::EXCERPTS, attestation::VERDICT].contains(&name.as_str());
        if escaped || !known || entry.mode != FileMode::Regular {
            return Ok(Err(AttestError::UnexpectedFile { file: name }));
        }
        files.insert(name, reader.blob(&entry.oid, MAX_FILE_BYTES)?);
    }
    Ok(Ok(files))
}

//! Checkpoints of journals: a chain of commits whose trees hold signed statements.
//!
//! Every daemon that pushes to a remote adds its own; which journal one is of, its key says.

use attest::attestation::CHECKPOINT as FILE;
use attest::dsse::Envelope;
use attest::statement::{CHECKPOINT, CheckpointPredicate, JournalHead, Statement};
use gitread::GitReader;

use crate::VerifyError;

/// Longest chain that is walked.
const MAX_WALKED: usize = 10_000;

/// The newest checkpoint in the chain of `tip` that the key with this fingerprint has signed.
/// Commits that hold none, or a malformed one, are passed over: anybody may add some.
///
/// # Errors
/// When the repository cannot be read.
pub fn newest_checkpoint(
    reader: &GitReader,
    tip: &str,
    fingerprint: &str,
) -> Result<Option<JournalHead>, VerifyError> {
    let mut next = Some(tip.to_owned());
    for _ in 0..MAX_WALKED {
        let Some(id) = next else { break };
        let commit = reader.commit_info(&id)?;
        if let Some(found) = checkpoint_in(reader, &commit.tree, fingerprint)? {
            return Ok(Some(found));
        }
        next = commit.parents.into_iter().next();
    }
    Ok(None)
}

fn checkpoint_in(
    reader: &GitReader,
    tree: &str,
    fingerprint: &str,
) -> Result<Option<JournalHead>, VerifyError> {
    let Ok(Some(bytes)) = reader.blob_at(tree, FILE) else {
        return Ok(None);
    };
    let opened = Envelope::from_bytes(&bytes)
        .and_then(|envelope| Statement::<CheckpointPredicate>::open(&envelope, CHECKPOINT));
    Ok(opened.ok().and_then(|(statement, signatures)| {
        let own = signatures
            .iter()
            .any(|signature| signature.fingerprint == fingerprint);
        own.then_some(statement.predicate.journal)
    }))
}

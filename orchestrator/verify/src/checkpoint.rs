//! Checkpoints of journals: a chain of commits whose trees hold signed statements.
//!
//! Every daemon that pushes to a remote adds its own; which journal one is of, its key says.

use std::collections::BTreeMap;
use std::path::Path;

use attest::attestation::{CHECKPOINT as FILE, LOG_REF};
use attest::dsse::Envelope;
use attest::statement::{CHECKPOINT, CheckpointPredicate, JournalHead, Statement};
use discipline::model::Refusal;
use gitread::GitReader;

use crate::VerifyError;
use crate::audit::{AuditReport, fetch_command};
use crate::report::Warning;

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
) -> Result<Option<CheckpointPredicate>, VerifyError> {
    let mut next = Some(tip.to_owned());
    for _ in 0..MAX_WALKED {
        let Some(id) = next else { break };
        let commit = reader.commit_info(&id)?;
        let signed = checkpoint_in(reader, &commit.tree);
        if let Some((found, signers)) = signed
            && signers.iter().any(|signer| signer == fingerprint)
        {
            return Ok(Some(found));
        }
        next = commit.parents.into_iter().next();
    }
    Ok(None)
}

/// The checkpoint in a tree with the fingerprints of the keys that signed it; `None` when there is
/// none, or none whose signatures match.
fn checkpoint_in(reader: &GitReader, tree: &str) -> Option<(CheckpointPredicate, Vec<String>)> {
    let bytes = reader.blob_at(tree, FILE).ok()??;
    let (statement, signatures) = Envelope::from_bytes(&bytes)
        .and_then(|envelope| Statement::<CheckpointPredicate>::open(&envelope, CHECKPOINT))
        .ok()?;
    let signers = signatures
        .into_iter()
        .map(|signature| signature.fingerprint)
        .collect();
    Some((statement.predicate, signers))
}

/// What the checkpoints of one key prove, newest first.
type Proven = BTreeMap<String, Vec<(String, JournalHead)>>;

/// Checks the clone's chain of checkpoints: of each key, later checkpoints prove later records, and
/// none contradicts another or a verdict that the same key has signed.
pub(crate) fn check_chain(
    reader: &GitReader,
    clone: &Path,
    report: &mut AuditReport,
) -> Result<(), VerifyError> {
    let graded = report.commits.iter().any(|commit| commit.verdict.is_some());
    let Some(tip) = reader.read_ref(LOG_REF)? else {
        if graded {
            let text = format!(
                "the clone has verdicts and no {LOG_REF}, so nothing proves how far the journal behind them \
                 went; `{}`",
                fetch_command(clone)
            );
            report.warnings.push(warning("checkpoints_missing", text));
        }
        return Ok(());
    };
    let proven = read_chain(reader, tip, report)?;
    for (key, heads) in &proven {
        for pair in heads.windows(2) {
            let [(newer_id, newer), (older_id, older)] = pair else {
                continue;
            };
            if older.seq > newer.seq {
                let why = format!(
                    "{newer_id} proves record {}, {older_id} before it proved record {} under the same key {key}",
                    newer.seq, older.seq
                );
                report.refused.push(rewound(why));
            } else if older.seq == newer.seq && older.head != newer.head {
                report
                    .refused
                    .push(forked(newer.seq, newer_id, older_id, key));
            }
        }
    }
    check_verdicts(&proven, report);
    Ok(())
}

fn read_chain(
    reader: &GitReader,
    tip: String,
    report: &mut AuditReport,
) -> Result<Proven, VerifyError> {
    let (mut proven, mut unread) = (Proven::new(), 0_usize);
    let mut next = Some(tip);
    for walked in 0.. {
        let Some(id) = next else { break };
        if walked == MAX_WALKED {
            let text = format!("only the newest {MAX_WALKED} checkpoints were read");
            report.warnings.push(warning("checkpoints_cut", text));
            break;
        }
        let commit = reader.commit_info(&id)?;
        match checkpoint_in(reader, &commit.tree) {
            None => unread += 1,
            Some((found, signers)) => {
                for signer in signers {
                    let of_key = proven.entry(signer).or_default();
                    of_key.push((id.clone(), found.journal.clone()));
                }
            }
        }
        next = commit.parents.into_iter().next();
    }
    if unread > 0 {
        let text =
            format!("{unread} commits of {LOG_REF} hold no checkpoint whose signature matches");
        report
            .warnings
            .push(warning("checkpoints_unreadable", text));
    }
    Ok(proven)
}

/// A verdict names the journal's head too: its key's checkpoints must agree, and reach it.
fn check_verdicts(proven: &Proven, report: &mut AuditReport) {
    let (mut refused, mut warnings) = (Vec::new(), Vec::new());
    for commit in &report.commits {
        let Some(verdict) = &commit.verdict else {
            continue;
        };
        let heads = proven
            .get(&verdict.signed_by)
            .map_or(&[][..], Vec::as_slice);
        let same = heads
            .iter()
            .find(|(_, head)| head.seq == verdict.journal.seq);
        if let Some((id, _)) = same.filter(|(_, head)| head.head != verdict.journal.head) {
            let over = format!("the verdict over {}", commit.commit);
            refused.push(forked(verdict.journal.seq, id, &over, &verdict.signed_by));
        }
        let newest = heads.iter().map(|(_, head)| head.seq).max();
        if newest.is_none_or(|newest| newest < verdict.journal.seq) {
            let text = format!(
                "no checkpoint reaches the verdict over {} yet; its daemon adds one when it next reads the remote",
                commit.commit
            );
            warnings.push(warning("checkpoint_behind", text));
        }
    }
    report.refused.extend(refused);
    report.warnings.extend(warnings);
}

fn warning(code: &str, text: String) -> Warning {
    Warning {
        code: code.to_owned(),
        text,
    }
}

fn rewound(why: String) -> Refusal {
    Refusal::new(
        "checkpoint_rewound",
        LOG_REF,
        why,
        "ask the daemon's operator for the journal that holds both records; it was cut or restored from a backup",
    )
}

fn forked(seq: u64, one: &str, other: &str, key: &str) -> Refusal {
    Refusal::new(
        "checkpoint_forked",
        LOG_REF,
        format!("{one} and {other} prove different records {seq} under the same key {key}"),
        "ask the daemon's operator which journal is the true one; one key wrote two",
    )
}

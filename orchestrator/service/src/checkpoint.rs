//! Checkpoints of the journal's head at the remote, where nobody on this machine takes them back.
//!
//! A journal that was cut between two of its own anchors looks whole from inside. The newest
//! checkpoint that this state folder's key has signed proves a record that must still be there.

use std::sync::{MutexGuard, PoisonError};

use attest::attestation::LOG_REF;
use discipline::event::PushOutcome;
use discipline::model::ClaimId;
use repo::{CommitPlan, Identity};
use state::Hash;

use crate::delivery::journal_head;
use crate::shared::Shared;
use crate::{Cancel, ServiceError};

/// What the remote's newest checkpoint of this journal says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compared {
    /// The remote has not been asked yet.
    NotYet,
    /// It fits, or there is none.
    Fits,
    /// Records that it proves are not here, in one sentence.
    Differs(String),
}

/// Adds a checkpoint of the journal as it is, after the claim has been graded. One that cannot be
/// added is tried again when the remote is next read.
pub(crate) fn publish(shared: &Shared, id: &ClaimId, cancel: &Cancel) {
    let why = match add(shared, id, cancel) {
        Ok(None) => return,
        Ok(Some(message)) => message,
        Err(error) => error.to_string(),
    };
    tracing::warn!(why, "checkpoint is not published yet");
    *compared(shared) = Compared::NotYet;
}

fn compared(shared: &Shared) -> MutexGuard<'_, Compared> {
    let lock = shared.compared.lock();
    lock.unwrap_or_else(PoisonError::into_inner)
}

/// Sends one checkpoint; `Some` says why the remote did not take it.
fn add(shared: &Shared, id: &ClaimId, cancel: &Cancel) -> Result<Option<String>, ServiceError> {
    let graded = {
        let core = shared.core();
        let claim = core.state.claims.get(id);
        claim.and_then(|claim| Some((claim.body.clone(), claim.commit.clone()?)))
    };
    let Some((body, commit)) = graded else {
        return Ok(None);
    };
    let (head, at_ms) = (journal_head(shared), shared.now());
    let last = tip(shared, cancel)?;
    let message = format!("journal record {}", head.seq);
    let trailers = vec![("Journal-Head".to_owned(), head.head.to_string())];
    let key = &shared.keys.verdict;
    let files = verify::build::checkpoint(&body.ref_name, &commit, &body.tree, at_ms, head, key)?;
    let files: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect();
    let machine = &shared.config.machine;
    let object = shared.repo.make_commit(&CommitPlan {
        tree: shared.repo.write_files(&files)?,
        parent: last.clone(),
        message,
        trailers,
        identity: Identity {
            name: machine.identity_name.clone(),
            email: machine.identity_email.clone(),
        },
        time_s: at_ms.div_euclid(1000),
    })?;
    let mut group = None;
    let mut on_group = |started: &exec::Group| {
        group = Some(started.clone());
        shared.group_started(started, "checkpoint")
    };
    let sent = shared.repo.publish(
        &shared.remote,
        LOG_REF,
        last.as_deref(),
        &object,
        &mut on_group,
        cancel,
    );
    if let Some(group) = &group {
        shared.group_ended(group);
    }
    Ok(match sent? {
        PushOutcome::Pushed => None,
        PushOutcome::Refused { message } | PushOutcome::Unknown { message } => Some(message),
    })
}

/// Compares the journal with its newest checkpoint at the remote, once in a daemon's life.
pub(crate) fn compare_once(shared: &Shared, cancel: &Cancel) {
    if *compared(shared) != Compared::NotYet {
        return;
    }
    match compare(shared, cancel) {
        Ok((found, missing)) => {
            *compared(shared) = found;
            if let Some(id) = missing {
                publish(shared, &id, cancel);
            }
        }
        Err(error) => tracing::warn!(%error, "checkpoints of the remote cannot be read"),
    }
}

/// What the newest own checkpoint says, and the claim whose verdict no checkpoint follows: a daemon
/// that was killed, or a remote that did not answer, left it without one.
fn compare(shared: &Shared, cancel: &Cancel) -> Result<(Compared, Option<ClaimId>), ServiceError> {
    let own = shared.keys.verdict.fingerprint();
    let newest = match tip(shared, cancel)? {
        Some(tip) => verify::newest_checkpoint(&shared.reader()?, &tip, &own)?,
        None => None,
    };
    let core = shared.core();
    // A verdict that is not published yet brings its checkpoint with it.
    let published = core.gated.graded.clone().filter(|(id, _)| {
        let claim = core.state.claims.get(id);
        claim.is_some_and(|claim| claim.verdict_object.is_some())
    });
    let Some(newest) = newest else {
        return Ok((Compared::Fits, published.map(|(id, _)| id)));
    };
    let proven = newest.journal;
    let here = core.dir.journal.hash_at(proven.seq);
    let wanted = Hash::from_hex(&proven.head.to_hex());
    if here.is_some() && here == wanted {
        let missing = published.filter(|(_, at_ms)| newest.at_ms < *at_ms);
        return Ok((Compared::Fits, missing.map(|(id, _)| id)));
    }
    let cut = Compared::Differs(format!(
        "the remote's checkpoint proves record {} of this journal, which ends at record {} and does not \
         hold it: it was cut or restored from a backup; put the newer journal back if there is one",
        proven.seq,
        core.dir.journal.head().seq
    ));
    Ok((cut, None))
}

/// The newest checkpoint of anybody, its objects fetched.
fn tip(shared: &Shared, cancel: &Cancel) -> Result<Option<String>, ServiceError> {
    let tips = shared
        .repo
        .fetch_remote(&shared.remote, &[LOG_REF], cancel)?;
    Ok(tips.into_iter().next().and_then(|tip| tip.object))
}

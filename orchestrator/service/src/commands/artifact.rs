//! `pull_artifact`: an artifact of a run, unpacked into logs and blobs.

use attest::digest::Digest;
use ci::archive::ArchiveError;
use ci::forge::{Unpacked, unpack};
use discipline::event::Event;
use discipline::model::{ArtifactLog, Run, StoredArtifact};

use super::logs::count_read;
use super::pull::run_of;
use super::unknown;
use crate::api::{EntryView, PullArtifactAnswer, PullArtifactRequest, PullFullLogRequest};
use crate::shared::{Ctx, Shared, daemon};
use crate::store::Store;
use crate::{ServiceError, source, views};

/// Logs of one artifact that are kept by name.
const MOST_LOGS: usize = 500;

/// Unpacks an artifact into logs and blobs.
pub(super) fn pull_artifact(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: PullArtifactRequest,
) -> Result<PullArtifactAnswer, ServiceError> {
    let pull = PullFullLogRequest {
        run_id: request.run_id.clone(),
        attempt: request.attempt,
        artifacts: true,
        ..PullFullLogRequest::default()
    };
    let (run, _) = run_of(shared, ctx, &pull)?;
    let named = run
        .artifacts
        .iter()
        .filter(|found| found.name == request.name);
    let Some(found) = named.max_by_key(|found| found.id).cloned() else {
        let names = run.artifacts.iter().map(|found| found.name.as_str());
        return Err(unknown("artifact", &request.name, names));
    };
    let entries = match &found.blob {
        Some(blob) => {
            let folder = source::spool(shared)?;
            let failed = || ServiceError::io("cannot read back an artifact");
            let mut file = tempfile::tempfile_in(&folder).map_err(failed())?;
            shared.evidence.copy_blob(blob, &mut file)?;
            let store = &mut Store(&shared.evidence);
            let unpacked = unpack(&found.name, file, store, &folder).map_err(source::failed)?;
            match unpacked {
                Ok(entries) => entries,
                Err(error) => vec![whole_file(&found, blob, &error)],
            }
        }
        None => Vec::new(),
    };
    keep_entries(shared, &run, &found, &entries)?;
    count_read(shared, &run.scope);
    Ok(PullArtifactAnswer {
        run_id: run.run_id.to_string(),
        name: found.name.clone(),
        sha256: found.blob.as_ref().map(ToString::to_string),
        why_empty: found.why_empty.map(|why| views::why_empty_word(why).into()),
        complete: found.blob.is_some() && entries.iter().all(|entry| entry.failed.is_none()),
        entries: entries.iter().map(entry_view).collect(),
    })
}

/// A file that is no archive is its own only entry; one that is a broken archive says so.
fn whole_file(found: &StoredArtifact, blob: &Digest, error: &ArchiveError) -> Unpacked {
    let raw = matches!(error, ArchiveError::NotAnArchive { .. });
    Unpacked {
        name: found.name.clone(),
        bytes: found.bytes,
        log: None,
        blob: Some(blob.clone()),
        failed: (!raw).then(|| error.to_string()),
    }
}

/// Logs of the artifact can be read by their ids from now on.
fn keep_entries(
    shared: &Shared,
    run: &Run,
    found: &StoredArtifact,
    entries: &[Unpacked],
) -> Result<(), ServiceError> {
    let logs = entries.iter().filter_map(|entry| {
        Some(ArtifactLog {
            name: entry.name.clone(),
            log: entry.log.clone()?,
        })
    });
    let logs: Vec<_> = logs.take(MOST_LOGS).collect();
    if logs.iter().all(|log| found.logs.contains(log)) {
        return Ok(());
    }
    let run_id = run.run_id.clone();
    shared
        .append_with(&daemon(), |core| {
            let Some(run) = core.state.runs.get(&run_id) else {
                return Ok(None);
            };
            let mut run = run.clone();
            for known in run
                .artifacts
                .iter_mut()
                .filter(|known| known.id == found.id)
            {
                for log in &logs {
                    if !known.logs.contains(log) {
                        known.logs.push(log.clone());
                    }
                }
            }
            Ok(Some(Event::RunChanged { run }))
        })
        .map(|_| ())
}

fn entry_view(entry: &Unpacked) -> EntryView {
    EntryView {
        name: entry.name.clone(),
        log: entry.log.as_ref().map(views::log),
        blob: entry.blob.as_ref().map(ToString::to_string),
        size: entry.bytes,
        failed: entry.failed.clone(),
    }
}

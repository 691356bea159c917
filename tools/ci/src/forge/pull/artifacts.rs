//! Artifacts: kept as they are, the harness's own output also as logs.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;

use attest::digest::Digest;
use discipline::model::{LogRef, WhyEmpty};

use super::{Fate, Puller, publish, publish_blob};
use crate::Sink;
use crate::archive::{Archive, ArchiveError, Limits};
use crate::forge::model::Artifact;
use crate::forge::spool::SpoolWriter;
use crate::forge::{Fetched, ForgeError, Spool, Target};

/// A log that stood in an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarnessLog {
    /// Name of the entry; data, never a path.
    pub name: String,
    /// Cell that the names bind, if they bind one.
    pub cell: Option<String>,
    /// The log.
    pub log: LogRef,
}

/// One artifact after it was asked for.
#[derive(Debug, Clone)]
pub struct PulledArtifact {
    /// The artifact as the source describes it.
    pub artifact: Artifact,
    /// What became of it.
    pub fate: Fate,
    /// Its bytes in the store, as the source keeps them.
    pub blob: Option<Digest>,
    /// Length of them.
    pub bytes: u64,
    /// Why there are none.
    pub why_empty: Option<WhyEmpty>,
    /// In a few words of ours.
    pub detail: String,
    /// Logs of the harness in it.
    pub logs: Vec<HarnessLog>,
}

/// One unpacked entry of an artifact.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Name; data, never a path.
    pub name: String,
    /// Unpacked bytes.
    pub bytes: u64,
    /// As a log, when it is text.
    pub log: Option<LogRef>,
    /// As it is, when it is not.
    pub blob: Option<Digest>,
    /// Why it could not be unpacked.
    pub failed: Option<String>,
}

impl Puller<'_, '_> {
    pub(super) fn artifacts(
        &mut self,
        listed: Vec<Artifact>,
    ) -> Result<Vec<PulledArtifact>, ForgeError> {
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for artifact in &listed {
            let id = newest.entry(artifact.name.clone()).or_default();
            *id = artifact.id.max(*id);
        }
        let mut pulled = Vec::with_capacity(listed.len());
        for artifact in listed {
            let overwritten = newest
                .get(&artifact.name)
                .is_some_and(|id| *id != artifact.id);
            let mut one = self.artifact(artifact)?;
            if overwritten {
                one.logs.clear();
                one.detail.push_str("; a newer artifact has the same name");
            }
            pulled.push(one);
            self.index += 1;
        }
        Ok(pulled)
    }

    fn artifact(&mut self, artifact: Artifact) -> Result<PulledArtifact, ForgeError> {
        if let Some(kept) = (self.hooks.kept_artifact)(&artifact) {
            return Ok(kept);
        }
        if artifact.expired {
            let why = "the source has deleted it".to_owned();
            return Ok(absent(artifact, WhyEmpty::Expired, why));
        }
        let target = Target::Artifact {
            run_id: self.what.run_id.to_owned(),
            artifact_id: artifact.id,
            name: artifact.name.clone(),
        };
        let name = artifact.name.clone();
        Ok(match self.fetch(&target, &name)? {
            Ok(Fetched::Whole(spool)) => self.keep(artifact, &spool)?,
            Ok(Fetched::Unproven(_, why)) => failed(artifact, why),
            Ok(Fetched::Absent(why, detail)) => absent(artifact, why, detail),
            Err(error) => failed(artifact, error.to_string()),
        })
    }

    fn keep(&mut self, artifact: Artifact, spool: &Spool) -> Result<PulledArtifact, ForgeError> {
        let stated = artifact.digest.as_deref().map(str::parse::<Digest>);
        let detail = match stated {
            None => "the source states no digest".to_owned(),
            Some(Ok(stated)) if &stated == spool.sha256() => "digest as stated".to_owned(),
            Some(Ok(_)) => return Ok(failed(artifact, "its digest is not the stated one".into())),
            Some(Err(_)) => "the stated digest cannot be read".to_owned(),
        };
        let blob = publish_blob(self.sink, &artifact.name, spool)?;
        let mut logs = Vec::new();
        let mut fate = Fate::ByteExact;
        let mut detail = detail;
        let harness = self.what.harness;
        if harness.iter().any(|pattern| pattern.takes(&artifact.name)) {
            match self.harness_logs(&artifact.name, spool)? {
                Ok(found) => logs = found,
                Err(why) => {
                    fate = Fate::Failed;
                    detail = format!("{detail}; {why}");
                }
            }
        }
        if !self.pinned.is_completed() && fate == Fate::ByteExact {
            fate = Fate::Provisional;
        }
        Ok(PulledArtifact {
            bytes: spool.bytes(),
            blob: Some(blob),
            fate,
            why_empty: None,
            detail,
            logs,
            artifact,
        })
    }

    /// Entries that are the harness's output; an uploaded file without an archive is one entry.
    fn harness_logs(
        &mut self,
        artifact: &str,
        spool: &Spool,
    ) -> Result<Result<Vec<HarnessLog>, String>, ForgeError> {
        let reader = spool
            .reader()
            .map_err(ForgeError::io("read back an artifact"))?;
        let mut archive = match Archive::open(reader, Limits::default()) {
            Ok(archive) => archive,
            Err(ArchiveError::NotAnArchive { .. }) => {
                let Some(cell) = self.cell(artifact, artifact) else {
                    return Ok(Ok(Vec::new()));
                };
                let log = publish(self.sink, artifact, spool, true)?;
                return Ok(Ok(vec![HarnessLog {
                    name: artifact.to_owned(),
                    cell,
                    log,
                }]));
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut logs = Vec::new();
        for entry in archive.entries().to_vec() {
            let Some(cell) = self.cell(artifact, &entry.name) else {
                continue;
            };
            let mut out = SpoolWriter::new(self.hooks.spool)?;
            if let Err(error) = archive.copy(entry.index, &mut out) {
                return Ok(Err(format!("{}: {error}", entry.name.escape_debug())));
            }
            let log = publish(self.sink, &entry.name, &out.finish(), true)?;
            logs.push(HarnessLog {
                name: entry.name,
                cell,
                log,
            });
        }
        Ok(Ok(logs))
    }

    fn cell(&self, artifact: &str, file: &str) -> Option<Option<String>> {
        let mut patterns = self.what.harness.iter();
        let found = patterns.find_map(|pattern| pattern.cell(artifact, file))?;
        Some(found.map(str::to_owned))
    }
}

fn absent(artifact: Artifact, why: WhyEmpty, detail: String) -> PulledArtifact {
    PulledArtifact {
        artifact,
        fate: Fate::Lost,
        blob: None,
        bytes: 0,
        why_empty: Some(why),
        detail,
        logs: Vec::new(),
    }
}

fn failed(artifact: Artifact, detail: String) -> PulledArtifact {
    PulledArtifact {
        artifact,
        fate: Fate::Failed,
        blob: None,
        bytes: 0,
        why_empty: None,
        detail,
        logs: Vec::new(),
    }
}

/// Unpacks a stored artifact entry by entry: text as logs, the rest as it is. A file that is no
/// archive is its own only entry.
///
/// # Errors
/// The store cannot be written, or the file cannot be read.
pub fn unpack<R: Read + Seek>(
    name: &str,
    reader: R,
    sink: &mut dyn Sink,
    spool: &Path,
) -> Result<Result<Vec<Unpacked>, ArchiveError>, ForgeError> {
    let mut archive = match Archive::open(reader, Limits::default()) {
        Ok(archive) => archive,
        Err(error) => return Ok(Err(error)),
    };
    let mut unpacked = Vec::new();
    for entry in archive.entries().to_vec() {
        if entry.is_folder {
            continue;
        }
        let mut out = SpoolWriter::new(spool)?;
        unpacked.push(match archive.copy(entry.index, &mut out) {
            Ok(_) => stored(name, entry.name, &out.finish(), sink)?,
            Err(error) => Unpacked {
                name: entry.name,
                bytes: 0,
                log: None,
                blob: None,
                failed: Some(error.to_string()),
            },
        });
    }
    Ok(Ok(unpacked))
}

fn stored(
    artifact: &str,
    name: String,
    spool: &Spool,
    sink: &mut dyn Sink,
) -> Result<Unpacked, ForgeError> {
    let text = is_text(spool).map_err(ForgeError::io("read back an entry"))?;
    let (log, blob) = match text {
        true => (Some(publish(sink, artifact, spool, true)?), None),
        false => (None, Some(publish_blob(sink, artifact, spool)?)),
    };
    Ok(Unpacked {
        name,
        bytes: spool.bytes(),
        log,
        blob,
        failed: None,
    })
}

/// Text has no NUL in its first bytes. A log that has one is kept as it is, whole either way.
fn is_text(spool: &Spool) -> std::io::Result<bool> {
    let mut head = Vec::new();
    spool.reader()?.take(8 << 10).read_to_end(&mut head)?;
    Ok(!head.contains(&0))
}

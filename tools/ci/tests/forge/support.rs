//! One call that pulls into an evidence store in memory.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use ci::forge::{
    Fate, Forge, ForgeError, HarnessPattern, Kept, PullHooks, PullProgress, PullWhat, Pulled,
    PulledJob, pull,
};
use exec::Cancel;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::memory::Memory;

/// One puller: what it takes, what it has, what it was told.
pub(crate) struct Bench {
    pub(crate) store: Memory,
    pub(crate) cancel: Cancel,
    pub(crate) spool: tempfile::TempDir,
    pub(crate) harness: Vec<HarnessPattern>,
    pub(crate) steps: bool,
    pub(crate) attempt: Option<u32>,
    pub(crate) job: Option<String>,
    pub(crate) kept: BTreeMap<u64, Kept>,
    pub(crate) progress: Vec<PullProgress>,
    pub(crate) told: Vec<String>,
    /// Cancels once so many jobs have ended.
    pub(crate) cancel_after: Option<usize>,
}

impl Default for Bench {
    fn default() -> Bench {
        Bench {
            store: Memory::default(),
            cancel: Cancel::new().unwrap(),
            spool: tempfile::tempdir().unwrap(),
            harness: Vec::new(),
            steps: false,
            attempt: None,
            job: None,
            kept: BTreeMap::new(),
            progress: Vec::new(),
            told: Vec::new(),
            cancel_after: None,
        }
    }
}

impl Bench {
    pub(crate) fn pull(&mut self, forge: &dyn Forge, run_id: &str) -> Result<Pulled, ForgeError> {
        let what = PullWhat {
            run_id,
            attempt: self.attempt,
            job: self.job.as_deref(),
            artifacts: true,
            steps: self.steps,
            harness: &self.harness,
        };
        let (progress, told) = (&mut self.progress, &mut self.told);
        let kept = &self.kept;
        let cancel = self.cancel.clone();
        let cancel_after = self.cancel_after;
        let mut newly = Vec::new();
        let pulled = pull(
            forge,
            &what,
            &mut self.store,
            &mut PullHooks {
                cancel: &self.cancel,
                spool: self.spool.path(),
                kept_job: &|id| kept.get(&id).cloned(),
                kept_artifact: &|_| None,
                on_progress: &mut |now| progress.push(now.clone()),
                on_job: &mut |_, job| {
                    told.push(job.job.name.clone());
                    if let Some(log) = job.log.clone().filter(|log| log.complete) {
                        newly.push((
                            job.job.id,
                            Kept {
                                log,
                                exit_code: job.exit_code,
                            },
                        ));
                    }
                    if cancel_after == Some(told.len()) {
                        cancel.cancel();
                    }
                    Ok(())
                },
            },
        );
        self.kept.extend(newly);
        assert_eq!(std::fs::read_dir(self.spool.path()).unwrap().count(), 0);
        pulled
    }

    /// The stored bytes of a job's log.
    pub(crate) fn bytes(&self, pulled: &Pulled, job: &str) -> Vec<u8> {
        let log = self.job(pulled, job).log.unwrap();
        self.store.logs.borrow()[&log.log_id.to_string()].clone()
    }

    pub(crate) fn job(&self, pulled: &Pulled, name: &str) -> PulledJob {
        let mut jobs = pulled.jobs.iter();
        jobs.find(|job| job.job.name == name).unwrap().clone()
    }
}

/// `link outcome` of a job's chain.
pub(crate) fn chain(job: &PulledJob) -> Vec<String> {
    let links = job.links.iter();
    links.map(|l| format!("{} {}", l.link, l.outcome)).collect()
}

pub(crate) fn fates(pulled: &Pulled) -> Vec<Fate> {
    pulled.jobs.iter().map(|job| job.fate).collect()
}

pub(crate) fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

//! The archive of an attempt's logs: fetched once, when a job needs it.

use std::fs::File;

use super::Puller;
use super::chain::Chain;
use crate::archive::{Archive, Attribution, Limits, attribute};
use crate::forge::links::{Link, LinkOutcome};
use crate::forge::model::WorkflowJob;
use crate::forge::spool::SpoolWriter;
use crate::forge::{Fetched, ForgeError, Spool, StepSpan, Target, steps};

/// The archive as far as it was asked for.
#[derive(Default)]
pub(super) enum AttemptLogs {
    /// Nobody needed it yet.
    #[default]
    NotAsked,
    /// It is open.
    Open(Box<OpenLogs>),
    /// It is of no use, and why.
    Useless(LinkOutcome, String),
}

/// An open archive and whose entries it has.
pub(super) struct OpenLogs {
    archive: Archive<File>,
    by_job: Vec<(u64, Attribution)>,
}

impl Puller<'_, '_> {
    /// The job's log from the archive, where its name tells the entry for certain.
    pub(super) fn ask_attempt_logs(
        &mut self,
        job: &WorkflowJob,
        chain: &mut Chain,
    ) -> Result<Option<Spool>, ForgeError> {
        self.open_attempt_logs()?;
        let link = Link::AttemptLogs;
        let open = match &mut self.attempt_logs {
            AttemptLogs::Open(open) => open,
            AttemptLogs::Useless(outcome, why) => {
                chain.say(link, *outcome, why.clone());
                return Ok(None);
            }
            AttemptLogs::NotAsked => return Ok(None),
        };
        let entries = match open.of(job) {
            Some(Ok(entries)) => entries.clone(),
            Some(Err(why)) => {
                chain.say(link, LinkOutcome::Uncertain, why.to_string());
                return Ok(None);
            }
            None => return Ok(None),
        };
        let Some(entry) = entries.whole else {
            let steps = entries.steps.len();
            let why = match steps {
                0 => "the archive does not hold the job".to_owned(),
                _ => format!("the archive holds {steps} step files and no whole log"),
            };
            chain.say(link, LinkOutcome::Absent, why);
            return Ok(None);
        };
        let mut spool = SpoolWriter::new(self.hooks.spool)?;
        match open.archive.copy(entry, &mut spool) {
            Ok(copied) if copied.bytes == 0 => {
                chain.say(link, LinkOutcome::Absent, "its entry has no bytes");
                Ok(None)
            }
            Ok(copied) => {
                chain.say(link, LinkOutcome::Whole, format!("{} bytes", copied.bytes));
                Ok(Some(spool.finish()))
            }
            Err(error) => {
                chain.say(link, LinkOutcome::Failed, error.to_string());
                Ok(None)
            }
        }
    }

    /// Which bytes are which step's, when that was asked for and the archive proves it.
    pub(super) fn spans(
        &mut self,
        job: &WorkflowJob,
        log: &Spool,
    ) -> Result<Option<Vec<StepSpan>>, ForgeError> {
        if !self.what.steps {
            return Ok(None);
        }
        self.open_attempt_logs()?;
        let AttemptLogs::Open(open) = &mut self.attempt_logs else {
            return Ok(None);
        };
        let Some(Ok(entries)) = open.of(job).cloned() else {
            return Ok(None);
        };
        steps::spans(&mut open.archive, &entries, job, log)
            .map_err(ForgeError::io("read back a log"))
    }

    fn open_attempt_logs(&mut self) -> Result<(), ForgeError> {
        if !matches!(self.attempt_logs, AttemptLogs::NotAsked) {
            return Ok(());
        }
        let target = Target::AttemptLogs {
            run_id: self.what.run_id.to_owned(),
            attempt: self.pinned.attempt(),
        };
        let fetched = self.fetch(&target, "archive of the attempt's logs")?;
        let useless = |outcome, why: String| AttemptLogs::Useless(outcome, why);
        self.attempt_logs = match fetched {
            Ok(Fetched::Whole(spool)) => {
                match Archive::open(spool.into_file(), Limits::default()) {
                    Ok(archive) => AttemptLogs::Open(Box::new(self.attributed(archive))),
                    Err(error) => useless(LinkOutcome::Failed, error.to_string()),
                }
            }
            Ok(Fetched::Unproven(_, why)) => useless(LinkOutcome::Failed, why),
            Ok(Fetched::Absent(_, why)) => useless(LinkOutcome::Absent, why),
            Err(error) => useless(LinkOutcome::Failed, error.to_string()),
        };
        Ok(())
    }

    fn attributed(&self, archive: Archive<File>) -> OpenLogs {
        let names: Vec<&str> = self.all_jobs.iter().map(|job| job.name.as_str()).collect();
        let answers = attribute(&names, archive.entries());
        let ids = self.all_jobs.iter().map(|job| job.id);
        OpenLogs {
            by_job: ids.zip(answers).collect(),
            archive,
        }
    }
}

impl OpenLogs {
    fn of(&self, job: &WorkflowJob) -> Option<&Attribution> {
        let found = self.by_job.iter().find(|(id, _)| *id == job.id);
        found.map(|(_, attribution)| attribution)
    }
}

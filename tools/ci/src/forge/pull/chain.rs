//! The chain of one job's log: asked link by link, every answer noted.

use discipline::model::{LogRef, WhyEmpty};

use super::{Fate, PullProgress, PulledJob, Puller, publish};
use crate::forge::links::{Link, LinkOutcome, LinkResult};
use crate::forge::model::{WorkflowJob, millis};
use crate::forge::{FetchHooks, Fetched, ForgeError, Spool, StepSpan, Target, log_text};

/// What the chain has so far.
pub(super) struct Chain {
    links: Vec<LinkResult>,
    why: Option<WhyEmpty>,
    failed: bool,
    unproven: Option<Spool>,
}

impl Chain {
    pub(super) fn say(&mut self, link: Link, outcome: LinkOutcome, detail: impl Into<String>) {
        self.failed |= outcome == LinkOutcome::Failed;
        self.links.push(LinkResult::new(link, outcome, detail));
    }
}

impl Puller<'_, '_> {
    pub(super) fn job(&mut self, job: &WorkflowJob) -> Result<PulledJob, ForgeError> {
        let mut chain = Chain {
            links: Vec::new(),
            why: None,
            failed: false,
            unproven: None,
        };
        if !job.is_completed() {
            let state = job.status.clone().map(String::from).unwrap_or_default();
            chain.say(
                Link::JobLog,
                LinkOutcome::Skipped,
                format!("the job is {state}"),
            );
            return Ok(without(
                job,
                chain,
                Fate::Pending,
                Some(WhyEmpty::InProgress),
            ));
        }
        if !job.was_dispatched() {
            chain.say(
                Link::JobLog,
                LinkOutcome::Skipped,
                "no runner ever took the job",
            );
            return Ok(without(
                job,
                chain,
                Fate::Nothing,
                Some(WhyEmpty::NeverStarted),
            ));
        }
        if let Some(kept) = (self.hooks.kept_job)(job.id).filter(|_| !self.what.steps) {
            chain.say(Link::Store, LinkOutcome::Whole, "kept from an earlier pull");
            return Ok(self.with(job, chain, kept.log, kept.exit_code, None));
        }
        let whole = self.ask_job(job, &mut chain)?;
        let whole = match whole {
            Some(spool) => Some(spool),
            None => self.ask_attempt_logs(job, &mut chain)?,
        };
        let whole = match whole {
            Some(spool) => Some(spool),
            None => self.ask_earlier(job, &mut chain)?,
        };
        let (spool, proven) = match (whole, chain.unproven.take()) {
            (Some(spool), _) => (spool, true),
            (None, Some(spool)) => (spool, false),
            (None, None) => {
                let fate = if chain.failed {
                    Fate::Failed
                } else {
                    Fate::Lost
                };
                let why = chain.why.or((!chain.failed).then_some(WhyEmpty::Missing));
                return Ok(without(job, chain, fate, why));
            }
        };
        let exit_code = spool
            .reader()
            .and_then(log_text::exit_code)
            .map_err(ForgeError::io("read back a log"))?;
        let steps = self.spans(job, &spool)?;
        let log = publish(self.sink, &job.name, &spool, proven)?;
        Ok(self.with(job, chain, log, exit_code, steps))
    }

    fn with(
        &self,
        job: &WorkflowJob,
        chain: Chain,
        log: LogRef,
        exit_code: Option<i32>,
        steps: Option<Vec<StepSpan>>,
    ) -> PulledJob {
        let fate = match log.complete && self.pinned.is_completed() {
            true => Fate::ByteExact,
            false => Fate::Provisional,
        };
        PulledJob {
            job: job.clone(),
            fate,
            log: Some(log),
            why_empty: None,
            links: chain.links,
            exit_code,
            steps,
        }
    }

    fn ask_job(
        &mut self,
        job: &WorkflowJob,
        chain: &mut Chain,
    ) -> Result<Option<Spool>, ForgeError> {
        let fetched = self.fetch(&self.log_of(job.id, self.pinned.attempt()), &job.name)?;
        Ok(take(Link::JobLog, fetched, chain))
    }

    fn log_of(&self, job_id: u64, attempt: u32) -> Target {
        Target::JobLog {
            run_id: self.what.run_id.to_owned(),
            attempt,
            job_id,
        }
    }

    fn ask_earlier(
        &mut self,
        job: &WorkflowJob,
        chain: &mut Chain,
    ) -> Result<Option<Spool>, ForgeError> {
        let attempt = self.pinned.attempt();
        for earlier in (1..attempt).rev() {
            let listed = self
                .forge
                .jobs(self.what.run_id, earlier, self.hooks.cancel);
            let jobs = match listed {
                Ok(jobs) => jobs,
                Err(error @ (ForgeError::NoSuchRun { .. } | ForgeError::Malformed { .. })) => {
                    chain.say(
                        Link::EarlierAttempt,
                        LinkOutcome::Absent,
                        format!("attempt {earlier}: {error}"),
                    );
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut same = jobs.iter().filter(|other| other.name == job.name);
            let Some(other) = same.next().filter(|other| other.was_dispatched()) else {
                continue;
            };
            if !is_same_execution(job, other) || same.next().is_some() {
                chain.say(
                    Link::EarlierAttempt,
                    LinkOutcome::Skipped,
                    format!("attempt {earlier} executed the job on its own; pull it by its number"),
                );
                continue;
            }
            if other.id == job.id {
                continue;
            }
            let fetched = self.fetch(&self.log_of(other.id, earlier), &job.name)?;
            if let Some(spool) = take(Link::EarlierAttempt, fetched, chain) {
                return Ok(Some(spool));
            }
        }
        Ok(None)
    }

    /// The file, or why this one cannot be had; `Err` ends the pull.
    pub(super) fn fetch(
        &mut self,
        target: &Target,
        name: &str,
    ) -> Result<Result<Fetched, ForgeError>, ForgeError> {
        let (index, total) = (self.index, self.total);
        let on_progress = &mut *self.hooks.on_progress;
        let mut on_bytes = |bytes, of| {
            on_progress(&PullProgress {
                file: name.to_owned(),
                index,
                total,
                bytes,
                of,
            });
        };
        on_bytes(0, None);
        let fetched = self.forge.fetch(
            target,
            &mut FetchHooks {
                cancel: self.hooks.cancel,
                spool: self.hooks.spool,
                on_bytes: &mut on_bytes,
            },
        );
        match fetched {
            Err(error) if !error.is_about_one_file() => Err(error),
            other => Ok(other),
        }
    }
}

/// The bytes when they are whole; everything else is noted in the chain.
fn take(link: Link, fetched: Result<Fetched, ForgeError>, chain: &mut Chain) -> Option<Spool> {
    match fetched {
        Ok(Fetched::Whole(spool)) if spool.bytes() == 0 => {
            chain.why.get_or_insert(WhyEmpty::ZeroBytes);
            chain.say(link, LinkOutcome::Absent, "it has no bytes");
            None
        }
        Ok(Fetched::Whole(spool)) => {
            chain.say(link, LinkOutcome::Whole, format!("{} bytes", spool.bytes()));
            Some(spool)
        }
        Ok(Fetched::Unproven(spool, why)) => {
            chain.say(link, LinkOutcome::Unproven, why);
            let longer = |held: &Spool| held.bytes() >= spool.bytes();
            if spool.bytes() > 0 && !chain.unproven.as_ref().is_some_and(longer) {
                chain.unproven = Some(spool);
            }
            None
        }
        Ok(Fetched::Absent(why, detail)) => {
            chain.why.get_or_insert(why);
            chain.say(link, LinkOutcome::Absent, detail);
            None
        }
        Err(error) => {
            chain.say(link, LinkOutcome::Failed, error.to_string());
            None
        }
    }
}

/// A job that a re-run took over from an earlier attempt began and ended when that one did.
fn is_same_execution(job: &WorkflowJob, other: &WorkflowJob) -> bool {
    let times = |job: &WorkflowJob| {
        let began = millis(job.started_at.as_deref())?;
        Some((began, millis(job.completed_at.as_deref())?))
    };
    times(job).is_some() && times(job) == times(other)
}

fn without(job: &WorkflowJob, chain: Chain, fate: Fate, why: Option<WhyEmpty>) -> PulledJob {
    PulledJob {
        job: job.clone(),
        fate,
        log: None,
        why_empty: why,
        links: chain.links,
        exit_code: None,
        steps: None,
    }
}

//! Kills one daemon after the other, each at a moment of a plan.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::journal::{Tail, drain};

/// When a daemon dies, counted from the moment at which it names itself in the writer's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After so long. Short times fall into the opening of the state and its recovery.
    Time(Duration),
    /// When so many further records stand in the journal.
    Records(usize),
}

/// Watches a journal's folder for daemons and kills them.
pub struct Killer {
    worker: Option<JoinHandle<Result<()>>>,
    stop: Arc<OwnedFd>,
    struck: Arc<Mutex<Vec<Moment>>>,
}

impl Killer {
    /// Lies in wait for the daemon that holds the journal now and for those that follow it, until
    /// the plan is done.
    ///
    /// # Errors
    /// The journal's folder cannot be watched.
    pub fn hire(journal: &Path, plan: Vec<Moment>) -> Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, journal, WatchFlags::MODIFY | WatchFlags::CREATE)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let struck = Arc::new(Mutex::new(Vec::new()));
        let mut hunt = Hunt {
            lock: journal.join("lock"),
            tail: Tail::at_the_end(journal)?,
            plan: plan.into(),
            last: None,
            struck: Arc::clone(&struck),
        };
        let ended = Arc::clone(&stop);
        let worker = std::thread::spawn(move || hunt.follow(&watch, &ended));
        Ok(Self {
            worker: Some(worker),
            stop,
            struck,
        })
    }

    /// The kills so far. A kill is not counted before its victim is gone, and none happens while
    /// the answer is looked at.
    #[must_use]
    pub fn struck(&self) -> Vec<Moment> {
        locked(&self.struck).clone()
    }

    /// Calls it off; the kills that were done.
    ///
    /// # Errors
    /// The journal could not be read, or a daemon not be killed.
    pub fn dismiss(mut self) -> Result<Vec<Moment>> {
        rustix::io::write(&*self.stop, &1u64.to_ne_bytes())?;
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(followed)) => followed?,
            _ => bail!("the killer died"),
        }
        Ok(self.struck())
    }
}

fn locked(struck: &Mutex<Vec<Moment>>) -> MutexGuard<'_, Vec<Moment>> {
    struck.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Hunt {
    lock: PathBuf,
    tail: Tail,
    plan: VecDeque<Moment>,
    last: Option<i32>,
    struck: Arc<Mutex<Vec<Moment>>>,
}

/// A living daemon and what is left until its moment.
struct Victim {
    handle: OwnedFd,
    moment: Moment,
    since: Instant,
    records: usize,
}

impl Hunt {
    fn follow(&mut self, watch: &OwnedFd, ended: &OwnedFd) -> Result<()> {
        let mut victim = None;
        loop {
            let grown = self.tail.count_new("{\"v\":1,\"at_ms\":")?;
            if victim.is_none() {
                victim = self.next_victim()?;
            } else if let Some(victim) = &mut victim {
                victim.records += grown;
            }
            if let Some(due) = victim.take_if(|victim| victim.due()) {
                self.strike(due)?;
                continue;
            }
            if victim.is_none() && self.plan.is_empty() {
                return Ok(());
            }
            let timeout = victim.as_ref().and_then(Victim::left).map(timespec);
            let mut fds = vec![
                PollFd::new(watch, PollFlags::IN),
                PollFd::new(ended, PollFlags::IN),
            ];
            // One that ended by itself makes room for the next.
            fds.extend(victim.iter().map(|v| PollFd::new(&v.handle, PollFlags::IN)));
            poll(&mut fds, timeout.as_ref())?;
            let over = fds.iter().map(|fd| !fd.revents().is_empty());
            let over: Vec<bool> = over.collect();
            if over[1] {
                return Ok(());
            }
            if over.get(2) == Some(&true)
                && let Some(gone) = victim.take()
            {
                self.plan.push_front(gone.moment);
            }
            drain(watch);
        }
    }

    /// The daemon that named itself in the lock since the last one died.
    fn next_victim(&mut self) -> Result<Option<Victim>> {
        let named = std::fs::read_to_string(&self.lock).unwrap_or_default();
        let Some(raw) = named.trim().parse::<i32>().ok() else {
            return Ok(None);
        };
        if self.last == Some(raw) || self.plan.is_empty() {
            return Ok(None);
        }
        let pid = Pid::from_raw(raw).context("not a process id")?;
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(None);
        };
        self.last = Some(raw);
        Ok(self.plan.pop_front().map(|moment| Victim {
            handle,
            moment,
            since: Instant::now(),
            records: 0,
        }))
    }

    fn strike(&self, victim: Victim) -> Result<()> {
        let mut struck = locked(&self.struck);
        pidfd_send_signal(&victim.handle, Signal::KILL)?;
        poll(&mut [PollFd::new(&victim.handle, PollFlags::IN)], None)?;
        struck.push(victim.moment);
        Ok(())
    }
}

impl Victim {
    fn due(&self) -> bool {
        match self.moment {
            Moment::Time(after) => self.since.elapsed() >= after,
            Moment::Records(count) => self.records >= count,
        }
    }

    fn left(&self) -> Option<Duration> {
        match self.moment {
            Moment::Time(after) => Some(after.saturating_sub(self.since.elapsed())),
            Moment::Records(_) => None,
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn daemon(lock: &Path) -> Child {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        std::fs::write(lock, format!("{}\n", child.id())).unwrap();
        child
    }

    fn ended_by_kill(child: &mut Child) -> bool {
        use std::os::unix::process::ExitStatusExt;
        // `wait` closes the input it still owns, and the victim would end by itself.
        let _input = child.stdin.take();
        child.wait().unwrap().signal() == Some(9)
    }

    #[test]
    fn each_daemon_dies_at_its_own_moment_and_the_last_one_lives() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, log) = (dir.path().join("lock"), dir.path().join("log"));
        let record = "{\"v\":1,\"at_ms\":5}";
        std::fs::write(&log, record).unwrap();
        let mut first = daemon(&lock);
        let plan = vec![Moment::Time(Duration::from_millis(1)), Moment::Records(2)];
        let killer = Killer::hire(dir.path(), plan.clone()).unwrap();
        assert!(ended_by_kill(&mut first));
        let mut second = daemon(&lock);
        let mut text = record.to_owned();
        for _ in 0..2 {
            assert!(second.try_wait().unwrap().is_none());
            text.push_str(record);
            std::fs::write(&log, &text).unwrap();
        }
        assert!(ended_by_kill(&mut second));
        let mut third = daemon(&lock);
        assert_eq!(killer.dismiss().unwrap(), plan);
        assert!(third.try_wait().unwrap().is_none());
        third.kill().unwrap();
        third.wait().unwrap();
    }
}

//! Watches a daemon's journal grow, so that a test can act the moment an event is on disk.

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, Signal, kill_process};

/// Kills a process as soon as the journal holds an event of that name.
pub struct Assassin {
    worker: Option<JoinHandle<Result<bool>>>,
    stop: std::sync::Arc<OwnedFd>,
}

impl Assassin {
    /// Lies in wait. Events that stand in the journal already do not count.
    ///
    /// # Errors
    /// The journal's folder cannot be watched.
    pub fn hire(journal: &Path, event: &str, victim: i32) -> Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, journal, WatchFlags::MODIFY | WatchFlags::CREATE)?;
        let mut tail = Tail::at_the_end(journal)?;
        let needle = format!("\"event\":\"{event}\"");
        let stop = std::sync::Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let ended = std::sync::Arc::clone(&stop);
        let worker = std::thread::spawn(move || {
            loop {
                if tail.grew_by(&needle)? {
                    let pid = Pid::from_raw(victim).context("not a process id")?;
                    kill_process(pid, Signal::KILL)?;
                    return Ok(true);
                }
                let mut fds = [
                    PollFd::new(&watch, PollFlags::IN),
                    PollFd::new(&*ended, PollFlags::IN),
                ];
                poll(&mut fds, None)?;
                if !fds[1].revents().is_empty() {
                    return Ok(false);
                }
                drain(&watch);
            }
        });
        Ok(Self {
            worker: Some(worker),
            stop,
        })
    }

    /// Calls it off; says whether it struck.
    ///
    /// # Errors
    /// The journal could not be read.
    pub fn dismiss(mut self) -> Result<bool> {
        rustix::io::write(&*self.stop, &1u64.to_ne_bytes())?;
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(struck)) => struck,
            _ => anyhow::bail!("the watcher died"),
        }
    }
}

pub(super) fn drain(watch: &OwnedFd) {
    let mut buffer = [0u8; 4096];
    while rustix::io::read(watch, &mut buffer).is_ok_and(|read| read > 0) {}
}

/// New bytes of every file in a folder.
pub(super) struct Tail {
    folder: PathBuf,
    read: std::collections::BTreeMap<PathBuf, u64>,
    /// End of what was read, in case a name is split between two reads.
    rest: Vec<u8>,
}

impl Tail {
    pub(super) fn at_the_end(folder: &Path) -> Result<Self> {
        let mut read = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            read.insert(entry.path(), entry.metadata()?.len());
        }
        Ok(Self {
            folder: folder.to_owned(),
            read,
            rest: Vec::new(),
        })
    }

    fn grew_by(&mut self, needle: &str) -> Result<bool> {
        Ok(self.count_new(needle)? > 0)
    }

    /// How often a text has been written since the last call.
    pub(super) fn count_new(&mut self, needle: &str) -> Result<usize> {
        let mut found = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let from = self.read.entry(path.clone()).or_insert(0);
            let mut file = std::fs::File::open(&path)?;
            file.seek(SeekFrom::Start(*from))?;
            let mut new = std::mem::take(&mut self.rest);
            *from += file.read_to_end(&mut new)? as u64;
            let fits = |window: &&[u8]| *window == needle.as_bytes();
            found += new.windows(needle.len()).filter(fits).count();
            // Shorter than the text, so that none is counted twice.
            self.rest = new.split_off(new.len().saturating_sub(needle.len() - 1));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Command;

    #[test]
    fn strikes_when_the_event_is_written_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        std::fs::write(&path, "{\"event\":\"late\"}").unwrap();
        let mut victim = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(victim.id()).unwrap();
        // `wait` closes the input it still owns, and the victim would end by itself.
        let _input = victim.stdin.take();
        let assassin = Assassin::hire(dir.path(), "late", pid).unwrap();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(b"{\"event\":\"other\"}").unwrap();
        assert!(victim.try_wait().unwrap().is_none());
        file.write_all(b"{\"event\":\"la").unwrap();
        file.write_all(b"te\"}").unwrap();
        assert!(!victim.wait().unwrap().success());
        assert!(assassin.dismiss().unwrap());
    }
}

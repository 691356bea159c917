//! A cancellation that wakes every `poll` that watches it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::Error;

/// A request to stop, shared by whoever may ask and whoever must listen. Once set it stays set.
#[derive(Clone, Debug)]
pub struct Cancel {
    // An eventfd that is written and never read: readable for ever, for every watcher.
    event: Arc<OwnedFd>,
}

impl Cancel {
    /// A cancellation nobody has asked for yet. Fails when the process has no descriptors left.
    pub fn new() -> Result<Cancel, Error> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(Error::watch("cannot create a cancellation"))?;
        Ok(Cancel {
            event: Arc::new(event),
        })
    }

    /// Asks every watcher to stop. Idempotent.
    pub fn cancel(&self) {
        // The only possible failure is an overflowing counter, and then it is set already.
        let _already_set = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits at most `timeout` for somebody to ask; says whether somebody did.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut fds = [PollFd::new(&*self.event, PollFlags::IN)];
        let ready = rustix::event::poll(&mut fds, Some(&timespec(timeout)));
        matches!(ready, Ok(count) if count > 0)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

//! An exclusive hold on a device, for the whole machine.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{Cancel, Error};

/// A `flock` on a file, released when its last descriptor closes: that of this value and those of
/// every process group that inherited it. There is no explicit unlock, which would take it away
/// from a group that still uses the device.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
}

/// Who holds a lease, in their own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process that took the lease; it may have died while its group goes on.
    pub pid: Option<u32>,
    /// What for.
    pub purpose: String,
}

/// The answer to an attempt. Somebody else's hold is an answer, not an error.
#[derive(Debug)]
pub enum TryLease {
    /// Ours until dropped.
    Acquired(Lease),
    /// Somebody else's.
    Held(Holder),
}

/// More of a lease file than any holder writes.
const HOLDER_CAP: u64 = 4096;

impl Lease {
    /// Takes the lease at `path` if it is free and writes there who holds it and why.
    pub fn try_acquire(path: &Path, purpose: &str) -> Result<TryLease, Error> {
        let fail = |source| Error::Lease {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o666)
            .open(path)
            .map_err(fail)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(TryLease::Held(read_holder(file))),
            Err(errno) => return Err(fail(errno.into())),
        }
        let mut lease = Lease {
            file,
            path: path.to_owned(),
        };
        lease.describe(purpose)?;
        Ok(TryLease::Acquired(lease))
    }

    /// As [`Lease::try_acquire`], asking again until `timeout` has passed or `cancel` is set.
    pub fn acquire(
        path: &Path,
        purpose: &str,
        timeout: Duration,
        cancel: &Cancel,
    ) -> Result<TryLease, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = Lease::try_acquire(path, purpose)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if matches!(answer, TryLease::Acquired(_)) || left.is_zero() {
                return Ok(answer);
            }
            // A flock cannot be polled for; a short wait on the cancellation can.
            if cancel.wait(left.min(Duration::from_millis(50))) {
                return Ok(answer);
            }
        }
    }

    /// Says anew what the lease is held for.
    pub fn describe(&mut self, purpose: &str) -> Result<(), Error> {
        let text = format!("{}\n{}\n", std::process::id(), purpose);
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write(&mut self.file).map_err(|source| Error::Lease {
            path: self.path.clone(),
            source,
        })
    }

    /// The lease file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_holder(file: File) -> Holder {
    let mut bytes = Vec::new();
    // The text is a courtesy; a holder between locking and writing has none yet.
    let _unreadable = file.take(HOLDER_CAP).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (pid, purpose) = text.split_once('\n').unwrap_or((&text, ""));
    Holder {
        pid: pid.trim().parse().ok(),
        purpose: purpose.trim().to_owned(),
    }
}

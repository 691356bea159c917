//! Starting the leader of a group, and not leaving it behind.

use std::io::{self, PipeReader, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::io::FdFlags;
use rustix::process::{PidfdFlags, Signal, pidfd_open};

use crate::group::{pid, signal_group};
use crate::run::Stream;
use crate::{Command, Error, Lease, Streams};

/// Spawns of this process, one after the other: a lease's descriptor is inheritable only while its
/// own child starts, and no other child may start then.
static SPAWNING: Mutex<()> = Mutex::new(());

pub(crate) fn spawn(
    command: &Command,
    lease: Option<&Lease>,
) -> Result<(Child, Vec<(Stream, PipeReader)>), Error> {
    if !command.program.is_absolute() {
        let program = command.program.clone();
        return Err(Error::RelativeProgram { program });
    }
    let prepare = || -> io::Result<_> {
        let (reader, writer) = io::pipe()?;
        let mut pipes = vec![(Stream::Stdout, reader)];
        let mut child = std::process::Command::new(&command.program);
        child
            .args(&command.args)
            .env_clear()
            .envs(&command.env)
            .current_dir(&command.cwd)
            .process_group(0)
            .stdin(stdin(&command.stdin)?);
        match command.streams {
            Streams::Joined => child.stderr(writer.try_clone()?),
            Streams::Separate => {
                let (reader, writer) = io::pipe()?;
                pipes.push((Stream::Stderr, reader));
                child.stderr(writer)
            }
        };
        child.stdout(writer);
        let _one_at_a_time = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = lease {
            rustix::io::fcntl_setfd(lease.fd(), FdFlags::empty())?;
        }
        let child = child.spawn();
        if let Some(lease) = lease {
            rustix::io::fcntl_setfd(lease.fd(), FdFlags::CLOEXEC)?;
        }
        Ok((child?, pipes))
    };
    prepare().map_err(|source| Error::Spawn {
        program: command.program.clone(),
        cwd: command.cwd.clone(),
        source,
    })
}

/// Input as an unnamed file: a child that never reads cannot make its supervisor wait.
fn stdin(bytes: &[u8]) -> io::Result<Stdio> {
    if bytes.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// The direct child. Dropped before it was reaped, it takes its group with it.
pub(crate) struct Leader {
    child: Child,
    pub(crate) pidfd: OwnedFd,
    reaped: bool,
}

impl Leader {
    pub(crate) fn new(mut child: Child) -> Result<Leader, Error> {
        let watched = pid(child.id()).and_then(|pid| {
            pidfd_open(pid, PidfdFlags::empty()).map_err(Error::watch("cannot watch a child"))
        });
        match watched {
            Ok(pidfd) => Ok(Leader {
                child,
                pidfd,
                reaped: false,
            }),
            Err(error) => {
                end_at_once(&mut child);
                Err(error)
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Collects the leader's status; a leader that even SIGKILL does not end is left behind.
    pub(crate) fn reap(&mut self, survivors: &[u32]) -> Result<Option<ExitStatus>, Error> {
        self.reaped = true;
        if survivors.contains(&self.id()) {
            return Ok(None);
        }
        let status = self.child.wait().map_err(|source| Error::Watch {
            doing: "cannot collect a child",
            source,
        })?;
        Ok(Some(status))
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.reaped {
            end_at_once(&mut self.child);
        }
    }
}

fn end_at_once(child: &mut Child) {
    // On the way out with an error already; what can still fail here has nowhere to go.
    let _gone = signal_group(child.id(), Signal::KILL);
    let _reaped = child.wait();
}

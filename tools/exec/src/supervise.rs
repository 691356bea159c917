//! One loop over a command's output, its end, its limits and its group.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::cancel::timespec;
use crate::group::{live_members, signal_group, watch_members};
use crate::output::{Output, Receive};
use crate::run::{Exit, OnSpawn, Outcome};
use crate::spawn::{Leader, spawn};
use crate::{Cancel, Command, Error, Group, Lease, Limits, TranscriptSummary};

/// An outcome that lacks its transcript yet.
pub(crate) struct Ended {
    exit: Exit,
    duration: Duration,
    stdout_bytes: u64,
    stderr_bytes: u64,
    leftovers: usize,
    survivors: Vec<u32>,
}

impl Ended {
    pub(crate) fn outcome(self, transcript: TranscriptSummary) -> Outcome {
        Outcome {
            exit: self.exit,
            duration: self.duration,
            stdout_bytes: self.stdout_bytes,
            stderr_bytes: self.stderr_bytes,
            transcript,
            leftovers: self.leftovers,
            survivors: self.survivors,
        }
    }
}

/// Runs `command` to the end of its group and hands its output to `write`.
pub(crate) fn supervise(
    command: &Command,
    cancel: &Cancel,
    lease: Option<&Lease>,
    on_spawn: Option<OnSpawn<'_>>,
    write: Receive<'_>,
) -> Result<Ended, Error> {
    let started = Instant::now();
    let (child, pipes) = spawn(command, lease)?;
    let mut leader = Leader::new(child)?;
    let group = Group::of_leader(leader.id())?;
    if let Some(on_spawn) = on_spawn {
        let pgid = group.pgid;
        on_spawn(&group).map_err(|source| Error::Unrecorded { pgid, source })?;
    }
    let output = Output::new(pipes, command.limits.output_bytes)?;
    let mut watch = Watch {
        pgid: group.pgid,
        output,
        limits: command.limits,
        cancel,
        started,
        ended_by: None,
        phase: Phase::Running,
        leader_done: false,
        leftovers: 0,
    };
    let survivors = watch.until_gone(&leader, write)?;
    let status = leader.reap(&survivors)?;
    if let Some(Cause::Sink(source)) = watch.ended_by {
        return Err(Error::Sink(source));
    }
    Ok(Ended {
        exit: watch.exit(status),
        duration: started.elapsed(),
        stdout_bytes: watch.output.stdout_bytes,
        stderr_bytes: watch.output.stderr_bytes,
        leftovers: watch.leftovers,
        survivors,
    })
}

/// Why the group is being ended, when it did not end by itself.
pub(crate) enum Cause {
    Wall,
    Cancel,
    OutputLimit,
    Sink(io::Error),
}

#[derive(Clone, Copy)]
enum Phase {
    Running,
    Terminating { kill_at: Instant },
    Killed { give_up_at: Instant },
}

/// How long the kernel gets to end processes that were killed.
const KILL_TIME: Duration = Duration::from_millis(800);

struct Watch<'a> {
    pgid: u32,
    output: Output,
    limits: Limits,
    cancel: &'a Cancel,
    started: Instant,
    ended_by: Option<Cause>,
    phase: Phase,
    leader_done: bool,
    leftovers: usize,
}

impl Watch<'_> {
    /// Moves output and time along until the leader has ended and its group is empty. Returns the
    /// processes that would not end.
    fn until_gone(&mut self, leader: &Leader, write: Receive<'_>) -> Result<Vec<u32>, Error> {
        loop {
            let members = match (self.leader_done, self.phase) {
                (false, Phase::Running) => Vec::new(),
                _ => live_members(self.pgid)?,
            };
            if self.leader_done && members.is_empty() {
                // A process whose first thread has ended looks like a zombie; it is not spared.
                signal_group(self.pgid, Signal::KILL)?;
                self.output.drain(write, &mut self.ended_by);
                return Ok(Vec::new());
            }
            if self.advance(members.len())? {
                self.output.drain(write, &mut self.ended_by);
                return Ok(members.iter().map(|stat| stat.pid).collect());
            }
            self.poll(leader, &watch_members(&members)?)?;
            self.output.read_ready(write, &mut self.ended_by);
        }
    }

    /// Decides by clock and causes what the group gets to hear; true means give up.
    fn advance(&mut self, members: usize) -> Result<bool, Error> {
        let now = Instant::now();
        match self.phase {
            Phase::Running => {
                self.note_causes(now);
                if self.leader_done || self.ended_by.is_some() {
                    if self.leader_done {
                        self.leftovers = members;
                    }
                    signal_group(self.pgid, Signal::TERM)?;
                    let kill_at = now + self.limits.grace;
                    self.phase = Phase::Terminating { kill_at };
                }
            }
            Phase::Terminating { kill_at } if now >= kill_at => {
                signal_group(self.pgid, Signal::KILL)?;
                let give_up_at = now + KILL_TIME;
                self.phase = Phase::Killed { give_up_at };
            }
            Phase::Killed { give_up_at } if now >= give_up_at => return Ok(true),
            Phase::Terminating { .. } | Phase::Killed { .. } => {}
        }
        Ok(false)
    }

    fn note_causes(&mut self, now: Instant) {
        if self.leader_done || self.ended_by.is_some() {
            return;
        }
        if self.cancel.is_cancelled() {
            self.ended_by = Some(Cause::Cancel);
        } else if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.ended_by = Some(Cause::Wall);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => self.limits.wall.map(|wall| self.started + wall),
            Phase::Terminating { kill_at } => Some(kill_at),
            Phase::Killed { give_up_at } => Some(give_up_at),
        }
    }

    /// Waits for output, an end, a cancellation or the next deadline.
    fn poll(&mut self, leader: &Leader, members: &[OwnedFd]) -> Result<(), Error> {
        let timeout = self
            .deadline()
            .map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        if !self.leader_done {
            fds.push(PollFd::new(&leader.pidfd, PollFlags::IN));
        }
        if matches!(self.phase, Phase::Running) {
            fds.push(PollFd::from_borrowed_fd(self.cancel.fd(), PollFlags::IN));
        }
        for fd in members {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        for pipe in &self.output.pipes {
            fds.push(PollFd::new(&pipe.reader, PollFlags::IN));
        }
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::watch("cannot wait for a child")(errno)),
        }
        if !self.leader_done {
            self.leader_done = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        }
        Ok(())
    }

    fn exit(&self, status: Option<ExitStatus>) -> Exit {
        match &self.ended_by {
            Some(Cause::Wall) => Exit::TimedOut,
            Some(Cause::Cancel) => Exit::Cancelled,
            Some(Cause::OutputLimit) => Exit::OutputLimit,
            Some(Cause::Sink(_)) | None => {
                let by_signal = || status.and_then(|status| status.signal()).unwrap_or(9);
                match status.and_then(|status| status.code()) {
                    Some(code) => Exit::Exited(code),
                    None => Exit::Signaled(by_signal()),
                }
            }
        }
    }
}

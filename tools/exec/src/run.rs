//! Running a command: one loop over its output, its end, its limits and its group.

use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags};
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::cancel::timespec;
use crate::group::{live_members, pid, signal_group, watch_members};
use crate::transcript::TranscriptWriter;
use crate::{Cancel, Command, Error, Group, Lease, Limits, Streams, TranscriptSummary};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal nobody here sent.
    Signaled(i32),
    /// Ended here: the wall limit was reached.
    TimedOut,
    /// Ended here: somebody asked.
    Cancelled,
    /// Ended here: it wrote more than it may.
    OutputLimit,
}

impl Exit {
    /// Whether the command ended by itself with status 0.
    pub fn success(self) -> bool {
        self == Exit::Exited(0)
    }
}

/// A command from its start to the end of its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How the leader ended.
    pub exit: Exit,
    /// From start until the group was gone.
    pub duration: Duration,
    /// Bytes read from stdout (from both streams under [`Streams::Joined`]).
    pub stdout_bytes: u64,
    /// Bytes read from stderr.
    pub stderr_bytes: u64,
    /// What the sink received.
    pub transcript: TranscriptSummary,
    /// Processes of the group that outlived the leader and had to be ended.
    pub leftovers: usize,
    /// Processes that even SIGKILL did not end in time.
    pub survivors: Vec<u32>,
}

/// How far a running command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes the sink has received.
    pub bytes: u64,
    /// Lines the sink has received.
    pub lines: u64,
    /// Since the start.
    pub elapsed: Duration,
}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Reports a new group before it is waited for; an error ends the group.
pub type OnSpawn<'a> = &'a mut dyn FnMut(&Group) -> io::Result<()>;

/// Who watches a command and what it holds while it runs.
pub struct Supervision<'a> {
    /// Ends the command when it is set.
    pub cancel: &'a Cancel,
    /// A lease the whole group inherits.
    pub lease: Option<&'a Lease>,
    /// Where line stamps come from; without it lines are not stamped.
    pub clock: Option<&'a dyn Fn() -> SystemTime>,
    /// Called once, before anything is waited for.
    pub on_spawn: Option<OnSpawn<'a>>,
    /// Called whenever output has been written.
    pub on_progress: Option<&'a mut dyn FnMut(Progress)>,
}

impl<'a> Supervision<'a> {
    /// Only a cancellation.
    pub fn new(cancel: &'a Cancel) -> Supervision<'a> {
        Supervision {
            cancel,
            lease: None,
            clock: None,
            on_spawn: None,
            on_progress: None,
        }
    }
}

/// Runs `command` to the end of its process group and writes its output to `sink`.
///
/// A command that fails, is cancelled or hits a limit is an [`Outcome`]; an [`Error`] means it
/// could not be started, watched or recorded, and then nothing of it is left running.
pub fn run(
    command: &Command,
    sink: &mut dyn Write,
    supervision: Supervision<'_>,
) -> Result<Outcome, Error> {
    let Supervision {
        cancel,
        lease,
        clock,
        on_spawn,
        mut on_progress,
    } = supervision;
    let started = Instant::now();
    let mut transcript = TranscriptWriter::new(sink, clock);
    let mut write = |_: Stream, bytes: &[u8]| {
        transcript.write(bytes)?;
        if let Some(on_progress) = &mut on_progress {
            on_progress(Progress {
                bytes: transcript.bytes(),
                lines: transcript.lines(),
                elapsed: started.elapsed(),
            });
        }
        Ok(())
    };
    let ended = supervise(command, cancel, lease, on_spawn, &mut write)?;
    let transcript = transcript.finish().map_err(Error::Sink)?;
    Ok(ended.outcome(transcript))
}

/// The output of a small command in memory.
#[derive(Clone, Debug)]
pub struct Captured {
    /// How it went; its transcript is that of both streams in order of arrival.
    pub outcome: Outcome,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Runs a command whose output is wanted as a value, each stream by itself. Give it an
/// `output_limit`: the output is held in memory.
pub fn capture(command: &Command, cancel: &Cancel) -> Result<Captured, Error> {
    let mut command = command.clone();
    command.streams = Streams::Separate;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut nowhere = io::sink();
    let mut transcript = TranscriptWriter::new(&mut nowhere, None);
    let mut write = |stream: Stream, bytes: &[u8]| {
        match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        }
        transcript.write(bytes)
    };
    let ended = supervise(&command, cancel, None, None, &mut write)?;
    let transcript = transcript.finish().map_err(Error::Sink)?;
    Ok(Captured {
        outcome: ended.outcome(transcript),
        stdout,
        stderr,
    })
}

/// Receives bytes by stream.
type Write1<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> io::Result<()>;

struct Ended {
    exit: Exit,
    duration: Duration,
    stdout_bytes: u64,
    stderr_bytes: u64,
    leftovers: usize,
    survivors: Vec<u32>,
}

impl Ended {
    fn outcome(self, transcript: TranscriptSummary) -> Outcome {
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

fn supervise(
    command: &Command,
    cancel: &Cancel,
    lease: Option<&Lease>,
    on_spawn: Option<OnSpawn<'_>>,
    write: Write1<'_>,
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

/// Spawns of this process, one after the other: a lease's descriptor is inheritable only while its
/// own child starts, and no other child may start then.
static SPAWNING: Mutex<()> = Mutex::new(());

fn spawn(
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
struct Leader {
    child: Child,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Leader {
    fn new(mut child: Child) -> Result<Leader, Error> {
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

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// Collects the leader's status; a leader that even SIGKILL does not end is left behind.
    fn reap(&mut self, survivors: &[u32]) -> Result<Option<ExitStatus>, Error> {
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

/// Why the group is being ended, when it did not end by itself.
enum Cause {
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
    fn until_gone(&mut self, leader: &Leader, write: Write1<'_>) -> Result<Vec<u32>, Error> {
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

struct Pipe {
    stream: Stream,
    reader: PipeReader,
}

/// The reading ends that are still open, and how much came through them.
struct Output {
    pipes: Vec<Pipe>,
    limit: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    buffer: Vec<u8>,
}

/// After the group has gone only what the pipe still holds is ours; a process that left the group
/// may keep writing for ever. Linux lets an unprivileged pipe hold 1 MiB (pipe(7)).
const DRAIN_READS: usize = 32;

impl Output {
    fn new(pipes: Vec<(Stream, PipeReader)>, limit: Option<u64>) -> Result<Output, Error> {
        for (_, reader) in &pipes {
            // The flag belongs to our end alone; the child's end keeps blocking.
            rustix::fs::fcntl_setfl(reader.as_fd(), OFlags::NONBLOCK)
                .map_err(Error::watch("cannot prepare a pipe"))?;
        }
        let pipes = pipes.into_iter();
        Ok(Output {
            pipes: pipes
                .map(|(stream, reader)| Pipe { stream, reader })
                .collect(),
            limit: limit.unwrap_or(u64::MAX),
            stdout_bytes: 0,
            stderr_bytes: 0,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Reads each open pipe once; says whether any of them had something.
    fn read_ready(&mut self, write: Write1<'_>, ended_by: &mut Option<Cause>) -> bool {
        let mut any = false;
        let mut open = Vec::new();
        for mut pipe in std::mem::take(&mut self.pipes) {
            match pipe.reader.read(&mut self.buffer) {
                Ok(0) => continue,
                Ok(count) => {
                    any = true;
                    self.accept(pipe.stream, count, write, ended_by);
                }
                Err(error) if is_retry(&error) => {}
                // A broken pipe object is as good as its end.
                Err(_) => continue,
            }
            open.push(pipe);
        }
        self.pipes = open;
        any
    }

    fn drain(&mut self, write: Write1<'_>, ended_by: &mut Option<Cause>) {
        for _ in 0..DRAIN_READS {
            if !self.read_ready(write, ended_by) {
                return;
            }
        }
    }

    fn accept(
        &mut self,
        stream: Stream,
        count: usize,
        write: Write1<'_>,
        ended_by: &mut Option<Cause>,
    ) {
        let room = self
            .limit
            .saturating_sub(self.stdout_bytes + self.stderr_bytes);
        match stream {
            Stream::Stdout => self.stdout_bytes += count as u64,
            Stream::Stderr => self.stderr_bytes += count as u64,
        }
        let kept = usize::try_from(room).map_or(count, |room| room.min(count));
        if matches!(ended_by, Some(Cause::Sink(_))) {
            return;
        }
        if let Err(error) = write(stream, &self.buffer[..kept]) {
            *ended_by = Some(Cause::Sink(error));
        } else if kept < count && ended_by.is_none() {
            *ended_by = Some(Cause::OutputLimit);
        }
    }
}

fn is_retry(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

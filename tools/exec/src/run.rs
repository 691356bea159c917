//! Running a command: what is asked, what is watched, what comes of it.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::supervise::supervise;
use crate::transcript::TranscriptWriter;
use crate::{Cancel, Command, Error, Group, Lease, Streams, TranscriptSummary};

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

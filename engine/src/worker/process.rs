//! The plumbing of a child process: pipes, end, status.

use std::io::{self, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{Frame, read_frame};
use super::protocol::{Answer, MAX_LINE};

/// How long a process that has closed its stdout may take to be gone.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// What the worker's stdout brought.
pub(super) enum Incoming {
    Answer(Box<Answer>),
    Garbage(String),
    End,
}

/// Writes request lines until nobody sends any or the worker closes its stdin.
pub(super) fn write_requests(mut stdin: ChildStdin, lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

/// Turns stdout lines into answers until the end or the first line that is none. What comes after such a line is thrown
/// away: a pipe that closes would let the worker end by itself before it is killed for that line.
pub(super) fn read_answers(stdout: ChildStdout, sender: &SyncSender<Incoming>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let incoming = match read_frame(&mut stdout, MAX_LINE) {
            Ok(Frame::Line(line)) => match serde_json::from_slice(&line) {
                Ok(answer) => Incoming::Answer(Box::new(answer)),
                Err(error) => Incoming::Garbage(format!(
                    "no answer ({error}): {}",
                    String::from_utf8_lossy(line.get(..120).unwrap_or(&line))
                )),
            },
            Ok(Frame::TooLong(bytes)) => Incoming::Garbage(format!("a line of {bytes} B")),
            Ok(Frame::End) => Incoming::End,
            Err(error) => Incoming::Garbage(error.to_string()),
        };
        let (end, garbage) = (
            matches!(incoming, Incoming::End),
            matches!(incoming, Incoming::Garbage(_)),
        );
        if sender.send(incoming).is_err() || end {
            return;
        }
        if garbage {
            let _ = io::copy(&mut stdout, &mut io::sink());
            return;
        }
    }
}

/// Waits for the process to be gone; kills it at once or when it lingers.
pub(super) fn reap(child: &mut Child, kill: bool) -> Option<ExitStatus> {
    if kill {
        // Fails only when the process has already ended.
        let _ = child.kill();
        return child.wait().ok();
    }
    // std has no timed wait; the pipe's end precedes the exit by next to nothing, so this seldom turns twice.
    let deadline = Instant::now() + EXIT_GRACE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => thread::park_timeout(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
    let _ = child.kill();
    child.wait().ok()
}

#[cfg(unix)]
pub(super) fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
pub(super) fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}

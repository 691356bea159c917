//! The reading ends of a group's pipes.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;

use rustix::fs::OFlags;

use crate::Error;
use crate::run::Stream;
use crate::supervise::Cause;

/// Receives bytes by stream.
pub(crate) type Receive<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> io::Result<()>;

pub(crate) struct Pipe {
    stream: Stream,
    pub(crate) reader: PipeReader,
}

/// The reading ends that are still open, and how much came through them.
pub(crate) struct Output {
    pub(crate) pipes: Vec<Pipe>,
    limit: u64,
    pub(crate) stdout_bytes: u64,
    pub(crate) stderr_bytes: u64,
    buffer: Vec<u8>,
}

/// After the group has gone only what the pipe still holds is ours; a process that left the group
/// may keep writing for ever. Linux lets an unprivileged pipe hold 1 MiB (pipe(7)).
const DRAIN_READS: usize = 32;

impl Output {
    pub(crate) fn new(
        pipes: Vec<(Stream, PipeReader)>,
        limit: Option<u64>,
    ) -> Result<Output, Error> {
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
    pub(crate) fn read_ready(&mut self, write: Receive<'_>, ended_by: &mut Option<Cause>) -> bool {
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

    pub(crate) fn drain(&mut self, write: Receive<'_>, ended_by: &mut Option<Cause>) {
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
        write: Receive<'_>,
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

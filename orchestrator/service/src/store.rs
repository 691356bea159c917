//! Logs on their way into the evidence store.

use std::io::{self, Read, Write};

use attest::digest::Digest;
use ci::{LogSink, Sink};
use discipline::model::LogRef;
use markers::{Catalogue, Scan, Scanner};
use state::{EvidenceStore, LogEntry, LogWriter};

use crate::ServiceError;
use crate::shared::Shared;

/// End of a transcript that messages are taken from.
const TAIL: usize = 32 << 10;

/// Logs of a run go into the evidence store.
pub(crate) struct Store<'a>(pub(crate) &'a EvidenceStore);

struct StoreLog(LogWriter);

impl Sink for Store<'_> {
    fn open(&mut self, _cell: &str) -> io::Result<Box<dyn LogSink + '_>> {
        let writer = self.0.log_writer().map_err(other)?;
        Ok(Box::new(StoreLog(writer)))
    }

    fn blob(&mut self, bytes: &mut dyn Read) -> io::Result<Digest> {
        let mut writer = self.0.blob_writer().map_err(other)?;
        io::copy(bytes, &mut writer)?;
        writer.finish().map_err(other)
    }
}

impl Write for StoreLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl LogSink for StoreLog {
    fn close(self: Box<Self>, complete: bool) -> io::Result<LogRef> {
        let entry = self.0.finish().map_err(other)?;
        Ok(log_ref(entry, complete))
    }
}

fn other(error: state::Error) -> io::Error {
    io::Error::other(error.to_string())
}

fn log_ref(entry: LogEntry, complete: bool) -> LogRef {
    LogRef {
        log_id: entry.digest,
        bytes: entry.bytes,
        lines: entry.lines,
        complete,
    }
}

/// A transcript on its way into the store, scanned in passing, its end kept for messages.
pub(crate) struct Transcript<'a> {
    writer: LogWriter,
    scanner: Scanner<'a>,
    tail: Vec<u8>,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(
        shared: &Shared,
        catalogue: &'a Catalogue,
    ) -> Result<Transcript<'a>, ServiceError> {
        Ok(Transcript {
            writer: shared.evidence.log_writer()?,
            scanner: Scanner::new(catalogue),
            tail: Vec::new(),
        })
    }

    pub(crate) fn close(self, complete: bool) -> Result<(LogRef, Scan, String), ServiceError> {
        let entry = self.writer.finish()?;
        let log = log_ref(entry, complete);
        let tail = String::from_utf8_lossy(&self.tail)
            .lines()
            .map(unstamped)
            .collect::<Vec<_>>()
            .join("\n");
        Ok((log, self.scanner.finish(), tail))
    }
}

/// A line without the stamp that [`exec::format_stamp`] put in front of it.
fn unstamped(line: &str) -> &str {
    const STAMP: usize = "2000-01-01T00:00:00.0000000Z ".len();
    match line.get(..STAMP) {
        Some(stamp) if stamp.ends_with("Z ") => &line[STAMP..],
        _ => line,
    }
}

impl Write for Transcript<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write_all(bytes)?;
        self.scanner.push(bytes);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

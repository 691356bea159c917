//! Which bytes of a job's log are which step's, where the archive proves it.

use std::io::{self, Read, Seek, Write};

use serde::{Deserialize, Serialize};

use super::Spool;
use super::model::WorkflowJob;
use crate::archive::{Archive, JobEntries};

/// Bytes of one step in its job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpan {
    /// Position, from 1.
    pub number: u32,
    /// Name.
    pub name: String,
    /// First byte.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
}

/// A mark that a file may begin with and that stands once in the whole log.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Lays the step files along the job's log. Where they do not cover it byte by byte, nothing is
/// said: the job's log stays the truth.
pub(super) fn spans<R: Read + Seek>(
    archive: &mut Archive<R>,
    entries: &JobEntries,
    job: &WorkflowJob,
    log: &Spool,
) -> io::Result<Option<Vec<StepSpan>>> {
    let mut reader = log.reader()?;
    let mut at = 0;
    let mut spans = Vec::new();
    for (number, entry) in &entries.steps {
        let mut compare = Compare {
            log: &mut reader,
            first: true,
            matched: 0,
            differs: false,
        };
        if archive.copy(*entry, &mut compare).is_err() || compare.differs {
            return Ok(None);
        }
        let name = job.steps.iter().find(|step| step.number == *number);
        let end = at + compare.matched;
        spans.push(StepSpan {
            number: *number,
            name: name.map(|step| step.name.clone()).unwrap_or_default(),
            byte_start: at,
            byte_end: end,
        });
        at = end;
    }
    Ok((at == log.bytes() && !spans.is_empty()).then_some(spans))
}

/// Compares what is written with what the log has next.
struct Compare<'a, R> {
    log: &'a mut R,
    first: bool,
    matched: u64,
    differs: bool,
}

impl<R: Read + Seek> Write for Compare<'_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wanted = bytes;
        if std::mem::take(&mut self.first) {
            // The log has the mark at its very start only, a step file always.
            let here = self.log.stream_position()?;
            if here > 0
                && let Some(rest) = bytes.strip_prefix(BOM)
            {
                wanted = rest;
            }
        }
        let mut there = vec![0; wanted.len()];
        match self.log.read_exact(&mut there) {
            Ok(()) if there == wanted => self.matched += wanted.len() as u64,
            Ok(()) => self.differs = true,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.differs = true,
            Err(error) => return Err(error),
        }
        match self.differs {
            true => Err(io::Error::other("the step differs from the job's log")),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

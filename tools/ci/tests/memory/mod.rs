//! An evidence store in memory, for every test of a source.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::rc::Rc;

use attest::digest::Digest;
use ci::{LogSink, Sink};
use discipline::model::LogRef;

type Shelf = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

/// Logs and blobs by digest, and which log each cell closed last; a log appears when it is closed, and
/// not before.
#[derive(Default, Clone)]
pub(crate) struct Memory {
    pub(crate) logs: Shelf,
    pub(crate) blobs: Shelf,
    cells: Rc<RefCell<BTreeMap<String, String>>>,
}

impl Memory {
    /// The log of each cell.
    pub(crate) fn by_cell(&self) -> BTreeMap<String, Vec<u8>> {
        let logs = self.logs.borrow();
        let cells = self.cells.borrow();
        let of = |(cell, id): (&String, &String)| (cell.clone(), logs[id].clone());
        cells.iter().map(of).collect()
    }
}

struct MemoryLog {
    cell: String,
    bytes: Vec<u8>,
    all: Memory,
}

impl Sink for Memory {
    fn open(&mut self, cell: &str) -> io::Result<Box<dyn LogSink + '_>> {
        Ok(Box::new(MemoryLog {
            cell: cell.to_owned(),
            bytes: Vec::new(),
            all: self.clone(),
        }))
    }

    fn blob(&mut self, bytes: &mut dyn Read) -> io::Result<Digest> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        let digest = Digest::of(&all);
        self.blobs.borrow_mut().insert(digest.to_string(), all);
        Ok(digest)
    }
}

impl Write for MemoryLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogSink for MemoryLog {
    fn close(self: Box<Self>, complete: bool) -> io::Result<LogRef> {
        let log = LogRef {
            log_id: Digest::of(&self.bytes),
            bytes: self.bytes.len() as u64,
            lines: self.bytes.split_inclusive(|b| *b == b'\n').count() as u64,
            complete,
        };
        let id = log.log_id.to_string();
        self.all.logs.borrow_mut().insert(id.clone(), self.bytes);
        self.all.cells.borrow_mut().insert(self.cell, id);
        Ok(log)
    }
}

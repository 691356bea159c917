//! Reading along without a lock.

use std::path::{Path, PathBuf};

use super::raw::{log_path, scan};
use super::record::{self, Next, ReadAhead};
use super::{Head, Logged, decode, head, recover};
use crate::Error;
use crate::storage::{Access, RealStorage, Storage, StorageFile};

/// A journal that is only looked at. It changes nothing, and a record that is just being written is
/// simply not there yet.
#[derive(Debug)]
pub struct JournalReader {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    head: Head,
    fault: Option<&'static str>,
}

impl JournalReader {
    /// Verifies the journal of the state folder `root` as far as it goes, and against its anchor.
    pub fn open(root: &Path) -> Result<JournalReader, Error> {
        let storage = RealStorage;
        // Anchor first: a writer may go on between the two reads, and never moves back.
        let anchor = head::read(&storage, root)?;
        let path = log_path(root);
        let file = storage
            .open(&path, Access::Read)
            .map_err(Error::io("open", &path))?;
        let (chain, fault) = scan(&*file, &path)?;
        recover::check_anchor(root, &chain, fault, anchor)?;
        let head = chain.head();
        Ok(JournalReader {
            file,
            path,
            head,
            fault,
        })
    }

    /// The last whole record when it was opened.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What follows the last whole record, if not the end: a write in progress, or damage.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// The records, each verified as it is read.
    pub fn iter(&self) -> impl Iterator<Item = Result<Logged, Error>> + '_ {
        let mut at = recover::genesis();
        let mut offset = record::HEADER as u64;
        let source = ReadAhead::new(&*self.file);
        std::iter::from_fn(move || {
            if at.seq >= self.head.seq {
                return None;
            }
            let next = record::read(&source, offset, at);
            let damaged = |what| Error::Damaged {
                path: self.path.clone(),
                offset,
                seq: at.seq,
                what,
            };
            let read = match next {
                Ok(Next::Record(parsed)) => {
                    at = parsed.head;
                    offset += parsed.size;
                    return Some(decode(parsed.head, &parsed.body));
                }
                Ok(Next::End) => damaged("the file was cut"),
                Ok(Next::Fault(what)) => damaged(what),
                Err(error) => Error::io("read", &self.path)(error),
            };
            at = self.head;
            Some(Err(read))
        })
    }
}

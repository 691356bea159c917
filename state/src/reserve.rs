//! Space set aside, so that a full disk can still be told about.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::storage::{Access, Storage, is_full};

/// A file that occupies space until the journal needs it. While it is given up, the evidence store
/// takes nothing new, so that what was freed goes to decisions and not to logs.
#[derive(Debug)]
pub struct Reserve {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    bytes: u64,
    held: AtomicBool,
}

impl Reserve {
    /// Sets `bytes` aside at `path`. On a disk that has not even that, the reserve starts given up.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        bytes: u64,
    ) -> Result<Arc<Reserve>, Error> {
        let reserve = Reserve {
            storage,
            path: path.to_owned(),
            bytes,
            held: AtomicBool::new(false),
        };
        reserve.refill()?;
        Ok(Arc::new(reserve))
    }

    /// Whether the space is still set aside.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Sets the space aside again once there is room; says whether there was.
    pub fn refill(&self) -> Result<bool, Error> {
        let access = match self.storage.exists(&self.path) {
            Ok(true) => Access::Append,
            Ok(false) => Access::Create,
            Err(error) => return Err(Error::io("look for", &self.path)(error)),
        };
        let allocate = || -> io::Result<()> {
            let mut file = self.storage.open(&self.path, access)?;
            file.allocate(self.bytes)
        };
        match allocate() {
            Ok(()) => self.held.store(true, Ordering::Release),
            Err(error) if is_full(&error) => self.give_up(),
            Err(error) => return Err(Error::io("set space aside in", &self.path)(error)),
        }
        Ok(self.is_held())
    }

    /// Gives the space back to the file system.
    pub(crate) fn give_up(&self) {
        self.held.store(false, Ordering::Release);
        if let Err(error) = self.storage.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "reserve could not be given up");
        }
    }
}

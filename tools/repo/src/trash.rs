//! Old rooms on their way out: set aside at once, removed while the next one is in use.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::RepoError;

/// How often the space of the old room must be free for it to be removed behind the back of what runs. The next room
/// takes about as much as the old one: with less than twice that, what runs might miss the space.
const TIMES_FREE: u64 = 2;
/// Bytes that must be free in any case.
const SPARE: u64 = 256 << 20;

/// Nice value of the thread that removes: gates go first.
const NICE: i32 = 10;

/// The folder of old rooms, beside the rooms so that setting one aside is one rename. It holds at most one: the next
/// waits until the one before is gone.
#[derive(Debug)]
pub(crate) struct Trash {
    root: PathBuf,
    spare: u64,
    removal: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Trash {
    /// Uses `root`. What a process that was killed has left there begins to go at once.
    pub(crate) fn open(root: PathBuf) -> Trash {
        Trash::with_spare(root, SPARE)
    }

    /// The same, with other bytes that must be free.
    pub(crate) fn with_spare(root: PathBuf, spare: u64) -> Trash {
        let trash = Trash {
            root,
            spare,
            removal: Mutex::new(None),
        };
        if fs::symlink_metadata(&trash.root).is_ok() {
            trash.remove_behind();
        }
        trash
    }

    /// Takes the room away: nothing stands at its path afterwards.
    ///
    /// # Errors
    /// The room, or the one before it, cannot be removed.
    pub(crate) fn take(&self, room: &Path) -> Result<(), RepoError> {
        self.settle()?;
        match self.set_aside(room) {
            Ok(()) => {}
            // No room, another filesystem, no space for a name: the plain way says what is wrong, if anything is.
            Err(_) => return remove(room).map_err(cannot_empty(room)),
        }
        if !self.has_room_for_both(self.free()) {
            return sweep(&self.root).map_err(cannot_empty(&self.root));
        }
        self.remove_behind();
        Ok(())
    }

    /// Waits until no old room is left.
    ///
    /// # Errors
    /// One cannot be removed.
    pub(crate) fn settle(&self) -> Result<(), RepoError> {
        let removal = self.removal().take();
        let removed = removal.map(JoinHandle::join);
        match removed {
            Some(Ok(Ok(()))) => Ok(()),
            // Once more, so that the error is of now.
            _ => sweep(&self.root).map_err(cannot_empty(&self.root)),
        }
    }

    /// True when an old room may still take space.
    pub(crate) fn leaving(&self) -> bool {
        self.removal().is_some()
    }

    fn removal(&self) -> MutexGuard<'_, Option<JoinHandle<io::Result<()>>>> {
        self.removal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_aside(&self, room: &Path) -> io::Result<()> {
        fs::symlink_metadata(room)?;
        fs::create_dir_all(&self.root)?;
        // An empty folder of a fresh name, which the rename replaces.
        let aside = tempfile::Builder::new()
            .prefix("room-")
            .tempdir_in(&self.root)?;
        fs::rename(room, aside.path())?;
        let _path = aside.keep();
        Ok(())
    }

    /// Whether the disk holds what is in the trash and the next room too, with `free` bytes left.
    fn has_room_for_both(&self, free: u64) -> bool {
        free >= self.spare && !takes_more(&self.root, free / TIMES_FREE)
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.root)
            .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn remove_behind(&self) {
        let root = self.root.clone();
        let remove = move || {
            // Of this thread alone: Linux keeps a nice value per thread. Without it gates are slower, not wrong.
            let _kept = rustix::process::setpriority_process(None, NICE);
            sweep(&root)
        };
        match Builder::new().name("old-rooms".into()).spawn(remove) {
            Ok(removal) => *self.removal() = Some(removal),
            Err(error) => {
                tracing::warn!(%error, "no thread removes the old room; the next one waits for it");
            }
        }
    }
}

/// Whether what stands in a folder takes more than `bytes` of the disk; true when that cannot be told.
fn takes_more(folder: &Path, bytes: u64) -> bool {
    let mut taken: u64 = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            return true;
        };
        for entry in entries {
            let Ok(meta) = entry.and_then(|entry| {
                let meta = entry.metadata()?;
                if meta.is_dir() {
                    open.push(entry.path());
                }
                Ok(meta)
            }) else {
                return true;
            };
            // Blocks of 512 bytes, whatever the filesystem's are (stat(2)).
            taken = taken.saturating_add(meta.blocks().saturating_mul(512));
        }
        if taken > bytes {
            return true;
        }
    }
    false
}

/// Removes everything in the folder `root`, and `root` itself where it is no folder.
fn sweep(root: &Path) -> io::Result<()> {
    match fs::symlink_metadata(root) {
        Ok(meta) if !meta.is_dir() => return fs::remove_file(root),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    for entry in fs::read_dir(root)? {
        remove(&entry?.path())?;
    }
    Ok(())
}

/// Removes a folder, a link or a file with everything below it, and follows no link.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn cannot_empty(path: &Path) -> impl FnOnce(io::Error) -> RepoError {
    RepoError::io("cannot empty the room", path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder of rooms with one that is full.
    fn rooms() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (room, root) = (folder.path().join("main"), folder.path().join("trash"));
        fs::create_dir_all(room.join("target/deps")).unwrap();
        fs::write(room.join("target/deps/a.rlib"), "built").unwrap();
        (folder, room, root)
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn a_room_is_gone_at_once_and_its_space_soon() {
        let (_folder, room, root) = rooms();
        let trash = Trash::with_spare(root.clone(), 0);
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        trash.take(&room).unwrap();
        assert!(!room.exists());
        assert!(trash.leaving(), "it is removed behind the caller's back");
        trash.settle().unwrap();
        assert_eq!(nice(), before, "only the thread that removes gives way");
        assert!(!trash.leaving());
        assert_eq!(entries(&root), 0);
        trash.take(&room).unwrap();
        assert!(!trash.leaving(), "no room, nothing to remove");
    }

    #[test]
    fn a_room_that_may_be_missed_is_removed_first() {
        let (_folder, room, root) = rooms();
        let trash = Trash::with_spare(root.clone(), u64::MAX);
        trash.take(&room).unwrap();
        assert!(!trash.leaving());
        assert!(!room.exists());
        assert_eq!(entries(&root), 0);
    }

    #[test]
    fn what_a_room_takes_is_counted_with_all_that_is_below() {
        let (folder, room, _root) = rooms();
        fs::write(room.join("target/deps/big"), vec![1; 1 << 20]).unwrap();
        assert!(takes_more(folder.path(), (1 << 20) - 1));
        assert!(!takes_more(folder.path(), 2 << 20));
        assert!(takes_more(&folder.path().join("absent"), u64::MAX));
        // A file with a hole takes what is written of it.
        let hole = fs::File::create(room.join("target/hole")).unwrap();
        hole.set_len(1 << 40).unwrap();
        assert!(!takes_more(folder.path(), 2 << 20));
        let trash = Trash::with_spare(folder.path().join("trash"), 1 << 20);
        trash.set_aside(&room).unwrap();
        assert!(!trash.has_room_for_both(3 << 19), "half as much again");
        assert!(trash.has_room_for_both(4 << 20));
    }

    #[test]
    fn what_a_killed_process_has_left_goes_when_rooms_are_opened() {
        let (_folder, room, root) = rooms();
        fs::create_dir_all(&root).unwrap();
        fs::rename(&room, root.join("room-of-the-dead")).unwrap();
        fs::create_dir_all(root.join("room-not-yet-moved")).unwrap();
        let trash = Trash::open(root.clone());
        assert!(trash.leaving(), "it goes before anybody asks");
        trash.settle().unwrap();
        assert_eq!(entries(&root), 0);
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let (folder, room, root) = rooms();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        symlink(&outside, room.join("target/out")).unwrap();
        let trash = Trash::with_spare(root.clone(), 0);
        trash.take(&room).unwrap();
        trash.settle().unwrap();
        // A gate that puts a link in the place of its room, or of the trash.
        symlink(&outside, &room).unwrap();
        trash.take(&room).unwrap();
        assert!(fs::symlink_metadata(&room).is_err());
        fs::remove_dir(&root).unwrap();
        symlink(&outside, &root).unwrap();
        fs::create_dir(&room).unwrap();
        trash.take(&room).unwrap();
        trash.settle().unwrap();
        assert!(!room.exists());
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn a_removal_that_failed_is_tried_again_before_the_next() {
        let (_folder, room, root) = rooms();
        let trash = Trash::with_spare(root.clone(), 0);
        let failing = Builder::new()
            .spawn(|| Err(io::Error::other("a stuck disk")))
            .unwrap();
        *trash.removal() = Some(failing);
        fs::create_dir_all(root.join("room-1")).unwrap();
        trash.settle().unwrap();
        assert_eq!(entries(&root), 0, "what failed once is tried again");
        trash.take(&room).unwrap();
        assert!(!room.exists());
    }
}

//! What files were when a room was filled, so that a write into them is seen afterwards: those of the room one by
//! one, those that every room is filled from as a whole.
//!
//! The time of a file's last change of state (`st_ctime`) is set by the kernel alone: content that was
//! put back, and times that were set back, change it like any other write. Source: inode(7).

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{RepoError, Room};

/// Names below which cargo and rustup look for settings.
const SETTINGS: &[&str] = &[".cargo", "rust-toolchain", "rust-toolchain.toml"];

/// The files of a room's tree at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeStamp {
    files: BTreeMap<PathBuf, Seen>,
}

/// Inode, length, and time of the last change of state.
type Seen = (u64, u64, i64, i64);

impl Room {
    /// Looks at every file of the tree; links are not followed.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn stamp(&self) -> Result<TreeStamp, RepoError> {
        let root = self.tree();
        let mut stamp = TreeStamp::default();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            let entries = fs::read_dir(&folder).map_err(RepoError::io("cannot read", &folder))?;
            for entry in entries {
                let entry = entry.map_err(RepoError::io("cannot read", &folder))?;
                let path = entry.path();
                // A file that went away meanwhile is not there.
                let Ok(meta) = fs::symlink_metadata(&path) else {
                    continue;
                };
                if meta.is_dir() {
                    open.push(path);
                } else if let Ok(relative) = path.strip_prefix(&root) {
                    stamp.files.insert(relative.to_owned(), seen(&meta));
                }
            }
        }
        Ok(stamp)
    }
}

/// Folders of the daemon's own, with everything below them, at one moment. Whatever is written, added or removed there
/// makes another value; it means nothing to another process.
///
/// # Errors
/// A folder that is there cannot be read.
pub fn folders_stamp(folders: &[PathBuf]) -> Result<u64, RepoError> {
    let mut sum = 0_u64;
    let mut open: Vec<PathBuf> = folders.to_vec();
    while let Some(path) = open.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        let mut hasher = DefaultHasher::new();
        (&path, seen(&meta)).hash(&mut hasher);
        sum = sum.wrapping_add(hasher.finish());
        if meta.is_dir() {
            for entry in fs::read_dir(&path).map_err(RepoError::io("cannot read", &path))? {
                let entry = entry.map_err(RepoError::io("cannot read", &path))?;
                open.push(entry.path());
            }
        }
    }
    Ok(sum)
}

fn seen(meta: &Metadata) -> Seen {
    (meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec())
}

impl TreeStamp {
    /// Files that were written, replaced or removed since, and settings of cargo or the toolchain that
    /// were added. Other new files, such as what tests write, are none.
    #[must_use]
    pub fn changed(&self, now: &TreeStamp) -> Vec<String> {
        let touched = self
            .files
            .iter()
            .filter(|(path, seen)| now.files.get(*path) != Some(*seen));
        let added = now
            .files
            .iter()
            .filter(|(path, _)| !self.files.contains_key(*path) && is_setting(path));
        let mut changed: Vec<String> = touched
            .chain(added)
            .map(|(path, _)| path.to_string_lossy().into_owned())
            .collect();
        changed.sort();
        changed.dedup();
        changed
    }
}

fn is_setting(path: &Path) -> bool {
    path.iter()
        .any(|part| SETTINGS.iter().any(|name| part == *name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rooms;

    #[test]
    fn whatever_happens_below_a_folder_is_another_value() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let stamp = || folders_stamp(&[one.clone(), two.clone()]).unwrap();
        let mut values = vec![stamp()];
        fs::create_dir_all(one.join("deps")).unwrap();
        values.push(stamp());
        fs::write(one.join("deps/a.rlib"), "a").unwrap();
        values.push(stamp());
        assert_eq!(stamp(), stamp(), "looking changes nothing");
        fs::write(one.join("deps/a.rlib"), "b").unwrap();
        values.push(stamp());
        fs::remove_file(one.join("deps/a.rlib")).unwrap();
        values.push(stamp());
        fs::write(&two, "no folder").unwrap();
        values.push(stamp());
        let distinct: std::collections::BTreeSet<u64> = values.iter().copied().collect();
        assert_eq!(distinct.len(), values.len(), "{values:?}");
    }

    #[test]
    fn content_that_was_put_back_was_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let room = Rooms::open(folder.path()).unwrap().room("gate");
        fs::create_dir_all(room.tree().join("src")).unwrap();
        for file in ["src/lib.rs", "src/kept.rs", "src/gone.rs"] {
            fs::write(room.tree().join(file), "fn a() {}\n").unwrap();
        }
        let before = room.stamp().unwrap();
        assert_eq!(before.changed(&room.stamp().unwrap()), Vec::<String>::new());
        let file = room.tree().join("src/lib.rs");
        let times = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "fn b() {}\n").unwrap();
        fs::write(&file, "fn a() {}\n").unwrap();
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_modified(times).unwrap();
        fs::remove_file(room.tree().join("src/gone.rs")).unwrap();
        fs::write(room.tree().join("src/new.txt"), "a test wrote this").unwrap();
        fs::create_dir(room.tree().join(".cargo")).unwrap();
        fs::write(room.tree().join(".cargo/config.toml"), "[build]\n").unwrap();
        let changed = before.changed(&room.stamp().unwrap());
        assert_eq!(changed, [".cargo/config.toml", "src/gone.rs", "src/lib.rs"]);
    }
}

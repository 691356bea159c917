//! Clean rooms: the raw blobs of one tree at a stable path.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::git::oid;
use crate::trash::{Trash, remove};
use crate::{DaemonRepo, RepoError};

/// Deeper trees are refused: they are attacks on recursion, not projects.
pub(crate) const MAX_DEPTH: usize = 64;

/// The folder of all rooms.
#[derive(Debug, Clone)]
pub struct Rooms {
    root: PathBuf,
    trash: Arc<Trash>,
}

impl Rooms {
    /// Uses `root`, making it if need be. Old rooms that a killed process has left begin to go.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: &Path) -> Result<Rooms, RepoError> {
        fs::create_dir_all(root).map_err(RepoError::io("cannot create", root))?;
        Ok(Rooms {
            root: root.to_owned(),
            trash: Arc::new(Trash::open(root.join("trash"))),
        })
    }

    /// The room of a slot such as `gate` or `run`. Its path never changes, so caches hold.
    #[must_use]
    pub fn room(&self, slot: &str) -> Room {
        Room {
            root: self.root.join(slot),
            trash: Arc::clone(&self.trash),
        }
    }

    /// Folder that keeps seeds.
    #[must_use]
    pub fn seeds(&self) -> PathBuf {
        self.root.join("seeds")
    }

    /// Waits until no old room takes space or time any more.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn settle(&self) -> Result<(), RepoError> {
        self.trash.settle()
    }
}

/// One clean room: `tree/` (files), `target/` (what cargo builds), `home/` (scratch).
#[derive(Debug, Clone)]
pub struct Room {
    root: PathBuf,
    trash: Arc<Trash>,
}

impl Room {
    /// The files of the tree.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Where cargo builds.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// HOME of what runs here.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Empties the room and writes the raw blobs of `tree` into it.
    ///
    /// # Errors
    /// The tree is not in `repo`, holds a path that must not be written, or the disk says no.
    pub fn fill(&self, repo: &DaemonRepo, tree: &str) -> Result<(), RepoError> {
        self.clear()?;
        self.with_space(|| {
            remove(&self.root).map_err(RepoError::io("cannot empty the room", &self.root))?;
            self.write(repo, tree)
        })
    }

    fn write(&self, repo: &DaemonRepo, tree: &str) -> Result<(), RepoError> {
        for folder in [self.tree(), self.home()] {
            fs::create_dir_all(&folder).map_err(RepoError::io("cannot create", &folder))?;
        }
        let objects = repo.objects()?;
        let root = objects
            .find_tree(oid(tree)?)
            .map_err(RepoError::objects("cannot read the tree"))?;
        write_tree(&objects, &root, &self.tree(), Path::new(""), 0)
    }

    /// Lays files of another tree over this one, at the same paths.
    ///
    /// # Errors
    /// A file is not in that tree, or is not a regular file there.
    pub fn overlay(
        &self,
        repo: &DaemonRepo,
        tree: &str,
        files: &[String],
    ) -> Result<(), RepoError> {
        let objects = repo.objects()?;
        let root = objects
            .find_tree(oid(tree)?)
            .map_err(RepoError::objects("cannot read the tree"))?;
        for file in files {
            self.overlay_file(&objects, &root, file)?;
        }
        Ok(())
    }

    fn overlay_file(
        &self,
        objects: &git2::Repository,
        root: &git2::Tree<'_>,
        file: &str,
    ) -> Result<(), RepoError> {
        let refuse = |reason| RepoError::UnsafePath {
            path: file.escape_default().to_string(),
            reason,
        };
        let mut path = PathBuf::new();
        for component in Path::new(file).components() {
            match component {
                Component::Normal(name) => path.push(check_name(name, Path::new(file))?),
                _ => return Err(refuse("is not a plain relative path")),
            }
        }
        let entry = root
            .get_path(&path)
            .map_err(|_| refuse("is not in the head tree"))?;
        if !matches!(entry.filemode(), 0o100_644 | 0o100_755) {
            return Err(refuse("is not a regular file"));
        }
        let blob = objects
            .find_blob(entry.id())
            .map_err(RepoError::objects("cannot read a blob"))?;
        let mut parent = self.tree();
        for folder in path.parent().unwrap_or(Path::new("")).components() {
            parent.push(folder);
            match fs::symlink_metadata(&parent) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Err(refuse("lies below something that is not a folder")),
                Err(_) => {
                    fs::create_dir(&parent).map_err(RepoError::io("cannot create", &parent))?;
                }
            }
        }
        let target = self.tree().join(&path);
        if fs::symlink_metadata(&target).is_ok() {
            fs::remove_file(&target).map_err(RepoError::io("cannot replace", &target))?;
        }
        write_file(&target, blob.content(), entry.filemode() == 0o100_755)
    }

    /// Writes a generated file, such as a canary; it must not exist yet.
    ///
    /// # Errors
    /// It exists, or cannot be written.
    pub fn add_file(&self, path: &str, content: &[u8]) -> Result<(), RepoError> {
        let target = self.tree().join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(RepoError::io("cannot create", parent))?;
        }
        write_file(&target, content, false)
    }

    /// Takes away everything in the room. The space is given back while the room is used again, or before that where
    /// the disk is short of it.
    ///
    /// # Errors
    /// Something cannot be removed, here or in the room before.
    pub fn clear(&self) -> Result<(), RepoError> {
        self.trash.take(&self.root)
    }

    /// Does what writes into the room, and once more from its start where the disk is full and an old room still takes
    /// space.
    pub(crate) fn with_space<T>(
        &self,
        mut write: impl FnMut() -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        match write() {
            Err(error) if error.is_disk_full() && self.trash.leaving() => {
                self.trash.settle()?;
                write()
            }
            done => done,
        }
    }
}

fn write_tree(
    objects: &git2::Repository,
    tree: &git2::Tree<'_>,
    folder: &Path,
    relative: &Path,
    depth: usize,
) -> Result<(), RepoError> {
    for entry in tree {
        let name = OsStr::from_bytes(entry.name_bytes());
        let path = relative.join(check_name(name, relative)?);
        let refuse = |reason| RepoError::UnsafePath {
            path: path.to_string_lossy().escape_default().to_string(),
            reason,
        };
        let target = folder.join(name);
        match entry.filemode() {
            0o040_000 if depth >= MAX_DEPTH => return Err(refuse("is nested too deeply")),
            0o040_000 => {
                // Not `create_dir_all`: a second entry of the same name must fail, not merge.
                fs::create_dir(&target).map_err(RepoError::io("cannot create", &target))?;
                let child = objects
                    .find_tree(entry.id())
                    .map_err(RepoError::objects("cannot read a tree"))?;
                write_tree(objects, &child, &target, &path, depth + 1)?;
            }
            mode @ (0o100_644 | 0o100_664 | 0o100_755) => {
                let blob = objects
                    .find_blob(entry.id())
                    .map_err(RepoError::objects("cannot read a blob"))?;
                write_file(&target, blob.content(), mode == 0o100_755)?;
            }
            0o120_000 => {
                let blob = objects
                    .find_blob(entry.id())
                    .map_err(RepoError::objects("cannot read a blob"))?;
                let link = Path::new(OsStr::from_bytes(blob.content()));
                if !stays_inside(relative, link) {
                    return Err(refuse("is a link that leaves the tree"));
                }
                symlink(link, &target).map_err(RepoError::io("cannot link", &target))?;
            }
            0o160_000 => {
                fs::create_dir(&target).map_err(RepoError::io("cannot create", &target))?;
            }
            _ => return Err(refuse("has a mode that git does not know")),
        }
    }
    Ok(())
}

fn check_name<'a>(name: &'a OsStr, relative: &Path) -> Result<&'a OsStr, RepoError> {
    let bytes = name.as_bytes();
    let special = bytes.is_empty() || bytes == b"." || bytes == b"..";
    if special || bytes.contains(&b'/') || bytes.eq_ignore_ascii_case(b".git") {
        return Err(RepoError::UnsafePath {
            path: relative
                .join(name)
                .to_string_lossy()
                .escape_default()
                .to_string(),
            reason: "is no name of a file",
        });
    }
    Ok(name)
}

/// Whether a link in folder `relative` points below the root, however it is followed. Links
/// through other links are counted by their text: each of them is checked the same way.
fn stays_inside(relative: &Path, link: &Path) -> bool {
    let mut depth = relative.components().count();
    for component in link.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    // `dir/link/..` may resolve elsewhere when `link` is itself a link, so no `..` may follow a name.
    let mut seen_name = false;
    link.components().all(|component| {
        let parent = component == Component::ParentDir;
        seen_name |= matches!(component, Component::Normal(_));
        !(parent && seen_name)
    })
}

fn write_file(target: &Path, content: &[u8], executable: bool) -> Result<(), RepoError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(target)?;
        file.write_all(content)
    };
    write().map_err(RepoError::io("cannot write", target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_may_not_leave() {
        let check = |folder: &str, link: &str| stays_inside(Path::new(folder), Path::new(link));
        assert!(check("", "a/b"));
        assert!(check("x/y", "../../a"));
        assert!(!check("x", "../../a"));
        assert!(!check("", "/etc/passwd"));
        assert!(!check("x", "a/../../.."));
        assert!(!check("x/y", "a/.."), "a may be a link itself");
    }

    #[test]
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn a_full_disk_is_tried_again_once_the_old_room_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room {
            root: folder.path().join("main"),
            trash: Arc::new(Trash::with_spare(folder.path().join("trash"), 0)),
        };
        let full = || RepoError::io("cannot write", "x")(std::io::ErrorKind::StorageFull.into());
        fs::create_dir_all(room.target()).unwrap();
        room.clear().unwrap();
        let mut tries = 0;
        let left = room.with_space(|| {
            tries += 1;
            match tries {
                1 => Err(full()),
                _ => Ok(fs::read_dir(folder.path().join("trash")).unwrap().count()),
            }
        });
        assert_eq!(left.unwrap(), 0);
        assert_eq!(tries, 2);
        let again = room.with_space(|| -> Result<(), _> { Err(full()) });
        assert!(again.is_err(), "nothing is left that could give space");
    }
}

//! Opening repositories and reading single objects.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use discipline::diff::FileMode;
use git2::{ObjectType, Oid, Repository, RepositoryOpenFlags};

use crate::GitReadError;
use crate::object::{CommitInfo, RawEntry, TreeEntry, is_object_id, parse_commit, parse_tree};

/// Largest blob read where the caller names no cap, in bytes.
pub const MAX_BLOB_BYTES: u64 = 16 << 20;
/// Id of the tree without entries, which git knows without storing it.
pub const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

pub(crate) const MAX_COMMIT_BYTES: u64 = 1 << 20;
const MAX_TREE_BYTES: u64 = 16 << 20;
const MAX_TREE_ENTRIES: u64 = 1_000_000;
const MAX_TREE_DEPTH: u64 = 128;

/// A repository, open for reading.
pub struct GitReader {
    pub(crate) repository: Repository,
}

impl std::fmt::Debug for GitReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GitReader({})", self.git_dir().display())
    }
}

impl GitReader {
    /// Opens the repository at `path`: a bare one, a work tree's root, or its `.git`.
    ///
    /// # Errors
    /// When there is none at exactly this path, or another user owns it.
    pub fn open(path: &Path) -> Result<Self, GitReadError> {
        let flags = RepositoryOpenFlags::NO_SEARCH;
        let no_ceilings: [&Path; 0] = [];
        Repository::open_ext(path, flags, no_ceilings)
            .map(|repository| Self { repository })
            .map_err(|error| GitReadError::Open {
                path: path.display().to_string(),
                detail: error.message().to_owned(),
            })
    }

    /// Opens the repository a hook runs for, with the objects of the push that is being received
    /// (githooks(5), "pre-receive"; git-receive-pack(1), "QUARANTINE ENVIRONMENT").
    ///
    /// # Errors
    /// When `GIT_DIR` is missing or one of the variables is not usable.
    pub fn open_quarantine() -> Result<Self, GitReadError> {
        Self::open_quarantine_from(|name| std::env::var_os(name))
    }

    /// [`GitReader::open_quarantine`] with the environment as an argument.
    ///
    /// # Errors
    /// When `GIT_DIR` is missing or one of the variables is not usable.
    pub fn open_quarantine_from(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, GitReadError> {
        let git_dir = variable("GIT_DIR").ok_or_else(|| GitReadError::Environment {
            name: "GIT_DIR",
            detail: "it is not set".to_owned(),
        })?;
        let reader = Self::open(Path::new(&git_dir))?;
        let mut folders = Vec::new();
        for name in ["GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH"] {
            folders.extend(variable(name).map(|value| (name, PathBuf::from(value))));
        }
        let name = "GIT_ALTERNATE_OBJECT_DIRECTORIES";
        if let Some(list) = variable(name) {
            folders.extend(
                split_alternates(name, &list)?
                    .into_iter()
                    .map(|p| (name, p)),
            );
        }
        for (name, folder) in folders {
            let unusable = |detail: String| GitReadError::Environment { name, detail };
            let folder = folder
                .canonicalize()
                .map_err(|error| unusable(format!("{}: {error}", folder.display())))?;
            let text = folder
                .to_str()
                .ok_or_else(|| unusable("path is not utf-8".to_owned()))?;
            reader.repository.odb()?.add_disk_alternate(text)?;
        }
        Ok(reader)
    }

    /// The folder that holds `HEAD` and the refs.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        self.repository.path()
    }

    /// A value of this repository's own configuration file, such as `greenloop.policy`. The
    /// configuration of user and system is not read.
    ///
    /// # Errors
    /// When the file does not parse.
    pub fn own_config(&self, key: &str) -> Result<Option<String>, GitReadError> {
        let path = self.repository.commondir().join("config");
        let config = git2::Config::open(&path)?;
        match config.get_string(key) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an object is here.
    ///
    /// # Errors
    /// When `id` is no object id.
    pub fn has_object(&self, id: &str) -> Result<bool, GitReadError> {
        Ok(self.repository.odb()?.exists(object_id(id)?))
    }

    /// Tree, parents, identities and message of a commit.
    ///
    /// # Errors
    /// When `id` is no commit that is here.
    pub fn commit_info(&self, id: &str) -> Result<CommitInfo, GitReadError> {
        parse_commit(id, &self.raw(id, ObjectType::Commit, MAX_COMMIT_BYTES)?)
    }

    /// The tree that an object is or, for a commit, has.
    ///
    /// # Errors
    /// Missing objects, blobs and tags.
    pub fn tree_of(&self, id: &str) -> Result<String, GitReadError> {
        let (_, kind) = self.header(id)?;
        match kind {
            ObjectType::Commit => Ok(self.commit_info(id)?.tree),
            ObjectType::Tree => Ok(id.to_owned()),
            other => Err(wrong_kind(id, other, ObjectType::Tree)),
        }
    }

    /// All files below a tree, folders unfolded, sorted by path bytes.
    ///
    /// # Errors
    /// Missing or malformed trees and trees beyond the caps.
    pub fn tree_entries(&self, tree: &str) -> Result<Vec<TreeEntry>, GitReadError> {
        let mut entries = Vec::new();
        self.collect_entries(tree, b"", 0, &mut entries)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    pub(crate) fn collect_entries(
        &self,
        tree: &str,
        prefix: &[u8],
        depth: u64,
        out: &mut Vec<TreeEntry>,
    ) -> Result<(), GitReadError> {
        check_cap("depth of a tree", depth, MAX_TREE_DEPTH)?;
        for entry in self.raw_tree(tree)? {
            let path = join(prefix, &entry.name);
            match entry.mode {
                None => self.collect_entries(&entry.oid, &path, depth + 1, out)?,
                Some(mode) => out.push(TreeEntry {
                    path,
                    mode,
                    oid: entry.oid,
                }),
            }
            check_cap("number of files", out.len() as u64, MAX_TREE_ENTRIES)?;
        }
        Ok(())
    }

    pub(crate) fn raw_tree(&self, tree: &str) -> Result<Vec<RawEntry>, GitReadError> {
        if tree == EMPTY_TREE {
            return Ok(Vec::new());
        }
        parse_tree(tree, &self.raw(tree, ObjectType::Tree, MAX_TREE_BYTES)?)
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// Missing objects, other kinds, and blobs of more than `cap` bytes.
    pub fn blob(&self, id: &str, cap: u64) -> Result<Vec<u8>, GitReadError> {
        self.raw(id, ObjectType::Blob, cap)
    }

    /// Mode and object id of the file, link or submodule at `path` (escaped as in
    /// [`crate::path`]); `None` when nothing or a folder stands there.
    ///
    /// # Errors
    /// Missing or malformed trees.
    pub fn entry_at(
        &self,
        tree: &str,
        path: &str,
    ) -> Result<Option<(FileMode, String)>, GitReadError> {
        let Some(path) = crate::path::unescape(path) else {
            return Ok(None);
        };
        let mut tree = tree.to_owned();
        let mut parts = path.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let entries = self.raw_tree(&tree)?;
            let Some(entry) = entries.into_iter().find(|entry| entry.name == part) else {
                return Ok(None);
            };
            match (entry.mode, parts.peek()) {
                (Some(mode), None) => return Ok(Some((mode, entry.oid))),
                (None, Some(_)) => tree = entry.oid,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The bytes of the regular file at `path` in a tree; `None` when nothing stands there.
    ///
    /// # Errors
    /// Links and submodules (their content is elsewhere), files above [`MAX_BLOB_BYTES`].
    pub fn blob_at(&self, tree: &str, path: &str) -> Result<Option<Vec<u8>>, GitReadError> {
        let not_a_file = |found| GitReadError::NotAFile {
            path: path.to_owned(),
            found,
        };
        match self.entry_at(tree, path)? {
            None => Ok(None),
            Some((FileMode::Symlink, _)) => Err(not_a_file("symbolic link")),
            Some((FileMode::Submodule, _)) => Err(not_a_file("submodule")),
            Some((_, oid)) => self.blob(&oid, MAX_BLOB_BYTES).map(Some),
        }
    }

    pub(crate) fn raw(
        &self,
        id: &str,
        kind: ObjectType,
        cap: u64,
    ) -> Result<Vec<u8>, GitReadError> {
        // The header comes first, so that a huge object is refused before it is inflated.
        let (size, found) = self.header(id)?;
        if found != kind {
            return Err(wrong_kind(id, found, kind));
        }
        check_cap(&format!("object {id} in bytes"), size as u64, cap)?;
        let odb = self.repository.odb()?;
        let object = odb
            .read(object_id(id)?)
            .map_err(|error| missing(id, error))?;
        Ok(object.data().to_vec())
    }

    pub(crate) fn header(&self, id: &str) -> Result<(usize, ObjectType), GitReadError> {
        let odb = self.repository.odb()?;
        odb.read_header(object_id(id)?)
            .map_err(|error| missing(id, error))
    }
}

fn missing(id: &str, error: git2::Error) -> GitReadError {
    match error.code() {
        git2::ErrorCode::NotFound => GitReadError::Missing { id: id.to_owned() },
        _ => GitReadError::from(error),
    }
}

fn wrong_kind(id: &str, found: ObjectType, wanted: ObjectType) -> GitReadError {
    GitReadError::Kind {
        id: id.to_owned(),
        found: found.str().to_owned(),
        wanted: wanted.str(),
    }
}

pub(crate) fn check_cap(what: &str, size: u64, cap: u64) -> Result<(), GitReadError> {
    if size > cap {
        return Err(GitReadError::TooLarge {
            what: what.to_owned(),
            size,
            cap,
        });
    }
    Ok(())
}

pub(crate) fn object_id(text: &str) -> Result<Oid, GitReadError> {
    let refuse = || GitReadError::ObjectId {
        text: text.chars().take(80).collect(),
    };
    if !is_object_id(text) {
        return Err(refuse());
    }
    Oid::from_str(text).map_err(|_| refuse())
}

pub(crate) fn join(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    if prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// Splits git's list of alternates. Quoted entries, which git writes for paths that hold the
/// separator, are refused rather than misread.
fn split_alternates(
    name: &'static str,
    list: &std::ffi::OsStr,
) -> Result<Vec<PathBuf>, GitReadError> {
    let paths: Vec<_> = std::env::split_paths(list)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if paths
        .iter()
        .any(|path| path.to_string_lossy().starts_with('"'))
    {
        return Err(GitReadError::Environment {
            name,
            detail: "it holds a quoted path".to_owned(),
        });
    }
    Ok(paths)
}

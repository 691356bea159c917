//! A diff between two trees, read from objects and never from a work tree.

use attest::digest::Digest;
use serde::{Deserialize, Serialize};

/// Git's file modes that can stand in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// `100644`
    Regular,
    /// `100755`
    Executable,
    /// `120000`
    Symlink,
    /// `160000`
    Submodule,
}

/// One side of a changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSide {
    /// Mode in the tree.
    pub mode: FileMode,
    /// Object id, 40 hex digits.
    pub oid: String,
    /// Content; empty for submodules. Reading stops with an error above the reader's cap.
    pub content: Vec<u8>,
}

/// One path that differs between the two trees. Renames are a deletion and an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Path from the root. Bytes that are not UTF-8 are escaped as `\xNN`, and `\` as `\\`.
    pub path: String,
    /// True when the path had to be escaped.
    pub path_escaped: bool,
    /// Base side; `None` for an added file.
    pub old: Option<FileSide>,
    /// Head side; `None` for a deleted file.
    pub new: Option<FileSide>,
}

/// Everything that differs between two trees, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Base tree id.
    pub base_tree: String,
    /// Head tree id.
    pub head_tree: String,
    /// Changed paths.
    pub files: Vec<FileChange>,
}

/// The part of a change that its digest covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedPath {
    /// Path as in [`FileChange::path`].
    pub path: String,
    /// Base mode and object id.
    pub old: Option<(FileMode, String)>,
    /// Head mode and object id.
    pub new: Option<(FileMode, String)>,
}

impl Diff {
    /// Paths, modes and object ids: what [`Diff::digest`] covers.
    #[must_use]
    pub fn changed_paths(&self) -> Vec<ChangedPath> {
        let side = |s: &Option<FileSide>| s.as_ref().map(|s| (s.mode, s.oid.clone()));
        self.files
            .iter()
            .map(|f| ChangedPath {
                path: f.path.clone(),
                old: side(&f.old),
                new: side(&f.new),
            })
            .collect()
    }

    /// Digest over the canonical list of changed paths.
    ///
    /// # Errors
    /// When a path cannot be encoded canonically.
    pub fn digest(&self) -> Result<Digest, attest::json::JsonError> {
        Ok(Digest::of(&attest::json::canonical(&self.changed_paths())?))
    }
}

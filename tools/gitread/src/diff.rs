//! The difference between two trees, by our own walk over both.

use std::collections::BTreeMap;

use discipline::diff::{Diff, FileChange, FileMode, FileSide};

use crate::object::RawEntry;
use crate::path::escape;
use crate::reader::{EMPTY_TREE, MAX_BLOB_BYTES, check_cap, join};
use crate::{GitReadError, GitReader};

/// How much a diff may hold before reading stops with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffCaps {
    /// Changed paths.
    pub files: u64,
    /// Bytes of one side of one file.
    pub blob_bytes: u64,
    /// Bytes of all sides together.
    pub total_bytes: u64,
}

impl Default for DiffCaps {
    fn default() -> Self {
        Self {
            files: 10_000,
            blob_bytes: MAX_BLOB_BYTES,
            total_bytes: 256 << 20,
        }
    }
}

/// Mode and object id of one side.
type Side = Option<(FileMode, String)>;
/// Changed paths (raw bytes) with both sides.
type Changes = BTreeMap<Vec<u8>, (Side, Side)>;

impl GitReader {
    /// Everything that differs between two trees, with contents, under [`DiffCaps::default`].
    /// [`EMPTY_TREE`] may stand for the base of a first commit.
    ///
    /// # Errors
    /// Missing or malformed objects, and diffs beyond the caps.
    pub fn diff_trees(&self, base_tree: &str, head_tree: &str) -> Result<Diff, GitReadError> {
        self.diff_trees_within(base_tree, head_tree, DiffCaps::default())
    }

    /// [`GitReader::diff_trees`] under other caps.
    ///
    /// # Errors
    /// Missing or malformed objects, and diffs beyond the caps.
    pub fn diff_trees_within(
        &self,
        base_tree: &str,
        head_tree: &str,
        caps: DiffCaps,
    ) -> Result<Diff, GitReadError> {
        let mut bytes_left = caps.total_bytes;
        let mut files = Vec::new();
        for (path, (old, new)) in self.changes(base_tree, head_tree, caps.files)? {
            let (path, path_escaped) = escape(&path);
            files.push(FileChange {
                path,
                path_escaped,
                old: self.load(old, caps, &mut bytes_left)?,
                new: self.load(new, caps, &mut bytes_left)?,
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Diff {
            base_tree: base_tree.to_owned(),
            head_tree: head_tree.to_owned(),
            files,
        })
    }

    /// Escaped paths that differ between the trees of two commits, sorted.
    ///
    /// # Errors
    /// Missing or malformed objects, and more changed paths than [`DiffCaps::default`] allows.
    pub fn files_changed_between(
        &self,
        base_commit: &str,
        head_commit: &str,
    ) -> Result<Vec<String>, GitReadError> {
        let base = self.commit_info(base_commit)?.tree;
        let head = self.commit_info(head_commit)?.tree;
        let changes = self.changes(&base, &head, DiffCaps::default().files)?;
        let mut paths: Vec<_> = changes.keys().map(|path| escape(path).0).collect();
        paths.sort();
        Ok(paths)
    }

    fn changes(&self, base: &str, head: &str, cap: u64) -> Result<Changes, GitReadError> {
        let mut changes = Changes::new();
        self.compare([base, head], b"", 0, &mut changes, cap)?;
        Ok(changes)
    }

    fn compare(
        &self,
        trees: [&str; 2],
        prefix: &[u8],
        depth: u64,
        changes: &mut Changes,
        cap: u64,
    ) -> Result<(), GitReadError> {
        if trees[0] == trees[1] {
            return Ok(());
        }
        check_cap("depth of a tree", depth, 128)?;
        let mut names: BTreeMap<Vec<u8>, [Option<RawEntry>; 2]> = BTreeMap::new();
        for (side, tree) in trees.into_iter().enumerate() {
            for entry in self.raw_tree(tree)? {
                let sides = names.entry(entry.name.clone()).or_default();
                sides[side] = Some(entry);
            }
        }
        for (name, [old, new]) in names {
            if old == new {
                continue;
            }
            let path = join(prefix, &name);
            let (old_tree, old_file) = split(old);
            let (new_tree, new_file) = split(new);
            if old_file.is_some() || new_file.is_some() {
                changes.insert(path.clone(), (old_file, new_file));
            }
            if old_tree.is_some() || new_tree.is_some() {
                let tree = |side: Option<String>| side.unwrap_or_else(|| EMPTY_TREE.to_owned());
                let (old, new) = (tree(old_tree), tree(new_tree));
                self.compare([&old, &new], &path, depth + 1, changes, cap)?;
            }
            check_cap("number of changed files", changes.len() as u64, cap)?;
        }
        Ok(())
    }

    fn load(
        &self,
        side: Side,
        caps: DiffCaps,
        bytes_left: &mut u64,
    ) -> Result<Option<FileSide>, GitReadError> {
        let Some((mode, oid)) = side else {
            return Ok(None);
        };
        let content = match mode {
            // A submodule's id names a commit of another repository.
            FileMode::Submodule => Vec::new(),
            _ => self.blob(&oid, caps.blob_bytes)?,
        };
        let size = content.len() as u64;
        if size > *bytes_left {
            let used = caps.total_bytes - *bytes_left;
            check_cap("diff in bytes", used + size, caps.total_bytes)?;
        }
        *bytes_left -= size;
        Ok(Some(FileSide { mode, oid, content }))
    }
}

fn split(entry: Option<RawEntry>) -> (Option<String>, Side) {
    match entry {
        None => (None, None),
        Some(RawEntry {
            mode: None, oid, ..
        }) => (Some(oid), None),
        Some(RawEntry {
            mode: Some(mode),
            oid,
            ..
        }) => (None, Some((mode, oid))),
    }
}

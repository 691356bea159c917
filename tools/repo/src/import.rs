//! Taking a change in: objects of one commit, or a patch on a base.

use std::path::Path;

use exec::{Cancel, Exit, capture};

use crate::error::sanitise;
use crate::git::{ask, oid, said};
use crate::{DaemonRepo, RepoError};

/// Larger patches are not reviewed by anybody.
const PATCH_CAP: usize = 32 << 20;

impl DaemonRepo {
    /// Fetches the objects of `commit` from the clone at `clone` and returns the id of its tree.
    /// Neither the commit, nor the clone's configuration, hooks or refs mean anything here.
    ///
    /// # Errors
    /// No repository there, no such commit in it, or objects that git's own checks refuse.
    pub fn import(&self, clone: &Path, commit: &str, cancel: &Cancel) -> Result<String, RepoError> {
        let id = oid(commit)?;
        if !self.has_commit(id)? {
            self.fetch_commit(clone, commit, cancel)?;
        }
        let objects = self.objects()?;
        let found = objects
            .find_commit(id)
            .map_err(|_| RepoError::NoSuchCommit {
                commit: commit.to_owned(),
                path: clone.to_owned(),
            })?;
        Ok(found.tree_id().to_string())
    }

    fn has_commit(&self, id: git2::Oid) -> Result<bool, RepoError> {
        // Only what came in whole has a ref; a loose object may be the rest of a killed fetch.
        let objects = self.objects()?;
        let name = import_ref(&id.to_string());
        Ok(objects.find_reference(&name).is_ok() || reachable(&objects, id))
    }

    fn fetch_commit(&self, clone: &Path, commit: &str, cancel: &Cancel) -> Result<(), RepoError> {
        let real = clone
            .canonicalize()
            .map_err(|_| RepoError::NotARepository {
                path: clone.to_owned(),
            })?;
        let git_dir = git_dir_of(&real)?;
        // The clone may belong to another user; upload-pack only reads. The file replaces the
        // (empty) global configuration for this one command and names this one folder.
        let trust = tempfile::NamedTempFile::new_in(self.path())
            .map_err(RepoError::io("cannot write below", self.path()))?;
        let text = format!(
            "[safe]\n\tdirectory = {0}\n\tdirectory = {1}\n",
            quoted(&real),
            quoted(&git_dir)
        );
        std::fs::write(trust.path(), text).map_err(RepoError::io("cannot write", trust.path()))?;
        let command = self
            .transport()
            .command(self.path(), false)
            .env("GIT_CONFIG_GLOBAL", trust.path())
            .env("GIT_ALLOW_PROTOCOL", "file")
            .args(["-c", "protocol.version=2"])
            .args([
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--",
            ])
            .arg(&git_dir)
            .arg(format!("+{commit}:{}", import_ref(commit)));
        let captured = capture(&command, cancel)?;
        match captured.outcome.exit {
            Exit::Exited(0) => Ok(()),
            Exit::Cancelled => Err(RepoError::Cancelled {
                doing: "importing objects",
            }),
            _ => Err(self.why_not(&captured, clone, commit)),
        }
    }

    fn why_not(&self, captured: &exec::Captured, clone: &Path, commit: &str) -> RepoError {
        let message = said(captured);
        let absent = [
            "not our ref",
            "couldn't find remote ref",
            "bad object",
            "shallow",
        ];
        if absent.iter().any(|phrase| message.contains(phrase)) {
            return RepoError::NoSuchCommit {
                commit: commit.to_owned(),
                path: clone.to_owned(),
            };
        }
        if message.contains("does not appear to be a git repository") {
            return RepoError::NotARepository {
                path: clone.to_owned(),
            };
        }
        RepoError::Git {
            doing: format!("cannot import {commit}"),
            message,
        }
    }

    /// Applies a patch (`git diff --binary`) to the tree of `base` and returns the new tree's id.
    /// Works on an index of its own; no work tree exists.
    ///
    /// # Errors
    /// The base is not here, or the patch does not apply.
    pub fn import_patch(
        &self,
        base: &str,
        patch: &[u8],
        cancel: &Cancel,
    ) -> Result<String, RepoError> {
        let refuse = |message: String| RepoError::Patch {
            base: base.to_owned(),
            message,
        };
        if patch.len() > PATCH_CAP {
            return Err(refuse(format!("it is larger than {PATCH_CAP} bytes")));
        }
        if !self.has_object(base)? {
            return Err(RepoError::NoSuchCommit {
                commit: base.to_owned(),
                path: self.path().to_owned(),
            });
        }
        let folder = tempfile::tempdir_in(self.path())
            .map_err(RepoError::io("cannot write below", self.path()))?;
        let index = folder.path().join("index");
        let git = || {
            self.transport()
                .command(self.path(), false)
                .env("GIT_INDEX_FILE", &index)
        };
        ask(&git().args(["read-tree", base]), cancel, || {
            format!("cannot read the tree of {base}")
        })?;
        let apply = git()
            .args(["apply", "--cached", "--whitespace=nowarn", "-"])
            .stdin(patch);
        let captured = capture(&apply, cancel)?;
        if !captured.outcome.exit.success() {
            return Err(refuse(sanitise(&captured.stderr)));
        }
        let tree = ask(&git().arg("write-tree"), cancel, || {
            "cannot write the patched tree".into()
        })?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }

    /// The tree of `onto` without what `commit` changed against its parent: the parent's own tree where
    /// nothing came after it.
    ///
    /// # Errors
    /// [`RepoError::Patch`] when later commits changed the same lines.
    pub fn revert(
        &self,
        commit: &str,
        parent: &str,
        onto: &str,
        cancel: &Cancel,
    ) -> Result<String, RepoError> {
        if onto == commit {
            let parent = format!("{parent}^{{tree}}");
            let command = self.transport().command(self.path(), false);
            let tree = ask(
                &command.args(["rev-parse", "--verify", &parent]),
                cancel,
                || format!("cannot read the tree of {parent}"),
            )?;
            return Ok(String::from_utf8_lossy(&tree).trim().to_owned());
        }
        let command = self.transport().command(self.path(), false).args([
            "diff",
            "--binary",
            "--full-index",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            commit,
            parent,
        ]);
        let patch = ask(&command, cancel, || {
            format!("cannot read what {commit} changed")
        })?;
        self.import_patch(onto, &patch, cancel)
    }
}

/// Ref that keeps an imported commit's objects.
fn import_ref(commit: &str) -> String {
    format!("refs/greenloop/import/{commit}")
}

fn reachable(objects: &git2::Repository, id: git2::Oid) -> bool {
    let Ok(refs) = objects.references_glob("refs/greenloop/remote/*") else {
        return false;
    };
    let mut tips = refs.flatten().filter_map(|reference| reference.target());
    tips.any(|tip| tip == id || objects.graph_descendant_of(tip, id).unwrap_or(false))
}

/// The folder git would use, found by its two shapes only: a work tree's `.git` (folder or
/// `gitdir:` file) or a bare repository.
fn git_dir_of(clone: &Path) -> Result<std::path::PathBuf, RepoError> {
    let refuse = || RepoError::NotARepository {
        path: clone.to_owned(),
    };
    let dot = clone.join(".git");
    if dot.is_dir() {
        return Ok(dot);
    }
    if dot.is_file() {
        let text = std::fs::read_to_string(&dot).map_err(RepoError::io("cannot read", &dot))?;
        let target = text.trim().strip_prefix("gitdir: ").ok_or_else(refuse)?;
        return clone.join(target).canonicalize().map_err(|_| refuse());
    }
    if clone.join("objects").is_dir() && clone.join("HEAD").is_file() {
        return Ok(clone.to_owned());
    }
    Err(refuse())
}

/// A path as git's configuration files quote it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

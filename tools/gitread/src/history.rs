//! From names to commits, and from commits to their ancestors.

use std::collections::{HashSet, VecDeque};

use git2::{ObjectType, Oid};

use crate::object::{CommitInfo, is_object_id};
use crate::reader::MAX_COMMIT_BYTES;
use crate::{GitReadError, GitReader};

const MAX_WALKED_COMMITS: u64 = 2_000_000;
/// Git refuses shorter abbreviations too.
const MIN_ABBREVIATION: usize = 7;
/// Longest chain of tags that point to tags.
const MAX_TAGS: usize = 8;

impl GitReader {
    /// The commit that `name` means: a full id, an abbreviation of at least 7 digits, a full
    /// ref name, `HEAD`, or a branch, tag or remote branch. No other expression is understood.
    /// Annotated tags are followed.
    ///
    /// # Errors
    /// When nothing of this name leads to a commit.
    pub fn resolve_commit(&self, name: &str) -> Result<String, GitReadError> {
        let unresolved = || GitReadError::Unresolved {
            name: name.chars().take(200).collect(),
        };
        let start = match self.resolve_ref(name)? {
            Some(id) => id,
            None if is_object_id(name) => name.to_owned(),
            None => self.resolve_abbreviation(name).ok_or_else(unresolved)?,
        };
        self.peel(&start)?.ok_or_else(unresolved)
    }

    fn resolve_ref(&self, name: &str) -> Result<Option<String>, GitReadError> {
        if is_object_id(name) {
            return Ok(None);
        }
        if name == "HEAD" || name.starts_with("refs/") {
            return self.read_ref(name);
        }
        for folder in ["refs/heads/", "refs/tags/", "refs/remotes/"] {
            if let Some(id) = self.read_ref(&format!("{folder}{name}"))? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn resolve_abbreviation(&self, name: &str) -> Option<String> {
        let is_hex = name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || !(MIN_ABBREVIATION..40).contains(&name.len()) {
            return None;
        }
        let padded = format!("{name:0<40}");
        let odb = self.repository.odb().ok()?;
        let short = Oid::from_str(&padded).ok()?;
        odb.exists_prefix(short, name.len())
            .ok()
            .map(|id| id.to_string())
    }

    /// Follows annotated tags to a commit.
    fn peel(&self, id: &str) -> Result<Option<String>, GitReadError> {
        let mut id = id.to_owned();
        for _ in 0..MAX_TAGS {
            let Ok((_, kind)) = self.header(&id) else {
                return Ok(None);
            };
            match kind {
                ObjectType::Commit => return Ok(Some(id)),
                ObjectType::Tag => {
                    let bytes = self.raw(&id, ObjectType::Tag, MAX_COMMIT_BYTES)?;
                    let text = String::from_utf8_lossy(&bytes);
                    let target = text.lines().next().and_then(|l| l.strip_prefix("object "));
                    match target.filter(|target| is_object_id(target)) {
                        Some(target) => id = target.to_owned(),
                        None => return Ok(None),
                    }
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether `ancestor` is `descendant` or one of its ancestors, by the parents in the objects.
    ///
    /// # Errors
    /// Missing commits, as in a shallow clone.
    pub fn is_ancestor(&self, ancestor: &str, descendant: &str) -> Result<bool, GitReadError> {
        crate::reader::object_id(ancestor)?;
        let mut found = false;
        self.walk_history(descendant, |commit| {
            found |= commit.id == ancestor;
            !found
        })?;
        Ok(found)
    }

    /// The commit without parents that is reached by first parents: the repository's identity.
    ///
    /// # Errors
    /// Missing commits, as in a shallow clone.
    pub fn root_commit(&self, tip: &str) -> Result<String, GitReadError> {
        let mut commit = self.commit_info(tip)?;
        for _ in 0..MAX_WALKED_COMMITS {
            match commit.parents.first() {
                None => return Ok(commit.id),
                Some(parent) => commit = self.commit_info(parent)?,
            }
        }
        Err(too_much_history())
    }

    /// Visits `tip` and its ancestors once each until `visit` returns false.
    fn walk_history(
        &self,
        tip: &str,
        mut visit: impl FnMut(&CommitInfo) -> bool,
    ) -> Result<(), GitReadError> {
        let mut seen: HashSet<String> = HashSet::from([tip.to_owned()]);
        let mut queue = VecDeque::from([tip.to_owned()]);
        while let Some(id) = queue.pop_front() {
            let commit = self.commit_info(&id)?;
            if !visit(&commit) {
                return Ok(());
            }
            for parent in commit.parents {
                if seen.insert(parent.clone()) {
                    queue.push_back(parent);
                }
            }
            if seen.len() as u64 > MAX_WALKED_COMMITS {
                return Err(too_much_history());
            }
        }
        Ok(())
    }
}

fn too_much_history() -> GitReadError {
    GitReadError::TooLarge {
        what: "number of commits".to_owned(),
        size: MAX_WALKED_COMMITS + 1,
        cap: MAX_WALKED_COMMITS,
    }
}

//! Which repository is this? The answer names its state folder and its sockets.

use std::path::Path;

use attest::digest::Digest;
use gitread::GitReader;

use crate::ServiceError;

/// What makes two clones the same repository: where history began, and where it is pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryIdentity {
    /// First commit of `HEAD`'s history.
    pub root_commit: String,
    /// URL of `origin`; empty when there is none.
    pub remote: String,
}

impl RepositoryIdentity {
    /// Twelve hex digits; with a state folder, a key for that folder's daemon alone.
    #[must_use]
    pub fn key(&self, state: Option<&Path>) -> String {
        let state = state
            .map(|dir| dir.to_string_lossy().into_owned())
            .unwrap_or_default();
        let digest =
            Digest::of(format!("{}\n{}\n{state}", self.root_commit, self.remote).as_bytes());
        let text = digest.to_string();
        let hex = text.strip_prefix("sha256:").unwrap_or(&text);
        hex.get(..12).unwrap_or(hex).to_owned()
    }
}

/// Identifies the repository at a work tree's root or a bare repository's folder.
///
/// # Errors
/// Not a repository, or one without commits.
pub fn identify(repo: &Path) -> Result<RepositoryIdentity, ServiceError> {
    let reader = GitReader::open(repo)?;
    let root_commit = reader.root_commit(&reader.resolve_commit("HEAD")?)?;
    let remote = reader.own_config("remote.origin.url")?.unwrap_or_default();
    Ok(RepositoryIdentity {
        root_commit,
        remote,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_repositories_and_state_folders_apart() {
        let one = RepositoryIdentity {
            root_commit: "a".repeat(40),
            remote: "x".into(),
        };
        let other = RepositoryIdentity {
            remote: "y".into(),
            ..one.clone()
        };
        assert_eq!(one.key(None).len(), 12);
        assert_ne!(one.key(None), other.key(None));
        assert_ne!(one.key(None), one.key(Some(Path::new("/s"))));
    }
}

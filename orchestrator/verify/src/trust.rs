//! What the verifier believes before it looks: guarded refs, where they start, who may sign.

use std::path::{Path, PathBuf};

use attest::AttestError;
use attest::signers::Signers;
use gitread::GitReader;
use serde::{Deserialize, Serialize};

use crate::VerifyError;

/// Largest pinned policy file, in bytes.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// The operator's file, out of the agent's reach:
///
/// ```toml
/// guarded_refs = ["refs/heads/main", "refs/heads/release/*"]
/// trusted_root = "40 hex digits"      # commit that guarded refs start from
/// signers = "allowed_signers"         # relative to this file
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPolicy {
    /// Full ref names; a last component `*` stands for every ref below.
    pub guarded_refs: Vec<String>,
    /// Commit that every guarded ref descends from.
    #[serde(default)]
    pub trusted_root: Option<String>,
    /// Allowed-signers file.
    #[serde(default)]
    pub signers: Option<PathBuf>,
}

impl PinnedPolicy {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Unreadable or malformed files, unknown keys, no guarded ref, a root that is no commit id.
    pub fn read(path: &Path) -> Result<Self, VerifyError> {
        let malformed = |detail: String| VerifyError::PinnedPolicy {
            path: path.display().to_string(),
            detail,
        };
        let bytes = read_file(path, MAX_POLICY_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| malformed("it is not utf-8".into()))?;
        let mut policy: Self =
            toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if policy.guarded_refs.is_empty() {
            return Err(malformed(
                "guarded_refs is empty; name at least one ref".into(),
            ));
        }
        if let Some(bad) = policy
            .guarded_refs
            .iter()
            .find(|name| !is_ref_pattern(name))
        {
            return Err(malformed(format!(
                "guarded ref `{bad}` is no full ref name such as refs/heads/main or refs/heads/release/*"
            )));
        }
        if policy
            .trusted_root
            .as_ref()
            .is_some_and(|root| !is_object_id(root))
        {
            return Err(malformed(
                "trusted_root is not 40 lower-case hex digits".into(),
            ));
        }
        if let (Some(signers), Some(folder)) = (&policy.signers, path.parent()) {
            policy.signers = Some(folder.join(signers));
        }
        Ok(policy)
    }

    /// Whether only an attested push may move this ref.
    #[must_use]
    pub fn guards(&self, ref_name: &str) -> bool {
        self.guarded_refs
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => ref_name.starts_with(prefix),
                None => ref_name == pattern,
            })
    }
}

fn is_ref_pattern(name: &str) -> bool {
    let body = name.strip_suffix("/*").unwrap_or(name);
    name.starts_with("refs/") && body.len() > "refs/".len() && !body.contains(['*', ' ', '\\'])
}

/// 40 lower-case hex digits.
pub(crate) fn is_object_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where the allowed signers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerSource {
    /// From a file that the operator named.
    Pinned(Signers),
    /// From the base commit, which the pusher's predecessors wrote.
    Base,
}

/// Everything believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Signers.
    pub signers: SignerSource,
    /// Commit that guarded refs descend from.
    pub trusted_root: Option<String>,
}

impl Trust {
    /// Trust without a pinned file: signers from `signers`, or else from the base commit.
    ///
    /// # Errors
    /// An unreadable or malformed signers file, or a key in two namespaces.
    pub fn from_signers(signers: Option<&Path>) -> Result<Self, VerifyError> {
        Ok(Self {
            signers: match signers {
                Some(path) => SignerSource::Pinned(read_signers(path)?),
                None => SignerSource::Base,
            },
            trusted_root: None,
        })
    }

    /// Trust as the pinned policy states it; `signers` overrides the policy's file.
    ///
    /// # Errors
    /// An unreadable or malformed signers file, or a key in two namespaces.
    pub fn from_policy(policy: &PinnedPolicy, signers: Option<&Path>) -> Result<Self, VerifyError> {
        let trust = Self::from_signers(signers.or(policy.signers.as_deref()))?;
        Ok(Self {
            trusted_root: policy.trusted_root.clone(),
            ..trust
        })
    }
}

fn read_signers(path: &Path) -> Result<Signers, VerifyError> {
    let bytes = read_file(path, attest::signers::MAX_BYTES as u64)?;
    parse_signers(&bytes).map_err(|source| VerifyError::Signers {
        path: path.display().to_string(),
        source,
    })
}

fn parse_signers(bytes: &[u8]) -> Result<Signers, AttestError> {
    let signers = Signers::parse(bytes)?;
    signers.check_key_use()?;
    Ok(signers)
}

/// The signers that stand in a base tree; empty when there is no such file.
pub(crate) fn signers_of_tree(
    reader: &GitReader,
    tree: &str,
    path: &str,
) -> Result<Signers, VerifyError> {
    match reader.blob_at(tree, path)? {
        None => Ok(Signers::default()),
        Some(bytes) => parse_signers(&bytes).map_err(|source| VerifyError::Signers {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads at most `cap` bytes of a file.
pub(crate) fn read_file(path: &Path, cap: u64) -> Result<Vec<u8>, VerifyError> {
    use std::io::Read;
    let unreadable = |detail: String| VerifyError::File {
        path: path.display().to_string(),
        detail,
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(cap + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > cap {
        return Err(unreadable(format!("it has more than {cap} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PinnedPolicy, VerifyError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        PinnedPolicy::read(&path)
    }

    #[test]
    fn patterns_guard_exactly_what_they_name() {
        let text =
            "guarded_refs = [\"refs/heads/main\", \"refs/heads/release/*\"]\nsigners = \"s\"";
        let policy = read(text).unwrap();
        for (name, guarded) in [
            ("refs/heads/main", true),
            ("refs/heads/main2", false),
            ("refs/heads/wip/main", false),
            ("refs/heads/release/1", true),
            ("refs/heads/release", false),
        ] {
            assert_eq!(policy.guards(name), guarded, "{name}");
        }
        assert!(
            policy.signers.unwrap().is_absolute(),
            "beside the policy file"
        );
    }

    #[test]
    fn bad_policies_are_refused() {
        for bad in [
            "",
            "guarded_refs = []",
            "guarded_refs = [\"main\"]",
            "guarded_refs = [\"refs/*\"]",
            "guarded_refs = [\"refs/heads/m*n\"]",
            "guarded_refs = [\"refs/heads/main\"]\ntrusted_root = \"abc\"",
            "guarded_refs = [\"refs/heads/main\"]\nguarded_ref = 1",
        ] {
            let refused = read(bad);
            assert!(
                matches!(refused, Err(VerifyError::PinnedPolicy { .. })),
                "{bad}: {refused:?}"
            );
        }
    }
}

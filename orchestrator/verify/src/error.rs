//! The one error type of this crate: what keeps it from judging at all. A judgement is no error.

use attest::AttestError;
use gitread::GitReadError;

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitReadError),
    /// A file that the operator named cannot be read.
    #[error("`{path}` cannot be read: {detail}; name a file this user can read")]
    File {
        /// Its path.
        path: String,
        /// Why.
        detail: String,
    },
    /// The pinned policy is malformed.
    #[error("pinned policy `{path}`: {detail}")]
    PinnedPolicy {
        /// Its path.
        path: String,
        /// What is wrong and what to write.
        detail: String,
    },
    /// No pinned policy was named.
    #[error(
        "no policy is pinned; pass `--policy FILE` or run `git config greenloop.policy FILE` in this repository"
    )]
    NoPolicy,
    /// The signers file is malformed or lets a key sign in two namespaces.
    #[error("signers `{path}`: {source}")]
    Signers {
        /// Its path.
        path: String,
        /// Why.
        source: AttestError,
    },
    /// Input of a hook that git does not write.
    #[error("line {line} of the hook's input is not `OLD NEW REF`; run this as a pre-receive hook")]
    HookInput {
        /// One-based line.
        line: usize,
    },
    /// Policy, law or catalogue of a base commit cannot be read.
    #[error("{what} of {commit} cannot be used: {detail}")]
    Base {
        /// Which part.
        what: &'static str,
        /// The commit.
        commit: String,
        /// Why.
        detail: String,
    },
    /// Bytes that cannot be made canonical.
    #[error(transparent)]
    Attest(#[from] AttestError),
}

//! The one error type of this crate.

/// Why a repository or an object could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitReadError {
    /// The path is no repository that may be read.
    #[error(
        "`{path}` cannot be opened as a repository: {detail}; name the folder that holds `HEAD` or `.git`"
    )]
    Open {
        /// The path given.
        path: String,
        /// What libgit2 said.
        detail: String,
    },
    /// A variable that git sets for hooks is missing or not usable.
    #[error("environment variable {name} is not usable: {detail}; run this as a git hook")]
    Environment {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Text that is no object id.
    #[error("`{text}` is no object id; give 40 lower-case hex digits")]
    ObjectId {
        /// The text (its first 80 characters).
        text: String,
    },
    /// A name that leads to no commit.
    #[error("`{name}` names no commit here; give a full id or a ref that exists")]
    Unresolved {
        /// The name.
        name: String,
    },
    /// An object that is not there.
    #[error("object {id} is missing; fetch it (a shallow clone needs `git fetch --unshallow`)")]
    Missing {
        /// Its id.
        id: String,
    },
    /// An object of another kind.
    #[error("object {id} is a {found}, not a {wanted}")]
    Kind {
        /// Its id.
        id: String,
        /// Its kind.
        found: String,
        /// The kind asked for.
        wanted: &'static str,
    },
    /// An object that does not parse.
    #[error("object {id} is malformed: {detail}")]
    Malformed {
        /// Its id.
        id: String,
        /// What is wrong.
        detail: String,
    },
    /// A path in a tree that is not a file.
    #[error("`{path}` is a {found}, not a file")]
    NotAFile {
        /// The path.
        path: String,
        /// What stands there.
        found: &'static str,
    },
    /// More than the cap.
    #[error("{what} is {size}, above the cap of {cap}; split the change or raise the cap")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size, in the unit of the cap.
        size: u64,
        /// The cap.
        cap: u64,
    },
    /// Anything else libgit2 says.
    #[error("git object database: {detail}")]
    Git {
        /// What libgit2 said.
        detail: String,
    },
}

impl From<git2::Error> for GitReadError {
    fn from(error: git2::Error) -> Self {
        Self::Git {
            detail: error.message().to_owned(),
        }
    }
}

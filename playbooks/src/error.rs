//! The crate's error type.

/// What can be wrong with playbooks. What a log shows is never an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not valid TOML of the right form.
    #[error("playbook file {file}: {reason}")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// Two files claim one name, one place in the order, one workflow or one scope.
    #[error("playbook files {first} and {second} both define {what}; change one")]
    Duplicate {
        /// What they share.
        what: String,
        /// The file that came first.
        first: String,
        /// The file that came second.
        second: String,
    },
    /// A predicate of a file does not parse or does not fit the marker catalogue.
    #[error("playbook file {file}: predicate `{predicate}`: {source}")]
    Predicate {
        /// The file's name.
        file: String,
        /// The text as written.
        predicate: String,
        /// What is wrong with it.
        source: Box<markers::Error>,
    },
    /// An example of a file does not do what it says.
    #[error("playbook file {file}: {example} is wrong: {reason}; correct the example or the rules")]
    Example {
        /// The file's name.
        file: String,
        /// Which example, `match 2` or `not_match 1`.
        example: String,
        /// What it was classified as instead.
        reason: String,
    },
    /// A class that every run must be able to fall into is missing.
    #[error("no class `{0}`; the playbooks need it")]
    MissingClass(String),
}

//! What can go wrong around a command. A refusal is not here: it is a value of the response.

/// A command could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The caller's role may not use this command.
    #[error("`{command}` is for a person at the operator's socket; {instead}")]
    OperatorOnly {
        /// The command.
        command: &'static str,
        /// What the agent can do instead.
        instead: &'static str,
    },
    /// An id names nothing here.
    #[error("no {kind} `{id}`; {}", valid_ids(.valid))]
    UnknownId {
        /// `loop`, `run`, `claim`, `hypothesis`, `log`, `scope`, `gate`, `cell` or `commit`.
        kind: &'static str,
        /// What was asked for.
        id: String,
        /// Ids that exist, newest last, at most ten.
        valid: Vec<String>,
    },
    /// An argument has a value that the command cannot use.
    #[error("`{field}`: {reason}; {remedy}")]
    BadArgument {
        /// The argument.
        field: &'static str,
        /// Why not.
        reason: String,
        /// What to pass instead.
        remedy: String,
    },
    /// The same idempotency key came with another request.
    #[error("idempotency key `{key}` was used for {other}; use a new key for a new request")]
    KeyReused {
        /// The key.
        key: String,
        /// What it was used for.
        other: String,
    },
    /// The command does not fit the state of what it names.
    #[error("{what} is {state}; {remedy}")]
    WrongState {
        /// Such as `claim C1`.
        what: String,
        /// Its state.
        state: String,
        /// What to do next.
        remedy: String,
    },
    /// The caller asked to stop.
    #[error("cancelled; ask again to continue where it stopped")]
    Cancelled,
    /// Journal, evidence store or index.
    #[error(transparent)]
    State(#[from] state::Error),
    /// Git objects.
    #[error(transparent)]
    Git(#[from] gitread::GitReadError),
    /// The daemon's repository, rooms, remote.
    #[error(transparent)]
    Repo(#[from] repo::RepoError),
    /// Run source.
    #[error(transparent)]
    Ci(#[from] ci::CiError),
    /// Child processes.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// Policy, law or diff of a commit.
    #[error(transparent)]
    Facts(#[from] verify::VerifyError),
    /// Canonical bytes, digests, signatures.
    #[error(transparent)]
    Attest(#[from] attest::AttestError),
    /// Files of the state folder.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Something that should be impossible; a report helps.
    #[error("internal: {0}; please report it with the journal's last record")]
    Internal(String),
}

impl From<discipline::step::IllegalEvent> for ServiceError {
    /// The writer checks before it makes an event, so one that cannot follow is a bug.
    fn from(illegal: discipline::step::IllegalEvent) -> Self {
        Self::Internal(illegal.to_string())
    }
}

impl ServiceError {
    /// Stable snake_case code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OperatorOnly { .. } => "operator_only",
            Self::UnknownId { .. } => "unknown_id",
            Self::BadArgument { .. } => "bad_argument",
            Self::KeyReused { .. } => "key_reused",
            Self::WrongState { .. } => "wrong_state",
            Self::Cancelled => "cancelled",
            Self::State(state::Error::Full { .. }) => "environment",
            Self::State(_) => "state",
            Self::Git(_) => "git",
            Self::Repo(_) => "repo",
            Self::Ci(_) => "ci",
            Self::Exec(_) => "exec",
            Self::Facts(_) => "facts",
            Self::Attest(_) => "attest",
            Self::Io { .. } => "io",
            Self::Internal(_) => "internal",
        }
    }

    /// True when a caller can fix it by asking differently.
    #[must_use]
    pub fn fixable(&self) -> bool {
        matches!(
            self,
            Self::OperatorOnly { .. }
                | Self::UnknownId { .. }
                | Self::BadArgument { .. }
                | Self::KeyReused { .. }
                | Self::WrongState { .. }
                | Self::Facts(_)
                | Self::Cancelled
        )
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

fn valid_ids(valid: &[String]) -> String {
    if valid.is_empty() {
        return "there is none yet".into();
    }
    format!("valid: {}", valid.join(", "))
}

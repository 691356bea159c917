//! Why a source of runs gives no answer. URLs in messages carry no query: it may be signed.

use std::io;

/// A source of runs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// No run of that id.
    #[error("the source has no run `{id}`{}; see which it has with `greenloop runs --source`", detail(.what))]
    NoSuchRun {
        /// What was asked for.
        id: String,
        /// What the source says.
        what: String,
    },
    /// The credential was not taken.
    #[error(
        "the forge did not take the credential ({what}); check `[github] token` in the machine settings"
    )]
    Unauthorised {
        /// What the forge says.
        what: String,
    },
    /// The credential may not do this.
    #[error(
        "the forge refuses {what}; the token needs read access to actions and metadata of the repository"
    )]
    Forbidden {
        /// What was asked for.
        what: String,
    },
    /// The forge asks to wait longer than anybody would.
    #[error("the forge's rate limit is spent for another {wait_s} s; ask again then")]
    RateLimited {
        /// Seconds until it takes requests again.
        wait_s: u64,
    },
    /// The forge could not be reached or broke off, after every retry.
    #[error("{doing}: {what}; ask again, whole files are kept")]
    Network {
        /// What was being done; no query of a URL.
        doing: String,
        /// What went wrong.
        what: String,
    },
    /// An answer that cannot be right.
    #[error("{doing}: the answer cannot be used: {what}")]
    Malformed {
        /// What was being done.
        doing: String,
        /// What does not fit.
        what: String,
    },
    /// The forge did not do what it was told.
    #[error("{doing}: the forge did not take the order: {what}")]
    NotTaken {
        /// What was to be done.
        doing: String,
        /// Why not.
        what: String,
    },
    /// A redirect that is not followed.
    #[error("{doing}: redirect refused: {what}")]
    Redirect {
        /// What was being done.
        doing: String,
        /// Why.
        what: String,
    },
    /// The settings name a source that cannot be used.
    #[error("{what}; {remedy}")]
    Settings {
        /// What is wrong.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// A file on this machine.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Evidence could not be stored.
    #[error("cannot store {what}: {source}")]
    Store {
        /// What was to be stored.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody asked to stop.
    #[error("cancelled; ask again to go on, whole files are kept")]
    Cancelled,
}

impl ForgeError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ForgeError {
        let doing = doing.into();
        move |source| ForgeError::Io { doing, source }
    }

    pub(crate) fn malformed(doing: &str, what: impl Into<String>) -> ForgeError {
        ForgeError::Malformed {
            doing: doing.to_owned(),
            what: what.into(),
        }
    }

    /// True when one file's trouble says nothing about the next one.
    pub(crate) fn is_about_one_file(&self) -> bool {
        matches!(
            self,
            ForgeError::Network { .. } | ForgeError::Malformed { .. } | ForgeError::Redirect { .. }
        )
    }
}

fn detail(what: &str) -> String {
    match what {
        "" => String::new(),
        what => format!(" ({what})"),
    }
}

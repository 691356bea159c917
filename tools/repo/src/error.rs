//! What can go wrong around the daemon's repository and its rooms.

use std::io;
use std::path::PathBuf;

/// Git, a room or cargo's folders could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// A git command failed.
    #[error("{doing}: git says `{message}`")]
    Git {
        /// What was being done, with the remedy where there is one.
        doing: String,
        /// Its last lines, without control characters or credentials.
        message: String,
    },
    /// A commit is not in the clone it was said to be in.
    #[error("commit {commit} is not in `{}`; commit it there first, and do not use a shallow clone", path.display())]
    NoSuchCommit {
        /// The commit.
        commit: String,
        /// The clone.
        path: PathBuf,
    },
    /// Text that is not a full object id.
    #[error("`{text}` is not an object id of 40 lower-case hex digits")]
    BadObjectId {
        /// The text, shortened.
        text: String,
    },
    /// A path is not a git repository that can be read.
    #[error("`{}` is not a git repository; name the root of a clone", path.display())]
    NotARepository {
        /// The path.
        path: PathBuf,
    },
    /// A patch does not apply to its base.
    #[error("patch does not apply to {base}: {message}; make it with `git diff --binary {base}`")]
    Patch {
        /// The base.
        base: String,
        /// What git said.
        message: String,
    },
    /// A tree holds a path that a room must not have.
    #[error("tree holds `{path}`, which {reason}; remove it from the change")]
    UnsafePath {
        /// The path, escaped.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// Cargo's configuration would decide what is built.
    #[error("`{}` sets `{key}`, which would decide what a gate builds; {remedy}", path.display())]
    CargoConfig {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What to do.
        remedy: String,
    },
    /// Cargo could not answer.
    #[error("{doing}: {message}")]
    Cargo {
        /// What was being done.
        doing: &'static str,
        /// Its last lines.
        message: String,
    },
    /// Cancelled by the caller.
    #[error("cancelled while {doing}")]
    Cancelled {
        /// What was being done.
        doing: &'static str,
    },
    /// Reading or writing objects.
    #[error("{doing}: {source}")]
    Objects {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: git2::Error,
    },
    /// Starting or watching a process.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// A file or folder.
    #[error("{doing} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RepoError {
    /// True when the disk, or what this user may take of it, is used up.
    pub(crate) fn is_disk_full(&self) -> bool {
        let full = |kind| {
            matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        matches!(self, RepoError::Io { source, .. } if full(source.kind()))
    }

    pub(crate) fn objects(doing: &'static str) -> impl FnOnce(git2::Error) -> RepoError {
        move |source| RepoError::Objects { doing, source }
    }

    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> RepoError {
        let path = path.into();
        move |source| RepoError::Io {
            doing,
            path,
            source,
        }
    }
}

/// The last lines of what a tool wrote, fit to stand in an error: printable, short, no userinfo.
pub(crate) fn sanitise(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = lines_of(&text);
    plain(&lines[lines.len().saturating_sub(6)..])
}

/// All lines from the first on, as far as they fit.
pub(crate) fn sanitise_all(bytes: &[u8]) -> String {
    plain(&lines_of(&String::from_utf8_lossy(bytes)))
}

fn lines_of(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).collect()
}

fn plain(lines: &[&str]) -> String {
    let joined = lines.join("; ");
    let plain: String = joined
        .chars()
        .filter(|c| !c.is_control() && !is_format_char(*c))
        .collect();
    hide_userinfo(&plain).chars().take(600).collect()
}

/// Bidi controls and other characters that change how text is shown.
fn is_format_char(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

/// `scheme://user:secret@host` loses everything before the `@`.
fn hide_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'')
            .unwrap_or(tail.len());
        let authority = &tail[..end];
        match authority.rfind('@') {
            Some(user) => out.push_str(&authority[user + 1..]),
            None => out.push_str(authority),
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_controls_do_not_reach_errors() {
        let said = b"fatal: unable to access 'http://bob:s3cret@host.example/x.git/': no\x1b[31m\nhint: \xe2\x80\xaeevil\n";
        let text = sanitise(said);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(!text.contains("bob"), "{text}");
        assert!(text.contains("http://host.example/x.git/"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'));
    }
}

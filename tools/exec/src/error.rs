//! What can go wrong around a child process, as opposed to inside it.

use std::io;
use std::path::PathBuf;

/// A command could not be started, watched or recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program was named by something else than an absolute path.
    #[error("program `{}` is not an absolute path; resolve it with `find_program` first", program.display())]
    RelativeProgram {
        /// The path as given.
        program: PathBuf,
    },
    /// A program is not on the search path.
    #[error("`{name}` is not in PATH; install it or set PATH for the daemon")]
    NotFound {
        /// The bare name that was looked for.
        name: String,
    },
    /// The operating system refused to start the program.
    #[error("cannot start `{}` in `{}`: {source}", program.display(), cwd.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Its working directory.
        cwd: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The caller's `on_spawn` could not record the group; the group was ended.
    #[error("process group {pgid} could not be recorded and was ended: {source}")]
    Unrecorded {
        /// The group.
        pgid: u32,
        /// What `on_spawn` said.
        source: io::Error,
    },
    /// The transcript's sink failed; the group was ended.
    #[error("transcript cannot be written, so the command was ended: {0}")]
    Sink(#[source] io::Error),
    /// Watching the child failed; the group was ended.
    #[error("{doing}: {source}")]
    Watch {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A lease file cannot be used.
    #[error("lease file `{}`: {source}; make the path writable or configure another", path.display())]
    Lease {
        /// The lease file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No usable Rust toolchain.
    #[error("no usable rust toolchain: {reason}")]
    Toolchain {
        /// What was tried and what to do.
        reason: String,
    },
    /// A variable that would change what a gate builds was asked for.
    #[error("variable `{name}` may not reach a gate: {reason}")]
    ForbiddenVariable {
        /// The variable.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn watch(doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
        move |errno| Error::Watch {
            doing,
            source: errno.into(),
        }
    }
}

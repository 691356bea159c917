//! The complete description of a child: nothing about it is inherited.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How a child's two output streams reach the transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// One pipe for both: the order in the transcript is exactly the order of the writes.
    /// All bytes are counted as stdout.
    #[default]
    Joined,
    /// A pipe each: bytes are counted by stream; order across the two is that of arrival.
    Separate,
}

/// What a command may use before it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall clock from start to end of the leader; `None` is unlimited.
    pub wall: Option<Duration>,
    /// Bytes of output that reach the sink, stamps not counted; `None` is unlimited.
    pub output_bytes: Option<u64>,
    /// Between SIGTERM and SIGKILL when the group is ended.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            wall: None,
            output_bytes: None,
            grace: Duration::from_secs(1),
        }
    }
}

/// A program with everything it will see: arguments, environment, directory, input, limits.
#[derive(Clone, Debug)]
pub struct Command {
    /// Absolute path of the executable.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// Bytes on standard input; empty means `/dev/null`.
    pub stdin: Vec<u8>,
    /// When to end it.
    pub limits: Limits,
    /// One pipe or two.
    pub streams: Streams,
}

impl Command {
    /// `program` (absolute) in `cwd` with no arguments, an empty environment and no input.
    pub fn new(program: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Command {
        Command {
            program: program.into(),
            args: Vec::new(),
            cwd: cwd.into(),
            env: BTreeMap::new(),
            stdin: Vec::new(),
            limits: Limits::default(),
            streams: Streams::default(),
        }
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Command {
        self.args.push(arg.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Command {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Command {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets variables, for example those of [`crate::clean_env`].
    #[must_use]
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Command {
        let variables = variables.into_iter();
        self.env
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Gives bytes on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Command {
        self.stdin = bytes.into();
        self
    }

    /// Ends the command after `wall`.
    #[must_use]
    pub fn wall_timeout(mut self, wall: Duration) -> Command {
        self.limits.wall = Some(wall);
        self
    }

    /// Ends the command once it has written more than `bytes`.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Command {
        self.limits.output_bytes = Some(bytes);
        self
    }

    /// Sets the time between SIGTERM and SIGKILL.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Command {
        self.limits.grace = grace;
        self
    }

    /// Chooses one pipe or two.
    #[must_use]
    pub fn streams(mut self, streams: Streams) -> Command {
        self.streams = streams;
        self
    }
}

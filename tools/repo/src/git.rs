//! The git command line, called so that nobody but the daemon configures it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use exec::{Cancel, Captured, Command, Exit, capture, find_program};

use crate::RepoError;
use crate::error::sanitise;

/// Variables of the daemon's environment that a transport needs: keys, proxies, certificates.
const TRANSPORT_VARIABLES: &[&str] = &[
    "HOME",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];

/// More than `ls-remote` of a large forge answers.
const OUTPUT_CAP: u64 = 64 << 20;
const LOCAL_WALL: Duration = Duration::from_secs(120);
const REMOTE_WALL: Duration = Duration::from_secs(300);

/// Git's program and the little of the environment that it is given.
#[derive(Debug, Clone)]
pub struct Transport {
    program: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Transport {
    /// Finds git in the PATH of `environment` and keeps what transports need of it.
    ///
    /// # Errors
    /// No git in PATH.
    pub fn new(environment: &BTreeMap<OsString, OsString>) -> Result<Transport, RepoError> {
        let path = environment
            .get(OsStr::new("PATH"))
            .cloned()
            .unwrap_or_default();
        let program = find_program("git", &path)?;
        let mut env = BTreeMap::new();
        for name in TRANSPORT_VARIABLES {
            if let Some(value) = environment.get(OsStr::new(name)) {
                env.insert(OsString::from(name), value.clone());
            }
        }
        // Hooks of a remote that is a path run with this environment too.
        let folder = program.parent().unwrap_or(Path::new("/usr/bin"));
        let mut search = folder.as_os_str().to_owned();
        search.push(":/usr/local/bin:/usr/bin:/bin");
        env.insert("PATH".into(), search);
        for (name, value) in [
            ("LC_ALL", "C.UTF-8"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS_REQUIRE", "never"),
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
            ("GIT_ALLOW_PROTOCOL", "file:http:https:ssh"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
        ] {
            env.insert(name.into(), value.into());
        }
        Ok(Transport { program, env })
    }

    /// A git command in the bare repository at `git_dir`; network commands get the longer limit.
    pub(crate) fn command(&self, git_dir: &Path, remote: bool) -> Command {
        let mut command = Command::new(&self.program, git_dir)
            .envs(self.env.clone())
            .env("GIT_DIR", git_dir)
            .output_limit(OUTPUT_CAP)
            .wall_timeout(if remote { REMOTE_WALL } else { LOCAL_WALL });
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.attributesFile=/dev/null",
            "credential.helper=",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.fsckObjects=true",
            "submodule.recurse=false",
        ] {
            command = command.arg("-c").arg(setting);
        }
        command
    }
}

/// Runs a git command and returns what it wrote; a failure carries git's own words.
pub(crate) fn ask(
    command: &Command,
    cancel: &Cancel,
    doing: impl FnOnce() -> String,
) -> Result<Vec<u8>, RepoError> {
    let captured = capture(command, cancel)?;
    match captured.outcome.exit {
        Exit::Exited(0) => Ok(captured.stdout),
        Exit::Cancelled => Err(RepoError::Cancelled {
            doing: "asking git",
        }),
        _ => Err(RepoError::Git {
            doing: doing(),
            message: said(&captured),
        }),
    }
}

/// What a command that failed said about it.
pub(crate) fn said(captured: &Captured) -> String {
    let text = sanitise(&captured.stderr);
    if text.is_empty() {
        return format!("nothing; it ended with {:?}", captured.outcome.exit);
    }
    text
}

/// Parses a full object id.
pub(crate) fn oid(text: &str) -> Result<git2::Oid, RepoError> {
    let bad = || RepoError::BadObjectId {
        text: text.chars().take(60).collect(),
    };
    let full = text.len() == 40
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !full {
        return Err(bad());
    }
    git2::Oid::from_str(text).map_err(|_| bad())
}

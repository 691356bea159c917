//! Where the forge is and with which credential it is asked. From machine settings only.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use exec::{Cancel, Command, capture, find_program};

use crate::forge::ForgeError;

/// Address of GitHub's own API.
pub const GITHUB_API: &str = "https://api.github.com";

/// Everything that [`super::Github`] is told.
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// Address of the API, without a trailing slash.
    pub api_url: String,
    /// `owner/name`.
    pub repository: String,
    /// What it is asked with.
    pub credential: Credential,
    /// Allow `http` to this machine itself, for a forge of a test.
    pub allow_insecure_loopback: bool,
    /// Environment that a token may come from and that a command runs in.
    pub environment: BTreeMap<OsString, OsString>,
    /// How long to bear with it.
    pub patience: Patience,
}

/// Limits on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Longest silence of an answer or a body.
    pub idle: Duration,
    /// First pause after a failure; each further one is twice as long.
    pub backoff: Duration,
    /// Pause where the forge asks to slow down and does not say for how long.
    pub secondary: Duration,
    /// Longest pause that is waited for; a longer one is an error that names it.
    pub longest: Duration,
    /// Attempts at one answer or one file.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            idle: Duration::from_secs(60),
            backoff: Duration::from_secs(1),
            secondary: Duration::from_secs(60),
            longest: Duration::from_secs(15 * 60),
            tries: 4,
        }
    }
}

/// What the forge is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A personal access token, classic or fine-grained.
    Token(SecretSource),
    /// An installed GitHub App.
    App {
        /// The app's id.
        app_id: u64,
        /// The installation's id.
        installation_id: u64,
        /// Its private key, RSA in PEM.
        key: SecretSource,
    },
}

/// Where a secret comes from; it is read when it is needed and kept in no file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the daemon's environment.
    Env(String),
    /// A file.
    File(PathBuf),
    /// Standard output of a program.
    Command(Vec<String>),
}

/// A secret. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// Longest secret that is read, bytes.
const MAX_SECRET: u64 = 64 << 10;
/// A program that gives a token answers within this time.
const COMMAND_TIME: Duration = Duration::from_secs(30);

impl SecretSource {
    /// Reads the secret; white space around it is not part of it.
    pub(super) fn read(
        &self,
        environment: &BTreeMap<OsString, OsString>,
        cancel: &Cancel,
    ) -> Result<Secret, ForgeError> {
        let text = match self {
            SecretSource::Env(name) => environment
                .get(OsStr::new(name))
                .map(|value| value.to_string_lossy().into_owned())
                .ok_or_else(|| {
                    unusable(format!("the variable {name} is not set for the daemon"))
                })?,
            SecretSource::File(path) => {
                let shown = path.display();
                let size = std::fs::metadata(path)
                    .map_err(ForgeError::io(format!("read the secret in {shown}")))?;
                if size.len() > MAX_SECRET {
                    return Err(unusable(format!("{shown} is too large for a secret")));
                }
                std::fs::read_to_string(path)
                    .map_err(ForgeError::io(format!("read the secret in {shown}")))?
            }
            SecretSource::Command(argv) => output_of(argv, environment, cancel)?,
        };
        let text = text.trim();
        match text.is_empty() {
            true => Err(unusable("the secret is empty".into())),
            false => Ok(Secret(text.to_owned())),
        }
    }
}

fn output_of(
    argv: &[String],
    environment: &BTreeMap<OsString, OsString>,
    cancel: &Cancel,
) -> Result<String, ForgeError> {
    let failed = |what: String| unusable(format!("the command for the secret {what}"));
    let (program, args) = argv
        .split_first()
        .ok_or_else(|| failed("names no program".into()))?;
    let path = environment
        .get(OsStr::new("PATH"))
        .cloned()
        .unwrap_or_default();
    let program = match program.starts_with('/') {
        true => PathBuf::from(program),
        false => find_program(program, &path).map_err(|error| failed(error.to_string()))?,
    };
    let command = Command::new(program, std::path::Path::new("/"))
        .args(args.iter().map(String::as_str))
        .envs(
            environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        )
        .wall_timeout(COMMAND_TIME)
        .output_limit(MAX_SECRET);
    // What it says on standard error may quote the secret; it is dropped.
    let captured = capture(&command, cancel).map_err(|error| failed(error.to_string()))?;
    if !captured.outcome.exit.success() {
        return Err(failed("failed".into()));
    }
    String::from_utf8(captured.stdout).map_err(|_| failed("did not print text".into()))
}

fn unusable(what: String) -> ForgeError {
    ForgeError::Settings {
        what,
        remedy: "mend `[github] token` in the machine settings: { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }".into(),
    }
}

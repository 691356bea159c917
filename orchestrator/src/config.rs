//! Settings of the machine: `~/.config/greenloop/config.toml`, else `/etc/greenloop/config.toml`.
//!
//! They never come from the repository under care. Policy may restrict them, never widen them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The file. Unknown keys are errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder of state folders; the per-user data directory when absent.
    pub state_root: Option<PathBuf>,
    /// Folder of sockets and leases; the per-user runtime directory when absent.
    pub runtime_dir: Option<PathBuf>,
    /// Pinned allowed-signers file; the base commit's, labelled self-asserted, when absent.
    pub signers: Option<PathBuf>,
    /// URL that permits push to; the remote that the policy names when absent.
    pub remote_url: Option<String>,
    /// False where the daemon runs as another user and commands must not start one.
    pub autostart: Option<bool>,
    /// The engine's binary, which `path_delta` asks; the one beside this binary when absent.
    pub engine: Option<PathBuf>,
    /// Folders outside the repository whose model files agents may have compared.
    pub model_dirs: Vec<PathBuf>,
    /// Author of the commits that the daemon makes.
    pub identity: Option<Identity>,
    /// Folder of recorded runs.
    pub recorded: Option<Recorded>,
}

/// `[recorded]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    /// Folder of runs in GitHub's layout; takes the place of the policy's `path`.
    pub path: PathBuf,
}

/// `[identity]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Name in commits.
    pub name: String,
    /// Mail address in commits.
    pub email: String,
}

impl Config {
    /// Reads the file that was named, else the first that exists, else nothing.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self> {
        match settings_file(named) {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read machine settings {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("machine settings {}", path.display()))
    }
}

/// The settings file in force: the one that was named, else the first that exists.
pub(crate) fn settings_file(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_owned()),
        None => candidates().into_iter().find(|path| path.exists()),
    }
}

fn candidates() -> Vec<PathBuf> {
    let user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let mut paths: Vec<PathBuf> = user
        .map(|dir| dir.join("greenloop/config.toml"))
        .into_iter()
        .collect();
    paths.push("/etc/greenloop/config.toml".into());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_named() {
        let error = toml::from_str::<Config>("signer = \"x\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("signer") && error.contains("signers"),
            "{error}"
        );
    }
}

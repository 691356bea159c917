//! Settings of the machine: `~/.config/greenloop/config.toml`, else `/etc/greenloop/config.toml`.
//!
//! They never come from the repository under care. Policy may restrict them, never widen them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One key of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Dotted name.
    name: &'static str,
    /// What it holds.
    kind: &'static str,
    /// What counts where it is absent.
    default: &'static str,
    /// What it is for.
    doc: &'static str,
}

/// Every key, once: what the reader accepts, suggests and documents.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "state_root",
        kind: "path",
        default: "the per-user data directory",
        doc: "folder of state folders, one per repository",
    },
    Setting {
        name: "runtime_dir",
        kind: "path",
        default: "the per-user runtime directory",
        doc: "folder of sockets and leases; keep it short, a socket's path has at most 108 bytes",
    },
    Setting {
        name: "signers",
        kind: "path",
        default: "the base commit's, labelled self-asserted",
        doc: "pinned allowed-signers file: who may approve",
    },
    Setting {
        name: "remote_url",
        kind: "text",
        default: "the URL of `origin`",
        doc: "URL that permits push to; kept from the first start on",
    },
    Setting {
        name: "autostart",
        kind: "true or false",
        default: "`true`",
        doc: "false where the daemon runs as another user and verbs must not start one",
    },
    Setting {
        name: "engine",
        kind: "path",
        default: "the one beside greenloop",
        doc: "the engine's binary, which `path_delta` asks",
    },
    Setting {
        name: "model_dirs",
        kind: "list of paths",
        default: "`[]`",
        doc: "folders outside the repository whose model files agents may have compared",
    },
    Setting {
        name: "identity.name",
        kind: "text",
        default: "`greenloop`",
        doc: "author of the commits that the daemon makes",
    },
    Setting {
        name: "identity.email",
        kind: "text",
        default: "`greenloop@localhost`",
        doc: "that author's mail address",
    },
];

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
        Self::parse(&text).with_context(|| format!("machine settings {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        // A syntax error is said with its line by the reader below.
        if let Ok(table) = text.parse::<toml::Table>() {
            known("", &table)?;
        }
        Ok(toml::from_str(text)?)
    }
}

/// Every key is one of the list; the first that is not names the nearest.
fn known(prefix: &str, table: &toml::Table) -> Result<()> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let below = format!("{name}.");
        match value {
            toml::Value::Table(inner)
                if SETTINGS
                    .iter()
                    .any(|setting| setting.name.starts_with(&below)) =>
            {
                known(&below, inner)?;
            }
            _ if SETTINGS.iter().any(|setting| setting.name == name) => {}
            _ => bail!(
                "unknown key `{name}`; the nearest valid key is `{}`",
                nearest(&name)
            ),
        }
    }
    Ok(())
}

fn nearest(name: &str) -> &'static str {
    let by_likeness = |setting: &&Setting| strsim::jaro_winkler(name, setting.name);
    let best = SETTINGS
        .iter()
        .max_by(|a, b| by_likeness(a).total_cmp(&by_likeness(b)));
    best.map_or("", |setting| setting.name)
}

/// Every setting with its type, default and meaning, as a Markdown table.
pub(crate) fn reference() -> String {
    let mut page = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            setting.name, setting.kind, setting.default, setting.doc
        );
    }
    page
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
    fn unknown_keys_name_the_nearest() {
        for (text, wanted) in [
            ("signer = \"x\"", "`signers`"),
            ("[identity]\nmail = \"x\"\nname = \"y\"", "`identity.email`"),
            ("[identidy]\nname = \"y\"", "`identity.name`"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(
            Config::parse("signers = ")
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
    }

    /// The list and the reader agree: each key is accepted, with a value of its kind.
    #[test]
    fn every_listed_key_is_read() {
        let mut text = String::new();
        let mut identity = String::from("[identity]\n");
        for setting in SETTINGS {
            let value = match setting.kind {
                "true or false" => "true",
                "list of paths" => "[\"/x\"]",
                _ => "\"/x\"",
            };
            match setting.name.strip_prefix("identity.") {
                Some(key) => identity.push_str(&format!("{key} = {value}\n")),
                None => text.push_str(&format!("{} = {value}\n", setting.name)),
            }
        }
        let config = Config::parse(&(text + &identity)).unwrap();
        // Whatever is added to the struct and not to the list would still be at its default.
        let Config {
            state_root: Some(_),
            runtime_dir: Some(_),
            signers: Some(_),
            remote_url: Some(_),
            autostart: Some(true),
            engine: Some(_),
            model_dirs,
            identity: Some(Identity { .. }),
        } = config
        else {
            panic!("{config:?}");
        };
        assert_eq!(model_dirs.len(), 1);
    }
}

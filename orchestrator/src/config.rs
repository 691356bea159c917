//! Settings of the machine: `~/.config/greenloop/config.toml`, else `/etc/greenloop/config.toml`.
//!
//! They never come from the repository under care. Policy may restrict them, never widen them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use service::{Credential, ForgeAccess, GITHUB_API, SecretSource};

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
    Setting {
        name: "recorded.path",
        kind: "path",
        default: "the policy's `path`",
        doc: "folder of recorded runs, for the source `recorded`",
    },
    Setting {
        name: "github.api_url",
        kind: "text",
        default: "`https://api.github.com`",
        doc: "address of the forge's API, for the source `github`; the credential goes there and nowhere else",
    },
    Setting {
        name: "github.token",
        kind: "secret",
        default: "none",
        doc: "personal access token, as `{ env = \"NAME\" }`, `{ file = \"PATH\" }` or `{ command = [\"PROGRAM\"] }`",
    },
    Setting {
        name: "github.app.app_id",
        kind: "whole number",
        default: "none",
        doc: "a GitHub App instead of a token: its id",
    },
    Setting {
        name: "github.app.installation_id",
        kind: "whole number",
        default: "none",
        doc: "the id of its installation",
    },
    Setting {
        name: "github.app.key",
        kind: "secret",
        default: "none",
        doc: "its private key, RSA in PEM",
    },
    Setting {
        name: "github.allow_insecure_loopback",
        kind: "true or false",
        default: "`false`",
        doc: "allow `http` to this machine itself, for a forge of a test",
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
    /// The forge that this machine has a credential for.
    pub github: Option<Github>,
}

/// `[github]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Github {
    /// Address of the API; GitHub's own when absent. The credential goes there and nowhere else.
    pub api_url: Option<String>,
    /// Where a personal access token comes from.
    pub token: Option<Secret>,
    /// A GitHub App instead of a token.
    pub app: Option<App>,
    /// Allow `http` to this machine itself, for a forge of a test.
    #[serde(default)]
    pub allow_insecure_loopback: bool,
}

/// `[github.app]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    /// The app's id.
    pub app_id: u64,
    /// The installation's id.
    pub installation_id: u64,
    /// Where its private key comes from, RSA in PEM.
    pub key: Secret,
}

/// `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["PROGRAM", …] }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Secret {
    /// A variable of the daemon's environment.
    Env(String),
    /// A file.
    File(PathBuf),
    /// Standard output of a program.
    Command(Vec<String>),
}

impl Github {
    /// As the service takes it.
    pub(crate) fn access(&self) -> Result<ForgeAccess> {
        let credential = match (&self.token, &self.app) {
            (Some(token), None) => Credential::Token(token.source()),
            (None, Some(app)) => Credential::App {
                app_id: app.app_id,
                installation_id: app.installation_id,
                key: app.key.source(),
            },
            _ => bail!("machine settings: [github] needs either `token` or `app`, not both"),
        };
        Ok(ForgeAccess {
            api_url: self.api_url.clone().unwrap_or_else(|| GITHUB_API.into()),
            credential,
            allow_insecure_loopback: self.allow_insecure_loopback,
            poll: None,
        })
    }
}

impl Secret {
    fn source(&self) -> SecretSource {
        match self {
            Self::Env(name) => SecretSource::Env(name.clone()),
            Self::File(path) => SecretSource::File(path.clone()),
            Self::Command(argv) => SecretSource::Command(argv.clone()),
        }
    }
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
    fn a_forge_has_a_token_or_an_app() {
        let access = |text: &str| {
            toml::from_str::<Config>(text)
                .unwrap()
                .github
                .unwrap()
                .access()
        };
        let token = access("[github]\ntoken = { env = \"GITHUB_TOKEN\" }").unwrap();
        assert_eq!(token.api_url, GITHUB_API);
        assert_eq!(
            token.credential,
            Credential::Token(SecretSource::Env("GITHUB_TOKEN".into()))
        );
        let app = "[github]\napi_url = \"https://ghe.example/api/v3\"\n[github.app]\napp_id = 1\n\
                   installation_id = 2\nkey = { file = \"/etc/greenloop/app.pem\" }";
        assert!(matches!(
            access(app).unwrap().credential,
            Credential::App {
                app_id: 1,
                installation_id: 2,
                ..
            }
        ));
        assert!(access("[github]\napi_url = \"https://ghe.example/api/v3\"").is_err());
    }

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
        for setting in SETTINGS {
            let value = match setting.kind {
                "true or false" => "true",
                "list of paths" => "[\"/x\"]",
                "whole number" => "1",
                "secret" => "{ env = \"X\" }",
                _ => "\"/x\"",
            };
            text.push_str(&format!("{} = {value}\n", setting.name));
        }
        let config = Config::parse(&text).unwrap();
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
            recorded: Some(Recorded { .. }),
            github:
                Some(Github {
                    api_url: Some(_),
                    token: Some(_),
                    app: Some(_),
                    allow_insecure_loopback: true,
                }),
        } = config
        else {
            panic!("{config:?}");
        };
        assert_eq!(model_dirs.len(), 1);
    }
}

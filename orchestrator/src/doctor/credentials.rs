//! Credentials that this account can read, and with it an agent that runs on it.
//!
//! Names and places only: no value of a variable, no line of a store and no key is read further than
//! to tell what it is.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::Finding;
use super::programs::files_in;
use super::repository::text_of;
use crate::place::Place;

/// Endings of variables that hold a secret by custom.
const SECRET_ENDINGS: &[&str] = &["_TOKEN", "_PAT", "_PASSWORD", "_SECRET", "_API_KEY"];
/// Bytes of a key file that are read: its header.
const HEADER: u64 = 512;

/// A credential that can be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    /// Where it is.
    pub(super) what: String,
    remedy: String,
}

impl Credential {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn finding(&self) -> Finding {
        Finding::advice("credential", &*self.what, &*self.remedy)
    }
}

/// Everything that was found.
pub(super) fn look(place: Option<&Place>) -> Vec<Credential> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut found = Vec::new();
    if let Some(home) = &home {
        found.extend(keys(&home.join(".ssh")));
        found.extend(stores(home));
    }
    found.extend(agent());
    found.extend(variables(
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()),
    ));
    if let Some(place) = place {
        found.extend(remote(&place.repo));
    }
    found
}

/// Private keys without a passphrase.
fn keys(folder: &Path) -> Vec<Credential> {
    let open = files_in(folder)
        .into_iter()
        .filter(|path| is_open_key(path));
    open.map(|path| {
        let shown = path.display();
        Credential::new(
            format!("{shown} is a private key without a passphrase"),
            format!("ssh-keygen -p -f {shown}"),
        )
    })
    .collect()
}

/// A private key that needs no passphrase, by its header: PEM keys name their encryption in a line,
/// OpenSSH's (PROTOCOL.key) begin with a magic and the name of a cipher.
fn is_open_key(path: &Path) -> bool {
    let mut header = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(HEADER).read_to_string(&mut header));
    if read.is_err() || !header.starts_with("-----BEGIN ") {
        return false;
    }
    let mut lines = header.lines();
    let first = lines.next().unwrap_or_default();
    if !first.ends_with("PRIVATE KEY-----") {
        return false;
    }
    if first != "-----BEGIN OPENSSH PRIVATE KEY-----" {
        return !first.contains("ENCRYPTED") && !header.contains("ENCRYPTED");
    }
    let body = lines.next().unwrap_or_default();
    // 40 characters are 30 bytes: the magic (15), a length (4) and the name of the cipher.
    let start = body.get(..40).and_then(|text| BASE64.decode(text).ok());
    let cipher = start
        .as_deref()
        .and_then(|bytes| bytes.strip_prefix(b"openssh-key-v1\0"));
    cipher.is_some_and(|bytes| bytes.starts_with(b"\0\0\0\x04none"))
}

/// Files that tools keep tokens in.
fn stores(home: &Path) -> Vec<Credential> {
    let stores = [
        (
            ".git-credentials",
            "git credential-cache, or a helper with a keyring, in place of `store`",
        ),
        (".netrc", "keep tokens out of it on the agent's account"),
        (
            ".config/gh/hosts.yml",
            "gh auth logout, or run the agent as another user",
        ),
        (
            ".cargo/credentials.toml",
            "cargo logout, or run the agent as another user",
        ),
        (
            ".docker/config.json",
            "docker logout, or run the agent as another user",
        ),
    ];
    stores
        .into_iter()
        .filter(|(path, _)| std::fs::File::open(home.join(path)).is_ok())
        .map(|(path, remedy)| {
            Credential::new(format!("{} can be read", home.join(path).display()), remedy)
        })
        .collect()
}

/// An ssh-agent signs for everybody who reaches its socket.
fn agent() -> Option<Credential> {
    std::env::var_os("SSH_AUTH_SOCK")?;
    let output = std::process::Command::new("ssh-add")
        .arg("-l")
        .output()
        .ok()?;
    let keys = String::from_utf8_lossy(&output.stdout).lines().count();
    (output.status.success() && keys > 0).then(|| {
        Credential::new(
            format!("an ssh-agent signs with {keys} keys for whoever reaches its socket"),
            "ssh-add -D, or add keys with `ssh-add -c`, which asks each time",
        )
    })
}

fn variables(names: impl Iterator<Item = String>) -> Vec<Credential> {
    let mut secret: Vec<String> = names
        .filter(|name| SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending)))
        .collect();
    secret.sort();
    secret
        .into_iter()
        .map(|name| {
            Credential::new(
                format!("the variable {name} is set, and everything started here inherits it"),
                format!("unset {name} where an agent is started"),
            )
        })
        .collect()
}

/// A token inside of the remote's URL, and a helper that keeps them in the clear.
fn remote(repo: &Path) -> Vec<Credential> {
    let mut found = Vec::new();
    let url = text_of(
        repo,
        &[
            "config",
            "--get-regexp",
            r"^remote\..*\.url$",
            "://[^/]*:[^/]*@",
        ],
    );
    if let Some(line) = url {
        let key = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned();
        found.push(Credential::new(
            format!("git's {key} holds a password"),
            "git remote set-url NAME URL without it; git asks a credential helper",
        ));
    }
    let helper = text_of(repo, &["config", "--get", "credential.helper"]);
    if helper.is_some_and(|helper| helper.split_whitespace().next() == Some("store")) {
        found.push(Credential::new(
            "git's credential helper is `store`, which keeps passwords in the clear",
            "git config --global credential.helper cache",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_by_their_header() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, passphrase: &str| {
            let path = dir.path().join(name);
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(made.success());
            path
        };
        assert!(is_open_key(&make("open", "")));
        assert!(!is_open_key(&make("closed", "a passphrase")));
        assert!(!is_open_key(&dir.path().join("open.pub")));
        let pem = dir.path().join("pem");
        std::fs::write(
            &pem,
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
        )
        .unwrap();
        assert!(!is_open_key(&pem));
        std::fs::write(&pem, "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n").unwrap();
        assert!(is_open_key(&pem));
        assert_eq!(keys(dir.path()).len(), 2);
    }

    #[test]
    fn variables_are_told_by_their_name_and_never_by_their_value() {
        let names = ["PATH", "GITHUB_TOKEN", "MY_API_KEY", "TOKENS"].map(String::from);
        let found: Vec<String> = variables(names.into_iter())
            .into_iter()
            .map(|credential| credential.what)
            .collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("GITHUB_TOKEN") && found[1].contains("MY_API_KEY"));
    }
}

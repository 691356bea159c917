//! Keys made for the occasion by `ssh-keygen`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Makes an ed25519 key without a passphrase and answers with the path of its private half.
///
/// # Errors
/// `ssh-keygen` is missing or failed.
pub fn make(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .output()
        .context("cannot run ssh-keygen; install openssh-client")?;
    if !output.status.success() {
        bail!(
            "ssh-keygen: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(path)
}

/// The line of an allowed-signers file that lets this key approve.
///
/// # Errors
/// The public half cannot be read.
pub fn signer_line(key: &Path, principal: &str, namespace: &str) -> Result<String> {
    let public = std::fs::read_to_string(key.with_extension("pub"))?;
    let mut words = public.split_whitespace();
    let (kind, body) = (
        words.next().context("no key type")?,
        words.next().context("no key")?,
    );
    Ok(format!(
        "{principal} namespaces=\"{namespace}\" {kind} {body}\n"
    ))
}
